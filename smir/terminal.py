"""Terminal output: progress bars, lines between them, and tables; and a way to silence the warnings of a library."""

import contextlib
import functools
import io
import re
import sys
import threading
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm

_PACKAGE = Path(__file__).parent
LOG_SECONDS = 10
TERMINAL_SECONDS = 0.2
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Characters that move the cursor, command the terminal or turn the direction of a text; not line end and tab."""
_OF_BARS = re.compile(r"\r|(?:[\r\n]|\x1b\[[AK])*$|\x1b\[[0-9;]*m")
"""Codes that progress bars write before a text or alone, and colours."""


def shown(text: str) -> str:
    """Returns a text with escaped control characters: a file or class may have a name that rewrites a terminal."""
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def guard_terminal() -> None:
    """Escapes what a terminal could not show, or would obey, in all texts that this process prints from now on."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
            stream.write = functools.partial(_write_shown, stream)  # type: ignore[method-assign]


def _write_shown(stream: io.TextIOWrapper, text: str) -> int:
    start = found.end() if (found := _OF_BARS.match(text)) else 0
    type(stream).write(stream, text[:start] + shown(text[start:]))
    return len(text)


class Pulse:
    """Limits how often a bar moves: every fifth of a second in a terminal, every ten seconds in a log."""

    def __init__(self) -> None:
        self._seconds = TERMINAL_SECONDS if sys.stdout.isatty() else LOG_SECONDS
        self._last = time.monotonic()

    def due(self) -> bool:
        """Returns whether enough time has passed since the last yes."""
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
    from tqdm import tqdm  # importing it takes as long as everything else that `--help` needs

    if not sys.stderr.isatty():  # a log keeps every state of the bar, and needs none for short work
        options |= {"mininterval": LOG_SECONDS, "delay": LOG_SECONDS}
    return tqdm(items, title, total, **options)


def warn(text: str) -> None:
    """Warns on rank 0. Lightning knows the rank; if it is not loaded, there is one process."""
    lightning = sys.modules.get("lightning.pytorch.utilities")
    if lightning is None or lightning.rank_zero_only.rank == 0:
        warnings.warn(text, stacklevel=2)


@functools.cache  # once: a second call would wrap the function that the first has installed
def plain_warnings() -> None:
    """Shows warnings of smir as a line of text; users have no use for the place in the code that warns."""
    others = warnings.formatwarning

    def as_text(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
    ) -> str:
        if category is UserWarning and Path(filename).is_relative_to(_PACKAGE):
            return f"smir: warning: {message}\n"
        return others(message, category, filename, lineno, line)

    warnings.formatwarning = as_text


def say(text: str) -> None:
    """Logs a line on rank 0, above the progress bars instead of into them."""
    from lightning.pytorch.utilities import rank_zero_info  # slow to import, and tables need nothing of it
    from tqdm import tqdm

    with tqdm.external_write_mode(file=sys.stderr):
        rank_zero_info(text)


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Returns rows as lines of aligned columns: the first and the last to the left, those between to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place in (0, len(widths) - 1) else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def percent(count: int, total: int) -> str:
    """Returns a share in percent with three digits after the point; `-` of nothing."""
    return f"{100 * count / total:.3f} %" if total else "-"


_one_at_a_time = threading.RLock()


@contextlib.contextmanager
def quiet(category: type[Warning] = Warning) -> Iterator[None]:
    """Holds back the warnings of one kind, like `warnings.catch_warnings`, but safe for threads.

    The filters belong to the whole process, and are restored as they were found. If two threads overlapped, the later
    one would find and restore the filters of the other, and hide all warnings for good.

    Args:
        category: The kind of warnings, with all kinds below it.
    """
    with _one_at_a_time, warnings.catch_warnings():
        warnings.simplefilter("ignore", category)
        yield
