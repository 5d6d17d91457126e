"""Errors that a user can act on.

`main()` prints their message without a traceback and exits with code 1; anything else is a bug and keeps its traceback.
A message says what was looked for, where, what was found, and what to do.
"""

from collections.abc import Iterable


class SmirError(Exception):
    """Base of every error whose message is written for the user."""


class ConfigError(SmirError):
    """Settings that do not fit together."""


class DataError(SmirError):
    """A file or folder of a dataset is missing, unreadable, or not what its dataset promises."""


class CheckpointError(SmirError):
    """A weight or mask file is missing, damaged, of another format, or of another network."""


class RunError(SmirError):
    """A run folder is in use by another process, or its record cannot be read."""


class LostProcessError(RunError):
    """Another process of the same training has ended, so that this one cannot go on."""


def counted(number: int, one: str, several: str) -> str:
    """Returns a number with its noun, and a verb if the texts have one: `1 image has`, `2 images have`."""
    return f"{number:,} {one if number == 1 else several}"


def listed(parts: Iterable[str]) -> str:
    """Returns parts of a sentence as `a`, `a and b`, or `a, b and c`."""
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last


def first_few(values: Iterable[object], limit: int = 3) -> str:
    """Returns the first `limit` values as text, then how many were left out: `a, b, c and 4 more`."""
    items = [str(value) for value in values]
    more = f" and {len(items) - limit} more" if len(items) > limit else ""
    return ", ".join(items[:limit]) + more


def first_messages(messages: Iterable[str], limit: int = 2) -> str:
    """Returns the first `limit` messages, which are whole sentences, then how many were left out."""
    items = list(messages)
    more = [f"And {len(items) - limit} more."] if len(items) > limit else []
    return " ".join([*items[:limit], *more])
