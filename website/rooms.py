"""Draws which room of `smir/` uses which: `python -m website.rooms` writes docs/rooms.svg."""

import ast
from collections import Counter
from pathlib import Path

from website.repository import ROOT

ROOMS = (
    *("cli", "report", "choose", "inspect", "export", "prepare", "predict", "training"),
    *("data", "runs", "models", "method", "files"),
)
"""From top to bottom: a room uses those after it. `make lint` holds the code to this order."""
PICTURE = ROOT / "docs/rooms.svg"
_CELL, _LEFT, _TOP = 34, 84, 84


def imports() -> Counter[tuple[str, str]]:
    """Counts the import statements between any two rooms, also those of type checking and inside functions."""
    found: Counter[tuple[str, str]] = Counter()
    for path in sorted((ROOT / "smir").rglob("*.py")):
        room = path.relative_to(ROOT / "smir").parts[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                continue
            used = {name.split(".")[1] for name in names if name.startswith("smir.")}
            found.update((room, other) for other in used if room != other and {room, other} <= set(ROOMS))
    return found


def draw(found: Counter[tuple[str, str]]) -> str:
    """Returns the picture: a row for each room, and a dot in the column of every room that it uses."""
    side = len(ROOMS) * _CELL
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_LEFT + side + 10} {_TOP + side + 10}" role="img"'
        ' font-family="system-ui, sans-serif" font-size="14">',
        "<title>Which room of smir uses which: all dots lie above the diagonal, so imports run one way</title>",
        '<rect width="100%" height="100%" fill="#ffffff"/>',
    ]
    for place, room in enumerate(ROOMS):
        left, top = _LEFT + place * _CELL, _TOP + place * _CELL
        parts += [
            f'<text x="{_LEFT - 8}" y="{top + 22}" text-anchor="end" fill="#0f172a">{room}</text>',
            f'<text transform="translate({left + 22} {_TOP - 8}) rotate(-60)" fill="#0f172a">{room}</text>',
            f'<rect x="{left}" y="{top}" width="{_CELL}" height="{_CELL}" fill="#cbd5e1"/>',
        ]
        lines = (f"M{_LEFT} {top}h{side}", f"M{left} {_TOP}v{side}")
        parts.append(f'<path d="{"".join(lines)}" stroke="#e2e8f0" fill="none"/>')
    for (room, other), count in sorted(found.items()):
        x, y = (axis + ROOMS.index(name) * _CELL + _CELL / 2 for axis, name in ((_LEFT, other), (_TOP, room)))
        color = "#0f766e" if ROOMS.index(other) > ROOMS.index(room) else "#dc2626"
        radius = 4 if count < 3 else 7 if count < 10 else 11
        parts.append(
            f'<circle cx="{x}" cy="{y}" r="{radius}" fill="{color}"><title>{room} uses {other}</title></circle>'
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    PICTURE.write_text(draw(imports()), encoding="utf-8")
    print(Path(PICTURE).relative_to(ROOT))
