"""Rebuilds the module of a checkpoint, and checks that a checkpoint fits a module."""

from typing import Any

from torch import Tensor

from smir.errors import CheckpointError, first_few
from smir.runs.checkpoint_record import Checkpoint, Task, same_classes
from smir.training.reconstruction import ReconstructionModule
from smir.training.segmentation import SegmentationModule
from smir.training.task import SmirModule

Trained = ReconstructionModule | SegmentationModule


def module_class(task: Task) -> type[Trained]:
    """Returns the class of a task's module."""
    return ReconstructionModule if task == "pretrain" else SegmentationModule


def trained_module(checkpoint: Checkpoint) -> Trained:
    """Rebuilds the module of a checkpoint of either task, in eval mode on the CPU.

    Raises:
        CheckpointError: If the record does not describe a network that the weights fit.
    """
    return module_class(checkpoint.record.task).rebuild(checkpoint)


def check_fits(checkpoint: Checkpoint, model: SmirModule) -> None:
    """Checks that the weights of a checkpoint fit a model.

    Raises:
        CheckpointError: If it is of another task or network.
        ConfigError: If its classes, or their order, differ.
    """
    model.require_task(checkpoint)
    if isinstance(model, SegmentationModule) and checkpoint.record.classes is not None:
        same_classes(checkpoint.record.classes.names, model.classes.names, "the data")
    found, own = _shapes(checkpoint.state), _shapes(model.state_dict())
    if differ := sorted(str(name) for name, _ in found.items() ^ own.items()):
        raise CheckpointError(
            f"{checkpoint.path} does not fit the model: {len(set(differ))} of its {len(own)} tensors are missing, "
            f"unknown or of another shape, such as {first_few(dict.fromkeys(differ))}. Was it trained with another "
            "network or number of classes? Its run's config.yaml says so."
        )


def _shapes(state: dict[str, Any]) -> dict[str, tuple[int, ...] | None]:
    return {name: tuple(value.shape) if isinstance(value, Tensor) else None for name, value in state.items()}
