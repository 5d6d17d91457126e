"""Reads an image of any size in strips, from top to bottom: with libvips, but TIFF and BMP by `tiff_sources`."""

import os
import shlex
import threading
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyvips
from numpy.typing import NDArray
from PIL import Image

from smir.classes import UInt8
from smir.data.reading.band_choice import BandChoice
from smir.errors import DataError
from smir.files.kinds import kind_of_file
from smir.files.orientation import orientation_in
from smir.files.pictures import is_bmp, is_tiff, loader_of
from smir.files.turned import turned

_SIDEWAYS = (5, 6, 7, 8)
"""EXIF orientations that swap height and width."""
_COLORED = {"srgb": (3, 4), "rgb": (3, 4), "b-w": (1, 2), "cmyk": (4,)}
"""Bands of pictures without and with alpha."""
Strip = tuple[NDArray[Any], NDArray[np.bool_] | None]
"""Pixels (h, W, 3) or (h, W), and which of them hold data (h, W), if the file tells."""


class Source(NamedTuple):
    """An image to cut.

    Attributes:
        height: Height in pixels, as displayed.
        width: Width in pixels, as displayed.
        strips: Yields the strips of one height that begin at the given rows.
        palette: Red, green and blue of the values, if the pixels are indices of a palette.
    """

    height: int
    width: int
    strips: Callable[[list[int]], Generator[Strip, None, None]]
    palette: UInt8 | None = None


def shown_size(source: Path) -> tuple[int, int]:
    """Returns height and width of an image of any size, as displayed, from its header."""
    if not _by_rows(source):
        image = _header(source)
        sideways = orientation_in(source) in _SIDEWAYS
        return (image.width, image.height) if sideways else (image.height, image.width)
    from smir.prepare.tiff_sources import tiff_size  # it imports this file

    return tiff_size(source)


def open_source(source: Path, rows: int, grey: bool, bands: BandChoice | None = None) -> Source:
    """Opens an image, as displayed, for reading it once in strips.

    Args:
        source: The file.
        rows: Height of a strip.
        grey: Whether one band of class ids is allowed.
        bands: Bands of a TIFF to read; default: those of its colours.

    Raises:
        DataError: If it cannot be read, or is of a kind that cannot be cut.
    """
    if not _by_rows(source):
        return _of_picture(source, rows, grey)
    from smir.prepare.tiff_sources import open_tiff  # it imports this file

    return open_tiff(source, rows, grey, bands)


def _by_rows(source: Path) -> bool:
    """Returns whether `tiff_sources` reads a file."""
    if not source.is_file():
        raise DataError(f"The image to tile, {source.resolve()}, does not exist.")
    return is_tiff(source) or is_bmp(source)


def _of_picture(source: Path, rows: int, grey: bool) -> Source:
    where = source.resolve()
    image = _header(source)
    image = turned(source, lambda: _header(source, "random")) or image
    kind = image.interpretation
    colored = image.bands in _COLORED.get(kind, ()) and not (grey and kind in ("b-w", "cmyk"))
    if image.format != "uchar" or not (colored or (grey and image.bands == 1)):
        raise DataError(
            f"{where} has {image.bands} bands of {image.format} ({kind}); 8-bit RGB or grey, with or without "
            f"alpha, is needed{' for colours, or one band of 8 bits for class ids' if grey else ''}. Convert it: "
            f"{_conversion(image, source.name, grey)}"
        )

    def strips(tops: list[int]) -> Generator[Strip, None, None]:
        left = iter(tops)
        try:
            with closing(_strips_of(image, tops, rows)) as parts:
                for pixels in parts:
                    next(left)
                    if kind == "cmyk":
                        yield np.asarray(Image.fromarray(pixels, "CMYK").convert("RGB")), None
                        continue
                    shown = pixels[..., :3] if image.bands > 2 else pixels[..., 0]
                    shown = shown if grey or image.bands > 2 else np.repeat(shown[..., None], 3, axis=-1)
                    yield shown, pixels[..., -1] > 0 if image.bands in (2, 4) else None
        except pyvips.Error as error:
            row = next(left)
            raise DataError(
                f"{where} cannot be decoded below row {row}: {_line_of(error)}. The file is damaged or cut short; "
                "fetch it again, and delete the folder of its tiles."
            ) from error

    return Source(image.height, image.width, strips)


def _strips_of(image: pyvips.Image, tops: list[int], tile: int) -> Generator[NDArray[np.uint8], None, None]:
    """Yields rows [top, top + tile) of a sequential image as one reused (tile, width, bands) uint8 array.

    libvips decodes in a thread and sends the rows through a pipe. (pyvips.Region would be simpler, but its cache takes
    0.5 GB at a width of 90,600 pixels, and single crops lose rows that do not fit the decoder's blocks.)
    """
    reading, writing = os.pipe()
    errors: list[pyvips.Error] = []

    def send(chunk: bytes) -> int:
        try:
            return os.write(writing, chunk)
        except BrokenPipeError:  # the reader has stopped; -1 ends the decoding
            return -1

    def decode() -> None:
        try:
            target = pyvips.TargetCustom()
            target.on_write(send)
            image.rawsave_target(target)
        except pyvips.Error as error:
            errors.append(error)
        finally:
            os.close(writing)

    thread = threading.Thread(target=decode, daemon=True)
    thread.start()
    strip = np.empty((tile, image.width, image.bands), np.uint8)
    end = 0
    try:
        with os.fdopen(reading, "rb") as pipe:
            for top in tops:
                # Each row comes once, so rows shared with the previous strip are moved, not read.
                if kept := end - top:
                    strip[:kept] = strip[tile - kept :]
                if pipe.readinto(strip[kept:].data.cast("B")) < strip[kept:].nbytes:
                    thread.join()
                    raise errors[0] if errors else pyvips.Error("the decoder stopped early")
                end = top + tile
                yield strip
    finally:
        thread.join()


def _header(source: Path, access: str = "sequential") -> pyvips.Image:
    where = source.resolve()
    if (loader := loader_of(source)) is None:
        raise DataError(
            f"{where} cannot be read as an image.{kind_of_file(source) or ' It is damaged or of another format.'}"
        )
    try:
        # By default libvips fills parts that it cannot decode with black.
        return getattr(pyvips.Image, loader)(os.fsencode(source), access=access, fail_on="error")
    except pyvips.Error as error:
        raise DataError(f"{where} cannot be read as an image: {_line_of(error)}. Check or replace the file.") from error


def _conversion(image: pyvips.Image, name: str, grey: bool) -> str:
    """Returns a command that converts an image so that it can be tiled; it must not change class ids."""
    if image.interpretation == "cmyk":
        return f"vips colourspace {shlex.quote(name)} converted.png srgb"
    named = image.interpretation in ("srgb", "rgb", "rgb16")  # otherwise the order of the bands is unknown
    bands = "" if image.bands < 3 else "-b 1 -b 2 -b 3 " if named else "-b RED -b GREEN -b BLUE "
    if not bands and not grey:
        bands = "-b 1 -b 1 -b 1 "
    span = "0 65535" if image.format == "ushort" else "LOWEST HIGHEST"  # otherwise each band is stretched separately
    scale = "" if (grey and image.bands == 1) or image.format == "uchar" else f"-scale {span} 0 255 "
    return f"gdal_translate {bands}-ot Byte {scale}{shlex.quote(name)} converted.tif"


def _line_of(error: pyvips.Error) -> str:
    """Returns libvips' message, which spans several lines, as one."""
    return "; ".join(str(error).split("\n")).strip("; ")
