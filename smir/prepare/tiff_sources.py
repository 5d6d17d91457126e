"""Reads a TIFF of any size in strips, from top to bottom, with rasterio where it is installed; and a BMP."""

from collections.abc import Generator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smir.classes import VOID
from smir.data.reading.band_choice import BandChoice
from smir.data.reading.decode import image_size, label_facts, read_label
from smir.data.reading.opening import tiff_raster
from smir.data.reading.tiff import Tiff, has_rasterio
from smir.data.reading.tiff_colors import MOST_IDS, NO_DATA, id_of_no_data, kind_of_label, palette, read_ids
from smir.errors import DataError
from smir.files.pictures import is_tiff
from smir.prepare.sources import Source, Strip

_CACHE = 16 << 20
"""Bytes that GDAL may cache beside the blocks of a strip."""


def tiff_size(source: Path) -> tuple[int, int]:
    """Returns height and width of a TIFF or BMP, as displayed, from its header."""
    if not has_rasterio() or not is_tiff(source):
        return image_size(source)
    tiff = Tiff(source)
    return tiff.height, tiff.width


def open_tiff(source: Path, rows: int, grey: bool, bands: BandChoice | None) -> Source:
    """Opens a TIFF; see `smir.prepare.sources.open_source`."""
    return (grey and _of_ids(source, rows)) or _of_colors(source, rows, bands)


def no_data_of(label: Path) -> int | None:
    """Returns the id that a label image of any size marks as missing; only a TIFF can."""
    return id_of_no_data(Tiff(label, "label")) if is_tiff(label) and has_rasterio() else None


def _of_colors(source: Path, rows: int, bands: BandChoice | None) -> Source:
    raster = tiff_raster(source, bands)

    def strips(tops: list[int]) -> Generator[Strip, None, None]:
        with gdal_cache(raster.cache_bytes(rows, raster.width)):
            for top in tops:
                pixels, valid = raster.read(top, 0, rows, raster.width)
                yield pixels, valid if raster.knows_gaps else None

    return Source(raster.height, raster.width, strips)


def _of_ids(source: Path, rows: int) -> Source | None:
    """Opens a label of class ids; returns None for one in colours."""
    if not has_rasterio() or not is_tiff(source):
        return None if label_facts(source).kind == "colors" else whole_label(source, rows)
    tiff = Tiff(source, "label")
    if (kind := kind_of_label(tiff)) == "colors":
        return None

    def strips(tops: list[int]) -> Generator[Strip, None, None]:
        with gdal_cache(tiff.cache_bytes(rows, tiff.width)):
            for top in tops:
                yield _storable(read_ids(tiff, (top, 0, rows, tiff.width)), source), None

    return Source(tiff.height, tiff.width, strips, palette(tiff) if kind == "palette" else None)


def whole_label(source: Path, rows: int) -> Source:
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


def gdal_cache(size: int) -> Any:
    """Limits GDAL's cache to this many bytes and a little more."""
    if not has_rasterio():
        return nullcontext()
    import rasterio

    return rasterio.Env(GDAL_CACHEMAX=size + _CACHE)
