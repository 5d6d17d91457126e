"""The files that a large prediction becomes, written as its tiles come: memory holds one row of tiles at most."""

import abc
import contextlib
import errno
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from smir.classes import VOID, Classes, UInt8
from smir.data.reading.opening import has_rasterio
from smir.files.atomic import placing, replacing
from smir.predict.png import PalettePng
from smir.predict.segment import probabilities_of
from smir.predict.sweep import Sweep, Tile
from smir.terminal import quiet

_TILE = 256
"""Pixels of a side of the tiles of a TIFF."""
_CACHE = 16 << 20
"""Bytes that GDAL may keep besides."""


class Product(abc.ABC):
    """Something that tiles are written to, in the order in which a `Sweep` gives them."""

    @abc.abstractmethod
    def write(self, tile: Tile, labels: UInt8) -> None:
        """Adds a tile with its class ids and void (h, w)."""


class _Png(Product):
    def __init__(self, png: PalettePng, width: int) -> None:
        self.png, self.width = png, width
        self._rows: UInt8 | None = None

    def write(self, tile: Tile, labels: UInt8) -> None:
        height, width = labels.shape
        if self._rows is None:
            self._rows = np.empty((height, self.width), dtype=np.uint8)
        self._rows[:, tile.left : tile.left + width] = labels
        if tile.left + width == self.width:
            self.png.write(self._rows)
            self._rows = None


@contextlib.contextmanager
def label_png(path: Path, height: int, width: int, classes: Classes) -> Iterator[Product]:
    """A PNG of class ids, in its place when the block ends."""
    with replacing(path) as file:
        png = PalettePng(file, height, width, classes.palette())
        yield _Png(png, width)
        png.close()


class _Labels(Product):
    def __init__(self, file: Any) -> None:
        self.file = file

    def write(self, tile: Tile, labels: UInt8) -> None:
        self.file.write(labels, 1, window=_window(tile))


class _Probabilities(Product):
    def __init__(self, file: Any) -> None:
        self.file = file

    def write(self, tile: Tile, labels: UInt8) -> None:
        self.file.write(probabilities_of(tile, self.file.count), window=_window(tile))


@contextlib.contextmanager
def label_tiff(
    path: Path, height: int, width: int, classes: Classes, georeference: dict[str, Any]
) -> Iterator[Product]:
    """A GeoTIFF of class ids with a colour table, void as its no-data value."""
    with _tiff(path, height, width, 1, nodata=VOID, photometric="palette", **georeference) as file:
        file.write_colormap(1, {value: tuple(color) for value, color in enumerate(classes.palette().tolist())})
        file.set_band_description(1, "class")
        file.update_tags(1, **{f"class_{number}": name for number, name in enumerate(classes.names)})
        yield _Labels(file)


@contextlib.contextmanager
def probability_tiff(
    path: Path, height: int, width: int, classes: Classes, georeference: dict[str, Any]
) -> Iterator[Product]:
    """A GeoTIFF with a band per class: its probability in steps of 1 / 255.

    The bands of a pixel add up to 255; to 0 where there is no data.
    """
    with _tiff(path, height, width, len(classes), photometric="minisblack", interleave="band", **georeference) as file:
        for number, name in enumerate(classes.names):
            file.set_band_description(number + 1, name)
        file.scales = (1 / 255,) * len(classes)
        yield _Probabilities(file)


@contextlib.contextmanager
def _tiff(path: Path, height: int, width: int, count: int, **profile: Any) -> Iterator[Any]:
    """A tiled TIFF of bytes."""
    import rasterio

    profile |= {"driver": "GTiff", "dtype": "uint8", "height": height, "width": width, "count": count}
    profile |= {"tiled": True, "blockxsize": _TILE, "blockysize": _TILE, "compress": "deflate", "bigtiff": "if_safer"}
    with placing(path) as temporary:
        with quiet(rasterio.errors.NotGeoreferencedWarning):
            opened = rasterio.open(temporary, "w", **profile)
        with opened as file:
            yield file
        _check_complete(temporary)


def _check_complete(path: Path) -> None:
    """Looks for every block of a TIFF within its bytes: what GDAL cannot write when it closes a file it only logs.

    Raises:
        OSError: If one is missing.
    """
    import rasterio

    size = path.stat().st_size
    with quiet(rasterio.errors.NotGeoreferencedWarning), rasterio.open(path) as file:
        height, width = file.block_shapes[0]
        columns, rows = -(-file.width // width), -(-file.height // height)
        for band, row, column in itertools.product(file.indexes, range(rows), range(columns)):
            offset, length = (
                int(file.get_tag_item(f"BLOCK_{what}_{column}_{row}", "TIFF", bidx=band) or 0)
                for what in ("OFFSET", "SIZE")
            )
            if not offset or offset + length > size:
                raise OSError(errno.ENOSPC, "not all of it came to the disk")


@contextlib.contextmanager
def gdal_cache(sweep: Sweep, bands: int) -> Iterator[None]:
    """Bounds the memory of GDAL to what keeps it from doing things twice.

    A row of tiles rarely ends where a row of a file's own tiles does, so that GDAL has to keep what is half full: it
    would write that twice otherwise, and leave a hole.

    Args:
        sweep: What is read.
        bands: Bands that are written.
    """
    if not has_rasterio():
        yield
        return
    import rasterio

    source, unit = sweep.source, sweep.rows.unit
    half_full = 2 * _TILE * bands * (source.width + _TILE)
    read = source.cache_bytes(sweep.rows.window * unit, sweep.columns.window * unit)
    with rasterio.Env(GDAL_CACHEMAX=half_full + read + _CACHE):
        yield


def _window(tile: Tile) -> Any:
    from rasterio.windows import Window

    height, width = tile.valid.shape
    return Window(tile.left, tile.top, width, height)
