"""What annotation tools draw: polygons, run lengths and small bitmaps, as pixels of an image."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from smir.data.reading.decode import MAX_PIXELS
from smir.errors import ConfigError, DataError

Bools = npt.NDArray[np.bool_]
Window = tuple[slice, slice]
"""Rows and columns of an image."""


class Shape(Protocol):
    """An area of an image."""

    def pixels(self, height: int, width: int) -> tuple[Window, Bools]:
        """Returns a window of an image of that size, and which of its pixels the shape covers.

        Raises:
            ValueError: If the shape cannot be one of such an image, with what is wrong with it.
        """


@dataclass(frozen=True)
class Polygon:
    """One or several outlines, of which all are filled.

    Attributes:
        outlines: Each x, y, x, y, ... in pixels; 0, 0 is the upper left corner of the upper left pixel.
    """

    outlines: Sequence[Sequence[float]]

    def pixels(self, height: int, width: int) -> tuple[Window, Bools]:
        """Pixels whose area the outlines enclose; what reaches over the border of the image is cut off."""
        points = np.array([value for outline in self.outlines for value in outline], dtype=float).reshape(-1, 2)
        low, high = points.min(axis=0), points.max(axis=0)
        size = np.array([width, height])
        if not np.isfinite(points).all() or (low < -size).any() or (high > 2 * size).any():
            raise ValueError(f"its points go from {_point(low)} to {_point(high)}, far out of the image")
        if (high < 0).any() or (low > size).any():  # on the border is what tools cut off there
            raise ValueError(f"its points go from {_point(low)} to {_point(high)}, all of them out of the image")
        left, top = (int(value) for value in np.floor(np.maximum(low, 0)))
        right, bottom = (int(value) for value in np.minimum(np.ceil(high), size))
        shifted = [(np.reshape(outline, (-1, 2)) - (left, top)).ravel().tolist() for outline in self.outlines]
        tools = coco_masks()
        drawn = tools.decode(tools.merge(tools.frPyObjects(shifted, bottom - top, right - left)))
        return (slice(top, bottom), slice(left, right)), drawn.astype(bool)


@dataclass(frozen=True)
class RunLengths:
    """A mask of the whole image in COCO's run lengths, column by column.

    Attributes:
        size: Height and width that it is for.
        counts: Lengths of the runs outside and inside in turn, or COCO's text for them.
    """

    size: tuple[int, int]
    counts: list[int] | str

    def pixels(self, height: int, width: int) -> tuple[Window, Bools]:
        """The pixels of the runs inside."""
        if self.size != (height, width):
            raise ValueError(f"its run lengths are for {self.size[1]} x {self.size[0]} pixels")
        # Not pycocotools: where the runs end early, the rest is what happens to lie in memory.
        runs = self.counts if isinstance(self.counts, list) else runs_of_text(self.counts)
        return (slice(0, height), slice(0, width)), from_row_runs(runs, width, height).T


@dataclass(frozen=True)
class Bitmap:
    """A small mask at a place in the image.

    Attributes:
        left: Column of its first pixel.
        top: Row of its first pixel.
        inside: Which pixels are inside (h, w).
    """

    left: int
    top: int
    inside: Bools

    def pixels(self, height: int, width: int) -> tuple[Window, Bools]:
        """Its pixels; it must lie within the image."""
        bottom, right = self.top + self.inside.shape[0], self.left + self.inside.shape[1]
        if self.left < 0 or self.top < 0 or bottom > height or right > width:
            raise ValueError(f"its mask goes from {self.left}, {self.top} to {right}, {bottom}, out of the image")
        return (slice(self.top, bottom), slice(self.left, right)), self.inside


def box(left: float, top: float, right: float, bottom: float) -> Polygon:
    """A rectangle, corners in any order."""
    return Polygon([[left, top, right, top, right, bottom, left, bottom]])


def ellipse(x: float, y: float, radius_x: float, radius_y: float) -> Polygon:
    """An ellipse, as an outline of 90 points."""
    angles = np.linspace(0, 2 * math.pi, 90, endpoint=False)
    points = np.stack([x + radius_x * np.cos(angles), y + radius_y * np.sin(angles)], axis=1)
    return Polygon([points.ravel().tolist()])


def turned(polygon: Polygon, degrees: float) -> Polygon:
    """A polygon turned about the middle of its points, clockwise as the image is seen."""
    angle = math.radians(degrees)
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    points = [np.reshape(outline, (-1, 2)) for outline in polygon.outlines]
    middle = np.concatenate(points).mean(axis=0)
    return Polygon([((each - middle) @ turn + middle).ravel().tolist() for each in points])


def from_row_runs(runs: Sequence[int], height: int, width: int) -> Bools:
    """Decodes run lengths, row by row and the first one outside, to a mask (h, w).

    Raises:
        ValueError: If they do not fill the mask.
    """
    if min(runs, default=0) < 0 or sum(runs) != height * width or height * width > MAX_PIXELS:
        raise ValueError(f"its run lengths add up to {sum(runs)} of {height * width} pixels")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)


def runs_of_text(text: str) -> list[int]:
    """Decodes COCO's text for run lengths.

    A number is written in groups of 5 bits, the lowest first: each is a character from `0` (48) on, with 32 more where
    another follows; the highest bit of the last is the sign. From the fourth number on, it is the difference to the one
    two before.

    Raises:
        ValueError: If it is no such text.
    """
    runs: list[int] = []
    value = place = 0
    for character in text:
        group = ord(character) - 48
        if not 0 <= group < 64:
            raise ValueError(f"its run lengths hold the character {character!r}")
        value |= (group & 31) << place
        place += 5
        if group & 32:
            continue
        value -= (group & 16) << (place - 4)
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = place = 0
    if place:
        raise ValueError("its run lengths end in the middle of a number")
    return runs


def coco_masks() -> Any:
    """COCO's own code for polygons.

    Raises:
        ConfigError: If it is not installed.
    """
    try:
        from pycocotools import mask
    except ImportError as error:
        raise ConfigError(
            "Drawing polygons needs pycocotools, which is not installed: pip install 'smir[labels]'. "
            "Labels as PNG masks do without."
        ) from error
    return mask


def _point(xy: npt.NDArray[np.float64]) -> str:
    return f"({xy[0]:g}, {xy[1]:g})"


def numbers(values: object, path: object, where: str) -> list[float]:
    """Checks that something read from a file is a list of finite numbers.

    Raises:
        DataError: If it is not, with the file and the place in it.
    """
    if isinstance(values, list) and all(
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) for value in values
    ):
        return values
    raise DataError(f"{path}: {where} should be a list of numbers, got {str(values)[:80]}.")
