"""Variants of the plain runs: fewer labelled training images, and ablations."""

import re

from smir.errors import first_few
from smir.report.cells import Benchmark, Cell, Protocol, difference, title_of
from smir.report.document import Column, Entry, Figure, Section, Table, difference_table, estimates_in
from smir.report.estimates import paired
from smir.report.main_section import chance_words, gain_baselines, gain_columns, miou_note, seeds_behind
from smir.report.plots import lines
from smir.report.starts import INITS, lineage
from smir.report.stored import Draw
from smir.runs.recipe import differences, digest

Curves = dict[str, dict[int, Cell]]
"""The cells of a dataset by what they started from, then by number of labelled images."""


def budget_section(protocol: Protocol) -> Section:
    """Returns a table and a figure for every dataset, and draw of its labels, with more than one label budget."""
    section = Section(f"Label budgets{protocol.words}")
    for dataset, draw in ((name, draw) for name in protocol.datasets for draw in _draws(protocol, name)):
        curves = _curves(protocol, dataset, draw)
        if all(len(by_labels) < 2 for by_labels in curves.values()):
            continue
        title = ", ".join(filter(None, (title_of(dataset), draw.words)))
        name = f"budgets-{protocol.file_word}-{file_word(' '.join([dataset, draw.words]))}"
        section.warnings.extend(_unequal(curves))
        section.tables.append(_budget_table(protocol, curves, title, name))
        section.figures.append(_budget_figure(protocol, curves, title, name))
    return section


def file_word(name: str) -> str:
    """Returns a name, such as `north (maps/north)`, as a part of a file's name; other names get other ones."""
    word = "-".join(re.findall(r"\w+", name))
    is_plain = word == name.strip().replace(" ", "-") and "-" not in name and len(word) <= 60
    return word if is_plain else f"{word[:40]}-{digest(name)}"


def _plain_cells(protocol: Protocol, dataset: str) -> list[Cell]:
    benchmarks = [benchmark for benchmark in protocol.benchmarks if benchmark.dataset == dataset]
    return [cell for benchmark in benchmarks for cell in protocol.plain(benchmark).values()]


def _budget_cells(protocol: Protocol, dataset: str) -> list[Cell]:
    """The variants of a dataset's rows that change only the label budget or its draw."""
    found = []
    for cell in protocol.variants(dataset):
        plain = [other for other in _plain_cells(protocol, dataset) if other.first.init == cell.first.init]
        alike = [other for other in plain if not differences(_but_for_budget(cell), _but_for_budget(other))]
        changes_more = cell.first.weights.get("variant") or cell.note or (plain and not alike)
        if cell.first.budget is not None and not changes_more:
            found.append(cell)
    return found


def _draws(protocol: Protocol, dataset: str) -> list[Draw]:
    """The draws of the cells with a label budget."""
    cells = [*_plain_cells(protocol, dataset), *_budget_cells(protocol, dataset)]
    draws = {cell.first.draw for cell in cells if cell.first.budget is not None}
    return sorted(draws or {cell.first.draw for cell in cells}, key=lambda draw: draw.words)


def _settings(cell: Cell) -> dict[str, object]:
    """Recipe and data of the run and of the pretraining behind it."""
    return {"recipe": cell.first.recipe, "weights": lineage(cell.first.weights)}


def _but_for_budget(cell: Cell) -> dict[str, object]:
    recipe = cell.first.recipe
    arguments = {**recipe["data"]["init_args"], "label_budget": None, "budget_seed": None, "split_seed": None}
    return {**_settings(cell), "recipe": {**recipe, "data": {**recipe["data"], "init_args": arguments}}}


def _curves(protocol: Protocol, dataset: str, draw: Draw) -> Curves:
    """The cells of a dataset and draw; of several with as many labels, those with a budget, then with most seeds."""
    curves: Curves = {}
    cells = [*_plain_cells(protocol, dataset), *_budget_cells(protocol, dataset)]
    for cell in sorted(cells, key=lambda cell: (cell.first.budget is not None, len(cell.runs))):
        if cell.first.draw == (draw if cell.first.budget is not None else Draw(draw.split_seed)):
            curves.setdefault(cell.first.init, {})[cell.first.labels] = cell
    order = {init: place for place, init in enumerate(INITS)}
    return dict(sorted(curves.items(), key=lambda item: (order.get(item[0], len(order)), item[0])))


