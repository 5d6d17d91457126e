"""Silence around calls of libraries that warn of what does not matter here."""

import contextlib
import threading
import warnings
from collections.abc import Iterator

_one_at_a_time = threading.RLock()


@contextlib.contextmanager
def quiet(category: type[Warning] = Warning) -> Iterator[None]:
    """Holds back the warnings of one kind; `warnings.catch_warnings` that threads may use.

    The filters belong to the whole process, and are put back as they were found. Of two threads that overlap, the
    later one would find those of the other, and leave them behind for good: no warning would be seen any more.

    Args:
        category: The kind of warnings, with all kinds below it.
    """
    with _one_at_a_time, warnings.catch_warnings():
        warnings.simplefilter("ignore", category)
        yield
