"""Ablations: one line for every variant, against the run without it."""

import re

from smir.report.budget_section import budget_cells
from smir.report.cells import Cell, Results, estimate_of, title_of
from smir.report.document import Section
from smir.report.estimates import paired
from smir.report.main_section import INTERVAL, READING, file_word, protocol_words
from smir.report.starts import lineage
from smir.report.tables import Column, Entry, Table
from smir.runs.recipe import differences


def ablation_section(results: Results, protocol: str | None) -> Section:
    """Returns the table of all variants that change more than the label budget, and what they change."""
    benchmarks = results.benchmarks(protocol)
    budgets = {id(cell) for benchmark in benchmarks for cell in budget_cells(results, benchmark)}
    rows: list[list[Entry]] = []
    changes: list[tuple[str, list[str]]] = []
    for dataset in dict.fromkeys(benchmark.dataset for benchmark in benchmarks):
        cells = [cell for cell in results.variants(dataset, protocol) if id(cell) not in budgets]
        for cell in sorted(cells, key=lambda cell: (cell.first.init, _natural(cell.first.variant or ""))):
            plain = results.plain(benchmarks[0]._replace(dataset=dataset, budget=cell.first.budget))
            without = plain.get(cell.first.init)
            own, before = cell.estimate(), estimate_of(plain, cell.first.init)
            title = title_of(dataset)
            rows.append([title, cell.first.init, cell.first.variant, before, own, paired(own, before)])
            if without is not None:
                texts = "; ".join(differences(_settings(cell), _settings(without))) or "nothing that its recipe tells"
                changes.append((f"{title}, {cell.first.init}, {cell.first.variant}: {texts}", []))
    columns = [
        Column("dataset"),
        Column("init"),
        Column("variant"),
        Column("without it", kind="estimate"),
        Column("with it", kind="estimate"),
        Column("with - without", kind="difference"),
    ]
    words = protocol_words(protocol)
    note = f"mIoU in percent at the view, {words}. {READING} {INTERVAL}"
    table = Table(f"ablations-{file_word(protocol)}", "Ablations", note, columns, rows)
    lists = {"What each variant changes": changes} if changes else {}
    return Section(f"Ablations, {words}", tables=[table] if rows else [], lists=lists)


def _natural(word: str) -> list[tuple[int, str]]:
    """Sorts `stages-5` before `stages-20`."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", word)]


def _settings(cell: Cell) -> dict[str, object]:
    """Recipe and data of the run and of the pretraining behind it."""
    return {"recipe": cell.first.recipe, "weights": lineage(cell.first.weights)}
