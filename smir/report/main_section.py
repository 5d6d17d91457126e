"""The paper's main table and its claims: the differences to random masking, to ImageNet, and to another pool."""

from collections.abc import Iterable, Sequence

from smir.report.cells import Benchmark, Protocol, of_the_paper, title_of
from smir.report.document import NOT_MEANT, Column, Entry, Figure, Section, Table, difference_table
from smir.report.estimates import averaged, care, left_out, rests_on
from smir.report.plots import dots, forest
from smir.report.starts import last_word

BASELINES = ("random", "imagenet")
BASELINE_WORDS = {"scratch": "random weights", "random": "random masking", "imagenet": "ImageNet"}
CONTROLS = ("random-staged", "random-fixed")
PAIRS = (("PascalVOC", "Cityscapes"), ("Nassar", "SugarBeets"))
"""The datasets that the paper averages over: its gains of 2.9 and of 2.5 points."""

READING = "Mean ± sample deviation over seeds; with one seed there is no deviation. Missing rows have no finished run."
INTERVAL = (
    "Differences are points of mIoU at the view, paired by seed: mean and 95 % paired t interval over seeds (Student's "
    "t); fewer than three seeds give no interval."
)


def baselines(benchmarks: Sequence[Benchmark], inits: Sequence[str]) -> list[str]:
    """Returns the rows to compare with: the paper's two; on other data also `scratch`, if they have runs."""
    if of_the_paper(benchmarks):
        return list(BASELINES)
    return [init for init in BASELINE_WORDS if init in inits and len(inits) > 1]


def miou_note(protocol: Protocol) -> str:
    """Explains a table of figures and differences."""
    return f"mIoU in percent at the view, {protocol.words}. {READING} {INTERVAL}"


def seed_words(counts: Iterable[int]) -> str:
    """Returns the number of seeds for a caption."""
    found = sorted(set(counts)) or [0]
    if found[0] < found[-1]:
        return f"{found[0]} to {found[-1]} seeds"
    return "1 seed" if found == [1] else f"{found[0] or 'no'} seeds"


def test_words(protocol: Protocol, benchmarks: Sequence[Benchmark]) -> str:
    """Returns the number of test images for a note, with a warning where there are few."""
    found = {
        benchmark: min(cell.first.test_images for cell in cells.values())
        for benchmark in benchmarks
        if (cells := protocol.plain(benchmark))
    }
    if not found:
        return ""
    parts = [rests_on(count) + (f" of {key.title}" if len(found) > 1 else "") for key, count in found.items()]
    return f" Tested on {', '.join(parts)}.{care(min(found.values()))}"


def main_section(protocol: Protocol) -> Section:
    """Returns the tables of one protocol over all its datasets."""
    benchmarks, inits = protocol.benchmarks, protocol.inits(protocol.benchmarks)
    figures = [make(protocol, *place, inits) for make in (_every_seed, _gains) for place in enumerate(benchmarks)]
    tables = [_miou(protocol, inits), _differences(protocol, inits), _averages(protocol)]
    return Section(
        f"Main table, {protocol.words}",
        warnings=[
            f"Rows that are compared differ in more than the weights they start from. {text}."
            for benchmark in benchmarks
            for text in protocol.unequal(benchmark)
        ],
        tables=[table for table in tables if table is not None],
        figures=[figure for figure in figures if figure is not None],
    )


def _every_seed(protocol: Protocol, number: int, benchmark: Benchmark, inits: Sequence[str]) -> Figure | None:
    rows = {init: protocol.figure(benchmark, init) for init in inits}
    seeds = seed_words(len(estimate.by_seed) for estimate in rows.values() if estimate)
    caption = (
        f"{benchmark.title} ({protocol.words}): mIoU at the view of every seed (discs) and their mean (bars); {seeds}."
    )
    return Figure(f"miou-{protocol.file_word}-{number}", caption, dots(rows, benchmark.title))


