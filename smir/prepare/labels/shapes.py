"""Annotations of any tool: polygons, run lengths and small bitmaps, and the label images drawn from them."""

import dataclasses
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from smir.classes import Color, UInt8
from smir.data.reading.safe_open import MAX_PIXELS
from smir.errors import ConfigError, DataError
from smir.prepare.labels.classes import ClassTable

Bools = npt.NDArray[np.bool_]
LARGEST = 1 << 30
"""Most bytes of an annotation file; a COCO file holds a whole dataset."""
_MOST_BITS = 60
"""Bits of a run length as text."""
_LARGEST = 1e15
"""Largest number of pixels or coordinate that is read from a file."""
Window = tuple[slice, slice]
"""Rows and columns of an image."""


class Shape(Protocol):
    """An area of an image."""

    def pixels(self, height: int, width: int) -> tuple[Window, Bools]:
        """Returns a window of an image of that size, and the pixels in it that the shape covers.

        Raises:
            ValueError: If the shape does not fit into the image.
        """


@dataclass(frozen=True)
class Polygon:
    """One or several filled outlines.

    Attributes:
        outlines: Each x, y, x, y, ... in pixels; 0, 0 is the upper left corner of the upper left pixel.
    """

    outlines: Sequence[Sequence[float]]

    def pixels(self, height: int, width: int) -> tuple[Window, Bools]:
        """Returns the pixels that the outlines enclose, clipped to the image."""
        points = np.array([value for outline in self.outlines for value in outline], dtype=float).reshape(-1, 2)
        low, high = points.min(axis=0), points.max(axis=0)
        _refuse_outside(low, high, (width, height))
        if low.min() >= 0 and high.max() <= 1:
            raise ValueError("it lies within one pixel, so its coordinates are shares of the image, not pixels")
        left, top = (int(value) for value in np.floor(np.maximum(low, 0)))
        right, bottom = (int(value) for value in np.minimum(np.ceil(high), (width, height)))
        shifted = [(np.reshape(outline, (-1, 2)) - (left, top)).ravel().tolist() for outline in self.outlines]
        tools = coco_masks()
        drawn = tools.decode(tools.merge(tools.frPyObjects(shifted, bottom - top, right - left)))
        return (slice(top, bottom), slice(left, right)), drawn.astype(bool)


@dataclass(frozen=True)
class RunLengths:
    """A mask of the whole image in COCO's run lengths, column by column.

    Attributes:
        size: Height and width of its image.
        counts: Lengths of the runs, outside and inside in turn, or COCO's text for them.
    """

    size: tuple[int, int]
    counts: list[int] | str

    def pixels(self, height: int, width: int) -> tuple[Window, Bools]:
        """Returns the pixels of the inside runs."""
        if self.size != (height, width):
            raise ValueError(f"its run lengths are for {self.size[1]} x {self.size[0]} pixels")
        # Not pycocotools: if the runs end early, it returns uninitialised memory.
        runs = self.counts if isinstance(self.counts, list) else runs_of_text(self.counts)
        return (slice(0, height), slice(0, width)), from_row_runs(runs, width, height).T


@dataclass(frozen=True)
class Bitmap:
    """A small mask (h, w), whose first pixel lies at row `top` and column `left` of the image."""

    left: int
    top: int
    inside: Bools

    def pixels(self, height: int, width: int) -> tuple[Window, Bools]:
        """Returns its pixels, clipped to the image."""
        low = np.array([self.left, self.top], dtype=float)
        _refuse_outside(low, low + self.inside.shape[::-1], (width, height))
        top, left = max(self.top, 0), max(self.left, 0)
        inside = self.inside[top - self.top : height - self.top, left - self.left : width - self.left]
        return (slice(top, top + inside.shape[0]), slice(left, left + inside.shape[1])), inside


@dataclass(frozen=True)
class Drawn:
    """A shape with its category, and its place in the file for messages."""

    category: str
    shape: Shape
    where: str


@dataclass(frozen=True)
class Annotated:
    """The annotations of one image.

    Attributes:
        image: Name of the image in the file.
        size: Height and width of the image; None if the file does not say.
        shapes: The shapes; later ones lie on top.
        source: The file.
        also: Another name of the image in the file, which counts if no other image has it.
    """

    image: str
    size: tuple[int, int] | None
    shapes: list[Drawn]
    source: Path
    also: str | None = None


@dataclass
class Annotations:
    """The content of one or more annotation files.

    Attributes:
        title: Name of the format.
        images: The annotations of each image.
        declared: Categories that the files declare, in order, with or without a shape.
        left_out: Number of shapes without an area, by kind.
        colors: Colours of categories, where the files give some.
        notes: Lines for the user.
    """

    title: str
    images: list[Annotated] = dataclasses.field(default_factory=list)
    declared: list[str] = dataclasses.field(default_factory=list)
    left_out: Counter[str] = dataclasses.field(default_factory=Counter)
    colors: dict[str, Color] = dataclasses.field(default_factory=dict)
    notes: list[str] = dataclasses.field(default_factory=list)

    def add(self, other: "Annotations") -> None:
        """Adds the content of another file of the same format."""
        self.images += other.images
        self.declared += [name for name in other.declared if name not in self.declared]
        self.left_out += other.left_out
        self.notes += other.notes
        self.colors = other.colors | self.colors

    def kinds_left_out(self) -> str:
        """Lists the kinds of shapes without an area, with their numbers."""
        return ", ".join(f"{kind} ({count})" for kind, count in sorted(self.left_out.items()))

    def used(self) -> Counter[str]:
        """Counts the shapes of each category."""
        return Counter(drawn.category for image in self.images for drawn in image.shapes)


