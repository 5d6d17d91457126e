"""Work on many files at once, with a progress bar."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from smir.terminal import progress

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_parallel(
    work: Callable[[Item], Result], items: Sequence[Item], title: str, threads: int | None = None
) -> Iterator[Result]:
    """Yields the result of every item, in their order.

    Threads serve: Pillow decodes and hashlib hashes without holding the interpreter's lock.

    Args:
        work: What to do with an item; its first error ends the walk.
        items: The items, such as names of files.
        title: Text before the progress bar.
        threads: How many to work on at a time; default: the cores that this process may use.
    """
    with ThreadPoolExecutor(threads or cores()) as pool:
        yield from progress(pool.map(work, items), title, len(items), unit="file")


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
