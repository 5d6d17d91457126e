"""Writes a report as one HTML page and as Markdown, and its tables as CSV and as LaTeX with booktabs."""

import dataclasses
import itertools
import re
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from smir.errors import RunError
from smir.files.pages.csv_text import MISSING, csv_text, figure
from smir.files.pages.html import data_uri, render
from smir.files.pages.markdown import code, prose
from smir.report.document import NOT_MEANT, Column, Entry, Section, Table
from smir.report.estimates import Difference, Estimate
from smir.report.stored import StoredRun

_PARTS = {
    "text": ("",),
    "number": ("",),
    "estimate": ("", " std", " seeds"),
    "difference": ("", " low", " high", " seeds"),
}
"""Endings of the CSV columns by the kind of the table's column."""
PICTURE_WIDTH, _WIDE = 1200, 1600
_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    **{character: f"\\{character}" for character in "&%$#_"},
}


def page(parts: Sequence[Section], summary: str) -> str:
    """Returns the whole report as an HTML page that needs no other file, with a summary under its title."""
    sections = {f"s{number}": part.title for number, part in enumerate(parts)}
    values = {"title": "smir: results", "summary": summary, "sections": sections, "parts": parts}
    return render("smir.report", "report.html", **values, shown=_shown)


def _shown(path: Path) -> tuple[str, bool]:
    """Returns a picture as a URI, and whether it takes a whole row."""
    try:
        with Image.open(path, formats=("PNG",)) as image:  # others start programs (EPS), and a run writes none
            small = image.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # all that Pillow raises
        raise RunError(f"{path} is not a readable picture: {error}. Move it away.") from error
    is_wide = small.width > _WIDE
    small.thumbnail((PICTURE_WIDTH, 10 * PICTURE_WIDTH))
    return data_uri(small), is_wide


def markdown(sections: Sequence[Section]) -> str:
    """Returns the whole report; figures are links to `figures/<name>.svg`."""
    lines = ["# smir: results", ""]
    for section in sections:
        lines += [f"## {prose(section.title)}", ""]
        if section.pictures:
            lines += ["The page (index.html) shows them.", ""]
        for text in section.text:
            lines += [prose(text), ""]
        lines += [f"> **Warning:** {prose(text)}\n" for text in section.warnings]
        for table in section.tables:
            lines += [f"### {prose(table.title)}", "", *table_lines(table), "", prose(table.caption), ""]
        for plot in section.figures:
            caption = prose(plot.caption)
            lines += [f"![{caption}](figures/{plot.name}.svg)", "", f"*{caption}*", ""]
        for name, entries in section.lists.items():
            lines += [f"### {prose(name)}", ""] if name else []
            for text, commands in entries:
                lines += [f"- {prose(text)}", *(f"  - {code(command)}" for command in commands)]
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def table_lines(table: Table) -> list[str]:
    """Returns a table as aligned lines; group names go in front of the heads."""
    lines = [[column.name for column in table.columns], *([str(cell) for cell in row] for row in table.cells)]
    grid = [[prose(cell) for cell in line] for line in lines]
    widths = [max(map(len, cells)) for cells in zip(*grid, strict=True)]
    first, *rows = ["| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |" for line in grid]
    return [first, "|" + "|".join("-" * (width + 2) for width in widths) + "|", *rows]


def csv_of(table: Table) -> str:
    """Returns a table as CSV, figures in percent and unrounded, `NA` where one is missing."""
    head = [f"{column.name}{part}" for column in table.columns for part in _PARTS[column.kind]]
    rows = [
        [cell for column, entry in zip(table.columns, row, strict=True) for cell in _cells(column, entry)]
        for row in table.rows
    ]
    return csv_text([head, *rows])


def runs_csv(runs: Sequence[StoredRun]) -> str:
    """Returns one line for every tested run and metric, with the commit and the command behind it."""
    head = ["dataset", "protocol", "init", "variant", "labels", "seed", "metric", "percent"]
    head += ["folder", "commit", "command"]
    rows = []
    for run in runs:
        place = [run.dataset, run.protocol or MISSING, run.init, run.variant or "", str(run.labels), str(run.seed)]
        start = run.starts[-1] if run.starts else {}
        behind = [str(run.folder), start.get("commit", "unknown"), start.get("command", "unknown")]
        rows += [[*place, name, figure(value), *behind] for name, value in run.metrics("").items()]
    return csv_text([head, *rows])


def _cells(column: Column, entry: Entry) -> list[str]:
    if isinstance(entry, Estimate):
        return [figure(entry.mean), figure(entry.deviation), str(len(entry.by_seed))]
    if isinstance(entry, Difference) and entry.by_seed:
        low, high = entry.interval or (None, None)
        return [figure(entry.mean), figure(low), figure(high), str(len(entry.by_seed))]
    if isinstance(entry, str) and (entry != NOT_MEANT or column.kind == "text"):
        return [entry]
    return [MISSING] * len(_PARTS[column.kind])


def latex(tables: Sequence[Table]) -> str:
    r"""Returns one file of `table` environments; a paper needs `\usepackage{booktabs}` to read it."""
    return "% \\usepackage{booktabs}\n" + "\n".join(map(_latex_table, tables))


def escaped_latex(text: str) -> str:
    """Returns a text that LaTeX prints as it is; a minus before a number becomes one."""
    protected = "".join(_SPECIAL.get(character, character) for character in text)
    return re.sub(r"(?<![\w-])([+-])(?=\d| \w)", r"$\1$", protected)


def _latex_table(table: Table) -> str:
    kinds = "".join("l" if column.kind == "text" else "r" for column in table.columns)
    rows = [" & ".join(escaped_latex(str(cell)) for cell in row) for row in table.cells]
    alone = dataclasses.replace(table, seeds_said=False)  # in a paper, no warning stands above the tables
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escaped_latex(table.title)}. {escaped_latex(alone.caption)}}}",
        rf"\label{{tab:{table.name}}}",
        rf"\begin{{tabular}}{{@{{}}{kinds}@{{}}}}",
        r"\toprule",
        *_group_line(table),
        " & ".join(escaped_latex(column.head) for column in table.columns) + r" \\",
        r"\midrule",
        *(row + r" \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _group_line(table: Table) -> list[str]:
    """Names over several columns, each with its rule."""
    if not table.groups:
        return []
    ends = list(itertools.accumulate(span for _, span in table.groups))
    names = [rf"\multicolumn{{{span}}}{{c}}{{{escaped_latex(name)}}}" for name, span in table.groups]
    rules = [
        rf"\cmidrule(lr){{{end - span + 1}-{end}}}"
        for (name, span), end in zip(table.groups, ends, strict=True)
        if name
    ]
    return [" & ".join(names) + r" \\", "".join(rules)]
