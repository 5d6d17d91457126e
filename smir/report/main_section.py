"""The paper's main table, and what it claims: the differences to random masking and to ImageNet."""

from collections.abc import Iterable, Sequence

from smir.report.cells import Benchmark, Results, estimate_of
from smir.report.document import Figure, Section
from smir.report.estimates import Difference, averaged, paired
from smir.report.row_plots import dots, forest
from smir.report.tables import NOT_MEANT, Column, Entry, Table

BASELINES = ("random", "imagenet")
CONTROLS = ("random-staged", "random-fixed")
PAIRS = (("PascalVOC", "Cityscapes"), ("Nassar", "SugarBeets"))
"""The datasets that the paper averages over: its gains of 2.9 and of 2.5 points."""

READING = "Mean ± sample deviation over seeds; with one seed there is no deviation. Missing rows have no finished run."
INTERVAL = (
    "Differences are points of mIoU at the view, paired by seed: mean and, of several seeds, 95 % bootstrap interval. "
    "From two or three seeds that is the range of their differences, which is too short: of three it holds the true "
    "difference in three of four cases."
)


def protocol_words(protocol: str | None) -> str:
    """Names the protocol in a caption."""
    return f"protocol: {protocol}" if protocol else "no protocol"


def file_word(protocol: str | None) -> str:
    """The protocol in a file name."""
    return protocol or "none"


def seed_words(counts: Iterable[int]) -> str:
    """Says in a caption how many seeds its figures rest on."""
    found = sorted(set(counts))
    if len(found) == 1:
        return "1 seed" if found[0] == 1 else f"{found[0]} seeds"
    return f"{found[0]} to {found[-1]} seeds" if found else "no seeds"


def main_section(results: Results, protocol: str | None) -> Section:
    """Returns the tables of one protocol over all its datasets."""
    benchmarks = results.benchmarks(protocol)
    inits = results.inits(benchmarks)
    words = protocol_words(protocol)
    figures = []
    for number, benchmark in enumerate(benchmarks):
        cells = results.plain(benchmark)
        rows = {init: estimate_of(cells, init) for init in inits}
        seeds = seed_words(len(estimate.by_seed) for estimate in rows.values() if estimate)
        caption = f"{benchmark.title} ({words}): mIoU at the view of every seed (discs) and their mean (bars); {seeds}."
        figures.append(Figure(f"miou-{file_word(protocol)}-{number}", caption, dots(rows, benchmark.title)))
    for number, benchmark in enumerate(benchmarks):
        gains = {name: difference(results, benchmark, "selective", name) for name in ("scratch", *BASELINES, *CONTROLS)}
        if any(gain and gain.by_seed for gain in gains.values()):
            seeds = seed_words(len(gain.by_seed) for gain in gains.values() if gain)
            caption = f"{benchmark.title} ({words}): selective masking minus each other row, paired by seed; {seeds}."
            plot = forest(gains, f"{benchmark.title}: selective minus ...")
            figures.append(Figure(f"gains-{file_word(protocol)}-{number}", caption, plot))
    averages = _averages(results, benchmarks, words, file_word(protocol))
    return Section(
        f"Main table, {words}",
        warnings=[
            f"Rows that are compared differ in more than what they start from. {text}."
            for benchmark in benchmarks
            for text in results.unequal(benchmark)
        ],
        tables=[
            _miou(results, benchmarks, inits, words, file_word(protocol)),
            _differences(results, benchmarks, inits, words, file_word(protocol)),
            *([averages] if averages.rows else []),
        ],
        figures=figures,
    )


def _miou(results: Results, benchmarks: Sequence[Benchmark], inits: Sequence[str], words: str, name: str) -> Table:
    columns = [Column("init")]
    for benchmark in benchmarks:
        columns += [Column(head, benchmark.title, "estimate") for head in (_view(results, benchmark), "label size")]
    rows: list[list[Entry]] = []
    for init in inits:
        sizes = ("view/miou", "native/miou")
        rows.append(
            [init, *(estimate_of(results.plain(benchmark), init, size) for benchmark in benchmarks for size in sizes)]
        )
    note = (
        f"mIoU in percent on the test split, {words}: counted at the network's view, the paper's figure, and at the "
        f"labels' own size. {READING}"
    )
    return Table(f"main-{name}", "mIoU by dataset and init", note, columns, rows)


def _view(results: Results, benchmark: Benchmark) -> str:
    cells = list(results.plain(benchmark).values())
    size = cells[0].first.recipe["model"]["init_args"]["preprocessing"]["init_args"]["view_size"] if cells else 256
    return f"{size}-pixel view"


def difference(results: Results, benchmark: Benchmark, init: str, baseline: str) -> Difference | None:
    """Returns the mIoU of one row of a benchmark minus that of another, at the view."""
    cells = results.plain(benchmark)
    return paired(estimate_of(cells, init), estimate_of(cells, baseline))


def _differences(
    results: Results, benchmarks: Sequence[Benchmark], inits: Sequence[str], words: str, name: str
) -> Table:
    columns = [Column("init")]
    rows: list[list[Entry]] = [[init] for init in inits]
    for benchmark in benchmarks:
        for baseline in BASELINES:
            columns.append(Column(f"- {baseline}", benchmark.title, "difference"))
            for row, init in zip(rows, inits, strict=True):
                row.append(NOT_MEANT if init == baseline else difference(results, benchmark, init, baseline))
    note = f"{INTERVAL} {words.capitalize()}."
    return Table(f"differences-{name}", "Difference to random masking and to ImageNet", note, columns, rows)


def _averages(results: Results, benchmarks: Sequence[Benchmark], words: str, name: str) -> Table:
    """The paper's claim in its own form, and the same against the controls."""
    baselines = (*BASELINES, *CONTROLS)
    rows: list[list[Entry]] = []
    for pair in PAIRS:
        chosen = [benchmark for benchmark in benchmarks if benchmark.dataset in pair]
        if not chosen:
            continue
        complete = {benchmark.dataset for benchmark in chosen} == set(pair) and len(chosen) == len(pair)
        parts = [
            averaged(difference(results, benchmark, "selective", baseline) for benchmark in chosen)
            if complete
            else None
            for baseline in baselines
        ]
        rows.append([" and ".join(Benchmark(dataset, None, None).title for dataset in pair), *parts])
    columns = [Column("mean over"), *(Column(f"selective - {baseline}", kind="difference") for baseline in baselines)]
    note = (
        f"{INTERVAL} {words.capitalize()}. The paper reports 2.9 points over the first pair and 2.5 over the second, "
        "against random masking and ImageNet. random-staged and random-fixed share the stages and restarts of "
        "selective: only a gain over them is one of selection."
    )
    return Table(f"averages-{name}", "Gain of selective masking, averaged over datasets", note, columns, rows)
