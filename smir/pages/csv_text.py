"""Rows as CSV for programs."""

import csv
import io
from collections.abc import Iterable, Sequence

MISSING = "NA"
"""R and pandas read this as a missing value."""


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Returns rows as the text of a CSV file, or of a part of one."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def figure(value: float | None) -> str:
    """Returns a figure unrounded, `NA` for none and for NaN."""
    return MISSING if value is None or value != value else repr(round(value, 9))
