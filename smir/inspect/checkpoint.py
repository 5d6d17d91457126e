"""The network of a checkpoint, on a device."""

from pathlib import Path

import torch

from smir.errors import CheckpointError, ConfigError
from smir.models.weight_files import read_checkpoint
from smir.training.reconstruction import ReconstructionModule
from smir.training.segmentation import SegmentationModule


def load(path: Path, device: str) -> tuple[ReconstructionModule | SegmentationModule, int]:
    """Rebuilds the network of a checkpoint, whichever task it is of, in eval mode on a device.

    Returns:
        The module, and the seed of its run; 0 where the checkpoint does not say.

    Raises:
        CheckpointError: If it is no readable checkpoint of smir.
        ConfigError: If there is no such device.
    """
    record = read_checkpoint(path).get("smir", {})
    kinds: dict[str, type[ReconstructionModule] | type[SegmentationModule]] = {
        kind.task: kind for kind in (ReconstructionModule, SegmentationModule)
    }
    kind = kinds.get(record.get("task"))
    if kind is None:
        raise CheckpointError(
            f"{path} holds no record of smir, so it does not say which network its weights are of. Give the best.ckpt "
            "or last.ckpt of a run."
        )
    seed = record.get("origin", {}).get("seed", 0)
    return kind.from_checkpoint(path).to(_device(device)), seed if isinstance(seed, int) else 0


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:  # the latter where torch was built without CUDA
        reason = str(error).split("\n")[0]
        raise ConfigError(f"There is no device {name!r}: {reason} Take cpu, cuda, cuda:1, ... or auto.") from error
