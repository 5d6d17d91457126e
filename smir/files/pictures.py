"""Writes pictures atomically, and tells TIFFs by their first bytes."""

import re
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from smir.errors import DataError
from smir.files.atomic import replacing, write_atomically

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def write_png(path: Path, picture: NDArray[np.uint8] | Image.Image, sync: bool = True) -> None:
    """Writes a PNG of (H, W, 3) uint8 RGB, (H, W) uint8 as mode L, or an image of Pillow; for `sync` see `unfinished`.

    Raises:
        RunError: If it cannot be written, as on a full disk.
        DataError: If it cannot be encoded.
    """
    if isinstance(picture, Image.Image):
        with replacing(path, sync=sync) as file:
            picture.save(file, format="PNG")
        return
    ordered = np.ascontiguousarray(picture[..., ::-1]) if picture.ndim == 3 else picture
    # Level 1 is an eighth larger than level 9 and eight times as fast.
    done, encoded = cv2.imencode(".png", ordered, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        raise DataError(f"OpenCV could not encode an image of shape {picture.shape} as {path.resolve()}.")
    write_atomically(path, encoded.tobytes(), sync)


_LOADERS = {rb"\xff\xd8\xff": "jpegload", rb"\x89PNG\r\n\x1a\n": "pngload", rb"RIFF.{4}WEBP": "webpload"}
"""Loaders of libvips by the first bytes of a file. The name of a file never selects another parser."""


def loader_of(path: Path) -> str | None:
    """Returns the loader of libvips for a JPEG, PNG or WebP; None for other files."""
    head = _start(path, 12)
    return next((name for start, name in _LOADERS.items() if re.match(start, head, re.DOTALL)), None)


def is_bmp(path: Path) -> bool:
    """Returns whether a file starts like a BMP."""
    return _start(path, 2) == b"BM"


def is_tiff(path: Path) -> bool:
    """Returns whether a file starts like a TIFF.

    Raises:
        OSError: If it cannot be read.
    """
    return _start(path, 4) in _TIFF


def _start(path: Path, length: int) -> bytes:
    """Returns the first bytes of a file; but none of a pipe or a device: reading those may never end."""
    if path.exists() and not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(length)
