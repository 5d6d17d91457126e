"""Progress bars that move in a terminal, and in a log file say every ten seconds how far the work is."""

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

LOG_SECONDS = 10


def progress(items: Iterable[Any] | None, title: str, total: int | None = None, **options: Any) -> "tqdm[Any]":
    """Returns a bar of tqdm on stderr.

    Args:
        items: What to walk through; None for a bar that is moved by hand.
        title: Text before the bar.
        total: Length, where the items do not have one.
        options: Others of tqdm.
    """
    if not sys.stderr.isatty():  # a log keeps every state of a bar, and of short work needs none
        options |= {"mininterval": LOG_SECONDS, "delay": LOG_SECONDS}
    return tqdm(items, title, total, **options)
