"""Groups runs that differ only in the seed. Any others get separate rows."""

import dataclasses
import functools
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from smir.errors import counted, first_few
from smir.report.estimates import Difference, Estimate, paired
from smir.report.starts import INITS, lineage
from smir.report.stored import Draw, StoredRun
from smir.runs.recipe import differences, digest

TITLES = {
    "PascalVOC": "Pascal VOC",
    "Cityscapes": "Cityscapes",
    "Nassar": "Nassar 2020",
    "SugarBeets": "Sugar Beets 2016",
}
"""The paper's datasets, in its order; others follow under their own names."""
MIOU = "view/miou"
"""The paper's figure."""


def title_of(dataset: str) -> str:
    """Name of a dataset in tables."""
    return TITLES.get(dataset, dataset)


def order_of(dataset: str) -> tuple[int, str]:
    """Sorts the datasets of the paper first, in its order."""
    return list(TITLES).index(dataset) if dataset in TITLES else len(TITLES), dataset


class Benchmark(NamedTuple):
    """A column of the main table: dataset class, protocol if it has one, label budget if one was set, and its draw.

    `is_share` tells a budget of 1.0, all labels, from one of 1, a single label.
    """

    dataset: str
    protocol: str | None
    budget: int | float | None = None
    draw: Draw = Draw()
    is_share: bool = False

    @classmethod
    def of(cls, run: StoredRun) -> "Benchmark":
        """Returns the column that a run belongs to."""
        return cls(run.dataset, run.protocol, run.budget, run.draw, isinstance(run.budget, float))

    @property
    def title(self) -> str:
        """The dataset's name, the label budget where one was set, and the draw where it is not the usual one."""
        share = f"{100 * (self.budget or 0):g} % of the labels" if self.is_share else ""
        labels = share or (counted(int(self.budget), "label", "labels") if self.budget else "")
        return ", ".join(filter(None, (title_of(self.dataset), labels, self.draw.words)))


@dataclasses.dataclass(frozen=True)
class Cell:
    """One or more runs that differ only in the seed, sorted by seed.

    `note` says why they are not averaged with other runs of that name; it is empty if there are no others.
    """

    runs: list[StoredRun]
    note: str = ""

    @property
    def first(self) -> StoredRun:
        """The run of the lowest seed, which stands for what all of them share."""
        return self.runs[0]

    @property
    def benchmark(self) -> Benchmark:
        """The column of the main table that the runs belong to."""
        return Benchmark.of(self.first)

    @property
    def draw(self) -> str:
        """Names the draw of the labels where it is not the usual one: `3 label draws`, `label draw 7`."""
        draw = self.first.draw
        return counted(len(self.runs), "label draw", "label draws") if draw.by_run else draw.words

    def estimate(self, metric: str = MIOU) -> Estimate | None:
        """Returns a test metric in percent over the seeds; None where no seed has it."""
        values = {run.seed: value for run in self.runs if (value := run.metric(metric)) is not None}
        files = {run.seed: run.weights for run in self.runs if run.weights["kind"] == "file"}
        starts = {seed: weights["sha256"] for seed, weights in files.items() if "sha256" in weights}
        return Estimate(values, len(self.runs), self.first.name, starts) if values else None


