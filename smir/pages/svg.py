"""SVG by hand: the few shapes and the axis that the plots are made of."""

import html
import math
from collections.abc import Sequence

INK, SOFT, GRID = "#222222", "#5f5f5f", "#dcdcdc"
WIDTH = 420
"""All plots are as wide as a phone shows at their own size, so that their text is never shrunk."""


class Drawing:
    """Collects shapes; coordinates are pixels from the top left.

    Args:
        height: Height; the width is that of all plots.
        title: Heading, and the name that a screen reader says.
    """

    def __init__(self, height: float, title: str) -> None:
        self.height, self.title = height, title
        self.parts: list[str] = []
        self.text(0, 14, title, weight=600, size=14)

    def line(self, x1: float, y1: float, x2: float, y2: float, stroke: str = GRID, width: float = 1) -> None:
        """Draws a straight line."""
        self.parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{stroke}" stroke-width="{width}"/>'
        )

    def bar(self, left: float, top: float, right: float, bottom: float, fill: str) -> None:
        """Draws a filled rectangle."""
        self.parts.append(
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{bottom - top:.1f}" fill="{fill}"/>'
        )

    def dot(self, x: float, y: float, radius: float, fill: str, opacity: float = 1) -> None:
        """Draws a disc."""
        faint = f' fill-opacity="{opacity}"' if opacity < 1 else ""
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{fill}"{faint}/>')

    def path(self, points: Sequence[tuple[float, float]], stroke: str, width: float = 1.5, dashes: str = "") -> None:
        """Draws a line through points."""
        places = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
        self.parts.append(
            f'<polyline points="{places}" fill="none" stroke="{stroke}" stroke-width="{width}"'
            f' stroke-linejoin="round"{dashed}/>'
        )

    def text(
        self, x: float, y: float, text: str, fill: str = INK, anchor: str = "start", size: float = 12, weight: int = 400
    ) -> None:
        """Writes a text; `y` is its base line."""
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" fill="{fill}" text-anchor="{anchor}" font-size="{size}"'
            f' font-weight="{weight}">{html.escape(text)}</text>'
        )

    def svg(self) -> str:
        """Returns the whole file."""
        name = html.escape(self.title, quote=True)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self.height:.0f}" role="img"'
            f' aria-label="{name}" font-family="system-ui, sans-serif">\n' + "\n".join(self.parts) + "\n</svg>\n"
        )


class Axis:
    """Places values between two pixels, with round ticks.

    Args:
        values: What must fit; at least one.
        start: Pixel of the lowest value.
        end: Pixel of the highest value.
        around: A value that must be on the axis too.
    """

    def __init__(self, values: Sequence[float], start: float, end: float, around: float | None = None) -> None:
        known = [*values, *([around] if around is not None else [])]
        low, high = min(known), max(known)
        margin = 0.04 * (high - low) or max(abs(high) * 0.05, 0.5)
        self.low, self.high = low - margin, high + margin
        self.start, self.end = start, end

    def __call__(self, value: float) -> float:
        """Returns the pixel of a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, about: int = 5) -> list[float]:
        """Returns multiples of 1, 2 or 5 times a power of ten that lie on the axis."""
        rough = (self.high - self.low) / about
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(step * power for step in (1, 2, 5, 10) if step * power >= rough)
        first = math.ceil(self.low / step - 1e-9)
        return [step * number for number in range(first, math.floor(self.high / step + 1e-9) + 1)]


def tick_text(value: float, signed: bool = False) -> str:
    """Writes a tick without superfluous zeros and without a negative zero."""
    text = f"{value:+.6g}" if signed and abs(value) > 1e-12 else f"{value:.6g}" if abs(value) > 1e-12 else "0"
    return minus(text)


def clipped(text: str, length: int = 16) -> str:
    """Cuts a name that has no room."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def minus(text: str) -> str:
    """Returns a number's text with the sign that typesetters use."""
    return text.replace("-", "\N{MINUS SIGN}")


def spread(places: Sequence[float], gap: float) -> list[float]:
    """Moves labels apart until none is closer to the next than `gap`, each as little as their order allows."""
    order = sorted(range(len(places)), key=lambda index: places[index])
    blocks: list[tuple[list[int], float]] = []  # labels that touch, and the place of their first one
    for index in order:
        members, first = [index], places[index]
        while blocks and blocks[-1][1] + gap * len(blocks[-1][0]) > first:
            members = blocks.pop()[0] + members
            first = sum(places[m] - gap * number for number, m in enumerate(members)) / len(members)
        blocks.append((members, first))
    moved = [0.0] * len(places)
    for members, first in blocks:
        for number, index in enumerate(members):
            moved[index] = first + gap * number
    return moved
