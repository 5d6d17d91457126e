"""TIFF files, read with rasterio: all codecs of GDAL, and an error for every block that cannot be decoded.

Other readers are silent about damage: libvips fills tiles that it cannot decode with zeros, and libtiff only warns
about broken JPEG and PackBits blocks. So a warning counts as an error here.
"""

import contextlib
import importlib.util
import itertools
import logging
import math
import threading
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import TiffImagePlugin

from smir.data.reading.deflate_sums import check_sums
from smir.data.reading.raster import Bool
from smir.errors import DataError, counted, first_few
from smir.files.orientation import orientation_in_xmp
from smir.terminal import quiet

_BIG = (b"II+\0", b"MM\0+")
_GEOTIFF_TAGS = (33550, 33922, 34264, 34735)  # scale, tie points, transformation, coordinate system
_WORLD = ("tfw", "tifw", "tiffw", "wld")
_ORIENTATION, _XMP, _PHOTOMETRIC, _LAB = 274, 700, 262, 8
_OFFSETS, _LENGTHS = (273, 324), (279, 325)  # of strips, of tiles
_SUBFILE, _SUB_IMAGES, _PAGE, _MASK, _COMPRESSION, _DEFLATE = 254, 330, 2, 4, 259, (8, 32946)
_MOST_DIRECTORIES = 100
_CACHE = 16 << 20
"""Bytes that GDAL may cache beside the blocks that are named."""
_MOST_BLOCK = 1 << 29
"""Decoded bytes of a block above which a TIFF is refused: GDAL holds it whole, twice, for any part of it."""
_MIRRORED, _UPSIDE_DOWN = (2, 3, 6, 7), (3, 4, 7, 8)
IMAGE_UNITS = "of the image's coordinate system"
"""The units of a GeoJSON of `predict` for an image whose coordinate system is not on Earth; readers assume WGS 84."""
SIDEWAYS = (5, 6, 7, 8)
"""Orientations in which height and width are swapped."""


def has_rasterio() -> bool:
    """Returns whether the extra `geo` is installed."""
    return importlib.util.find_spec("rasterio") is not None


def gdal_cache(size: int) -> contextlib.AbstractContextManager[Any]:
    """Limits GDAL's cache to this many bytes and a little more, where rasterio is installed."""
    if not has_rasterio():
        return contextlib.nullcontext()
    import rasterio

    cache: contextlib.AbstractContextManager[Any] = rasterio.Env(GDAL_CACHEMAX=size + _CACHE)
    return cache


def _directories(path: Path) -> Iterator[TiffImagePlugin.ImageFileDirectory_v2]:
    """Yields the tags of each image in a TIFF, in the same object; damage raises all kinds of errors."""
    with path.open("rb") as file:
        head = file.read(4)
        tags = TiffImagePlugin.ImageFileDirectory_v2(head + file.read(12 if head in _BIG else 4))
        seen: set[int] = set()
        while tags.next and tags.next not in seen and len(seen) < _MOST_DIRECTORIES:
            seen.add(tags.next)
            file.seek(tags.next)
            with quiet():
                tags.load(file)
            yield tags


def tags_of(path: Path, *more: int) -> Mapping[int, Any]:
    """Returns known tags, and `more`, of the first image of a TIFF; none if they are damaged."""
    with contextlib.suppress(Exception):
        tags = next(_directories(path))
        return {tag: tags[tag] for tag in (_ORIENTATION, _PHOTOMETRIC, *_GEOTIFF_TAGS, *more) if tag in tags}
    return {}


def _orientation(path: Path) -> int:
    tags = tags_of(path, _XMP)
    return tags[_ORIENTATION] if _ORIENTATION in tags else orientation_in_xmp(tags.get(_XMP))


