"""Settings of Lightning's trainer that it takes, and by which a command would crash later, or do nothing."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from smir.errors import ConfigError

_Rule = tuple[Callable[[Any], bool], str]
_RULES: dict[str, _Rule] = {
    # Images are float32 where they meet the network; autocast does the rest.
    "precision": (
        lambda value: value is None or str(value) in ("32", "32-true", "16", "16-mixed", "bf16", "bf16-mixed"),
        "32-true, 16-mixed or bf16-mixed",
    ),
    "use_distributed_sampler": (lambda value: not value, "false: the samplers of smir deal the images to the devices"),
}
_OF_TRAINING: dict[str, _Rule] = {
    "max_epochs": (
        lambda value: value is not None and value >= 1,
        "the number of epochs, 1 or more: the learning-rate schedule spans it",
    ),
    # A run that ends before its last epoch is not done, and the same command would never finish it.
    "max_steps": (lambda value: value == -1, "-1: how long a run is, trainer.max_epochs says"),
    "accumulate_grad_batches": (lambda value: value >= 1, "1 or more"),
    "gradient_clip_val": (lambda value: value is None or 0 <= value < math.inf, "0 (no clipping) or more"),
    "limit_train_batches": (lambda value: value is None or value > 0, "more than 0"),
    "overfit_batches": (lambda value: not value, "0; trainer.limit_train_batches trains on a few images"),
    # Metrics, the best checkpoint and the stages count in epochs.
    "val_check_interval": (lambda value: value in (None, 1.0), "1.0: a run validates at the end of its epochs"),
    "check_val_every_n_epoch": (lambda value: value is not None and value >= 1, "1 or more"),
}


def check_trainer(trainer: Mapping[str, Any], trains: bool) -> None:
    """Refuses such settings, before anything is read or written.

    Args:
        trainer: The settings `trainer.*` of a command.
        trains: Whether it is a training, and not of a single batch.

    Raises:
        ConfigError: At the first that would end in a division by zero, or train or validate nothing.
    """
    for name, (holds, words) in (_RULES | _OF_TRAINING if trains else _RULES).items():
        if not holds(trainer[name]):
            raise ConfigError(f"trainer.{name} must be {words}. Got {trainer[name]}.")
    if trains and trainer["check_val_every_n_epoch"] > trainer["max_epochs"]:
        raise ConfigError(
            f"trainer.check_val_every_n_epoch ({trainer['check_val_every_n_epoch']}) is more than trainer.max_epochs "
            f"({trainer['max_epochs']}): the run would never be validated, and so have no best checkpoint."
        )
