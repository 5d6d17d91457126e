"""Rows as CSV for programs."""

import csv
import io
import re
from collections.abc import Iterable, Sequence

MISSING = "NA"
"""R and pandas read this as a missing value."""
_NUMBER = re.compile(r"[-+]?(?:[\d.,]+(?:e[-+]?\d+)?(?: ?%)?|inf|nan)?")


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Returns rows as the text of a CSV file, or of a part of one."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([_plain(cell) for cell in row] for row in rows)
    return text.getvalue()


def _plain(cell: object) -> object:
    """Puts a quote before a text that a spreadsheet would take for a formula; numbers stay."""
    formula = isinstance(cell, str) and cell[:1] in tuple("=+-@\t\r") and not _NUMBER.fullmatch(cell)
    return f"'{cell}" if formula else cell


def figure(value: float | None) -> str:
    """Returns a figure with up to nine decimals; `NA` for None and NaN."""
    return MISSING if value is None or value != value else repr(round(value, 9))
