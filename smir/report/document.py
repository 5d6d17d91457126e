"""The parts of a report, in no file format yet: sections of tables, figures, pictures and lists."""

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from smir.report.estimates import Difference, Estimate, left_out

Entry: TypeAlias = str | Estimate | Difference | None
"""A cell of a table; None is a missing figure."""

MISSING = "missing"
ONE_MISSES = 20
"""Of that many 95 % intervals, one is expected not to hold the true difference."""
NOT_MEANT = "-"
"""Stands where no figure can be, such as the difference of a row to itself."""


@dataclasses.dataclass(frozen=True)
class Column:
    """The head of a column; a group is a name over several columns side by side."""

    head: str
    group: str = ""
    kind: Literal["text", "number", "estimate", "difference"] = "text"

    @property
    def name(self) -> str:
        """The head with its group in front, for formats with one line of heads."""
        return f"{self.group}: {self.head}" if self.group else self.head


class Shown(NamedTuple):
    """A cell as text: figure (`56.2 ± 1.1`, `+1.3`), interval (`[+0.2, +2.4]`), and seeds (`3`, or `2 of 3`)."""

    figure: str
    interval: str = ""
    seeds: str = ""

    @property
    def basis(self) -> str:
        """The small print below the figure."""
        plural = "" if self.seeds in ("1", "no common") else "s"
        return " ".join(part for part in (self.interval, self.seeds and f"{self.seeds} seed{plural}") if part)

    def __str__(self) -> str:
        """The cell in one line: `56.2 ± 1.1 (3)`, `+1.3 [+0.2, +2.4] (3)`, the number of seeds in brackets."""
        return " ".join(part for part in (self.figure, self.interval, self.seeds and f"({self.seeds})") if part)


@dataclasses.dataclass(frozen=True)
class Table:
    """A table, with its file name without ending, and a note that explains it.

    With `seeds_said`, a warning above all tables says that there is a single seed.
    """

    name: str
    title: str
    note: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Entry]]
    seeds_said: bool = False

    @property
    def groups(self) -> list[tuple[str, int]]:
        """Names over the columns and how many each spans; empty where no column has one."""
        if not any(column.group for column in self.columns):
            return []
        groups = [list(members) for _, members in itertools.groupby(self.columns, lambda column: column.group)]
        return [(members[0].group, len(members)) for members in groups]

    @property
    def cells(self) -> list[list[Shown]]:
        """The cells as text; the caption gives the number of seeds where it is the same everywhere."""
        rows = [[shown(entry) for entry in row] for row in self.rows]
        if len(self._seeds) > 1:
            return rows
        return [[cell._replace(seeds="") for cell in row] for row in rows]

    @property
    def caption(self) -> str:
        """The note, how to read the entries that occur, and how many seeds they rest on, unless that is said above."""
        entries = [entry for row in self.rows for entry in row]
        gains = [entry for entry in entries if isinstance(entry, Difference)]
        words = [self.note]
        if any(estimate.deviation is not None for estimate in estimates_in(self.rows)):
            words.append("Figures are mean ± sample deviation over seeds.")
        if gains:
            known = sum(gain.interval is not None for gain in gains)
            interval = "mean and 95 % paired t interval over seeds (Student's t); " if known else ""
            few = f"{interval}fewer than three seeds give no interval"
            paired = f"Differences are points, paired by seed: {few}."
            words.append("Differences are points." if self.seeds_said else paired)
            if known:
                words.append("Intervals leave out the luck of images that all seeds share.")
            if known >= ONE_MISSES:
                words.append(f"About one in {ONE_MISSES} of these {known} misses the true difference.")
        if None in entries:
            words.append("Missing figures have no finished run, or nothing to count.")
        if len(self._seeds) > 1:
            words.append("The number of seeds is beside each figure.")
        if len(self._seeds) == 1 and not (self.seeds_said and self._seeds == {"1"}):
            (seeds,) = self._seeds
            each = {"1": "Every figure rests on a single seed.", "no common": "The compared rows have no common seeds."}
            words.append(each.get(seeds, f"Every figure rests on {seeds} seeds."))
        return " ".join(words)

    @property
    def _seeds(self) -> set[str]:
        return {cell.seeds for row in self.rows for cell in map(shown, row) if cell.seeds}


def difference_table(
    name: str, title: str, note: str, columns: Sequence[Column], rows: Sequence[Sequence[Entry]]
) -> Table:
    """Returns a table of differences; a last column says, row by row, which luck the intervals leave out."""
    luck = [left_out(entry for entry in row if isinstance(entry, Difference)) for row in rows]
    if any(luck):
        columns = [*columns, Column("not in the interval")]
        rows = [[*row, words or NOT_MEANT] for row, words in zip(rows, luck, strict=True)]
    return Table(name, title, note, columns, rows)


def estimates_in(rows: Sequence[Sequence[Entry]]) -> list[Estimate]:
    """Returns the figures of a table, without differences and texts."""
    return [entry for row in rows for entry in row if isinstance(entry, Estimate)]


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
    interval = f"[{', '.join(map(_bound, entry.interval))}]" if entry.interval else ""
    return Shown(signed(entry.mean), interval, f"{known}")


def signed(value: float) -> str:
    """Returns a difference with its sign; zero gets none."""
    text = f"{value:+.1f}"
    return text[1:] if float(text) == 0 else text


def _bound(value: float) -> str:
    """Returns a bound of an interval; one near zero with further digits, which say whether the interval holds zero."""
    return f"{value:+.1g}" if float(f"{value:.1f}") == 0 and abs(value) >= 1e-4 else signed(value)


@dataclasses.dataclass(frozen=True)
class Figure:
    """A plot: file name without ending, caption with protocol and seeds, and a complete SVG file."""

    name: str
    caption: str
    svg: str


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture that a run has written."""

    path: Path
    caption: str


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of the report under one heading.

    Attributes:
        text: Paragraphs.
        warnings: Facts to know before trusting the figures.
        lists: Lists of lines, each under a name; a line is a text and the commands that belong to it.
    """

    title: str
    text: list[str] = dataclasses.field(default_factory=list)
    warnings: list[str] = dataclasses.field(default_factory=list)
    tables: list[Table] = dataclasses.field(default_factory=list)
    figures: list[Figure] = dataclasses.field(default_factory=list)
    pictures: list[Picture] = dataclasses.field(default_factory=list)
    lists: dict[str, list[tuple[str, list[str]]]] = dataclasses.field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """True if the section holds only words."""
        return not (self.tables or self.figures or self.pictures or self.lists)
