"""The learning-rate schedule: linear warm-up, then a cosine, restarted at every stage."""

import math

from smir.errors import ConfigError

FLOOR = 0.01  # METHOD.md section 1: both parts run between 0.01 and 1 of the peak


def warmup_cosine(epoch: int, epochs: int, warmup_epochs: int = 10, floor: float = FLOOR) -> float:
    """Returns the learning rate of an epoch as a share of the peak, in [floor, 1] (METHOD.md section 1).

    It depends on the epoch alone, so that a resume cannot change it.

    Args:
        epoch: Epoch inside the stage, from 0.
        epochs: Epochs of the stage.
        warmup_epochs: Epochs of linear warm-up, fewer than `epochs`.
        floor: Share at the start of the warm-up and at the end of the cosine.

    Raises:
        ConfigError: If `warmup_epochs` is not less than `epochs`.
    """
    if not 0 <= warmup_epochs < epochs:
        raise ConfigError(
            f"model.warmup_epochs ({warmup_epochs}) must be less than the epochs of a stage ({epochs}): lower it, or "
            "raise trainer.max_epochs."
        )
    if epoch < warmup_epochs:
        return floor + (1 - floor) * epoch / warmup_epochs
    progress = (epoch - warmup_epochs) / (epochs - warmup_epochs)
    return floor + (1 - floor) * (math.cos(math.pi * progress) + 1) / 2
