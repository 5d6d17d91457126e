"""Ablations: one line for every variant, against the run without it."""

from smir.report.budget_section import budget_cells
from smir.report.cells import Results
from smir.report.document import Section
from smir.report.estimates import paired
from smir.report.main_section import INTERVAL, READING, file_word, protocol_words
from smir.report.tables import Column, Entry, Table


def ablation_section(results: Results, protocol: str | None) -> Section:
    """Returns the table of all variants that change more than the label budget."""
    rows: list[list[Entry]] = []
    shown: set[int] = set()
    for benchmark in results.benchmarks(protocol):
        plain = results.plain(benchmark)
        budgets = {id(cell) for cell in budget_cells(results, benchmark)}
        of_dataset = results.variants(benchmark.dataset, protocol)
        for cell in sorted(of_dataset, key=lambda cell: (cell.first.init, cell.first.variant or "")):
            # With several plain budgets a variant stands beside the one that it shares.
            if id(cell) in budgets | shown or (plain and cell.first.budget != benchmark.budget):
                continue
            shown.add(id(cell))
            own, without = cell.estimate(), plain.get(cell.first.init)
            before = None if without is None else without.estimate()
            rows.append([benchmark.title, cell.first.init, cell.first.variant, before, own, paired(own, before)])
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
    return Section(f"Ablations, {words}", tables=[table] if rows else [])
