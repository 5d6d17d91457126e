"""The paper's main table and its claims: the differences to random masking, to ImageNet, and to another pool."""

from collections.abc import Iterable, Mapping, Sequence

from smir.errors import counted, listed
from smir.report.cells import TITLES, Benchmark, Cell, Protocol, title_of
from smir.report.document import NOT_MEANT, Column, Entry, Figure, Section, Table, difference_table
from smir.report.estimates import Estimate, averaged, care, left_out, one_seed
from smir.report.plots import dots, forest
from smir.report.starts import last_word

BASELINES = ("random", "imagenet")
BASELINE_WORDS = {"scratch": "random weights", "random": "random masking", "imagenet": "ImageNet"}
CONTROLS = ("random-staged", "random-fixed")
PAIRS = (("PascalVOC", "Cityscapes"), ("Nassar", "SugarBeets"))
"""The datasets that the paper averages over: its gains of 2.9 and of 2.5 percent."""


def baselines(protocol: Protocol, inits: Sequence[str]) -> list[str]:
    """Returns the rows to compare others with: the paper's two if its rows are expected, else all that have runs."""
    if protocol.expect_paper:
        return list(BASELINES)
    return [init for init in BASELINE_WORDS if init in inits and len(inits) > 1]


def gain_baselines(protocol: Protocol, inits: Sequence[str]) -> list[str]:
    """Returns the rows that selective masking is compared with; none if it has no runs."""
    return baselines(protocol, inits) if "selective" in inits else []


def gain_columns(head: str, inits: Sequence[str], compared: Sequence[str]) -> list[Column]:
    """Returns the columns of a table with the figures of rows, then the gains of selective masking over some."""
    figures = [Column(init, kind="estimate") for init in inits]
    return [Column(head), *figures, *(Column(f"selective - {name}", kind="difference") for name in compared)]


def miou_note(protocol: Protocol) -> str:
    """Explains a table of figures."""
    return f"mIoU in percent at the view{protocol.words}."


def one_seed_warning(protocol: Protocol) -> list[str]:
    """Returns the warning above all tables where every row rests on a single seed."""
    if not protocol.has_one_seed:
        return []
    if protocol.has_one_row:
        return ["Every figure rests on a single seed. Another seed gives other figures."]
    return [
        "Every figure rests on a single seed. Differences may be chance, and the report cannot tell how large chance "
        "differences are: that takes several seeds of a row, and an interval takes three."
    ]


def chance_words(protocol: Protocol, rows: Mapping[str, Sequence[Estimate | None]]) -> str:
    """Returns a warning for a note about rows of one seed, grouped by dataset, unless it stands above all tables."""
    return "" if protocol.has_one_seed else one_seed(rows)


def seeds_behind(protocol: Protocol, counts: Iterable[int]) -> str:
    """Returns the number of seeds for the end of a caption, unless it stands above all tables."""
    return "" if protocol.has_one_seed else f"; {seed_words(counts)}"


def seed_words(counts: Iterable[int]) -> str:
    """Returns the number of seeds for a caption."""
    found = sorted(set(counts)) or [0]
    if found[0] < found[-1]:
        return f"{found[0]} to {found[-1]} seeds"
    return "1 seed" if found == [1] else f"{found[0] or 'no'} seeds"


def test_words(protocol: Protocol, benchmarks: Sequence[Benchmark]) -> str:
    """Returns the number of test images for a note, with a warning where there are few."""
    found = {
        benchmark: sorted({cell.first.test_images for cell in cells.values()})
        for benchmark in benchmarks
        if (cells := protocol.plain(benchmark))
    }
    if not found:
        return ""
    several = len(found) > 1
    parts = [
        (f"{counts[0]:,} to " if len(counts) > 1 else "")
        + counted(counts[-1], "image", "images")
        + (f" of {key.title}" if several else "")
        for key, counts in found.items()
    ]
    return f" Tested on {', '.join(parts)}.{care(min(map(min, found.values())))}"


def comparison_warnings(protocol: Protocol) -> list[str]:
    """Returns which rows differ in more than their start, and which runs are not averaged."""
    unequal = [
        f"Rows that are compared differ in more than the weights they start from. {text}."
        for benchmark in protocol.benchmarks
        for text in protocol.unequal(benchmark)
    ]
    relabelled = [
        f"The test labels of {title} were changed between the tests of {listed(folders)}, so their "
        "figures cannot be compared. Repeat the older tests (python -m smir test)."
        for title, folders in protocol.tested_on_other_labels
    ]
    return relabelled + unequal + protocol.notes


