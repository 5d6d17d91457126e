"""Tables as CSV for programs: every mean, deviation, bound and count in a column of its own."""

from collections.abc import Sequence

from smir.pages.csv_text import MISSING, csv_text, figure
from smir.report.estimates import Difference, Estimate
from smir.report.stored import StoredRun
from smir.report.tables import NOT_MEANT, Column, Entry, Table

_PARTS = {
    "text": ("",),
    "number": ("",),
    "estimate": ("", " std", " seeds"),
    "difference": ("", " low", " high", " seeds"),
}


def csv_of(table: Table) -> str:
    """Returns a table as CSV, figures in percent and unrounded, `NA` for what is missing."""
    head = [f"{_name(column)}{part}" for column in table.columns for part in _PARTS[column.kind]]
    rows = [
        [cell for column, entry in zip(table.columns, row, strict=True) for cell in _cells(column, entry)]
        for row in table.rows
    ]
    return csv_text([head, *rows])


def runs_csv(runs: Sequence[StoredRun]) -> str:
    """Returns one line for every tested run and metric, with the commit and the command behind it."""
    head = [
        "dataset",
        "protocol",
        "init",
        "variant",
        "labels",
        "seed",
        "metric",
        "percent",
        "folder",
        "commit",
        "command",
    ]
    rows = []
    for run in runs:
        place = [run.dataset, run.protocol or MISSING, run.init, run.variant or "", str(run.labels), str(run.seed)]
        start = run.starts[-1] if run.starts else {}
        behind = [str(run.folder), start.get("commit", "unknown"), start.get("command", "unknown")]
        for name in run.test or {}:
            value = run.metric(name.removeprefix("test/"))
            rows.append([*place, name.removeprefix("test/"), figure(value), *behind])
    return csv_text([head, *rows])


def _name(column: Column) -> str:
    return f"{column.group}: {column.head}" if column.group else column.head


def _cells(column: Column, entry: Entry) -> list[str]:
    if isinstance(entry, Estimate):
        return [figure(entry.mean), figure(entry.deviation), str(len(entry.by_seed))]
    if isinstance(entry, Difference) and entry.by_seed:
        low, high = entry.interval or (None, None)
        return [figure(entry.mean), figure(low), figure(high), str(len(entry.by_seed))]
    if isinstance(entry, str) and (entry != NOT_MEANT or column.kind == "text"):
        return [entry]
    return [MISSING] * len(_PARTS[column.kind])