def _unequal(curves: Curves) -> list[str]:
    """Returns a warning for every pair of budgets that differ in more than the labels, or in their test images."""
    warnings = []
    rows = [[cell for _, cell in sorted(by_labels.items())] for by_labels in curves.values()]
    for row in rows:
        for first, cell, settings in [(rows[0][0], row[0], False), *((row[0], cell, True) for cell in row[1:])]:
            differ = differences(_but_for_budget(first), _but_for_budget(cell)) if settings else []
            if differ := differ + differences(_tested_on(first), _tested_on(cell)):
                warnings.append(f"{first.first.folder} and {cell.first.folder} differ in {first_few(differ)}.")
    return warnings


def _tested_on(cell: Cell) -> dict[str, object]:
    return {"data": {"test": cell.first.record["inputs"]["data"]["test"]}}


def _budget_table(protocol: Protocol, curves: Curves, title: str, name: str) -> Table:
    inits = [init for init, by_labels in curves.items() if len(by_labels) > 1]
    compared = gain_baselines(protocol, inits)
    rows: list[list[Entry]] = []
    for labels in sorted({labels for init in inits for labels in curves[init]}):
        cells = {init: cell for init in inits if (cell := curves[init].get(labels)) is not None}
        figures = {init: cell.estimate() for init, cell in cells.items()}
        gains = [paired(figures.get("selective"), figures.get(baseline)) for baseline in compared]
        draws = ", ".join(dict.fromkeys(cell.draw for cell in cells.values() if cell.first.draw.by_run))
        head = f"{labels:,} ({draws})" if draws else f"{labels:,}"
        rows.append([head, *(figures.get(init) for init in inits), *gains])
    note = miou_note(protocol) + chance_words(protocol, {title: estimates_in(rows)})
    columns = gain_columns("labelled images", inits, compared)
    return difference_table(name, f"{title}: label budgets", note, columns, rows)


def _budget_figure(protocol: Protocol, curves: Curves, title: str, name: str) -> Figure:
    estimates = {
        init: {
            labels: estimate for labels, cell in sorted(by_labels.items()) if (estimate := cell.estimate()) is not None
        }
        for init, by_labels in curves.items()
        if len(by_labels) > 1
    }
    seeds = seeds_behind(protocol, (len(e.by_seed) for by_labels in estimates.values() for e in by_labels.values()))
    shown = "" if protocol.has_one_seed else "; mean and, with several seeds, sample deviation"
    caption = f"{title}{protocol.in_brackets}: mIoU at the view by number of labelled training images{shown}{seeds}."
    return Figure(name, caption, lines(estimates, title))


def ablation_section(protocol: Protocol) -> Section:
    """Returns a row for every variant that changes more than the label budget, and a list of the changes."""
    budgets = {id(cell) for dataset in protocol.datasets for cell in _budget_cells(protocol, dataset)}
    rows: list[list[Entry]] = []
    changes: list[tuple[str, list[str]]] = []
    for dataset in protocol.datasets:
        title, cells = title_of(dataset), [cell for cell in protocol.variants(dataset) if id(cell) not in budgets]
        for cell in sorted(cells, key=lambda cell: (cell.first.init, _natural(cell.first.variant or ""), cell.draw)):
            run = cell.first
            without = protocol.plain(Benchmark.of(run)).get(run.init)
            variant = ", ".join(filter(None, (run.variant, cell.draw)))
            before, own = without.estimate() if without is not None else None, cell.estimate()
            rows.append([title, run.init, variant, before, own, paired(own, before)])
            if without is not None:
                texts = "; ".join(difference(run, without.first)) or "nothing in its recipe"
                changes.append((f"{title}, {run.init}, {variant}: {texts}", []))
    columns = [
        *map(Column, ("dataset", "init", "variant")),
        *(Column(head, kind="estimate") for head in ("without it", "with it")),
        Column("with - without", kind="difference"),
    ]
    titles = map(title_of, protocol.datasets)
    by_dataset = {title: estimates_in([row for row in rows if row[0] == title]) for title in titles}
    note = miou_note(protocol) + chance_words(protocol, by_dataset)
    table = difference_table(f"ablations-{protocol.file_word}", "Ablations", note, columns, rows)
    lists = {"What each variant changes": changes} if changes else {}
    return Section(f"Ablations{protocol.words}", tables=[table] if rows else [], lists=lists)


def _natural(word: str) -> list[tuple[int, str]]:
    """Sorts `stages-5` before `stages-20`."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", word)]