def main_section(protocol: Protocol) -> Section:
    """Returns the tables of one protocol over all its datasets."""
    benchmarks, inits = protocol.benchmarks, protocol.inits(protocol.benchmarks)
    figures = [make(protocol, *place) for make in (_every_seed, _gains) for place in enumerate(benchmarks)]
    makers = (_miou, _differences, _averages, _visits) if inits else ()
    tables = [make(protocol, inits) for make in makers]
    return Section(
        f"Main table{protocol.words}",
        tables=[table for table in tables if table is not None],
        figures=[figure for figure in figures if figure is not None],
    )


def _every_seed(protocol: Protocol, number: int, benchmark: Benchmark) -> Figure | None:
    rows = {init: protocol.figure(benchmark, init) for init in protocol.inits([benchmark])}
    seeds = seeds_behind(protocol, (len(estimate.by_seed) for estimate in rows.values() if estimate))
    shown = "" if protocol.has_one_seed else ", seeds (discs) and mean (bars)"
    caption = f"{benchmark.title}{protocol.in_brackets}: mIoU at the view{shown}{seeds}."
    return Figure(f"miou-{protocol.file_word}-{number}", caption, dots(rows, benchmark.title))


def _gains(protocol: Protocol, number: int, benchmark: Benchmark) -> Figure | None:
    others = [name for name in ("scratch", *BASELINES, *CONTROLS) if name in protocol.inits([benchmark])]
    gains = {name: protocol.difference(benchmark, "selective", name) for name in others}
    if not any(gain and gain.by_seed for gain in gains.values()):
        return None
    seeds = seeds_behind(protocol, (len(gain.by_seed) for gain in gains.values() if gain))
    paired = "" if protocol.has_one_seed else ", paired by seed"
    caption = f"{benchmark.title}{protocol.in_brackets}: selective masking minus the plain rows{paired}{seeds}."
    if any(gain and gain.interval for gain in gains.values()):
        luck = left_out(gains.values())
        caption += f" Bars are 95 % paired t intervals{f', which leave out the {luck}' if luck else ''}."
    plot = forest(gains, f"{benchmark.title}: selective minus ...")
    return Figure(f"gains-{protocol.file_word}-{number}", caption, plot)


def _miou(protocol: Protocol, inits: Sequence[str]) -> Table:
    columns = [Column("init")]
    rows: list[list[Entry]] = [[init] for init in inits]
    for benchmark in protocol.benchmarks:
        for head, metric in ((_view(protocol, benchmark), "view/miou"), ("label size", "native/miou")):
            columns.append(Column(head, benchmark.title, "estimate"))
            for row, init in zip(rows, inits, strict=True):
                row.append(protocol.figure(benchmark, init, metric))
    cells = {benchmark.title: protocol.plain(benchmark).values() for benchmark in protocol.benchmarks}
    chance = chance_words(protocol, {title: [cell.estimate() for cell in row] for title, row in cells.items()})
    paper = ", the paper's figure" if any(benchmark.dataset in TITLES for benchmark in protocol.benchmarks) else ""
    note = (
        f"mIoU in percent on the test split{protocol.words}: counted at the network's view{paper}, and at "
        f"the labels' own size.{test_words(protocol, protocol.benchmarks)}{chance}"
    )
    return Table(f"main-{protocol.file_word}", "mIoU by dataset and init", note, columns, rows)


def _view(protocol: Protocol, benchmark: Benchmark) -> str:
    """Names the column by the size of the view, unless runs have several sizes."""
    cells = protocol.plain(benchmark).values()
    sizes = {cell.first.recipe["data"]["init_args"].get("crop_size", 256) for cell in cells} or {256}
    return f"{sizes.pop()}-pixel view" if len(sizes) == 1 else "view"


def _differences(protocol: Protocol, inits: Sequence[str]) -> Table | None:
    compared = baselines(protocol, inits)
    if not compared:
        return None
    columns = [Column("init")]
    rows: list[list[Entry]] = [[init] for init in inits]
    for benchmark in protocol.benchmarks:
        for baseline in compared:
            columns.append(Column(f"- {baseline}", benchmark.title, "difference"))
            for row, init in zip(rows, inits, strict=True):
                row.append(NOT_MEANT if init == baseline else protocol.difference(benchmark, init, baseline))
    title = f"Difference {listed(f'to {BASELINE_WORDS[baseline]}' for baseline in compared)}"
    return difference_table(f"differences-{protocol.file_word}", title, miou_note(protocol), columns, rows)


