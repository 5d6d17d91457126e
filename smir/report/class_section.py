"""IoU per class, the lowest in front: the paper sees the largest gain there."""

from collections.abc import Sequence

from smir.report.cells import Benchmark, Cell, Results, estimate_of
from smir.report.document import Figure, Section
from smir.report.estimates import Difference, on_common_seeds, paired
from smir.report.main_section import READING, baselines, file_word, protocol_words, seed_words, test_words
from smir.report.row_plots import dumbbells
from smir.report.tables import Column, Entry, Table

ORDER = ("scratch", "random", "imagenet")
"""The row that sorts the classes. Not one of those compared, if possible: the lowest of two noisy figures gains by
being chosen."""


def class_section(results: Results, protocol: str | None) -> Section:
    """Returns a table and a figure for every dataset of a protocol."""
    tables, figures = [], []
    for number, benchmark in enumerate(results.benchmarks(protocol)):
        cells = results.plain(benchmark)
        if not cells:
            continue
        order, classes = _sorted_classes(cells)
        name = f"classes-{file_word(protocol)}-{number}"
        tables.append(_table(results, benchmark, classes, order, name))
        if "random" in cells and "selective" in cells:
            figures.append(_figure(cells, benchmark, classes, order, name))
    return Section(
        f"IoU per class, {protocol_words(protocol)}",
        text=[
            "The lowest classes come first. They are sorted by `scratch` where it is there, because a class that is "
            "lowest by chance in a row of a difference would seem to gain."
        ],
        tables=tables,
        figures=figures,
    )


def _metric(name: str) -> str:
    return f"view/iou/{name}"


def _sorted_classes(cells: dict[str, Cell]) -> tuple[str, list[str]]:
    """The row that sorts, and the classes: the lowest first, those that occur nowhere last."""
    order = next((init for init in ORDER if init in cells), next(iter(cells)))
    prefix = f"test/{_metric('')}"
    names = [name.removeprefix(prefix) for name in cells[order].first.test or {} if name.startswith(prefix)]
    known = {name: estimate.mean for name in names if (estimate := estimate_of(cells, order, _metric(name)))}
    return order, sorted(names, key=lambda name: (name not in known, known.get(name, 0.0)))


def _table(results: Results, benchmark: Benchmark, classes: Sequence[str], order: str, name: str) -> Table:
    cells, inits = results.plain(benchmark), results.inits([benchmark])
    columns = [Column("class"), *(Column(init, kind="estimate") for init in inits)]
    compared = baselines([benchmark], inits) if "selective" in inits else []
    columns += [Column(f"selective - {baseline}", kind="difference") for baseline in compared]
    rows: list[list[Entry]] = []
    for class_name in classes:
        figures = {init: estimate_of(cells, init, _metric(class_name)) for init in inits}
        gains = [paired(figures["selective"], figures[baseline]) for baseline in compared]
        rows.append([class_name, *figures.values(), *gains])
    third = _third(cells, classes)
    note = (
        f"IoU in percent at the view, {protocol_words(benchmark.protocol)}, sorted by {order}."
        f"{test_words(results, [benchmark])} {READING} A class that "
        "occurs neither in the labels nor in the predictions is missing too. Differences are paired by seed, with a "
        f"95 % bootstrap interval.{third}"
    )
    return Table(name, f"{benchmark.title}: IoU per class", note, columns, rows)


def _third(cells: dict[str, Cell], classes: Sequence[str]) -> str:
    """Says in a sentence how the gain of the lowest third of the classes compares with that of the others."""
    gains = {name: _gain(cells, name) for name in classes}
    known = [gain.mean for gain in gains.values() if gain is not None and gain.by_seed]
    lowest = len(known) // 3
    if not lowest:
        return ""
    parts = [sum(part) / len(part) for part in (known[:lowest], known[lowest:])]
    names = f"the lowest {lowest} classes" if lowest > 1 else "the lowest class"
    return f" Selective - random is {parts[0]:+.1f} points on {names} and {parts[1]:+.1f} on the others."


def _gain(cells: dict[str, Cell], name: str) -> Difference | None:
    figures = (estimate_of(cells, init, _metric(name)) for init in ("selective", "random"))
    return paired(*figures)


def _figure(cells: dict[str, Cell], benchmark: Benchmark, classes: Sequence[str], order: str, name: str) -> Figure:
    pairs = {
        c: on_common_seeds(estimate_of(cells, "random", _metric(c)), estimate_of(cells, "selective", _metric(c)))
        for c in classes
    }
    seeds = seed_words(len(pair[0].by_seed) for pair in pairs.values() if pair[0])
    caption = (
        f"{benchmark.title} ({protocol_words(benchmark.protocol)}): IoU per class of random and of selective masking, "
        f"means over the same {seeds}, classes sorted by {order}."
    )
    return Figure(name, caption, dumbbells(pairs, ("random", "selective"), benchmark.title))
