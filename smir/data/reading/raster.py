"""Rasters: images of any size, read a rectangle at a time."""

import abc
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from smir.classes import UInt8
from smir.data.predict_options import BLOCK

if TYPE_CHECKING:
    from smir.data.reading.geotiff import Ground

Bool = npt.NDArray[np.bool_]


class Raster(abc.ABC):
    """An image that is read in rectangles.

    Attributes:
        height: Height in pixels.
        width: Width in pixels.
        georeference: Tags that place an output at the same location; empty if the image has none.
        ground: Areas in square metres; None if the image is not georeferenced.
        left_out: A sentence about bands that are not used.
        knows_gaps: True if the image can mark pixels as missing.
        has_alpha: True if it does so by a band.
    """

    height: int
    width: int
    georeference: dict[str, Any] = {}  # noqa: RUF012  # never changed
    ground: "Ground | None" = None
    knows_gaps: bool = False
    has_alpha: bool = False
    left_out: str = ""

    def cache_bytes(self, rows: int, columns: int) -> int:
        """Returns the memory that a decoder needs to read such rectangles row by row without decoding much twice."""
        return 0

    @abc.abstractmethod
    def read(self, top: int, left: int, height: int, width: int) -> tuple[UInt8, Bool]:
        """Reads a rectangle that lies within the image.

        Returns:
            RGB (height, width, 3), and which pixels hold data (height, width).

        Raises:
            DataError: If the file is damaged there.
        """


class ArrayRaster(Raster):
    """An image in memory: RGB (H, W, 3), or with alpha (H, W, 4), where fully transparent pixels hold no data."""

    def __init__(self, image: UInt8) -> None:
        self.image = image
        self.height, self.width = image.shape[:2]
        self.knows_gaps = image.shape[-1] == 4

    def read(self, top: int, left: int, height: int, width: int) -> tuple[UInt8, Bool]:
        """Copies a rectangle."""
        pixels = np.array(self.image[top : top + height, left : left + width])
        valid = pixels[..., 3] > 0 if pixels.shape[-1] == 4 else np.ones(pixels.shape[:2], dtype=bool)
        return pixels[..., :3], valid


def read_blocks(
    source: Raster, unit: int, place: tuple[int, int], shape: tuple[int, int], fill: UInt8
) -> tuple[UInt8, Bool]:
    """Reads blocks of an image.

    Blocks that reach beyond the image are filled by reflection, as `padded_forward` does with a whole one. Pixels
    without data become `fill`, because programs leave all kinds of values in them.

    Args:
        source: The image.
        unit: Pixels of the image per block.
        place: First block, down and across.
        shape: Number of blocks, down and across.
        fill: Red, green and blue of pixels without data.

    Returns:
        The pixels (unit rows, unit columns, 3), and whether each is within the image and has data.
    """
    begins, sizes = ([unit * blocks for blocks in pair] for pair in (place, shape))
    sides = source.height, source.width
    rows, columns = (_mirrored(*side) for side in zip(begins, sizes, sides, strict=True))
    top, left = int(rows.min()), int(columns.min())
    pixels, valid = source.read(top, left, int(rows.max()) + 1 - top, int(columns.max()) + 1 - left)
    pixels[~valid] = fill
    for axis, (places, begin, side) in enumerate(zip((rows, columns), begins, sides, strict=True)):
        if (inside := max(0, side - begin)) < len(places):
            pixels = _extended(pixels, places, inside, axis)
            valid = _extended(valid, places, inside, axis)
            valid[(slice(None),) * axis + (slice(inside, None),)] = False
    return pixels, valid


def _mirrored(begin: int, size: int, length: int) -> npt.NDArray[np.int64]:
    """Returns the rows, or columns, of an image for a range that may reach beyond it; there, they are mirrored."""
    period = max(1, 2 * (length - 1))
    places = np.arange(begin, begin + size) % period
    return np.minimum(places, period - places)


def _extended(values: npt.NDArray[Any], places: npt.NDArray[np.int64], inside: int, axis: int) -> npt.NDArray[Any]:
    """Returns the values at places along an axis; only the first `inside` of them lie within the image, in order."""
    places = places - places.min()
    first = int(places[0]) if inside else 0
    kept = values[(slice(None),) * axis + (slice(first, first + inside),)]
    return np.concatenate([kept, values.take(places[inside:], axis)], axis)


def read_row(
    source: Raster, unit: int, place: tuple[int, int], width: int, fill: UInt8
) -> tuple[UInt8, npt.NDArray[np.int64]]:
    """Reads one row of blocks, see `read_blocks`, and keeps no more of it than the network sees.

    Returns:
        The pixels (min(unit, 64), ..., 3), for `as_seen`, and the number of those with data in every block (width,).
    """
    pixels, valid = read_blocks(source, unit, place, (1, width), fill)
    known = np.count_nonzero(valid.reshape(unit, width, unit), axis=(0, 2))
    return as_seen([pixels], (1, width)) if unit > BLOCK else pixels, known


def as_seen(rows: Sequence[UInt8], shape: tuple[int, int]) -> UInt8:
    """Returns rows of blocks as the network sees them, 64 pixels for each of the blocks of `shape`."""
    pixels, size = rows[0] if len(rows) == 1 else np.concatenate(rows), (shape[1] * BLOCK, shape[0] * BLOCK)
    if pixels.shape[1::-1] == size:
        return pixels
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
