"""Variants of the plain runs: fewer labelled training images, and ablations."""

import re

from smir.errors import first_few
from smir.report.cells import Benchmark, Cell, Protocol, title_of
from smir.report.document import Column, Entry, Figure, Section, Table, difference_table
from smir.report.estimates import paired
from smir.report.main_section import BASELINES, miou_note, seed_words
from smir.report.plots import lines
from smir.report.starts import INITS, lineage
from smir.runs.recipe import differences

Curves = dict[str, dict[int, Cell]]
"""The cells of a dataset by what they started from, then by number of labelled images."""


def budget_section(protocol: Protocol) -> Section:
    """Returns a table and a figure for every dataset with more than one label budget."""
    section = Section(f"Label budgets, {protocol.words}")
    for dataset in protocol.datasets:
        curves = _curves(protocol, dataset)
        if len({labels for by_labels in curves.values() for labels in by_labels}) < 2:
            continue
        title, name = title_of(dataset), f"budgets-{protocol.file_word}-{dataset}"
        section.warnings.extend(_unequal(curves))
        section.tables.append(_budget_table(protocol, curves, title, name))
        section.figures.append(_budget_figure(protocol, curves, title, name))
    return section


def _budget_cells(protocol: Protocol, benchmark: Benchmark) -> list[Cell]:
    """The variants of a benchmark's rows that change the label budget alone."""
    plain = protocol.plain(benchmark)
    return [
        cell
        for cell in protocol.variants(benchmark.dataset)
        if cell.first.budget is not None
        and not cell.first.weights.get("variant")
        and (
            cell.first.init not in plain
            or not differences(_but_for_budget(cell), _but_for_budget(plain[cell.first.init]))
        )
    ]


def _settings(cell: Cell) -> dict[str, object]:
    """Recipe and data of the run and of the pretraining behind it."""
    return {"recipe": cell.first.recipe, "weights": lineage(cell.first.weights)}


def _but_for_budget(cell: Cell) -> dict[str, object]:
    recipe = cell.first.recipe
    arguments = {**recipe["data"]["init_args"], "label_budget": None}
    return {**_settings(cell), "recipe": {**recipe, "data": {**recipe["data"], "init_args": arguments}}}


def _curves(protocol: Protocol, dataset: str) -> Curves:
    """The cells of a dataset, with plain runs where no variant has as many labels."""
    curves: Curves = {}
    benchmarks = [benchmark for benchmark in protocol.benchmarks if benchmark.dataset == dataset]
    plain = [cell for benchmark in benchmarks for cell in protocol.plain(benchmark).values()]
    for cell in [*plain, *(cell for benchmark in benchmarks for cell in _budget_cells(protocol, benchmark))]:
        curves.setdefault(cell.first.init, {})[cell.first.labels] = cell
    order = {init: place for place, init in enumerate(INITS)}
    return dict(sorted(curves.items(), key=lambda item: (order.get(item[0], len(order)), item[0])))


def _unequal(curves: Curves) -> list[str]:
    """Returns a warning for every pair of budgets that differ in more than the labels."""
    warnings = []
    for by_labels in curves.values():
        first, *others = (cell for _, cell in sorted(by_labels.items()))
        for cell in others:
            if differ := differences(_but_for_budget(first), _but_for_budget(cell)):
                warnings.append(f"{first.first.folder} and {cell.first.folder} differ in {first_few(differ)}.")
    return warnings


def _budget_table(protocol: Protocol, curves: Curves, title: str, name: str) -> Table:
    inits = [init for init, by_labels in curves.items() if len(by_labels) > 1]
    columns = [Column("labelled images"), *(Column(init, kind="estimate") for init in inits)]
    columns += [Column(f"selective - {baseline}", kind="difference") for baseline in BASELINES]
    rows: list[list[Entry]] = []
    for labels in sorted({labels for init in inits for labels in curves[init]}):
        figures = {init: cell.estimate() for init in inits if (cell := curves[init].get(labels)) is not None}
        gains = [paired(figures.get("selective"), figures.get(baseline)) for baseline in BASELINES]
        rows.append([f"{labels:,}", *(figures.get(init) for init in inits), *gains])
    return difference_table(name, f"{title}: label budgets", miou_note(protocol), columns, rows)


def _budget_figure(protocol: Protocol, curves: Curves, title: str, name: str) -> Figure:
    estimates = {
        init: {
            labels: estimate for labels, cell in sorted(by_labels.items()) if (estimate := cell.estimate()) is not None
        }
        for init, by_labels in curves.items()
        if len(by_labels) > 1
    }
    seeds = seed_words(len(e.by_seed) for by_labels in estimates.values() for e in by_labels.values())
    caption = (
        f"{title} ({protocol.words}): mIoU at the view by number of labelled training images; mean and, "
        f"with several seeds, sample deviation; {seeds}."
    )
    return Figure(name, caption, lines(estimates, title))


def ablation_section(protocol: Protocol) -> Section:
    """Returns a row for every variant that changes more than the label budget, and a list of the changes."""
    budgets = {id(cell) for benchmark in protocol.benchmarks for cell in _budget_cells(protocol, benchmark)}
    rows: list[list[Entry]] = []
    changes: list[tuple[str, list[str]]] = []
    for dataset in protocol.datasets:
        title, cells = title_of(dataset), [cell for cell in protocol.variants(dataset) if id(cell) not in budgets]
        for cell in sorted(cells, key=lambda cell: (cell.first.init, _natural(cell.first.variant or ""))):
            run = cell.first
            without = protocol.plain(Benchmark(dataset, protocol.name, run.budget)).get(run.init)
            before, own = without.estimate() if without is not None else None, cell.estimate()
            rows.append([title, run.init, run.variant, before, own, paired(own, before)])
            if without is not None:
                texts = "; ".join(differences(_settings(cell), _settings(without))) or "nothing in its recipe"
                changes.append((f"{title}, {run.init}, {run.variant}: {texts}", []))
    columns = [
        *map(Column, ("dataset", "init", "variant")),
        *(Column(head, kind="estimate") for head in ("without it", "with it")),
        Column("with - without", kind="difference"),
    ]
    table = difference_table(f"ablations-{protocol.file_word}", "Ablations", miou_note(protocol), columns, rows)
    lists = {"What each variant changes": changes} if changes else {}
    return Section(f"Ablations, {protocol.words}", tables=[table] if rows else [], lists=lists)


def _natural(word: str) -> list[tuple[int, str]]:
    """Sorts `stages-5` before `stages-20`."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", word)]
