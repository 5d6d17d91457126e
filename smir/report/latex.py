"""Tables as LaTeX, with booktabs."""

import itertools
import re
from collections.abc import Sequence

from smir.report.tables import Table, in_one_line

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


def latex(tables: Sequence[Table]) -> str:
    r"""Returns one file of `table` environments; a paper needs `\usepackage{booktabs}` to read it."""
    return "% \\usepackage{booktabs}\n" + "\n".join(map(_table, tables))


def escaped(text: str) -> str:
    """Returns a text that LaTeX prints as it is; a minus before a number becomes one."""
    protected = "".join(_SPECIAL.get(character, character) for character in text)
    return re.sub(r"(?<![\w-])([+-])(?=\d| \w)", r"$\1$", protected)


def _table(table: Table) -> str:
    kinds = "".join("l" if column.kind == "text" else "r" for column in table.columns)
    rows = [" & ".join(escaped(in_one_line(cell)) for cell in row) for row in table.cells()]
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escaped(table.title)}. {escaped(table.caption)}}}",
        rf"\label{{tab:{table.name}}}",
        rf"\begin{{tabular}}{{@{{}}{kinds}@{{}}}}",
        r"\toprule",
        *_group_line(table),
        " & ".join(escaped(column.head) for column in table.columns) + r" \\",
        r"\midrule",
        *(row + r" \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _group_line(table: Table) -> list[str]:
    """Names over several columns, each with its rule."""
    if not any(column.group for column in table.columns):
        return []
    ends = list(itertools.accumulate(span for _, span in table.groups))
    names = [rf"\multicolumn{{{span}}}{{c}}{{{escaped(name)}}}" for name, span in table.groups]
    rules = [
        rf"\cmidrule(lr){{{end - span + 1}-{end}}}"
        for (name, span), end in zip(table.groups, ends, strict=True)
        if name
    ]
    return [" & ".join(names) + r" \\", "".join(rules)]