class Protocol:
    """The cells of one protocol, or of the datasets without one; each protocol has separate tables.

    With `expect_paper`, the rows and datasets of the paper are there without runs too.
    """

    def __init__(self, name: str | None, cells: Sequence[Cell], expect_paper: bool = False) -> None:
        self.name, self.expect_paper = name, expect_paper and name is not None
        self._plain = [cell for cell in cells if cell.first.variant is None]
        self._variants = [cell for cell in cells if cell.first.variant is not None]

    @property
    def words(self) -> str:
        """Names the protocol after a comma; empty for the datasets without one."""
        return f", protocol: {self.name}" if self.name else ""

    @property
    def in_brackets(self) -> str:
        """Names the protocol in brackets; empty for the datasets without one."""
        return f" (protocol: {self.name})" if self.name else ""

    @property
    def notes(self) -> list[str]:
        """The runs with separate rows, and the reason for each."""
        return [f"{title_of(cell.first.dataset)}: {cell.note}." for cell in self._plain + self._variants if cell.note]

    @property
    def file_word(self) -> str:
        """The protocol in a file name."""
        return self.name or "none"

    @functools.cached_property
    def benchmarks(self) -> list[Benchmark]:
        """The columns of the main table, in the paper's order."""
        plain = {cell.benchmark for cell in self._plain}
        if self.expect_paper:
            plain |= {Benchmark(name, self.name) for name in TITLES.keys() - {each.dataset for each in plain}}

        def place(each: Benchmark) -> tuple[object, ...]:
            return (*order_of(each.dataset), each.budget or 0, each.is_share, each.draw.words)

        return sorted(plain, key=place)

    @property
    def has_one_seed(self) -> bool:
        """True if every row rests on a single seed: `one_seed_warning` then says so once, in place of every caption."""
        return all(len(cell.runs) == 1 for cell in (*self._plain, *self._variants))

    @property
    def has_one_row(self) -> bool:
        """True if there is nothing to compare."""
        return len(self._plain) + len(self._variants) == 1

    @property
    def datasets(self) -> list[str]:
        """The datasets that have runs, in the paper's order."""
        return sorted({cell.first.dataset for cell in (*self._plain, *self._variants)}, key=order_of)

    def inits(self, benchmarks: Sequence[Benchmark]) -> list[str]:
        """Returns the rows that have runs, and those of the paper if they are expected."""
        found = {cell.first.init for benchmark in benchmarks for cell in self.plain(benchmark).values()}
        every = self.expect_paper and any(benchmark.dataset in TITLES for benchmark in benchmarks)
        return [*(init for init in INITS if every or init in found), *sorted(found - set(INITS))]

    def plain(self, benchmark: Benchmark) -> dict[str, Cell]:
        """The cells without a variant, by what they started from."""
        return self._by_benchmark.get(benchmark, {})

    @functools.cached_property
    def _by_benchmark(self) -> dict[Benchmark, dict[str, Cell]]:
        found: dict[Benchmark, dict[str, Cell]] = {}
        for cell in self._plain:
            found.setdefault(cell.benchmark, {})[cell.first.init] = cell
        return found

    def variants(self, dataset: str) -> list[Cell]:
        """The cells with a variant."""
        return [cell for cell in self._variants if cell.first.dataset == dataset]

    def figure(self, benchmark: Benchmark, init: str, metric: str = MIOU) -> Estimate | None:
        """Returns a test metric of one row of a benchmark in percent; None where the row is missing."""
        cell = self.plain(benchmark).get(init)
        return cell.estimate(metric) if cell is not None else None

    def difference(self, benchmark: Benchmark, init: str, baseline: str, metric: str = MIOU) -> Difference | None:
        """Returns a test metric of one row of a benchmark minus that of another."""
        return paired(self.figure(benchmark, init, metric), self.figure(benchmark, baseline, metric))

    def unequal(self, benchmark: Benchmark) -> list[str]:
        """Returns a warning for every row that differs from most others in more than the weights it starts from."""
        cells = [cell for cell in self.plain(benchmark).values() if not cell.note]
        if not cells:
            return []
        hashes = [digest(_downstream(cell.first)) for cell in cells]
        usual = cells[hashes.index(max(hashes, key=hashes.count))]
        pairs = [_of_one_seed(cell, usual) for cell in cells]
        found = [(run, other, differences(_downstream(run, other), _downstream(other, run))) for run, other in pairs]
        return [
            f"{benchmark.title}: {run.folder} differs from {other.folder} in {first_few(differ)}"
            for run, other, differ in found
            if differ
        ]

    @property
    def tested_on_other_labels(self) -> list[tuple[str, list[str]]]:
        """Datasets whose test labels have several states, each with the folder of a run for every state."""
        states: dict[tuple[str, str], dict[str, str]] = {}
        for run in (run for cell in self._plain + self._variants for run in cell.runs):
            if run.labels_of_test is not None:
                split = title_of(run.dataset), run.record["inputs"]["data"]["test"]["names"]
                states.setdefault(split, {}).setdefault(run.labels_of_test, str(run.folder))
        return [(title, list(folders.values())) for (title, _), folders in states.items() if len(folders) > 1]


