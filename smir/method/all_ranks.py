"""Sums and means over the batch of all processes, with the gradient of one process that holds the whole batch.

DistributedDataParallel averages gradients over the processes. That is right for a mean over equally many images, and
wrong for a ratio of sums or a mean over batches of different sizes.
"""

import torch
import torch.distributed as dist
from torch import Tensor


def num_ranks() -> int:
    """Number of processes that train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def sum_over_ranks(value: Tensor) -> Tensor:
    """Adds a tensor of the same shape over all processes, which must all call this.

    The gradient of this process's part is multiplied by the number of processes, because DistributedDataParallel
    divides by it. So a loss made of such sums has the gradient of one process that holds the whole batch. The backward
    pass exchanges nothing.
    """
    ranks = num_ranks()
    if ranks == 1:
        return value
    total = value.detach().clone()
    dist.all_reduce(total)
    return total + ranks * (value - value.detach())


def mean_over_ranks(values: Tensor) -> Tensor:
    """Returns the mean of the values (B,) of all processes; B may differ, and may be 0."""
    if num_ranks() == 1:
        return values.mean()
    total, count = sum_over_ranks(torch.stack([values.sum(), values.new_full((), len(values))]))
    mean: Tensor = total / count.detach()
    return mean
