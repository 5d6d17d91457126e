"""Rasters: images of any size, read a rectangle at a time."""

import abc
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
        knows_gaps: Whether the image can mark pixels as missing.
    """

    height: int
    width: int
    georeference: dict[str, Any] = {}  # noqa: RUF012  # never changed
    ground: "Ground | None" = None
    knows_gaps: bool = False
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
) -> tuple[UInt8, UInt8, Bool]:
    """Reads blocks, for the network and as they are.

    Blocks that reach beyond the image are filled by reflection, as `padded_forward` does with a whole one. Pixels
    without data become `fill`, because programs leave all kinds of values in them.

    Args:
        source: The image.
        unit: Pixels of the image per block.
        place: First block, down and across.
        shape: Number of blocks, down and across.
        fill: Red, green and blue of pixels without data.

    Returns:
        The input of the network (64 rows, 64 columns, 3), the pixels of the image (unit rows, unit columns, 3), and
        whether each pixel is within the image and has data (unit rows, unit columns).
    """
    (top, left), (height, width) = ([unit * blocks for blocks in pair] for pair in (place, shape))
    inside = min(height, source.height - top), min(width, source.width - left)
    pixels, valid = source.read(top, left, *inside)
    pixels[~valid] = fill
    missing = [(0, height - inside[0]), (0, width - inside[1])]
    if any(after for _, after in missing):
        pixels = np.pad(pixels, [*missing, (0, 0)], mode="reflect")
        valid = np.pad(valid, missing)
    if unit == BLOCK:
        return pixels, pixels, valid
    seen = cv2.resize(pixels, (shape[1] * BLOCK, shape[0] * BLOCK), interpolation=cv2.INTER_LINEAR)
    return np.asarray(seen, dtype=np.uint8), pixels, valid