def _gains(protocol: Protocol, number: int, benchmark: Benchmark, inits: Sequence[str]) -> Figure | None:
    others = [name for name in ("scratch", *BASELINES, *CONTROLS) if name in inits]
    gains = {name: protocol.difference(benchmark, "selective", name) for name in others}
    if not any(gain and gain.by_seed for gain in gains.values()):
        return None
    seeds = seed_words(len(gain.by_seed) for gain in gains.values() if gain)
    caption = f"{benchmark.title} ({protocol.words}): selective masking minus each other row, paired by seed; {seeds}."
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
    note = (
        f"mIoU in percent on the test split, {protocol.words}: counted at the network's view, the paper's figure, and "
        f"at the labels' own size.{test_words(protocol, protocol.benchmarks)} {READING}"
    )
    return Table(f"main-{protocol.file_word}", "mIoU by dataset and init", note, columns, rows)


def _view(protocol: Protocol, benchmark: Benchmark) -> str:
    """Names the column by the size of the view, unless runs have several sizes."""
    cells = protocol.plain(benchmark).values()
    sizes = {cell.first.recipe["data"]["init_args"].get("crop_size", 256) for cell in cells} or {256}
    return f"{sizes.pop()}-pixel view" if len(sizes) == 1 else "view"


def _differences(protocol: Protocol, inits: Sequence[str]) -> Table | None:
    compared = baselines(protocol.benchmarks, inits)
    columns = [Column("init")]
    rows: list[list[Entry]] = [[init] for init in inits]
    for benchmark in protocol.benchmarks:
        for baseline in compared:
            columns.append(Column(f"- {baseline}", benchmark.title, "difference"))
            for row, init in zip(rows, inits, strict=True):
                row.append(NOT_MEANT if init == baseline else protocol.difference(benchmark, init, baseline))
    note = f"{INTERVAL} {protocol.words.capitalize()}."
    title = f"Difference to {' and to '.join(BASELINE_WORDS[baseline] for baseline in compared)}"
    return difference_table(f"differences-{protocol.file_word}", title, note, columns, rows) if compared else None


def _averages(protocol: Protocol) -> Table | None:
    """The paper's claim as it states it, and the same against the controls."""
    others = (*BASELINES, *CONTROLS)
    rows: list[list[Entry]] = []
    for pair in PAIRS:
        chosen = [benchmark for benchmark in protocol.benchmarks if benchmark.dataset in pair]
        if not chosen:
            continue
        complete = {benchmark.dataset for benchmark in chosen} == set(pair) and len(chosen) == len(pair)
        parts = [[protocol.difference(each, "selective", baseline) for each in chosen] for baseline in others]
        rows.append([" and ".join(map(title_of, pair)), *(averaged(part if complete else []) for part in parts)])
    columns = [Column("mean over"), *(Column(f"selective - {baseline}", kind="difference") for baseline in others)]
    note = (
        f"{INTERVAL} {protocol.words.capitalize()}. The paper reports 2.9 points over the first pair and 2.5 over the "
        "second, against random masking and ImageNet. random-staged and random-fixed share the stages and restarts of "
        "selective: only a gain over them shows that selection helps."
    )
    title = "Gain of selective masking, averaged over datasets"
    return difference_table(f"averages-{protocol.file_word}", title, note, columns, rows) if rows else None


def cross_section(protocol: Protocol) -> Section:
    """Compares pretraining on the downstream dataset itself with pretraining on its sister.

    Every dataset and masking with a `-cross` row gets a row here, and `selective` always does.
    """
    crossed = [init for init in protocol.inits(protocol.benchmarks) if init.endswith("-cross")]
    rows: list[list[Entry]] = []
    for benchmark in protocol.benchmarks:
        cells = protocol.plain(benchmark)
        for cross in crossed:
            own = cross.removesuffix("-cross")
            if cross != "selective-cross" and cross not in cells:
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
    return Section(f"Same set against cross set, {protocol.words}", tables=[table] if rows else [])
