"""Stages of pretraining: which part of the pool is visited now, and with which masks."""

import numpy as np
import numpy.typing as npt

from smir.errors import ConfigError, DataError, counted
from smir.method.mask_table import MaskTable, PackedMask

Indices = npt.NDArray[np.int64]


class Stages:
    """The stage clock: which images the current stage visits, with which masks (METHOD.md section 4).

    Partition k of K holds images k, k + K, k + 2K, ...; its first 90 % train, its last 10 % validate.

    Args:
        num_images: Images of the pretraining pool.
        num_stages: Number K of stages; 1 is the whole pool at once.

    Raises:
        ConfigError: If `num_stages` is less than 1.
        DataError: If a partition would lack an image to train or to validate on.
    """

    _current = 0
    _masks: MaskTable | None = None

    def __init__(self, num_images: int, num_stages: int = 1) -> None:
        if num_stages < 1:
            raise ConfigError(f"num_stages must be 1 or more, got {num_stages}.")
        if num_images < 2:
            raise DataError(
                f"The pool to pretrain on has {counted(num_images, 'image', 'images')}, and needs one to train on and "
                "one to validate on. Add images; labelled ones of val and test are held out from it."
            )
        if num_images // num_stages < 2:
            raise DataError(
                f"{num_images} images are too few for num_stages = {num_stages}: each stage needs one to train on and "
                f"one to validate on. The largest num_stages that works is {num_images // 2}; or add images."
            )
        self.num_images, self.num_stages = num_images, num_stages

    @property
    def current(self) -> int:
        """The current stage, from 0."""
        return self._current

    @property
    def masks(self) -> MaskTable | None:
        """The fixed masks of the current stage; `None`: every visit draws a random one."""
        return self._masks

    def advance(self, stage: int, masks: MaskTable | None = None) -> None:
        """Begins a stage: from now on, loaders visit its images with these masks.

        Args:
            stage: The stage, from 0; a resumed run may begin with any.
            masks: One mask for every image of the stage's partition; `None`: every visit draws a random one.

        Raises:
            ValueError: If there is no such stage, or the masks belong to other images.
        """
        if not 0 <= stage < self.num_stages:
            raise ValueError(f"There is no stage {stage}: the stages are 0 to {self.num_stages - 1}.")
        if masks is not None and not np.array_equal(masks.indices, self.partition(stage)):
            raise ValueError(f"The masks belong to other images than those of stage {stage}.")
        self._current, self._masks = stage, masks

    def partition(self, stage: int) -> Indices:
        """Returns the indices of all images of a partition."""
        return np.arange(stage, self.num_images, self.num_stages)

    def train(self, stage: int) -> Indices:
        """Returns the indices that a stage trains on."""
        partition = self.partition(stage)
        return partition[: int(0.9 * len(partition))]

    def val(self, stage: int) -> Indices:
        """Returns the indices that a stage validates on."""
        partition = self.partition(stage)
        return partition[int(0.9 * len(partition)) :]

    def mask_of(self, index: int) -> PackedMask | None:
        """Returns the fixed mask of an image, if the current stage has masks."""
        return None if self._masks is None else self._masks.packed(index)


class SingleStage(Stages):
    """A single stage that trains on every image of a list; validation uses another list."""

    def __init__(self, num_images: int) -> None:
        self.num_images, self.num_stages = num_images, 1

    def train(self, stage: int) -> Indices:
        """Returns the indices of all images."""
        return np.arange(self.num_images)
