"""Decodes a picture once into a raw file on disk, so that rectangles of it can be read in any order.

The file has no name, so nothing of it remains when the process ends, even if it is killed.
"""

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pyvips

from smir.classes import UInt8
from smir.data.reading.picture_stream import naming_damage, open_picture_stream, write_pixels
from smir.data.reading.raster import Bool, Raster
from smir.errors import RunError
from smir.terminal import progress


class DecodedRaster(Raster):
    """A JPEG, PNG or WebP of any size, upright.

    Args:
        path: The file.
        folder: Folder for the decoded pixels while they are needed.
        progress: Show a progress bar.

    Raises:
        DataError: If it is damaged, or not a grey, RGB or CMYK image of 8 or 16 bits.
        RunError: If there is no room for the decoded pixels.
    """

    def __init__(self, path: Path, folder: Path, progress: bool = True) -> None:
        self.path = path
        try:
            with naming_damage(path):
                image = open_picture_stream(path)
                self.height, self.width, self.bands = image.height, image.width, image.bands
                folder.mkdir(parents=True, exist_ok=True)
                self._check_room(folder)
                self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # open as long as the source is
                _decode(image, self._file.fileno(), path.name if progress else None)
        except OSError as error:
            raise RunError(f"{path} could not be decoded to {folder.absolute()}: {error.strerror}.") from error

    def read(self, top: int, left: int, height: int, width: int) -> tuple[UInt8, Bool]:
        """Copies a rectangle; the file is mapped afresh each time, so that what was read is not kept in memory."""
        shape = (self.height, self.width, self.bands)
        stored = np.memmap(self._file, dtype=np.uint8, mode="r", shape=shape)
        pixels = np.array(stored[top : top + height, left : left + width])
        valid = pixels[..., -1] > 0 if self.bands in (2, 4) else np.ones((height, width), dtype=bool)
        colors = pixels[..., :3] if self.bands > 2 else np.repeat(pixels[..., :1], 3, axis=-1)
        return colors, valid

    def _check_room(self, folder: Path) -> None:
        needed, free = self.height * self.width * self.bands, shutil.disk_usage(folder).free
        if needed > free:
            raise RunError(
                f"The image {self.path} has {self.width} x {self.height} pixels. To read it in windows it is decoded "
                f"to {folder.absolute()} first, which takes {needed / 1e9:.1f} GB; there are {free / 1e9:.1f} GB. Make "
                "room, or convert it to a TIFF, which is read in place."
            )


def check_picture(path: Path, decode: bool) -> None:
    """Reads the header of a picture, and with `decode` all of it, and keeps nothing.

    Raises:
        DataError: If it is damaged, or not a grey, RGB or CMYK image of 8 or 16 bits.
    """
    with naming_damage(path):
        image = open_picture_stream(path)
        if decode:
            with Path(os.devnull).open("wb") as nowhere:
                _decode(image, nowhere.fileno(), None)


def _decode(image: pyvips.Image, descriptor: int, name: str | None) -> None:
    with progress(None, f"Decoding {name}", 100, unit="%", disable=name is None, delay=1, leave=False) as bar:
        if name is not None:
            image.set_progress(True)
            image.signal_connect("eval", lambda _, state: bar.update(state.percent - bar.n))
        write_pixels(image, descriptor)