def cells_of(runs: Sequence[StoredRun]) -> list[Cell]:
    """Groups tested runs; those of a name that differ in more than the seed make several cells, with notes."""
    groups: dict[tuple[Any, ...], list[StoredRun]] = {}
    for run in sorted(runs, key=lambda run: (run.seed, run.folder)):
        # A variant's name includes its budget; plain runs of several budgets are several benchmarks.
        budget = Benchmark.of(run) if run.variant is None else None
        groups.setdefault((run.dataset, run.protocol, budget, run.draw, run.init, run.variant), []).append(run)
    return [cell for group in groups.values() for cell in _told_apart(group)]


def _told_apart(group: list[StoredRun]) -> Iterator[Cell]:
    """Yields the cells of a group, the one with most seeds first; the others have notes and longer names."""
    parts: list[list[StoredRun]] = []
    for run in group:
        fits = (part for part in parts if run.seed not in {r.seed for r in part} and not difference(part[0], run))
        if part := next(fits, None):
            part.append(run)
        else:
            parts.append([run])
    first, *others = sorted(parts, key=len, reverse=True)
    yield Cell(first)
    found = [difference(first[0], part[0]) for part in others]
    words = [_in_short(differ) for differ in found]
    for number, (part, differing, short) in enumerate(zip(others, found, words, strict=True), 2):
        differ = first_few(differing, 5) or "nothing but their folders"
        name = f", {short}" if short and words.count(short) == 1 else f" #{number}"
        apart = [dataclasses.replace(run, apart=name) for run in part]
        folders = f"{first[0].folder} and {part[0].folder}"
        yield Cell(apart, f"{apart[0].name} has a separate row: {folders} differ in {differ}")


def _in_short(differences: Sequence[str]) -> str:
    """Returns the one setting that differs, as `DiceLoss` or `lr 0.001`; empty if there are more, or it is long."""
    found = re.fullmatch(r"--(?:.*\.)?(\w+): .*, not (?:([\w.]+\.)?(\w[\w.+-]*))", " ".join(differences))
    if len(differences) != 1 or found is None:
        return ""
    setting, package, value = found.groups()
    words = value if package and value[0].isupper() else f"{setting} {package or ''}{value}"
    return words if len(words) <= 30 else ""


def protocols_of(cells: Sequence[Cell], expect_paper: bool = False) -> list[Protocol]:
    """The protocols: `paper` first, datasets without one last."""
    found = {cell.first.protocol for cell in cells}
    if expect_paper and found <= {None}:
        found = {"paper", *found}
    names = sorted(found, key=lambda name: (name is None, name != "paper", name or ""))
    return [Protocol(name, [cell for cell in cells if cell.first.protocol == name], expect_paper) for name in names]


def _of_one_seed(cell: Cell, other: Cell) -> tuple[StoredRun, StoredRun]:
    """Returns a run of each cell: those of the lowest common seed, if there is one."""
    theirs = {run.seed: run for run in other.runs}
    return next(((run, theirs[run.seed]) for run in cell.runs if run.seed in theirs), (cell.first, other.first))


def _downstream(run: StoredRun, other: StoredRun | None = None) -> dict[str, Any]:
    """Recipe and images of a run, to compare with another one.

    The names of labelled images that its seed has drawn are compared only if both have the same seed.
    """
    data = run.record["inputs"]["data"]
    drawn = run.draw.by_run and (other is None or other.seed != run.seed)
    return {"recipe": run.recipe, "data": {**data, "train": run.labels} if drawn else data}


def difference(first: StoredRun, run: StoredRun) -> list[str]:
    """Returns in what two runs differ besides the seed."""
    theirs, own = ({**_downstream(each), "weights": lineage(each.weights)} for each in (first, run))
    return differences(theirs, own)