def mask_blocks(path: Path) -> list[tuple[int, int]]:
    """Returns start and length of the Deflate blocks of a mask inside a TIFF; rasterio only gives those of bands."""
    with contextlib.suppress(Exception):
        for tags in _directories(path):
            if tags.get(_SUBFILE) == _MASK and tags.get(_COMPRESSION) in _DEFLATE:
                starts, lengths = (next(tags[tag] for tag in kind if tag in tags) for kind in (_OFFSETS, _LENGTHS))
                return [block for block in zip(starts, lengths, strict=True) if all(block)]
    return []


def pages(path: Path) -> int:
    """Returns how many images of full size a TIFF holds, not counting thumbnails, pyramids and masks."""
    return sum(kind in (0, _PAGE) for kind in _kinds(path))


def notes_on_pages(files: Iterable[Path]) -> list[str]:
    """Returns a note about TIFFs of several pages, of which only the first is read; none if there are none."""
    several = [path.name for path in files if path.is_file() and pages(path) > 1]
    if not several:
        return []
    return [
        f"{counted(len(several), 'TIFF has', 'TIFFs have')} several pages, of which the first is used: "
        f"{first_few(several)}. If the others are photographs, too, save each as a file; if they are bands of one "
        "photograph, save them as bands of one image."
    ]


def _kinds(path: Path) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(Exception):
        found += (int(tags.get(_SUBFILE, 0)) for tags in _directories(path))
    return found


def is_georeferenced(path: Path) -> bool:
    """Returns whether an image has a place on Earth: by the tags of a TIFF, or by a world file beside it."""
    return any(tag in tags_of(path) for tag in _GEOTIFF_TAGS) or bool(world_files(path))


def world_files(path: Path) -> list[Path]:
    """Returns the files beside a TIFF that may hold its transform."""
    beside = (path.with_suffix(f".{ending}") for small in _WORLD for ending in (small, small.upper()))
    return [file for file in beside if file.is_file()]


def is_lab(path: Path) -> bool:
    """Returns whether a TIFF holds Lab colours, which GDAL converts differently from all other programs."""
    return bool(tags_of(path).get(_PHOTOMETRIC) == _LAB)


def lacks_blocks(path: Path) -> bool:
    """Returns whether blocks of a TIFF were never written; all programs show 0 or the nodata value there."""
    return 0 in itertools.chain(*(tags_of(path, *_LENGTHS).get(tag, ()) for tag in _LENGTHS))


def refuse_thumbnail(path: Path, name: str) -> None:
    """Refuses a TIFF whose first image is a small copy of another, as in raw photographs; programs show either.

    Raises:
        DataError: If it begins with such a copy.
    """
    tags = tags_of(path, _SUBFILE, _SUB_IMAGES)
    if tags.get(_SUBFILE) == 1 and (_SUB_IMAGES in tags or len(_kinds(path)) > 1):
        raise DataError(
            f"{name} begins with a thumbnail, as raw photographs (DNG) do. Export the photograph as TIFF, PNG or JPEG."
        )


