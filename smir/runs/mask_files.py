"""The mask and score files of a run: `masks/stage-01.npz` and `masks/stage-01-scores.npz`."""

import json
import math
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from smir.errors import CheckpointError
from smir.files.atomic import replacing, write_atomically
from smir.method.mask_table import MaskTable

FORMAT = 1
"""Version of the mask and score files."""

_MASKS, _SCORES = ("index", "shape", "num_patches", "bits"), ("index", "length", "values")
"""The arrays of a mask and of a score file."""
_SLACK, _MOST_INFLATION = 1 << 28, 20
"""Bytes and factor: bits and scores hardly shrink, so a larger array that inflates more is a decompression bomb."""


def save_masks(path: Path, table: MaskTable) -> None:
    """Writes the masks of a stage; about 60 bytes for an image of 441 patches."""
    index = table.indices.astype(np.uint32)
    save_arrays(path, index=index, shape=table.shapes, num_patches=np.array(table.num_patches), bits=table.bits)


def load_masks(path: Path) -> MaskTable:
    """Reads the masks of a stage.

    Raises:
        CheckpointError: If the file is missing, damaged or of another format.
    """
    arrays = load_arrays(path, _MASKS)
    try:
        index, number = arrays["index"].astype(np.int64), int(arrays["num_patches"])
        return MaskTable(index, arrays["shape"], number, arrays["bits"])
    except (CheckpointError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error


def save_scores(path: Path, indices: Sequence[int], scores: Sequence[Tensor]) -> None:
    """Writes the patch scores of a stage: `values` of all images one after another, `length` patches each."""
    index, length = (np.array(values, dtype=np.uint32) for values in (indices, list(map(len, scores))))
    save_arrays(path, index=index, length=length, values=torch.cat(list(scores)).numpy())


def unreadable(folder: Path, stages: int, scored: bool) -> list[str]:
    """Returns why files of the stages from 1 on cannot be read, a text for each; `scored`: they have score files."""
    found = []
    for stage in range(1, stages + 1):
        for ending, arrays in (("", _MASKS), ("-scores", _SCORES))[: 1 + scored]:
            try:
                load_arrays(folder / f"stage-{stage:02d}{ending}.npz", arrays)
            except CheckpointError as error:
                found.append(str(error))
    return found


def save_image_list(folder: Path, names: Iterable[str]) -> None:
    """Writes the image paths that the indices of the mask files refer to: a JSON list, written once."""
    path = folder / "images.json"
    if not path.exists():
        write_atomically(path, json.dumps(list(names), indent=0) + "\n")


def save_arrays(path: Path, **arrays: npt.NDArray[Any]) -> None:
    """Writes arrays by name; `load_arrays` reads them."""
    with replacing(path) as file, zipfile.ZipFile(file, "w") as archive:
        for name, array in {"format": np.array(FORMAT), **arrays}.items():
            # Like np.savez_compressed, but without the time, so that equal masks give equal files.
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
            if len(there) < len(archive.infolist()):
                raise ValueError("it holds two arrays of one name")
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
    """Reads an array, after comparing the size in its header to the existing bytes."""
    if entry.file_size > max(_SLACK, _MOST_INFLATION * entry.compress_size):
        raise ValueError(f"{entry.filename} claims {entry.file_size:,} bytes in {entry.compress_size:,}")
    with archive.open(entry) as member:
        version = np.lib.format.read_magic(member)
        if version != (1, 0):
            raise ValueError(f"{entry.filename} has an array header of version {version}")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(member)
        content = member.read()  # at most `file_size` bytes, whose checksum is verified
    if dtype.hasobject or fortran or dtype.itemsize * math.prod(shape) != len(content):
        raise ValueError(f"{entry.filename} claims to be {shape} of {dtype} in {len(content):,} bytes")
    array: npt.NDArray[Any] = np.frombuffer(content, dtype=dtype).reshape(shape).copy()
    return array
