"""Threads, loader workers and ranks."""

import math
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from smir.errors import ConfigError, DataError
from smir.terminal import progress

MOST_WORKERS = 8
SHARED_MEMORY = "/dev/shm"
"""Folder through which loader processes hand over batches on Linux; containers often have 64 MB of it."""
Item = TypeVar("Item")
Result = TypeVar("Result")


def in_parallel(
    work: Callable[[Item], Result], items: Sequence[Item], title: str, threads: int | None = None
) -> Iterator[Result]:
    """Yields the result of every item, in their order.

    The first error ends the walk. Threads (default: one for each core) are enough, because Pillow decodes and hashlib
    hashes without holding the interpreter's lock.
    """
    with ThreadPoolExecutor(threads or cores()) as pool:
        yield from progress(pool.map(work, items), title, len(items), unit="file")


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def same_on_all_ranks(lists: dict[str, Any]) -> None:
    """Refuses ranks whose lists differ, as those of two nodes with two copies of a dataset may.

    Raises:
        DataError: On all of them, with the number of images that each has.
    """
    from smir.runs.ranks import gather  # it brings torch

    everyone = gather(lists)
    if any(other != lists for other in everyone):
        raise DataError(f"The processes do not have the same images: {everyone}. Give all nodes the same files.")


def default_workers(world_size: int, num_nodes: int) -> int:
    """Loader processes of a rank: its share of this machine's cores but one, and at most `MOST_WORKERS`."""
    return max(1, min(MOST_WORKERS, math.ceil(cores() * num_nodes / world_size) - 1))


def check_shared_memory(workers: int, batches: int, batch_bytes: int) -> None:
    """Refuses more loader processes than fit their shared memory: a full one would kill them in the first epoch.

    Raises:
        ConfigError: If the batches that `workers` prepare ahead, two each, do not fit.
    """
    if not workers or not Path(SHARED_MEMORY).is_dir():
        return
    ahead, free = min(2 * workers, batches) * batch_bytes, shutil.disk_usage(SHARED_MEMORY).free
    if ahead > free:
        fitting = free // (2 * batch_bytes)
        raise ConfigError(
            f"{SHARED_MEMORY} has {free / 1e6:,.0f} MB free, but data.num_workers = {workers} loader processes put "
            f"{ahead / 1e6:,.0f} MB of batches there. Use --data.num_workers {fitting}, or give the container more: "
            "docker run --shm-size 2g."
        )
