"""Run by test_all_ranks.py: the loss and the gradients of one step on several gloo processes.

usage: python rank_losses.py OUT
"""

import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from smir.method.all_ranks import mean_over_ranks
from smir.method.losses import LocalReconstructionLoss
from smir.method.segmentation_losses import CrossEntropyLoss, DiceLoss, FocalLoss, SoftJaccardLoss, SumOfLosses

CLASSES = 5
SHARES = {1: [6], 2: [4, 2], 4: [3, 1, 1, 1]}
"""Number of images (of six) that each process holds, by the number of processes."""


def batch():
    """Returns six images and labels: class 4 is only in the first, class 3 is in none, and a third is void."""
    chance = torch.Generator().manual_seed(1)
    images = torch.randn(6, 3, 16, 16, generator=chance)
    labels = torch.randint(0, 3, (6, 16, 16), generator=chance)
    labels[0, :4] = 4
    labels[torch.rand(6, 16, 16, generator=chance) < 0.3] = 255
    labels[5] = 255
    return images, labels


SEGMENTATION = {
    "jaccard": SoftJaccardLoss(),
    "dice": DiceLoss(),
    "cross-entropy": CrossEntropyLoss(),
    "focal": FocalLoss(),
    "sum": SumOfLosses([DiceLoss(), CrossEntropyLoss()], [1.0, 0.5]),
}
WEIGHTS = torch.tensor([0.5, 1.0, 2.0, 1.0, 7.0])


def segmentation(loss, weights):
    return lambda network, images, labels: loss(network(images)[:, :CLASSES], labels, weights)


def reconstruction(network, images, labels):
    return mean_over_ranks(LocalReconstructionLoss().per_image(network(images)[:, :3], images))


LOSSES = {
    "reconstruction": reconstruction,
    **{name: segmentation(loss, None) for name, loss in SEGMENTATION.items()},
    **{f"{name}, weighted": segmentation(loss, WEIGHTS) for name, loss in SEGMENTATION.items()},
}


def step(loss, rank, shares):
    """Returns the loss and the gradients of the network on this process."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, CLASSES, 1))
    wrapped = DistributedDataParallel(network) if len(shares) > 1 else network
    mine = slice(sum(shares[:rank]), sum(shares[: rank + 1]))
    result = LOSSES[loss](wrapped, *(part[mine] for part in batch()))
    result.backward()
    return {"loss": result.detach(), "gradients": [parameter.grad.clone() for parameter in network.parameters()]}


def run(rank, ranks, out):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{out}/group-{ranks}", rank=rank, world_size=ranks)
    found = {loss: step(loss, rank, SHARES[ranks]) for loss in LOSSES}
    torch.save(found, out / f"{ranks}-{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    for number in SHARES:  # forked, so that torch is loaded once
        arguments = (number, Path(sys.argv[1]))
        torch.multiprocessing.start_processes(run, arguments, nprocs=number, start_method="fork")
