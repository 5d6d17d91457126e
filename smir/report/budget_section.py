"""Label budgets: the same rows with fewer labelled training images."""

from smir.errors import first_few
from smir.report.cells import Benchmark, Cell, Results, title_of
from smir.report.curve_plots import lines
from smir.report.document import Figure, Section
from smir.report.estimates import paired
from smir.report.main_section import BASELINES, INTERVAL, READING, file_word, protocol_words, seed_words
from smir.report.starts import INITS, lineage
from smir.report.tables import Column, Entry, Table
from smir.runs.recipe import differences


def budget_cells(results: Results, benchmark: Benchmark) -> list[Cell]:
    """Returns the variants of a benchmark's rows that change the label budget and nothing else."""
    plain = results.plain(benchmark)
    return [
        cell
        for cell in results.variants(benchmark.dataset, benchmark.protocol)
        if cell.first.budget is not None
        and not cell.first.weights.get("variant")
        and (
            cell.first.init not in plain
            or not differences(_but_for_budget(cell), _but_for_budget(plain[cell.first.init]))
        )
    ]


def _but_for_budget(cell: Cell) -> dict[str, object]:
    recipe = cell.first.recipe
    arguments = {**recipe["data"]["init_args"], "label_budget": None}
    return {
        "recipe": {**recipe, "data": {**recipe["data"], "init_args": arguments}},
        "weights": lineage(cell.first.weights),
    }


def curves(results: Results, dataset: str, protocol: str | None) -> tuple[dict[str, dict[int, Cell]], list[str]]:
    """Returns the cells of one dataset by what they started from, then by number of labelled images.

    Plain runs take their place on the curve too, where no variant has as many labels.

    Returns:
        The cells, and warnings about budgets that differ in more than the labels.
    """
    points: dict[str, dict[int, Cell]] = {}
    benchmarks = [b for b in results.benchmarks(protocol) if b.dataset == dataset]
    for benchmark in benchmarks:
        for init, cell in results.plain(benchmark).items():
            points.setdefault(init, {})[cell.first.labels] = cell
    for benchmark in benchmarks:
        for cell in budget_cells(results, benchmark):
            points.setdefault(cell.first.init, {})[cell.first.labels] = cell
    warnings = []
    for by_labels in points.values():
        first, *others = (cell for _, cell in sorted(by_labels.items()))
        for cell in others:
            differ = differences(_but_for_budget(first), _but_for_budget(cell))
            if differ:
                warnings.append(f"{first.first.folder} and {cell.first.folder} differ in {first_few(differ)}.")
    order = {init: place for place, init in enumerate(INITS)}
    return dict(sorted(points.items(), key=lambda item: (order.get(item[0], len(order)), item[0]))), warnings


def budget_section(results: Results, protocol: str | None) -> Section:
    """Returns a table and a figure for every dataset with more than one budget."""
    section = Section(f"Label budgets, {protocol_words(protocol)}")
    for dataset in dict.fromkeys(benchmark.dataset for benchmark in results.benchmarks(protocol)):
        points, warnings = curves(results, dataset, protocol)
        if len({labels for by_labels in points.values() for labels in by_labels}) < 2:
            continue
        title, name = title_of(dataset), f"budgets-{file_word(protocol)}-{dataset}"
        section.warnings.extend(warnings)
        section.tables.append(_table(points, title, name, protocol))
        estimates = {
            init: {
                labels: estimate
                for labels, cell in sorted(by_labels.items())
                if (estimate := cell.estimate()) is not None
            }
            for init, by_labels in points.items()
            if len(by_labels) > 1
        }
        seeds = seed_words(len(e.by_seed) for by_labels in estimates.values() for e in by_labels.values())
        caption = (
            f"{title} ({protocol_words(protocol)}): mIoU at the view by number of labelled training images; mean and, "
            f"with several seeds, sample deviation; {seeds}."
        )
        section.figures.append(Figure(name, caption, lines(estimates, title)))
    return section


def _table(points: dict[str, dict[int, Cell]], title: str, name: str, protocol: str | None) -> Table:
    inits = [init for init, by_labels in points.items() if len(by_labels) > 1]
    columns = [Column("labelled images"), *(Column(init, kind="estimate") for init in inits)]
    columns += [Column(f"selective - {baseline}", kind="difference") for baseline in BASELINES]
    rows: list[list[Entry]] = []
    for labels in sorted({labels for init in inits for labels in points[init]}):
        figures = {init: cell.estimate() for init in inits if (cell := points[init].get(labels)) is not None}
        gains = [paired(figures.get("selective"), figures.get(baseline)) for baseline in BASELINES]
        rows.append([f"{labels:,}", *(figures.get(init) for init in inits), *gains])
    note = f"mIoU in percent at the view, {protocol_words(protocol)}. {READING} {INTERVAL}"
    return Table(name, f"{title}: label budgets", note, columns, rows)
