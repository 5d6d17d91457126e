"""Progress bars that move in a terminal, and in a log file say every ten seconds how far the work is."""

import sys
import time
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

LOG_SECONDS = 10
TERMINAL_SECONDS = 0.2


class Pulse:
    """Says when a bar may move again.

    Args:
        seconds: The least time between two moves; default: a fifth of a second in a terminal, ten seconds in a log.
    """

    def __init__(self, seconds: float | None = None) -> None:
        default = TERMINAL_SECONDS if sys.stdout.isatty() else LOG_SECONDS
        self._seconds = default if seconds is None else seconds
        self._last = time.monotonic()

    def due(self) -> bool:
        """Whether so much time has passed since it last said yes."""
        now = time.monotonic()
        if now - self._last < self._seconds:
            return False
        self._last = now
        return True


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
