"""One fixed patch mask per image: packed to bits in memory, on disk and in a checkpoint."""

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import BoolTensor, Tensor

from smir.atomic import replacing
from smir.errors import CheckpointError
from smir.patches import PatchGrid

FORMAT = 1
"""Version of the mask and score files."""


class PackedMask(NamedTuple):
    """A patch mask as it travels to a loader worker.

    Attributes:
        height: Height of the view whose grid it is on, in pixels.
        width: Width of that view.
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
    """

    def __init__(
        self,
        indices: npt.NDArray[np.int64],
        shapes: npt.NDArray[np.uint16],
        num_patches: int,
        bits: npt.NDArray[np.uint8],
    ) -> None:
        self.indices, self.shapes, self.num_patches, self.bits = indices, shapes, num_patches, bits
        lengths = [-(-len(self._grid(place)) // 8) for place in range(len(indices))]
        self.offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])

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
        """Returns the mask of an image.

        Raises:
            KeyError: If the image has none.
        """
        place = int(np.searchsorted(self.indices, index))
        if place == len(self.indices) or self.indices[place] != index:
            raise KeyError(f"image {index} has no mask")
        height, width = self.shapes[place].tolist()
        bits = self.bits[self.offsets[place] : self.offsets[place + 1]].tobytes()
        return PackedMask(height, width, self.num_patches, bits)

    def state(self) -> dict[str, Any]:
        """Plain tensors and numbers for a checkpoint."""
        return {
            "indices": torch.from_numpy(self.indices),
            "shapes": torch.from_numpy(self.shapes.astype(np.int32)),
            "num_patches": self.num_patches,
            "bits": torch.from_numpy(self.bits),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "MaskTable":
        """Rebuilds what `state` returned."""
        shapes = state["shapes"].numpy().astype(np.uint16)
        return cls(state["indices"].numpy(), shapes, state["num_patches"], state["bits"].numpy())

    def save(self, path: Path) -> None:
        """Writes the masks; about 60 bytes an image of 441 patches."""
        _save(
            path,
            {
                "index": self.indices.astype(np.uint32),
                "shape": self.shapes,
                "num_patches": np.array(self.num_patches),
                "bits": self.bits,
            },
        )

    @classmethod
    def load(cls, path: Path) -> "MaskTable":
        """Reads what `save` wrote.

        Raises:
            CheckpointError: If the file is missing, damaged or of another format.
        """
        arrays = load_arrays(path, ("index", "shape", "num_patches", "bits"))
        return cls(arrays["index"].astype(np.int64), arrays["shape"], int(arrays["num_patches"]), arrays["bits"])


def save_scores(path: Path, indices: Sequence[int], scores: Sequence[Tensor]) -> None:
    """Writes the patch scores of a stage: `values` of all images one after another, `length` patches each."""
    _save(
        path,
        {
            "index": np.array(indices, dtype=np.uint32),
            "length": np.array([len(score) for score in scores], dtype=np.uint32),
            "values": torch.cat(list(scores)).numpy(),
        },
    )


def _save(path: Path, arrays: dict[str, npt.NDArray[Any]]) -> None:
    with replacing(path) as file, zipfile.ZipFile(file, "w") as archive:
        for name, array in {"format": np.array(FORMAT), **arrays}.items():
            # Like np.savez_compressed, but without the time of day, so that equal masks are equal files.
            entry = zipfile.ZipInfo(f"{name}.npy")
            entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, "w") as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)


def load_arrays(path: Path, names: tuple[str, ...]) -> dict[str, npt.NDArray[Any]]:
    """Reads arrays of a mask or score file without executing anything in it.

    Raises:
        CheckpointError: If the file is missing, damaged, of another format, or lacks one of `names`.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise CheckpointError(f"There is no file {path}.") from None
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, TypeError) as error:
        raise CheckpointError(f"{path} is not a mask or score file of smir, or it is damaged: {error}") from error
    found = arrays.pop("format", None)
    if found is None or found.tolist() != FORMAT or not set(names) <= set(arrays):
        raise CheckpointError(
            f"{path} has format {found} with {sorted(arrays)}; this version of smir reads format {FORMAT} with "
            f"{list(names)}."
        )
    return arrays
