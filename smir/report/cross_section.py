"""Pretraining on the downstream dataset itself against pretraining on its sister."""

from smir.report.cells import Results, estimate_of, title_of
from smir.report.document import Section
from smir.report.main_section import INTERVAL, READING, difference, file_word, protocol_words
from smir.report.starts import last_word
from smir.report.tables import Column, Entry, Table


def cross_section(results: Results, protocol: str | None) -> Section:
    """Returns one row for every dataset and masking that has a `-cross` row, and always for `selective`."""
    benchmarks = results.benchmarks(protocol)
    crossed = [init for init in results.inits(benchmarks) if init.endswith("-cross")]
    rows: list[list[Entry]] = []
    for benchmark in benchmarks:
        cells = results.plain(benchmark)
        for cross in crossed:
            own = cross.removesuffix("-cross")
            if cross != "selective-cross" and cross not in cells:
                continue
            figures = [estimate_of(cells, init) for init in (own, cross)]
            pool = cells[cross].first.weights["recipe"]["data"]["class_path"] if cross in cells else None
            gain = difference(results, benchmark, own, cross)
            rows.append([benchmark.title, own, pool and title_of(last_word(pool)), *figures, gain])
    columns = [
        Column("dataset"),
        Column("masking"),
        Column("other pool"),
        Column("same set", kind="estimate"),
        Column("cross set", kind="estimate"),
        Column("same - cross", kind="difference"),
    ]
    words = protocol_words(protocol)
    note = f"mIoU in percent at the view, {words}. {READING} {INTERVAL}"
    return Section(
        f"Same set against cross set, {words}",
        tables=[
            Table(f"cross-{file_word(protocol)}", "Pretraining on the same set and on another", note, columns, rows)
        ]
        if rows
        else [],
    )
