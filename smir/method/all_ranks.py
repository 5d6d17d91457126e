"""Sums and means over the batch of all processes, with the gradient of one process that holds the whole batch.

DistributedDataParallel averages gradients over the processes. That is right for a loss that is a mean over equally many
images, and wrong for all others: a ratio of sums, or a mean over batches of different sizes.
"""

import torch
import torch.distributed as dist
from torch import Tensor


def num_ranks() -> int:
    """Number of processes that train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def sum_over_ranks(value: Tensor) -> Tensor:
    """Adds a tensor of the same shape over all processes; every process gets the sum, and must ask for it.

    The gradient of this process's part is scaled by the number of processes, which the average of
    DistributedDataParallel divides by again. So a loss made of such sums, equal on all processes, has the gradient that
    one process would compute from the whole batch. The backward pass exchanges nothing.

    Args:
        value: This process's part.
    """
    ranks = num_ranks()
    if ranks == 1:
        return value
    total = value.detach().clone()
    dist.all_reduce(total)
    return total + ranks * (value - value.detach())


def mean_over_ranks(values: Tensor) -> Tensor:
    """Mean of the values (B,) of all processes, whose B may differ; a process without any takes part as well.

    Args:
        values: This process's values, such as the loss of each of its images.
    """
    if num_ranks() == 1:
        return values.mean()
    total, count = sum_over_ranks(torch.stack([values.sum(), values.new_full((), len(values))]))
    mean: Tensor = total / count.detach()
    return mean