class _Complaints(logging.Handler):
    """Collects what GDAL complains about, for each thread; some errors reach the caller in no other way."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.of_thread = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.levelno >= logging.WARNING or text.startswith("GDAL signalled an error"):
            getattr(self.of_thread, "texts", []).append(text)


_COMPLAINTS = _Complaints()
_LOGGERS = ("rasterio._env", "rasterio._err")


class Tiff:
    """A TIFF of any size, read in rectangles, upright.

    Attributes:
        file: The dataset of rasterio; its sizes are those before the orientation is applied.
        height: Height in pixels, as shown.
        width: Width in pixels, as shown.
        meanings: Meaning of each band: `red`, `palette`, `undefined`, ...
        structure: Form in which the file is stored: `COMPRESSION`, ...
        bits: Bits of a value if they are fewer than its type has, else 0.
        highest: Highest value of the first band, if that has 8 bits or fewer.
        is_inverted: True if the value 0 is white.
        has_mask: True if pixels can be missing.
        has_inner_mask: True if the file holds a mask of them, other than alpha.

    Args:
        path: The file.
        kind: Word for it in messages: `image` or `label`.

    Raises:
        DataError: If it cannot be opened, or is compressed in a way that GDAL does not know.
    """

    def __init__(self, path: Path, kind: str = "image") -> None:
        import rasterio

        self.path, self.name = path, f"The {kind} {path}"
        refuse_thumbnail(path, self.name)
        try:
            with self._environment(), quiet(rasterio.errors.NotGeoreferencedWarning):
                self.file = rasterio.open(path.absolute(), driver="GTiff", GEOREF_SOURCES="INTERNAL")
        except UnicodeEncodeError as error:
            raise DataError(
                f"{self.name} has a name that is not UTF-8, which GDAL cannot open. Rename it, or its folder."
            ) from error
        except rasterio.errors.RasterioError as error:
            reason = error.__cause__ or error
            if "missing codec" in str(reason):
                raise DataError(
                    f"{self.name} is compressed in a way that this rasterio cannot read ({reason}). Write it again "
                    f"where it was made: gdal_translate -co COMPRESS=DEFLATE {path.name} converted.tif"
                ) from error
            raise DataError(
                f"{self.name} cannot be read as a TIFF: {reason}. Copy it again from its source, or remove it."
            ) from error
        self._pixel_bytes = max(np.dtype(name).itemsize for name in self.file.dtypes) * self.file.count
        if (block := math.prod(self.file.block_shapes[0]) * self._pixel_bytes) > _MOST_BLOCK:
            raise DataError(
                f"{self.name} is stored in blocks of {block >> 20:,} MiB, and any part of it would need twice that "
                f"memory. Store it in tiles: gdal_translate -co TILED=YES -co COMPRESS=DEFLATE {path.name} tiled.tif"
            )
        placed = bool(self.file.gcps[0]) or not self.file.transform.is_identity  # on Earth, as stored
        self.orientation = 1 if placed else _orientation(path)
        self.height, self.width = self._turned(self.file.height, self.file.width)
        self.meanings = [meaning.name for meaning in self.file.colorinterp]
        self.structure = self.file.tags(ns="IMAGE_STRUCTURE") | self.file.tags(1, ns="IMAGE_STRUCTURE")
        self.bits = int(self.structure.get("NBITS", 0))
        self.highest = (1 << (self.bits or 8)) - 1
        white_first = self.bits == 1 and self.meanings == ["palette"] and self.file.colormap(1)[0][0] == 255
        self.is_inverted = white_first or self.structure.get("MINISWHITE") == "YES"
        self.has_mask = any(flags != [rasterio.enums.MaskFlags.all_valid] for flags in self.file.mask_flag_enums)
        self.has_inner_mask = [rasterio.enums.MaskFlags.per_dataset] in self.file.mask_flag_enums
        self._mask_blocks = mask_blocks(path) if self.has_inner_mask else []

    def read(self, bands: Sequence[int], top: int, left: int, height: int, width: int) -> npt.NDArray[Any]:
        """Reads bands of a rectangle, (height, width, bands).

        Raises:
            DataError: If a block of it cannot be decoded.
        """
        with self._reading(bands, top, left, height, width) as window:
            planes = self.file.read(bands, window=window)
        fast = planes.dtype == np.uint8 and len(planes) > 1
        return self._upright(np.asarray(cv2.merge([*planes])) if fast else np.moveaxis(planes, 0, -1))

    def valid(self, top: int, left: int, height: int, width: int) -> Bool:
        """Returns which pixels of a rectangle hold data, (height, width), by alpha, mask and nodata value."""
        if not self.has_mask:
            return np.ones((height, width), dtype=bool)
        with self._reading(self.file.indexes, top, left, height, width) as window:
            check_sums(self.path, self._mask_blocks)
            return self._upright(self.file.dataset_mask(window=window) > 0)

    def is_marked(self, bands: Sequence[int], values: npt.NDArray[Any]) -> Bool:
        """Returns which pixels (height, width) hold the nodata value in all of these bands; others may hold data."""
        marks = (self.file.nodatavals[band - 1] for band in bands)
        marked = [np.asarray(values[..., place] == mark) for place, mark in enumerate(marks)]
        return np.asarray(np.stack(marked, axis=-1).all(axis=-1))

    def cache_bytes(self, rows: int, columns: int) -> int:
        """Returns the bytes of the blocks that a rectangle of this size touches; strips count in their whole width."""
        block_height, block_width = self.file.block_shapes[0]
        across = self.file.width if block_width >= self.file.width else columns + 2 * block_width
        return int((rows + 2 * block_height) * across * self._pixel_bytes)

    def _turned(self, rows: int, columns: int) -> tuple[int, int]:
        return (columns, rows) if self.orientation in SIDEWAYS else (rows, columns)

    def _upright(self, stored: npt.NDArray[Any]) -> npt.NDArray[Any]:
        shown = stored.swapaxes(0, 1) if self.orientation in SIDEWAYS else stored
        down, across = (-1 if self.orientation in turned else 1 for turned in (_UPSIDE_DOWN, _MIRRORED))
        return np.ascontiguousarray(shown[::down, ::across])

    def _window(self, top: int, left: int, height: int, width: int) -> Any:
        from rasterio.windows import Window

        if self.orientation in _UPSIDE_DOWN:
            top = self.height - top - height
        if self.orientation in _MIRRORED:
            left = self.width - left - width
        (top, left), (height, width) = self._turned(top, left), self._turned(height, width)
        return Window(left, top, width, height)

    def _check_sums(self, bands: Sequence[int], window: Any) -> None:
        if self.structure.get("COMPRESSION") != "DEFLATE":
            return
        tall, wide = self.file.block_shapes[0]
        rows = range(window.row_off // tall, -(-(window.row_off + window.height) // tall))
        columns = range(window.col_off // wide, -(-(window.col_off + window.width) // wide))
        tag = partial(self.file.get_tag_item, dm="TIFF")
        blocks = (
            (int(start), int(tag(f"BLOCK_SIZE_{place}", bidx=band)))
            for band in (bands if self.structure.get("INTERLEAVE") == "BAND" else [1])
            # GDAL shows an image of a single strip as rows, and lists the strip under the first one.
            for place in (f"{column}_{row}" for row in {0, *rows} for column in columns)
            if (start := tag(f"BLOCK_OFFSET_{place}", bidx=band))
        )
        check_sums(self.path, blocks)

    @contextlib.contextmanager
    def _reading(self, bands: Sequence[int], top: int, left: int, height: int, width: int) -> Iterator[Any]:
        """Checks the checksums of the blocks under a rectangle, then yields its window in the file.

        Damage that GDAL finds in it becomes an error that names the file.
        """
        from rasterio.errors import RasterioError

        window = self._window(top, left, height, width)
        reason: object = None
        texts: list[str] = []
        _COMPLAINTS.of_thread.texts = texts
        try:
            with self._environment():
                self._check_sums(bands, window)
                yield window
        except (RasterioError, zlib.error) as error:
            reason = error.__cause__ or error
        if reason := reason or next(iter(texts), None):
            raise DataError(
                f"{self.name} is damaged or cut short: rows {top} to {top + height}, columns {left} to {left + width} "
                f"cannot be read ({reason}). Copy it again from its source, or remove it."
            )

    @staticmethod
    def _environment() -> Any:
        """Makes GDAL log warnings in this thread, too, and read no file beside an image, like all other readers."""
        import rasterio

        for logger in map(logging.getLogger, _LOGGERS):
            if _COMPLAINTS not in logger.handlers:
                logger.addHandler(_COMPLAINTS)
                logger.setLevel(logging.INFO)
                logger.propagate = False
        return rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR", GDAL_PAM_ENABLED="NO")
