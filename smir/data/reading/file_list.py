"""Lists of files that stay small in memory and are shared, not copied, by loader workers."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from smir.data.reading.decode import image_size
from smir.errors import ConfigError, DataError
from smir.method.preprocessing import Preprocessing

_BLOCK = 4096


class FileList(Sequence[str]):
    """Paths relative to a root, held in one array.

    A list of a million Python strings takes 100 bytes more for each string. A worker that touches a string also copies
    its page, because that changes the reference count. An array avoids both.
    """

    def __init__(self, root: Path, names: Sequence[str]) -> None:
        self.root = root
        lengths = np.fromiter((len(os.fsencode(name)) for name in names), dtype=np.int64, count=len(names))
        self._ends = np.cumsum(lengths)
        self._bytes = np.empty(int(lengths.sum()), dtype=np.uint8)
        written = 0
        for start in range(0, len(names), _BLOCK):  # a second copy of all names would stay with the allocator
            block = b"".join(os.fsencode(name) for name in names[start : start + _BLOCK])
            self._bytes[written : written + len(block)] = np.frombuffer(block, dtype=np.uint8)
            written += len(block)

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, index: int) -> str:  # type: ignore[override]  # no slices are needed
        if not 0 <= index < len(self):
            raise IndexError(index)
        start = int(self._ends[index - 1]) if index else 0
        return os.fsdecode(self._bytes[start : int(self._ends[index])].tobytes())

    def __iter__(self) -> Iterator[str]:
        return (self[index] for index in range(len(self)))

    def path(self, index: int) -> Path:
        """The file's path."""
        return self.root / self[index]

    def fingerprint(self) -> str:
        """A hash of the relative names and their order."""
        sha256 = hashlib.sha256(self._bytes.data)
        sha256.update(self._ends.data)
        return sha256.hexdigest()[:16]


_SAMPLED = 64  # images whose headers tell the usual size


def view_shapes(files: FileList, indices: Sequence[int], preprocessing: Preprocessing) -> list[tuple[int, int]]:
    """Returns height and width of the whole view of some images of a list.

    Raises:
        DataError: If an image cannot be read, or its view would be too large.
    """

    def view_shape(index: int) -> tuple[int, int]:
        try:
            return preprocessing.view_shape(*image_size(files.path(index)))
        except ConfigError as error:
            raise DataError(f"{files.path(index)}: {error}") from error

    with ThreadPoolExecutor() as threads:  # waiting for the disk most of the time
        return list(threads.map(view_shape, indices))


def usual_side(files: FileList) -> int:
    """Usual shortest side of the images of a list in pixels: the median of some."""
    some = range(0, len(files), -(-len(files) // _SAMPLED))
    return int(np.median([min(image_size(files.path(index))) for index in some]))


def batches_of_one_shape(
    indices: Sequence[int], shapes: Sequence[tuple[int, int]], batch_size: int, most_pixels: int | None = None
) -> list[list[int]]:
    """Forms batches of images whose views have the same size, as only those fit into one tensor.

    A batch has at most `most_pixels`, if they are given, but at least one image.
    """
    by_shape: dict[tuple[int, int], list[int]] = {}
    for index, shape in zip(indices, shapes, strict=True):
        by_shape.setdefault(shape, []).append(index)
    batches = []
    for (height, width), group in sorted(by_shape.items()):
        size = batch_size if most_pixels is None else max(1, min(batch_size, most_pixels // (height * width)))
        batches += [group[start : start + size] for start in range(0, len(group), size)]
    return batches
