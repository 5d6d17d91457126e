"""The network of a checkpoint, on a device."""

from pathlib import Path

import torch

from smir.errors import ConfigError
from smir.runs.checkpoint_record import Checkpoint
from smir.training.from_checkpoint import Trained, trained_module


def load(path: Path, device: str) -> tuple[Trained, int]:
    """Rebuilds the network of a checkpoint, whichever task it is of, in eval mode on a device.

    Returns:
        The module, and the seed of its run; 0 where the checkpoint does not say.

    Raises:
        CheckpointError: If it is no readable checkpoint of smir.
        ConfigError: If there is no such device.
    """
    checkpoint = Checkpoint.read(path)
    seed = checkpoint.record.origin.get("seed", 0)
    return trained_module(checkpoint).to(_device(device)), seed if isinstance(seed, int) else 0


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:  # the latter where torch was built without CUDA
        reason = str(error).split("\n")[0]
        raise ConfigError(f"There is no device {name!r}: {reason} Take cpu, cuda, cuda:1, ... or auto.") from error
