"""The paper's main table, and what it claims: the differences to random masking and to ImageNet."""

from collections.abc import Iterable, Sequence

from smir.report.cells import Benchmark, Results, estimate_of, of_the_paper
from smir.report.document import Figure, Section
from smir.report.estimates import Difference, averaged, paired
from smir.report.few_images import care, rests_on
from smir.report.row_plots import dots, forest
from smir.report.tables import NOT_MEANT, Column, Entry, Table

BASELINES = ("random", "imagenet")
BASELINE_WORDS = {"scratch": "random weights", "random": "random masking", "imagenet": "ImageNet"}
CONTROLS = ("random-staged", "random-fixed")
PAIRS = (("PascalVOC", "Cityscapes"), ("Nassar", "SugarBeets"))
"""The datasets that the paper averages over: its gains of 2.9 and of 2.5 points."""

READING = "Mean ± sample deviation over seeds; with one seed there is no deviation. Missing rows have no finished run."
INTERVAL = (
    "Differences are points of mIoU at the view, paired by seed: mean and, of several seeds, 95 % bootstrap interval. "
    "From two or three seeds that is the range of their differences, which is too short: of three it holds the true "
    "difference in three of four cases."
)


def baselines(benchmarks: Sequence[Benchmark], inits: Sequence[str]) -> list[str]:
    """What the other rows are compared with: the paper's two; on other data random weights too, and what has runs."""
    if of_the_paper(benchmarks):
        return list(BASELINES)
    return [init for init in BASELINE_WORDS if init in inits and len(inits) > 1]


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


def test_words(results: Results, benchmarks: Sequence[Benchmark]) -> str:
    """Says in a note how many test images its figures rest on, with a word of care where they are few."""
    found = {
        benchmark: min(cell.first.test_images for cell in cells.values())
        for benchmark in benchmarks
        if (cells := results.plain(benchmark))
    }
    if not found:
        return ""
    parts = [rests_on(count) + (f" of {key.title}" if len(found) > 1 else "") for key, count in found.items()]
    return f" Tested on {', '.join(parts)}.{care(min(found.values()))}"


def main_section(results: Results, protocol: str | None) -> Section:
    """Returns the tables of one protocol over all its datasets."""
    benchmarks = results.benchmarks(protocol)
    inits = results.inits(benchmarks)
    words, compared = protocol_words(protocol), baselines(benchmarks, inits)
    figures = []
    for number, benchmark in enumerate(benchmarks):
        cells = results.plain(benchmark)
        rows = {init: estimate_of(cells, init) for init in inits}
        seeds = seed_words(len(estimate.by_seed) for estimate in rows.values() if estimate)
        caption = f"{benchmark.title} ({words}): mIoU at the view of every seed (discs) and their mean (bars); {seeds}."
        figures.append(Figure(f"miou-{file_word(protocol)}-{number}", caption, dots(rows, benchmark.title)))
    for number, benchmark in enumerate(benchmarks):
        others = [name for name in ("scratch", *BASELINES, *CONTROLS) if name in inits]
        gains = {name: difference(results, benchmark, "selective", name) for name in others}
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
            *([_differences(results, benchmarks, inits, compared, words, file_word(protocol))] if compared else []),
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
        f"labels' own size.{test_words(results, benchmarks)} {READING}"
    )
    return Table(f"main-{name}", "mIoU by dataset and init", note, columns, rows)


def _view(results: Results, benchmark: Benchmark) -> str:
    """Names the column by the size of the view, which is that of the data; runs of several sizes leave it out."""
    cells = results.plain(benchmark).values()
    sizes = {cell.first.recipe["data"]["init_args"].get("crop_size", 256) for cell in cells} or {256}
    return f"{sizes.pop()}-pixel view" if len(sizes) == 1 else "view"


def difference(results: Results, benchmark: Benchmark, init: str, baseline: str) -> Difference | None:
    """Returns the mIoU of one row of a benchmark minus that of another, at the view."""
    cells = results.plain(benchmark)
    return paired(estimate_of(cells, init), estimate_of(cells, baseline))


def _differences(
    results: Results,
    benchmarks: Sequence[Benchmark],
    inits: Sequence[str],
    compared: Sequence[str],
    words: str,
    name: str,
) -> Table:
    columns = [Column("init")]
    rows: list[list[Entry]] = [[init] for init in inits]
    for benchmark in benchmarks:
        for baseline in compared:
            columns.append(Column(f"- {baseline}", benchmark.title, "difference"))
            for row, init in zip(rows, inits, strict=True):
                row.append(NOT_MEANT if init == baseline else difference(results, benchmark, init, baseline))
    note = f"{INTERVAL} {words.capitalize()}."
    title = f"Difference to {' and to '.join(BASELINE_WORDS[baseline] for baseline in compared)}"
    return Table(f"differences-{name}", title, note, columns, rows)


def _averages(results: Results, benchmarks: Sequence[Benchmark], words: str, name: str) -> Table:
    """The paper's claim in its own form, and the same against the controls."""
    others = (*BASELINES, *CONTROLS)
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
            for baseline in others
        ]
        rows.append([" and ".join(Benchmark(dataset, None, None).title for dataset in pair), *parts])
    columns = [Column("mean over"), *(Column(f"selective - {baseline}", kind="difference") for baseline in others)]
    note = (
        f"{INTERVAL} {words.capitalize()}. The paper reports 2.9 points over the first pair and 2.5 over the second, "
        "against random masking and ImageNet. random-staged and random-fixed share the stages and restarts of "
        "selective: only a gain over them is one of selection."
    )
    return Table(f"averages-{name}", "Gain of selective masking, averaged over datasets", note, columns, rows)
