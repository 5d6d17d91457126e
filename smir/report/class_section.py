"""IoU per class, the lowest first: the paper reports the largest gain there."""

from collections.abc import Mapping, Sequence

from smir.report.cells import Benchmark, Cell, Protocol
from smir.report.document import Column, Entry, Figure, Section, Table, difference_table, estimates_in
from smir.report.estimates import FEWEST, on_common_seeds
from smir.report.main_section import chance_words, gain_baselines, gain_columns, seed_words, test_words
from smir.report.plots import dumbbells

ORDER = ("scratch", "random", "imagenet")
"""The first of these rows that has runs sorts the classes. A compared row must not: a class that is lowest there by
chance would seem to gain."""
PARTS = {"boundary": "boundaries", "small": "small objects", "medium": "medium objects", "large": "large objects"}
"""Parts of the test that `smir.models.object_iou` counts; results of 0.1.0 lack them."""


def class_section(protocol: Protocol) -> Section:
    """Returns a table and a figure for every dataset of a protocol."""
    tables, figures = [], []
    for number, benchmark in enumerate(protocol.benchmarks):
        cells = protocol.plain(benchmark)
        if not cells:
            continue
        order = _order(cells)
        classes = sorted_classes(protocol, benchmark)
        name = f"classes-{protocol.file_word}-{number}"
        tables.append(_table(protocol, benchmark, classes, order, name))
        tables += _part_tables(protocol, benchmark, f"parts-{protocol.file_word}-{number}")
        if "random" in cells and "selective" in cells:
            figures.append(_figure(protocol, benchmark, classes, order, name))
    text = "The lowest classes come first."
    if not protocol.has_one_row:
        text += (
            " A class that is lowest by chance in the row that sorts them seems to gain over this row, so `scratch` "
            "sorts them if it has runs."
        )
    return Section(f"IoU per class{protocol.words}", text=[text], tables=tables, figures=figures)


def class_metric(name: str) -> str:
    """Returns the metric that holds the IoU of a class."""
    return f"view/iou/{name}"


def _order(cells: Mapping[str, Cell]) -> str:
    return next((init for init in ORDER if init in cells), next(iter(cells)))


def sorted_classes(protocol: Protocol, benchmark: Benchmark) -> list[str]:
    """Returns the classes by their IoU in one row, the lowest first; classes that occur nowhere come last."""
    cells = protocol.plain(benchmark)
    order = _order(cells)
    run = cells[order].first
    names = [metric.removeprefix(class_metric("")) for metric in run.metrics(class_metric(""))]
    figures = {name: protocol.figure(benchmark, order, class_metric(name)) for name in names}
    known = {name: figure.mean for name, figure in figures.items() if figure}
    return sorted(names, key=lambda name: (name not in known, known.get(name, 0.0)))


def _table(protocol: Protocol, benchmark: Benchmark, classes: Sequence[str], order: str, name: str) -> Table:
    columns, rows = _figures_and_gains(protocol, benchmark, "class", {name: class_metric(name) for name in classes})
    absent = ""
    if any(None in row for row in rows):
        absent = " A class that occurs neither in the labels nor in the predictions is missing too."
    note = (
        f"IoU in percent at the view{protocol.words}, sorted by {order}.{test_words(protocol, [benchmark])}"
        f"{absent}{'' if order == 'random' else _third(protocol, benchmark, classes)}"
        f"{chance_words(protocol, {benchmark.title: estimates_in(rows)})}"
    )
    return difference_table(name, f"{benchmark.title}: IoU per class", note, columns, rows)


def _figures_and_gains(
    protocol: Protocol, benchmark: Benchmark, head: str, metrics: Mapping[str, str]
) -> tuple[list[Column], list[list[Entry]]]:
    """Returns the columns of a table, and a row for every metric by its name."""
    inits = protocol.inits([benchmark])
    compared = gain_baselines(protocol, inits)
    rows: list[list[Entry]] = []
    for name, metric in metrics.items():
        figures = [protocol.figure(benchmark, init, metric) for init in inits]
        gains = [protocol.difference(benchmark, "selective", init, metric) for init in compared]
        rows.append([name, *figures, *gains])
    return gain_columns(head, inits, compared), rows


def _part_tables(protocol: Protocol, benchmark: Benchmark, name: str) -> list[Table]:
    """Returns a table of IoU at boundaries and of objects by size, if a run has them."""
    metrics = {words: f"{part}/miou" for part, words in PARTS.items()}
    columns, every = _figures_and_gains(protocol, benchmark, "pixels of", metrics)
    rows = [row for row in every if any(row[1:])]  # else no label of the test has such pixels
    if not rows:
        return []
    note = (
        f"Mean IoU over the classes in percent at the labels' own size{protocol.words}. Sizes are those of connected "
        f"regions of the labels: medium from 1/300 of the image, large from 3/100."
    )
    return [difference_table(name, f"{benchmark.title}: boundaries and small objects", note, columns, rows)]


def _third(protocol: Protocol, benchmark: Benchmark, classes: Sequence[str]) -> str:
    """Compares the gain of the lowest third of the classes with that of the others, in one sentence.

    `random` must not have sorted the classes: those that are lowest there by chance would seem to gain.
    """
    gains = [protocol.difference(benchmark, "selective", "random", class_metric(name)) for name in classes]
    known = [gain for gain in gains if gain is not None and gain.by_seed]
    lowest = len(known) // 3
    if not lowest:
        return ""
    parts = [sum(gain.mean for gain in part) / len(part) for part in (known[:lowest], known[lowest:])]
    names = f"the lowest {lowest} classes" if lowest > 1 else "the lowest class"
    seeds = min(len(gain.by_seed) for gain in known)
    few = f". With {seed_words([seeds])}, both may be chance" if seeds < FEWEST else ""
    return f" Selective - random is {parts[0]:+.1f} points on {names} and {parts[1]:+.1f} on the others{few}."


def _figure(protocol: Protocol, benchmark: Benchmark, classes: Sequence[str], order: str, name: str) -> Figure:
    pairs = {
        c: on_common_seeds(*(protocol.figure(benchmark, init, class_metric(c)) for init in ("random", "selective")))
        for c in classes
    }
    seeds = seed_words(len(pair[0].by_seed) for pair in pairs.values() if pair[0])
    means = "" if protocol.has_one_seed else f"means over the same {seeds}, "
    caption = (
        f"{benchmark.title}{protocol.in_brackets}: IoU per class of random and of selective masking, "
        f"{means}classes sorted by {order}."
    )
    return Figure(name, caption, dumbbells(pairs, ("random", "selective"), benchmark.title))
