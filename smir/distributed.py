"""Small helpers for several ranks; without a process group they do nothing."""

from typing import TypeVar

import torch.distributed as dist
from torch import nn

T = TypeVar("T")


def ranks() -> int:
    """Number of processes."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def sync_buffers(module: nn.Module) -> None:
    """Gives every rank the buffers (batch-norm statistics) of rank 0, the ones that are saved."""
    if ranks() == 1:
        return
    for buffer in module.buffers():
        dist.broadcast(buffer, src=0)


def gather(value: T) -> list[T]:
    """Collects one picklable value of every rank, in the order of the ranks, on all of them."""
    if ranks() == 1:
        return [value]
    values: list[T | None] = [None] * ranks()
    dist.all_gather_object(values, value)
    return values  # type: ignore[return-value]  # all_gather_object has filled every place
