"""The stage clock: which images a stage visits, with which masks (METHOD.md section 4)."""

import numpy as np
import numpy.typing as npt

from smir.errors import ConfigError, DataError
from smir.method.mask_table import MaskTable, PackedMask

Indices = npt.NDArray[np.int64]


class Stages:
    """The stage clock: which images the current stage visits, with which masks (METHOD.md section 4).

    Partition k of K holds images k, k + K, k + 2K, ...; its first 90 % train, its last 10 % validate.

    Args:
        num_images: Images of the pretraining pool.
        num_stages: Number K of stages; 1 is the whole pool at once.

    Attributes:
        current: The stage that loaders visit now, from 0.
        masks: Fixed masks of the current stage; without them every visit draws a random one.

    Raises:
        DataError: If a partition would lack an image to train or to validate on.
    """

    def __init__(self, num_images: int, num_stages: int = 1) -> None:
        if num_stages < 1:
            raise ConfigError(f"num_stages must be 1 or more, got {num_stages}.")
        if num_images // num_stages < 2:
            raise DataError(
                f"{num_images} images in num_stages = {num_stages} partitions leave one without a training and a "
                f"validation image. The largest num_stages that works is {num_images // 2}; or add images."
            )
        self.num_images, self.num_stages = num_images, num_stages
        self.current = 0
        self.masks: MaskTable | None = None

    def partition(self, stage: int) -> Indices:
        """Indices of all images of a partition."""
        return np.arange(stage, self.num_images, self.num_stages)

    def train(self, stage: int) -> Indices:
        """Indices that a stage trains on."""
        partition = self.partition(stage)
        return partition[: int(0.9 * len(partition))]

    def val(self, stage: int) -> Indices:
        """Indices that a stage validates on."""
        partition = self.partition(stage)
        return partition[int(0.9 * len(partition)) :]

    def mask_of(self, index: int) -> PackedMask | None:
        """The fixed mask of an image in the current stage."""
        return None if self.masks is None else self.masks.packed(index)


class SingleStage(Stages):
    """One stage that trains on every image of a list; what is validated on is another list."""

    def __init__(self, num_images: int) -> None:
        self.num_images, self.num_stages = num_images, 1
        self.current = 0
        self.masks = None

    def train(self, stage: int) -> Indices:
        """Indices of all images."""
        return np.arange(self.num_images)
