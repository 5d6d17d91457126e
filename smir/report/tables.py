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
    kind: Literal["text", "number", "estimate", "difference"] = "text"


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

    @property
    def common_seeds(self) -> str:
        """The number of seeds that every figure rests on; nothing where they differ."""
        counts = self._counts()
        return counts.pop() if len(counts) == 1 else ""

    def _counts(self) -> set[str]:
        return {cell.seeds for row in self.rows for cell in map(shown, row) if cell.seeds}

    def cells(self) -> list[list[Shown]]:
        """The cells as text; the number of seeds is left to the caption where it is the same everywhere."""
        common = self.common_seeds
        rows = [[shown(entry) for entry in row] for row in self.rows]
        return [[cell._replace(seeds="") if cell.seeds == common else cell for cell in row] for row in rows]

    @property
    def caption(self) -> str:
        """The note, and how many seeds the figures rest on."""
        counts = self._counts()
        if len(counts) > 1:
            return f"{self.note} The number of seeds stands beside each figure."
        seeds = "a single seed" if counts == {"1"} else f"{self.common_seeds} seeds"
        return f"{self.note} Every figure rests on {seeds}." if counts else self.note


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
    interval = f"[{signed(entry.interval[0])}, {signed(entry.interval[1])}]" if entry.interval else ""
    return Shown(signed(entry.mean), interval, f"{known}")


def signed(value: float) -> str:
    """Returns a difference with its sign, which zero has not."""
    text = f"{value:+.1f}"
    return text[1:] if float(text) == 0 else text


def in_one_line(cell: Shown) -> str:
    """Returns a cell as one text: `56.2 ± 1.1 (3)`, `+1.3 [+0.2, +2.4] (3)`, the number of seeds in brackets."""
    return " ".join(part for part in (cell.figure, cell.interval, cell.seeds and f"({cell.seeds})") if part)
