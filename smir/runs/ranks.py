"""Small helpers for several ranks; without a process group they do nothing."""

from datetime import timedelta
from typing import Any, TypeVar

import torch.distributed as dist
from torch import nn

from smir.method.all_ranks import num_ranks

T = TypeVar("T")


def sync_buffers(module: nn.Module) -> None:
    """Gives every rank the buffers (batch-norm statistics) of rank 0, which are the saved ones."""
    if num_ranks() > 1:
        for buffer in module.buffers():
            dist.broadcast(buffer, src=0)


def patient_group() -> Any:
    """Returns a group of all ranks that wait up to a week for each other; all ranks must call this together."""
    return dist.new_group(backend="gloo", timeout=timedelta(days=7)) if num_ranks() > 1 else None


def gather(value: T, group: Any = None) -> list[T]:
    """Collects one picklable value of every rank, in the order of the ranks, on all of them."""
    if num_ranks() == 1:
        return [value]
    values: list[T | None] = [None] * num_ranks()
    dist.all_gather_object(values, value, group)
    return values  # type: ignore[return-value]  # all_gather_object has filled every place
