"""One fixed patch mask per image: packed to bits in memory and in a checkpoint."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import BoolTensor, Tensor

from smir.errors import CheckpointError, ConfigError
from smir.method.patches import PatchGrid

_MOST_PATCHES = 1 << 20
"""Most patches of a view that a file may claim; a view of 256 pixels has 441, or at most 7,225."""


class PackedMask(NamedTuple):
    """A patch mask, as sent to a loader worker.

    Attributes:
        height: Height of the view, in pixels.
        width: Width of the view.
        num_patches: Number of patches that the grid aims at.
        bits: P bits, row-major, the first in the highest bit of the first byte.
    """

    height: int
    width: int
    num_patches: int
    bits: bytes

    def unpack(self) -> tuple[PatchGrid, BoolTensor]:
        """Returns the grid and the mask (P,), True = masked."""
        grid = PatchGrid.cached(self.height, self.width, self.num_patches)
        mask = np.unpackbits(np.frombuffer(self.bits, dtype=np.uint8), count=len(grid)).astype(bool)
        return grid, torch.from_numpy(mask)  # type: ignore[return-value]  # a bool Tensor is a BoolTensor


class MaskTable:
    """Packed masks of the images of one stage; views may differ in size and so in the number of patches.

    Args:
        indices: Image indices (N,), increasing.
        shapes: Height and width of every image's view (N, 2), in pixels.
        num_patches: Number of patches that the grids aim at.
        bits: Packed masks of all images, one after another.

    Raises:
        CheckpointError: If the four do not fit together, as in a damaged or hostile file.
    """

    def __init__(
        self,
        indices: npt.NDArray[np.int64],
        shapes: npt.NDArray[np.uint16],
        num_patches: int,
        bits: npt.NDArray[np.uint8],
    ) -> None:
        self.indices, self.shapes, self.num_patches, self.bits = indices, shapes, num_patches, bits
        if shapes.shape != (len(indices), 2) or indices.ndim != 1 or bits.ndim != 1 or bits.dtype != np.uint8:
            raise CheckpointError(f"Masks of {indices.shape} images have {shapes.shape} sizes and {bits.shape} bytes.")
        if not 0 < num_patches <= _MOST_PATCHES or (np.diff(indices) <= 0).any():
            raise CheckpointError(f"Masks have unsorted images, or {num_patches} patches: the file is damaged.")
        try:
            lengths = [-(-len(self._grid(place)) // 8) for place in range(len(indices))]
        except ConfigError as error:
            raise CheckpointError(f"The masks have views without patches: {error}") from error
        self.offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        if self.offsets[-1] != len(bits):
            raise CheckpointError(f"Masks of {len(indices)} images take {self.offsets[-1]} bytes, found {len(bits)}.")

    def _grid(self, place: int) -> PatchGrid:
        height, width = self.shapes[place].tolist()
        return PatchGrid.cached(height, width, self.num_patches)

    @classmethod
    def pack(
        cls, indices: Sequence[int], grids: Sequence[PatchGrid], masks: Sequence[Tensor], num_patches: int
    ) -> "MaskTable":
        """Packs one BoolTensor (P,) per image; `indices` increase."""
        shapes = np.array([(grid.height, grid.width) for grid in grids], dtype=np.uint16)
        bits = np.concatenate([np.packbits(mask.numpy()) for mask in masks])
        return cls(np.array(indices, dtype=np.int64), shapes, num_patches, bits)

    def packed(self, index: int) -> PackedMask:
        """Returns the mask of an image; raises a KeyError if there is no such image."""
        place = int(np.searchsorted(self.indices, index))
        if place == len(self.indices) or self.indices[place] != index:
            raise KeyError(f"image {index} has no mask")
        height, width = self.shapes[place].tolist()
        bits = self.bits[self.offsets[place] : self.offsets[place + 1]].tobytes()
        return PackedMask(height, width, self.num_patches, bits)

    def state(self) -> dict[str, Any]:
        """Returns tensors and numbers for a checkpoint."""
        return {
            "indices": torch.from_numpy(self.indices),
            "shapes": torch.from_numpy(self.shapes.astype(np.int32)),
            "num_patches": self.num_patches,
            "bits": torch.from_numpy(self.bits),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "MaskTable":
        """Rebuilds a table from `state()`; raises a CheckpointError if the state is damaged."""
        try:
            shapes = state["shapes"].numpy().astype(np.uint16)
            return cls(state["indices"].numpy(), shapes, int(state["num_patches"]), state["bits"].numpy())
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(f"The masks in the checkpoint cannot be read: {error!r}") from error
