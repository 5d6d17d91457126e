"""One fixed patch mask per image: packed to bits in memory, on disk and in a checkpoint."""

import math
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import BoolTensor, Tensor

from smir.errors import CheckpointError, ConfigError
from smir.files.atomic import replacing
from smir.method.patches import PatchGrid

FORMAT = 1
"""Version of the mask and score files."""

_SLACK, _MOST_INFLATION = 1 << 28, 20
"""Bits and scores hardly shrink; an array above the slack that inflates more is a decompression bomb."""
_MOST_PATCHES = 1 << 20
"""Patches of a view above which a mask is not believed: a view of 256 pixels has 441, or at most 7,225."""


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

    Raises:
        CheckpointError: If the four do not describe each other, as those of a damaged or hostile file may not.
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
            raise CheckpointError(f"Masks are of views that have no patches: {error}") from error
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
        """Rebuilds what `state` returned.

        Raises:
            CheckpointError: If it is not that.
        """
        try:
            shapes = state["shapes"].numpy().astype(np.uint16)
            return cls(state["indices"].numpy(), shapes, int(state["num_patches"]), state["bits"].numpy())
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(f"The masks in the checkpoint cannot be read: {error!r}") from error

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
        try:
            return cls(arrays["index"].astype(np.int64), arrays["shape"], int(arrays["num_patches"]), arrays["bits"])
        except (CheckpointError, TypeError, ValueError) as error:
            raise CheckpointError(f"{path} is damaged: {error}") from error


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
        with zipfile.ZipFile(path) as archive:
            there = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
            arrays = {name: _array(archive, there[name]) for name in ("format", *names) if name in there}
    except FileNotFoundError:
        raise CheckpointError(f"There is no file {path}.") from None
    except Exception as error:  # zip, deflate and NumPy's headers: a damaged file raises all kinds of errors
        raise CheckpointError(f"{path} is not a mask or score file of smir, or it is damaged: {error}") from error
    found = arrays.pop("format", None)
    if found is None or found.tolist() != FORMAT or not set(names) <= set(arrays):
        raise CheckpointError(
            f"{path} has format {found} with {sorted(set(there) - {'format'})}; this version of smir reads format "
            f"{FORMAT} with {list(names)}."
        )
    return arrays


def _array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> npt.NDArray[Any]:
    """Reads an array; before its memory is taken, the size in its header is compared to the bytes that are there."""
    if entry.file_size > max(_SLACK, _MOST_INFLATION * entry.compress_size):
        raise ValueError(f"{entry.filename} claims {entry.file_size:,} bytes in {entry.compress_size:,}")
    with archive.open(entry) as member:
        version = np.lib.format.read_magic(member)
        if version != (1, 0):
            raise ValueError(f"{entry.filename} has an array header of version {version}")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(member)
        content = member.read()  # at most `file_size` bytes, of which the checksum is verified
    if dtype.hasobject or fortran or dtype.itemsize * math.prod(shape) != len(content):
        raise ValueError(f"{entry.filename} claims to be {shape} of {dtype} in {len(content):,} bytes")
    array: npt.NDArray[Any] = np.frombuffer(content, dtype=dtype).reshape(shape).copy()
    return array
