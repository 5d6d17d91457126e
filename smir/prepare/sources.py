"""Reads an image of any size in strips, from top to bottom: with libvips, but TIFF and BMP by `tiff_sources`."""

import os
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyvips
from numpy.typing import NDArray

from smir.classes import UInt8
from smir.data.reading.band_choice import BandChoice
from smir.data.reading.picture_stream import has_alpha, has_palette, open_picture_stream, reason_of
from smir.data.reading.safe_open import MAX_PIXELS
from smir.errors import DataError
from smir.files.pictures import is_bmp, is_tiff

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
        with _naming(source):
            image = open_picture_stream(source)
        return image.height, image.width
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
    with _naming(source):
        image = open_picture_stream(source, "label" if grey else "image")
    if grey and has_palette(image) and image.width * image.height <= MAX_PIXELS:
        from smir.prepare.tiff_sources import whole_label  # it imports this file

        return whole_label(source, rows)  # libvips reads the colours of a palette, not its indices

    def strips(tops: list[int]) -> Generator[Strip, None, None]:
        left = iter(tops)
        try:
            with closing(_strips_of(image, tops, rows)) as parts:
                for pixels in parts:
                    next(left)
                    shown = pixels[..., :3] if image.bands > 2 else pixels[..., 0]
                    shown = shown if grey or image.bands > 2 else np.repeat(shown[..., None], 3, axis=-1)
                    yield shown, pixels[..., -1] > 0 if has_alpha(image) else None
        except pyvips.Error as error:
            row = next(left)
            raise DataError(
                f"{source.resolve()} cannot be decoded below row {row}: {reason_of(error)}. The file is damaged or cut "
                "short; fetch it again, and delete the folder of its tiles."
            ) from error

    return Source(image.height, image.width, strips)


@contextmanager
def _naming(source: Path) -> Iterator[None]:
    try:
        yield
    except pyvips.Error as error:
        raise DataError(
            f"{source.resolve()} cannot be read as an image: {reason_of(error)}. Check or replace the file."
        ) from error


def _strips_of(image: pyvips.Image, tops: list[int], tile: int) -> Generator[NDArray[Any], None, None]:
    """Yields rows [top, top + tile) of a sequential image as one reused (tile, width, bands) array of 8 or 16 bits.

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
    strip = np.empty((tile, image.width, image.bands), np.uint16 if image.format == "ushort" else np.uint8)
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