def draw(annotated: Annotated, size: tuple[int, int], table: ClassTable) -> UInt8:
    """Draws the shapes of an image of that height and width as class ids (H, W), on background.

    Raises:
        DataError: If a shape does not fit into the image.
    """
    label = np.full(size, table.background, dtype=np.uint8)
    for drawn in annotated.shapes:
        try:
            window, inside = drawn.shape.pixels(*size)
        except ValueError as error:
            height, width = size
            raise DataError(
                f"{annotated.source}: {drawn.where} ({drawn.category}) does not fit its image {annotated.image} of "
                f"{width} x {height} pixels: {error}. Was it drawn on another version of the image? Correct or delete "
                "it in the annotation tool and export again."
            ) from error
        label[window][inside] = table.ids[drawn.category]
    return label


def box(left: float, top: float, right: float, bottom: float) -> Polygon:
    """Returns a rectangle; corners may come in any order."""
    return Polygon([[left, top, right, top, right, bottom, left, bottom]])


def ellipse(x: float, y: float, radius_x: float, radius_y: float) -> Polygon:
    """Returns an ellipse, as an outline of 90 points."""
    angles = np.linspace(0, 2 * math.pi, 90, endpoint=False)
    points = np.stack([x + radius_x * np.cos(angles), y + radius_y * np.sin(angles)], axis=1)
    return Polygon([points.ravel().tolist()])


def turned(polygon: Polygon, degrees: float) -> Polygon:
    """Rotates a polygon about the mean of its points, clockwise as displayed."""
    angle = math.radians(degrees)
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    points = [np.reshape(outline, (-1, 2)) for outline in polygon.outlines]
    middle = np.concatenate(points).mean(axis=0)
    return Polygon([((each - middle) @ turn + middle).ravel().tolist() for each in points])


def _refuse_outside(low: npt.NDArray[np.float64], high: npt.NDArray[np.float64], size: tuple[int, int]) -> None:
    """Raises a `ValueError` if a shape lies outside an image of that width and height, or reaches far beyond it."""
    # Tools let shapes pass the border a bit.
    reach = f"it goes from {_point(low)} to {_point(high)}"
    if not np.isfinite([low, high]).all() or (low < np.negative(size)).any() or (high > np.multiply(size, 2)).any():
        raise ValueError(f"{reach}, far outside the image")
    beside = ((high <= 0) | (low >= size)) & (high > low)  # a tool may cut a shape off at the border, to no width
    if beside.any() or (high < 0).any() or (low > size).any():
        raise ValueError(f"{reach}, all of it outside the image")


def from_row_runs(runs: Sequence[int], height: int, width: int) -> Bools:
    """Decodes run lengths, row by row, the first one outside, to a mask (h, w).

    Raises:
        ValueError: If they do not fill the mask.
    """
    if min(height, width, min(runs, default=0)) < 0:
        raise ValueError("its size or one of its run lengths is negative")
    if sum(runs) != height * width or height * width > MAX_PIXELS:
        raise ValueError(f"its run lengths add up to {sum(runs)} of {height * width} pixels")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)


def runs_of_text(text: str) -> list[int]:
    """Decodes COCO's text for run lengths.

    A number is written in groups of 5 bits, lowest first. Each group is a character from `0` (48) on, plus 32 if
    another group follows; the highest bit of the last group is the sign. From the fourth number on, the difference to
    the number two places before is stored.

    Raises:
        ValueError: If the text is malformed.
    """
    runs: list[int] = []
    value = place = 0  # without a limit, a number of many groups takes quadratic time
    for character in text:
        group = ord(character) - 48
        if not 0 <= group < 64:
            raise ValueError(f"its run lengths hold the character {character!r}")
        value |= (group & 31) << place
        place += 5
        if place > _MOST_BITS:
            raise ValueError(f"its run lengths hold a number of more than {_MOST_BITS} bits")
        if group & 32:
            continue
        value -= (group & 16) << (place - 4)
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = place = 0
    if place:
        raise ValueError("its run lengths end in the middle of a number")
    return runs


def coco_masks() -> Any:
    """Imports COCO's code for polygons, or raises a `ConfigError` if it is not installed."""
    try:
        from pycocotools import mask
    except ImportError as error:
        raise ConfigError(
            "Drawing polygons needs pycocotools, which is not installed: pip install 'smir[labels]'. "
            "PNG masks do not need it."
        ) from error
    return mask


def _point(xy: npt.NDArray[np.float64]) -> str:
    return f"({xy[0]:g}, {xy[1]:g})"


def numbers(values: object, path: object, where: str) -> list[float]:
    """Returns a list read from a file if it holds only finite numbers; otherwise raises a `DataError`."""
    if isinstance(values, list) and all(
        isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST for value in values
    ):
        return values
    raise DataError(f"{path}: {where} should be a list of numbers, got {str(values)[:80]}.")


def whole(stored: object) -> int | None:
    """Returns a whole number read from a file, which may be stored as 96.0 or "96"; None if it is something else."""
    if isinstance(stored, str) and re.fullmatch(r"-?[0-9]{1,15}(\.0*)?", stored.strip()):
        stored = float(stored)
    if isinstance(stored, bool) or not isinstance(stored, int | float) or not abs(stored) < _LARGEST:
        return None
    return int(stored) if stored == int(stored) else None
