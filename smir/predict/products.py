"""The output files of a large prediction, written tile by tile: memory holds at most one row of tiles."""

import contextlib
import errno
import itertools
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from smir.classes import VOID, Classes, UInt8
from smir.data.reading.raster import Raster
from smir.data.reading.tiff import gdal_cache
from smir.files.atomic import placing, replacing
from smir.predict.segment import probabilities_of
from smir.predict.sweep import Tile
from smir.terminal import quiet

_TILE = 256
"""Pixels of a side of the tiles of a TIFF."""
_READ = 256 << 20
"""Most bytes of the read image that GDAL caches, unless two rows of blocks have more."""

Product = Callable[[Tile, UInt8], None]
"""Takes a tile with its class ids and void (h, w), in the order in which a `Sweep` yields them."""


class PalettePng:
    """Writes a PNG of class ids row by row, with a palette (256, 3): red, green and blue of each value.

    No library that streams PNGs can write a custom palette.
    """

    def __init__(self, file: IO[bytes], height: int, width: int, palette: UInt8) -> None:
        self._file = file
        self._packed = zlib.compressobj(6)
        file.write(b"\x89PNG\r\n\x1a\n")
        self._chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0))
        self._chunk(b"PLTE", palette.tobytes())

    def write(self, rows: UInt8) -> None:
        """Adds rows (h, W)."""
        for row in rows:
            self._data(self._packed.compress(b"\0" + row.tobytes()))  # 0: no filter, as palettes want it

    def close(self) -> None:
        """Writes the end; the file stays open."""
        self._data(self._packed.flush())
        self._chunk(b"IEND", b"")

    def _data(self, content: bytes) -> None:
        if content:
            self._chunk(b"IDAT", content)

    def _chunk(self, kind: bytes, content: bytes) -> None:
        self._file.write(struct.pack(">I", len(content)) + kind + content)
        self._file.write(struct.pack(">I", zlib.crc32(kind + content)))


@contextlib.contextmanager
def label_png(path: Path, height: int, width: int, classes: Classes) -> Iterator[Product]:
    """Opens a PNG of class ids, which takes its place when the block ends."""
    with replacing(path) as file:
        png = PalettePng(file, height, width, classes.palette())
        row: UInt8 = np.empty((0, width), dtype=np.uint8)  # tiles side by side

        def write(tile: Tile, labels: UInt8) -> None:
            nonlocal row
            if len(row) != len(labels):
                row = np.empty((len(labels), width), dtype=np.uint8)
            right = tile.left + labels.shape[1]
            row[:, tile.left : right] = labels
            if right == width:
                png.write(row)

        yield write
        png.close()


@contextlib.contextmanager
def label_tiff(
    path: Path, height: int, width: int, classes: Classes, georeference: dict[str, Any]
) -> Iterator[Product]:
    """Opens a GeoTIFF of class ids with a colour table and void as its nodata value."""
    with _tiff(path, height, width, 1, nodata=VOID, photometric="palette", **georeference) as file:
        file.write_colormap(1, {value: tuple(color) for value, color in enumerate(classes.palette().tolist())})
        file.set_band_description(1, "class")
        file.update_tags(1, **{f"class_{number}": name for number, name in enumerate(classes.names)})
        yield lambda tile, labels: file.write(labels, 1, window=_window(tile))


@contextlib.contextmanager
def probability_tiff(
    path: Path, height: int, width: int, classes: Classes, georeference: dict[str, Any]
) -> Iterator[Product]:
    """Opens a GeoTIFF with a band per class: probabilities times 255, which add up to 255, or to 0 at nodata."""
    with _tiff(path, height, width, len(classes), photometric="minisblack", interleave="band", **georeference) as file:
        for number, name in enumerate(classes.names):
            file.set_band_description(number + 1, name)
        file.scales = (1 / 255,) * len(classes)
        yield lambda tile, labels: file.write(probabilities_of(tile, len(classes)), window=_window(tile))


@contextlib.contextmanager
def _tiff(path: Path, height: int, width: int, count: int, **profile: Any) -> Iterator[Any]:
    """Opens a tiled TIFF of bytes."""
    import rasterio

    if profile.get("gcps") and profile.get("crs") is None:
        profile["crs"] = rasterio.CRS()  # control points in no known system; rasterio cannot write them with None
    profile |= {"driver": "GTiff", "dtype": "uint8", "height": height, "width": width, "count": count}
    profile |= {"tiled": True, "blockxsize": _TILE, "blockysize": _TILE, "compress": "deflate", "bigtiff": "if_safer"}
    with placing(path) as temporary:
        with quiet(rasterio.errors.NotGeoreferencedWarning):
            opened = rasterio.open(temporary, "w", **profile)
        with opened as file:
            yield file
        _check_complete(temporary)


def _check_complete(path: Path) -> None:
    """Raises OSError unless the file holds every block of the TIFF: GDAL only logs what it cannot write on closing."""
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
                raise OSError(errno.ENOSPC, "the file on disk is incomplete")


def cache_of_blocks(source: Raster, bands: int) -> contextlib.AbstractContextManager[Any]:
    """Limits GDAL's cache to the blocks that it needs, so that it writes each once and reads few of them again.

    Rows of tiles rarely match the blocks of the file, so GDAL must keep half-full blocks. Otherwise it would write them
    twice, and leave a hole. `source` is the image that is read, `bands` the number of bands written.
    """
    half_full = 2 * _TILE * bands * (source.width + _TILE)
    whole, rows = (source.cache_bytes(height, source.width) for height in (source.height, 0))
    return gdal_cache(half_full + min(whole, max(rows, _READ)))


def _window(tile: Tile) -> Any:
    from rasterio.windows import Window

    height, width = tile.valid.shape
    return Window(tile.left, tile.top, width, height)
