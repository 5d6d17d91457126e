"""A cache of decoded images, so that images are not decoded again in every epoch (`data.cache`).

An image is kept at twice the size of its whole view or less; smaller ones are kept without loss. This resamples large
images, so a cache is part of the recipe. The pixels are the same whether they were found, made, or did not fit.
"""

import hashlib
import math
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from smir.errors import ConfigError
from smir.files.disk_room import Room
from smir.method.preprocessing import Preprocessing

Pixels = npt.NDArray[Any]
_MAGIC = int.from_bytes(b"smir-im3", "little")  # the last character is the version of the format
_SIDE = 256
_DTYPES = {1: np.uint8, 2: np.uint16, 4: np.int32}


class Cached(NamedTuple):
    """Pixels (H, W, 3) uint8 of an image or (H, W) of a label, and height and width of the source."""

    pixels: Pixels
    size: tuple[int, int]


class ImageCache:
    """Reads images and labels through files of decoded pixels.

    A file holds raw pixels behind a header with size and time of the source, and a checksum of all. A file that is
    missing, damaged, cut off by a kill, or older than its source is made again. Files appear whole, so any number of
    processes may share a cache.
    """

    def __init__(self, room: Room, preprocessing: Preprocessing) -> None:
        self.room, self.preprocessing = room, preprocessing

    def image(self, path: Path, decode: Callable[[Path], Pixels]) -> Cached:
        """Returns an image; `decode` reads the source and raises its errors."""
        return self._read(path, "image", decode, cv2.INTER_AREA)

    def label(self, path: Path, decode: Callable[[Path], Pixels]) -> Cached:
        """Returns the stored values of a label; resizing never mixes them."""
        return self._read(path, "label", lambda path: _narrow(decode(path)), cv2.INTER_NEAREST_EXACT)

    def _read(self, path: Path, kind: str, decode: Callable[[Path], Pixels], interpolation: int) -> Cached:
        try:
            source = path.stat()  # before decoding: a source that changes meanwhile is newer than this
        except OSError:
            return self._made(decode(path), interpolation)
        name = hashlib.blake2b(os.fsencode(f"{kind} {path.absolute()}"), digest_size=16).hexdigest()
        file = self.room.folder / name[:2] / name[2:]
        found = _load(file, source)
        if found is None:
            found = self._made(decode(path), interpolation)
            self.room.store(file, _words(found, source))
        return found

    def _made(self, pixels: Pixels, interpolation: int) -> Cached:
        height, width = pixels.shape[:2]
        limit = 2 * self.preprocessing.view_size
        if min(height, width) <= limit:
            return Cached(pixels, (height, width))
        # Twice the view, not just twice its shortest side, so that its view is as large as that of the source.
        rows, cols = (2 * side for side in self.preprocessing.view_shape(height, width))
        return Cached(cv2.resize(pixels, (cols, rows), interpolation=interpolation), (height, width))


def open_cache(root: Path, preprocessing: Preprocessing, folder: Path | None, gigabytes: float) -> ImageCache:
    """Returns the cache of a dataset for views of one size; `Room.hold` makes its folder.

    Raises:
        ConfigError: If the cache would lie in the dataset, or no room is allowed.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "smir" if folder is None else folder
    if base.resolve().is_relative_to(root.resolve()):
        raise ConfigError(
            f"data.cache_folder = {base.absolute()} lies in the dataset folder {root.absolute()}, which is never "
            "written to. Choose a folder outside it."
        )
    if not 0 < gigabytes < math.inf:
        raise ConfigError(
            f"data.cache_gb must be positive and finite, got {gigabytes}. To turn the cache off: data.cache false."
        )
    dataset = hashlib.blake2b(os.fsencode(root.resolve()), digest_size=6).hexdigest()
    return ImageCache(Room(base, f"{dataset}-{preprocessing.view_size}", int(gigabytes * 1e9)), preprocessing)


def _narrow(values: Pixels) -> Pixels:
    """Returns label values in 8 or 16 bits, or unchanged if some are `NO_DATA`, the only value below 0."""
    if values.min() < 0:
        return values
    return values.astype(np.uint8 if values.max() <= np.iinfo(np.uint8).max else np.uint16)


def _time(source: os.stat_result) -> int:
    return source.st_mtime_ns % 2**64  # some archives hold files from before 1970


def _words(cached: Cached, source: os.stat_result) -> npt.NDArray[np.uint64]:
    """Returns the content of a file in words of 8 bytes: checksum, header, pixels."""
    height, width, *channels = cached.pixels.shape
    shape = [height, width, *(channels or [0]), cached.pixels.itemsize]
    header = [_MAGIC, source.st_size, _time(source), *cached.size, *shape]
    words = np.zeros(1 + len(header) + -(-cached.pixels.nbytes // 8), dtype=np.uint64)
    words[1 : 1 + len(header)] = header
    words[1 + len(header) :].view(np.uint8)[: cached.pixels.nbytes] = cached.pixels.reshape(-1).view(np.uint8)
    words[0] = _checksum(words[1:])
    return words


def _checksum(words: npt.NDArray[np.uint64]) -> int:
    """Returns the CRC of the sums of rows and columns, which also differ if words change places.

    It finds what kills and disks do to a file, as fast as the file is read; a CRC of all words takes ten times as long.
    """
    table = words[: len(words) // _SIDE * _SIDE].reshape(-1, _SIDE)
    return zlib.crc32(np.concatenate([table.sum(axis=0), table.sum(axis=1), words[table.size :]]).data)


def _load(file: Path, source: os.stat_result) -> Cached | None:
    """Reads a file; returns None if it is missing or damaged, or if the source has changed since."""
    try:
        with file.open("rb", buffering=0) as opened:  # half the cost of np.fromfile, apart from the pixels
            words = np.empty(os.fstat(opened.fileno()).st_size // 8, dtype=np.uint64)
            if opened.readinto(words.data) != words.nbytes:
                return None
    except OSError:
        return None
    if len(words) < 10 or words[0] != _checksum(words[1:]):
        return None
    magic, size, mtime, source_height, source_width, height, width, channels, itemsize = words[1:10].tolist()
    if (magic, size, mtime) != (_MAGIC, source.st_size, _time(source)) or itemsize not in _DTYPES:
        return None
    shape = (height, width, channels) if channels else (height, width)
    pixels = words[10:].view(_DTYPES[itemsize])
    count = math.prod(shape)
    if len(words) - 10 != -(-count * itemsize // 8):
        return None
    return Cached(pixels[:count].reshape(shape), (source_height, source_width))
