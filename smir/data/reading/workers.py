"""Loader workers, and lists that must be the same on all ranks."""

import math
import os
from typing import Any

from smir.errors import DataError
from smir.runs.ranks import gather

MOST_WORKERS = 8


def same_on_all_ranks(lists: dict[str, Any]) -> None:
    """Refuses ranks whose lists differ, as those of two nodes with two copies of a dataset may.

    Args:
        lists: Fingerprint of every list that is read, by its name.

    Raises:
        DataError: On all of them, with the number of images that each has.
    """
    everyone = gather(lists)
    if any(other != lists for other in everyone):
        raise DataError(f"The processes do not have the same images: {everyone}. Give all nodes the same files.")


def default_workers(world_size: int, num_nodes: int) -> int:
    """Loader processes of a rank: its share of this machine's cores but one, and at most `MOST_WORKERS`."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(MOST_WORKERS, math.ceil(cores * num_nodes / world_size) - 1))