def _averages(protocol: Protocol, inits: Sequence[str]) -> Table | None:
    """The paper's claim as we read it, and the same against the controls."""
    others = [name for name in (*BASELINES, *CONTROLS) if name in inits]
    rows: list[list[Entry]] = []
    for pair in PAIRS:
        chosen = [benchmark for benchmark in protocol.benchmarks if benchmark.dataset in pair]
        if tuple(benchmark.dataset for benchmark in chosen) == pair:
            parts = [[protocol.difference(each, "selective", baseline) for each in chosen] for baseline in others]
            rows.append([" and ".join(map(title_of, pair)), *map(averaged, parts)])
    columns = gain_columns("mean over", [], others)
    note = (
        f"{miou_note(protocol)} The paper reports 2.9 % over the first pair and 2.5 % over the second, against random "
        "masking and ImageNet; we take these as points of mIoU, and as gains over each of the two. "
        "random-staged and random-fixed share the stages and restarts of selective: only a gain over "
        "them, with an interval above 0, shows that selection helps."
    )
    title = "Gain of selective masking, averaged over datasets"
    known = protocol.expect_paper or any(entry is not None for row in rows for entry in row[1:])
    return difference_table(f"averages-{protocol.file_word}", title, note, columns, rows) if rows and known else None


def _visits(protocol: Protocol, inits: Sequence[str]) -> Table | None:
    """Image visits of the pretraining of each row, if there are rows to compare."""
    columns, rows = [Column("init")], {init: [init] for init in inits}
    for benchmark in protocol.benchmarks:
        cells = protocol.plain(benchmark)
        visits = {init: _seen(cell) for init, cell in cells.items()}
        usual, _ = visits.get("random", (0, ""))
        columns += [Column(head, benchmark.title, "number") for head in ("image visits", "against random")]
        for init, row in rows.items():
            seen, words = visits.get(init, (0, NOT_MEANT))
            row.append(words)
            row.append(f"{100 * (seen / usual - 1):+.1f} %" if seen and usual and init != "random" else NOT_MEANT)
    pretrained = [row for row in rows.values() if set(row[1:]) != {NOT_MEANT}]
    note = (
        "Images that the pretraining behind each row trained on, over all epochs. Rows can differ because incomplete "
        "batches are dropped, which happens more often in stages."
    )
    title = "Image visits of the pretraining"
    return Table(f"visits-{protocol.file_word}", title, note, columns, pretrained) if len(pretrained) > 1 else None


def _seen(cell: Cell) -> tuple[int, str]:
    """Returns the image visits of the pretraining behind a row as a number, 0 if it is not certain, and in words."""
    counts = sorted({run.weights.get("image_visits") or 0 for run in cell.runs})
    words = " to ".join(f"{count:,}" for count in dict.fromkeys((counts[0], counts[-1])))
    if any(run.weights.get("visits_at_most") for run in cell.runs):
        return 0, f"at most {words}"
    return (counts[0] if len(counts) == 1 else 0), (words if counts[-1] else NOT_MEANT)


def cross_section(protocol: Protocol) -> Section:
    """Compares pretraining on the downstream dataset itself with pretraining on its sister, where `-cross` has runs."""
    crossed = [init for init in protocol.inits(protocol.benchmarks) if init.endswith("-cross")]
    rows: list[list[Entry]] = []
    for benchmark in protocol.benchmarks:
        cells = protocol.plain(benchmark)
        for cross in crossed:
            own = cross.removesuffix("-cross")
            if cross not in cells and not (protocol.expect_paper and cross == "selective-cross"):
                continue
            pool = cells[cross].first.weights["recipe"]["data"]["class_path"] if cross in cells else None
            figures = [protocol.figure(benchmark, init) for init in (own, cross)]
            gain = protocol.difference(benchmark, own, cross)
            rows.append([benchmark.title, own, pool and title_of(last_word(pool)), *figures, gain])
    columns = [
        *map(Column, ("dataset", "masking", "other pool")),
        *(Column(head, kind="estimate") for head in ("same set", "cross set")),
        Column("same - cross", kind="difference"),
    ]
    title, name = "Pretraining on the same set and on another", f"cross-{protocol.file_word}"
    table = difference_table(name, title, miou_note(protocol), columns, rows)
    return Section(f"Same set against cross set{protocol.words}", tables=[table] if rows else [])
