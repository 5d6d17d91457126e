"""Reads an image of any size in strips, from top to bottom: with libvips, a TIFF with rasterio where it is installed.

Without rasterio, a TIFF is decoded as a whole. So is a BMP.
"""

import os
import threading
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyvips
from numpy.typing import NDArray

from smir.classes import VOID, UInt8
from smir.data.reading.band_choice import BandChoice
from smir.data.reading.decode import image_size, label_facts, read_label
from smir.data.reading.opening import tiff_raster
from smir.data.reading.picture_stream import has_alpha, has_palette, open_picture_stream, reason_of, write_pixels
from smir.data.reading.safe_open import MAX_PIXELS
from smir.data.reading.tiff import Tiff, gdal_cache, has_rasterio
from smir.data.reading.tiff_colors import MOST_IDS, NO_DATA, id_of_no_data, kind_of_label, palette, read_ids
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
        has_alpha: True if a band tells which pixels are visible.
    """

    height: int
    width: int
    strips: Callable[[list[int]], Generator[Strip, None, None]]
    palette: UInt8 | None = None
    has_alpha: bool = False


def shown_size(source: Path) -> tuple[int, int]:
    """Returns height and width of an image of any size, as displayed, from its header."""
    if _is_picture(source):
        image = open_picture_stream(source)
    elif has_rasterio() and is_tiff(source):
        image = Tiff(source)
    else:
        return image_size(source)
    return image.height, image.width


def open_source(source: Path, rows: int, grey: bool, bands: BandChoice | None = None) -> Source:
    """Opens an image, as displayed, for reading it once in strips.

    Args:
        source: The file.
        rows: Height of a strip.
        grey: Allow one band of class ids.
        bands: Bands of a TIFF to read; default: those of its colours.

    Raises:
        DataError: If it cannot be read, or is of a kind that cannot be cut.
    """
    if _is_picture(source):
        return _of_picture(source, rows, grey)
    return (grey and _of_ids(source, rows)) or _of_colors(source, rows, bands)


def no_data_of(label: Path) -> int | None:
    """Returns the id that a label image of any size marks as missing; only a TIFF can."""
    return id_of_no_data(Tiff(label, "label")) if is_tiff(label) and has_rasterio() else None


def _is_picture(source: Path) -> bool:
    """Returns whether libvips reads a file: all but TIFF and BMP."""
    if not source.is_file():
        raise DataError(f"The image to tile, {source.resolve()}, does not exist.")
    return not is_tiff(source) and not is_bmp(source)


def _of_colors(source: Path, rows: int, bands: BandChoice | None) -> Source:
    raster = tiff_raster(source, bands)

    def strips(tops: list[int]) -> Generator[Strip, None, None]:
        with gdal_cache(raster.cache_bytes(rows, raster.width)):
            for top in tops:
                pixels, valid = raster.read(top, 0, rows, raster.width)
                yield pixels, valid if raster.knows_gaps else None

    return Source(raster.height, raster.width, strips, has_alpha=raster.has_alpha)


def _of_ids(source: Path, rows: int) -> Source | None:
    """Opens a label of class ids; returns None for one in colours."""
    if not has_rasterio() or not is_tiff(source):
        return None if label_facts(source).kind == "colors" else _whole_label(source, rows)
    tiff = Tiff(source, "label")
    if (kind := kind_of_label(tiff)) == "colors":
        return None

    def strips(tops: list[int]) -> Generator[Strip, None, None]:
        with gdal_cache(tiff.cache_bytes(rows, tiff.width)):
            for top in tops:
                yield _storable(read_ids(tiff, (top, 0, rows, tiff.width)), source), None

    return Source(tiff.height, tiff.width, strips, palette(tiff) if kind == "palette" else None)


def _whole_label(source: Path, rows: int) -> Source:
    """Reads a label image of ids at once, and then gives its strips."""
    ids = read_label(source)
    height, width = ids.shape

    def strips(tops: list[int]) -> Generator[Strip, None, None]:
        for top in tops:
            yield _storable(ids[top : top + rows], source), None

    return Source(height, width, strips, label_facts(source).palette)


def _storable(ids: NDArray[np.int32], source: Path) -> NDArray[Any]:
    """Returns ids as a PNG holds them, of 8 or 16 bits; missing pixels are void."""
    ids = np.where(ids == NO_DATA, VOID, ids)
    low, high = int(ids.min()), int(ids.max())
    if low < 0 or high >= MOST_IDS:
        raise DataError(f"The label {source} holds values from {low} to {high}; class ids are 0 to {MOST_IDS - 1}.")
    return ids.astype(np.uint8 if high <= VOID else np.uint16)


def _of_picture(source: Path, rows: int, grey: bool) -> Source:
    image = open_picture_stream(source, "label" if grey else "image")
    if grey and has_palette(image) and image.width * image.height <= MAX_PIXELS:
        return _whole_label(source, rows)  # libvips reads the colours of a palette, not its indices

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

    return Source(image.height, image.width, strips, has_alpha=has_alpha(image))


def _strips_of(image: pyvips.Image, tops: list[int], tile: int) -> Generator[NDArray[Any], None, None]:
    """Yields rows [top, top + tile) of a sequential image as one reused (tile, width, bands) array of 8 or 16 bits.

    libvips decodes in a thread and sends the rows through a pipe. (pyvips.Region would be simpler, but its cache takes
    0.5 GB at a width of 90,600 pixels, and single crops lose rows that do not fit the decoder's blocks.)
    """
    reading, writing = os.pipe()
    errors: list[Exception] = []

    def decode() -> None:
        try:
            write_pixels(image, writing)
        except (pyvips.Error, OSError) as error:  # a broken pipe, if nobody reads on
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
