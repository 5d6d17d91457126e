"""The learning-rate schedule: linear warm-up, then a cosine, restarted at every stage."""

import math

from smir.errors import ConfigError

FLOOR = 0.01  # METHOD.md section 1: both parts run between 0.01 and 1 of the peak


def warmup_cosine(epoch: int, epochs: int, warmup_epochs: int = 10, floor: float = FLOOR) -> float:
    """Share of the peak learning rate in an epoch of a stage (METHOD.md section 1).

    A function of the epoch alone, so that it cannot drift over a resume.

    Args:
        epoch: Epoch inside the stage, from 0.
        epochs: Epochs of the stage.
        warmup_epochs: Epochs of linear warm-up, fewer than `epochs`.
        floor: Share at the start of the warm-up and at the end of the cosine.

    Returns:
        A factor in [floor, 1].

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
