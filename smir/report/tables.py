"""Tables as data: what every format of the report writes in its own way."""

import dataclasses
from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

from smir.report.estimates import Difference, Estimate

Entry: TypeAlias = str | Estimate | Difference | None
"""A cell of a table; nothing is a figure that is missing."""

MISSING = "missing"
NOT_MEANT = "-"
"""Where no figure can be, such as the difference of a row to itself."""


@dataclasses.dataclass(frozen=True)
class Column:
    """The head of a column.

    Attributes:
        head: Its name.
        group: Name over several columns side by side.
        kind: What its cells hold.
    """

    head: str
    group: str = ""
    kind: Literal["text", "estimate", "difference"] = "text"


@dataclasses.dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        name: File name without ending.
        title: What it shows.
        note: How to read it, with protocol and seeds.
        columns: The heads, at least one.
        rows: The cells of every row, one for each column.
        typeset: Whether it is for a paper too, and goes to LaTeX.
    """

    name: str
    title: str
    note: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Entry]]
    typeset: bool = True

    @property
    def groups(self) -> list[tuple[str, int]]:
        """Names over the columns and how many each spans."""
        spans: list[tuple[str, int]] = []
        for column in self.columns:
            if spans and spans[-1][0] == column.group and column.group:
                spans[-1] = (column.group, spans[-1][1] + 1)
            else:
                spans.append((column.group, 1))
        return spans


class Shown(NamedTuple):
    """A cell as text.

    Attributes:
        figure: Such as `56.2 ± 1.1` or `+1.3`; with one seed there is no deviation.
        interval: Such as `[+0.2, +2.4]`; with one seed there is none.
        seeds: How many seeds the figure rests on: `3`, or `2 of 3` where the others do not have it.
    """

    figure: str
    interval: str = ""
    seeds: str = ""


def shown(entry: Entry) -> Shown:
    """Returns a cell as text, rounded to a tenth of a point."""
    if entry is None:
        return Shown(MISSING)
    if isinstance(entry, str):
        return Shown(entry)
    known = len(entry.by_seed)
    if isinstance(entry, Estimate):
        deviation = "" if entry.deviation is None else f" ± {entry.deviation:.1f}"
        seeds = f"{known}" if known == entry.seeds else f"{known} of {entry.seeds}"
        return Shown(f"{entry.mean:.1f}{deviation}", seeds=seeds)
    if not known:
        return Shown(NOT_MEANT, seeds="no common")
    interval = f"[{entry.interval[0]:+.1f}, {entry.interval[1]:+.1f}]" if entry.interval else ""
    return Shown(f"{entry.mean:+.1f}", interval, f"{known}")


def in_one_line(entry: Entry) -> str:
    """Returns a cell as one text: `56.2 ± 1.1 (3)`, `+1.3 [+0.2, +2.4] (3)`, the number of seeds in brackets."""
    cell = shown(entry)
    return " ".join(part for part in (cell.figure, cell.interval, cell.seeds and f"({cell.seeds})") if part)
