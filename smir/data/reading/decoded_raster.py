"""Decodes a picture once into a raw file on disk, so that rectangles of it can be read in any order.

The file has no name, so that nothing is left of it when the process ends, however it ends.
"""

import contextlib
import os
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyvips
from tqdm import tqdm

from smir.classes import UInt8
from smir.data.reading.raster import Bool, Raster
from smir.data.reading.safe_open import can_hold, refuse_many_scans
from smir.errors import DataError, RunError
from smir.files.kinds import kind_of_file
from smir.files.pictures import loader_of
from smir.files.turned import turned

pyvips.cache_set_max(0)  # an image that it keeps would call the progress bar of one that is gone: the process aborts
_BANDS = {"b-w": (1, 2), "rgb": (3, 4), "srgb": (3, 4)}
"""Without and with alpha."""


class DecodedRaster(Raster):
    """A JPEG, PNG or WebP of any size, upright.

    Args:
        path: The file.
        folder: Where the decoded pixels are kept while they are needed.
        progress: Whether to show how far the decoding is.

    Raises:
        DataError: If it is damaged, or not an 8-bit grey or RGB image with or without alpha.
        RunError: If there is no room for the decoded pixels.
    """

    def __init__(self, path: Path, folder: Path, progress: bool = True) -> None:
        self.path = path
        try:
            with _naming_damage(path):
                image = _upright(path)
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
        DataError: If it is damaged, or not an 8-bit grey or RGB image with or without alpha.
    """
    with _naming_damage(path):
        image = _opened(path)
        if decode:
            with Path(os.devnull).open("wb") as nowhere:
                _decode(image, nowhere.fileno(), None)


@contextlib.contextmanager
def _naming_damage(path: Path) -> Iterator[None]:
    try:
        yield
    except pyvips.Error as error:
        reason = "; ".join(str(error).split("\n")).strip("; ")
        raise DataError(
            f"The image {path} is damaged or cut short: {reason}. Copy it again from its source."
        ) from error


def _upright(path: Path) -> pyvips.Image:
    image = _opened(path)
    return turned(path, lambda: _opened(path, access="random")) or image


def _opened(path: Path, access: str = "sequential") -> pyvips.Image:
    """A picture as it is stored; its header has been read."""
    if (loader := loader_of(path)) is None:
        raise DataError(
            f"The image {path} is not a JPEG, PNG, WebP, TIFF or BMP; only those are read in windows."
            f"{kind_of_file(path) or f' Convert it: {_convert(path)}'}"
        )
    image = getattr(pyvips.Image, loader)(os.fsencode(path), access=access, fail_on="error")
    if loader == "jpegload":
        refuse_many_scans(path, "image", image.width * image.height)
    if not can_hold(size := path.stat().st_size, image.width * image.height):
        raise DataError(
            f"The image {path} claims to be {image.width} x {image.height} pixels, in {size:,} bytes, which cannot "
            "hold them. It is damaged; copy it again from its source."
        )
    if image.format != "uchar" or image.bands not in _BANDS.get(image.interpretation, ()):
        raise DataError(
            f"The image {path} has {image.bands} bands of {image.format} ({image.interpretation}); grey or RGB of 8 "
            f"bits, with or without alpha, is read in windows. Convert it: {_convert(path)}"
        )
    return image


def _convert(path: Path) -> str:
    """A command that needs nothing but what is installed with smir."""
    program = 'python -c "import cv2, sys; cv2.imwrite(sys.argv[2], cv2.imread(sys.argv[1]))"'
    return f"{program} {shlex.quote(path.name)} {shlex.quote(f'{path.stem}-rgb.png')}"


def _decode(image: pyvips.Image, descriptor: int, name: str | None) -> None:
    with tqdm(total=100, desc=f"Decoding {name}", unit="%", disable=name is None, delay=1, leave=False) as bar:
        if name is not None:
            image.set_progress(True)
            image.signal_connect("eval", lambda _, progress: bar.update(progress.percent - bar.n))
        failures: list[OSError] = []
        target = pyvips.TargetCustom()
        target.on_write(lambda chunk: _written(descriptor, chunk, failures))
        try:
            image.rawsave_target(target)
        except pyvips.Error:
            if failures:
                raise failures[0] from None
            raise


def _written(descriptor: int, chunk: bytes, failures: list[OSError]) -> int:
    """Writes what libvips has decoded; it would tell a full disk from a damaged image in no way."""
    try:
        return os.write(descriptor, chunk)
    except OSError as error:
        failures.append(error)
        return -1
