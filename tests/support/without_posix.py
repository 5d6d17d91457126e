"""Runs commands, one list of words per line, as on a system without `fcntl`, most signals, `fork` and float64.

It does not replace Windows or a Mac: paths, threads and libraries are those of this system.
"""

import json
import os
import signal
import sys

import torch
from torch.utils._pytree import tree_leaves

sys.modules["fcntl"] = None  # type: ignore[assignment]  # so that importing it fails
for name in ("SIGUSR1", "SIGUSR2", "SIGHUP", "SIGALRM", "SIGCHLD", "SIGQUIT", "alarm", "setitimer"):
    delattr(signal, name)
for name in ("getuid", "sched_getaffinity", "register_at_fork", "fork", "mkfifo"):
    delattr(os, name)

from smir.__main__ import main  # noqa: E402
from smir.training.task import SmirModule  # noqa: E402


def to_device(self, batch, device, dataloader_idx):
    """Stands in for moving tensors to Apple's GPUs, which refuse float64."""
    assert all(each.dtype != torch.float64 for each in tree_leaves(batch) if isinstance(each, torch.Tensor))
    return batch


if __name__ == "__main__":
    SmirModule.transfer_batch_to_device = to_device
    for line in sys.stdin:
        sys.argv, sys.executable = ["smir"], os.environ["SMIR_TEST_PYTHON"]  # `job` starts another process
        main(json.loads(line))
