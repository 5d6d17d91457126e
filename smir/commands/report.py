"""`python -m smir report`: a table and a page of pictures from finished runs."""

import base64
import html
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smir.results import Row


def report(runs: Path = Path("runs"), out: Path = Path("report")) -> None:
    """Prints a table of all tested runs, and writes it with their pictures as one self-contained page.

    The figures are IoU in percent over the whole test split, at the view of the network (the paper's figure) and, in
    the last column, at the labels' own size. Runs are averaged only if they differ in nothing but the seed.

    Args:
        runs: Folder that holds the runs.
        out: Folder for `report.md` and `index.html`.

    Raises:
        SmirError: If there is no finished and tested run.
    """
    from smir.atomic import write_atomically
    from smir.results import read_results, rows

    table = rows(read_results(runs))
    text = markdown(table)
    write_atomically(out / "report.md", text)
    write_atomically(out / "index.html", page(table, runs))
    print(text)
    print(f"The same with pictures: {(out / 'index.html').absolute()}")


def _cells(row: "Row", classes: list[str]) -> list[str]:
    first = row.results[0]

    def percent(metric: str) -> str:
        mean, deviation = row.mean(metric), row.deviation(metric)
        if mean is None:
            return "-"
        return f"{100 * mean:.1f}" + ("" if deviation is None else f" ± {100 * deviation:.1f}")

    return [
        first.data,
        first.init,
        f"{first.labels}",
        f"{first.pretraining_visits:,}",
        " ".join(map(str, row.seeds)),
        percent("view/miou"),
        *(percent(f"view/iou/{name}") for name in classes),
        percent("view/iou_std"),
        percent("native/miou"),
    ]


def _tables(table: "list[Row]") -> "list[tuple[list[str], list[Row]]]":
    """Rows of one table share their classes."""
    by_classes: dict[tuple[str, ...], list[Row]] = {}
    for row in table:
        by_classes.setdefault(tuple(row.results[0].test["classes"]), []).append(row)
    return [(list(classes), members) for classes, members in by_classes.items()]


def _header(classes: list[str]) -> list[str]:
    before = ["data (protocol)", "init", "labels", "pretraining image visits", "seeds", "mIoU"]
    return [*before, *classes, "deviation over classes", "mIoU at label size"]


def markdown(table: "list[Row]") -> str:
    """Returns the tables as Markdown, and the command and commit behind every row."""
    lines = []
    for classes, members in _tables(table):
        grid = [_header(classes), *(_cells(row, classes) for row in members)]
        widths = [max(len(line[column]) for line in grid) for column in range(len(grid[0]))]
        padded = [
            "| " + " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) + " |" for line in grid
        ]
        lines += [padded[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *padded[1:], ""]
    lines.append("IoU in percent on the test split. Each row's runs, with commit and command:")
    for row in table:
        for result in row.results:
            lines.append(f"- {result.folder} ({result.environment['commit']}): `{result.environment['command']}`")
    return "\n".join(lines) + "\n"


def page(table: "list[Row]", runs: Path) -> str:
    """Returns one HTML page: the tables, test overlays of every row, and the pictures of pretraining."""
    parts = ["<h1>smir: results</h1>"]
    for classes, members in _tables(table):
        grid = [_header(classes), *(_cells(row, classes) for row in members)]
        head, *body = ["".join(f"<td>{html.escape(cell)}</td>" for cell in line) for line in grid]
        parts.append(f"<table><thead><tr>{head}</tr></thead>{''.join(f'<tr>{line}</tr>' for line in body)}</table>")
    parts.append("<p>IoU in percent on the test split; deviation over seeds where there are several.</p>")
    for row in table:
        result = row.results[0]
        parts.append(f"<h2>{html.escape(result.record['experiment'])}, seed {result.record['seed']}</h2>")
        parts.append(f"<p><code>{html.escape(result.environment['command'])}</code></p>")
        parts += [_picture(path) for path in sorted((result.folder / "test").glob("overlay-*.png"))]
    shown = {row.results[0].folder for row in table}
    for path in sorted(runs.rglob("images/*.png")):
        if path.parent.parent not in shown:
            parts.append(f"<h2>{html.escape(str(path.relative_to(runs).with_suffix('')))}</h2>{_picture(path)}")
    return PAGE.replace("BODY", "\n".join(parts))


def _picture(path: Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<img src="data:image/png;base64,{data}" alt="{html.escape(path.stem)}">'


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>smir: results</title><style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1320px; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: 1em 0 } td { padding: .35em .8em; border-bottom: 1px solid #ddd }
thead td { font-weight: 600 } img { display: block; max-width: 100%; margin: .5em 0 } code { font-size: 13px }
h2 { margin-top: 1.6em; font-size: 18px }
</style></head><body>
BODY
</body></html>
"""

COMMANDS = report
