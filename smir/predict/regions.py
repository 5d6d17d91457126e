"""Connected regions of each class, joined over the tiles of a sweep.

Memory holds the regions of one row of tiles, and those that reach into the next row.
"""

import dataclasses
from collections.abc import Callable, Collection, Sequence
from itertools import zip_longest
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from smir.classes import UInt8
from smir.predict.sweep import Tile

Ids = npt.NDArray[np.int32]
Float = npt.NDArray[np.floating[Any]]


@dataclasses.dataclass
class Region:
    """Pixels of one class that touch side by side.

    Attributes:
        class_id: The class, or void.
        pixels: Number of pixels.
        certainty: Sum of the pixels' probabilities of the class.
        square_metres: Area on the ground.
        outlines: Polygons of the parts in different tiles.
    """

    class_id: int
    pixels: int
    certainty: float
    square_metres: float
    outlines: list[Any]

    def join(self, other: "Region") -> None:
        """Takes the pixels of another part."""
        self.pixels += other.pixels
        self.certainty += other.certainty
        self.square_metres += other.square_metres
        self.outlines += other.outlines


class Regions:
    """Finds the regions of an image, tile by tile.

    Args:
        height: Rows of the image.
        width: Columns of the image.
        finish: Takes every region as soon as it is complete.
        outline: Returns the polygons of numbered parts (h, w) of a tile, whose first row and column follow; default:
            regions without outlines.
        without: Classes whose outlines are not kept.
    """

    def __init__(
        self,
        height: int,
        width: int,
        finish: Callable[[Region], None],
        outline: Callable[[Ids, int, int], Sequence[Any]] | None = None,
        without: Collection[int | None] = (),
    ) -> None:
        self.height, self.width, self.finish, self.outline, self.without = height, width, finish, outline, without
        self._above = np.zeros(width, dtype=np.int64)  # number of the part at the bottom of each column
        self._beside = np.zeros(0, dtype=np.int64)
        self._regions: dict[int, Region] = {}
        self._joined: dict[int, int] = {}
        self._next = 0

    def add(self, tile: Tile, labels: UInt8, certainty: Float | None = None, pixel_areas: Float | None = None) -> None:
        """Adds a tile with its class ids and void (h, w), in the order of a sweep.

        `certainty` is the probability of the class of each pixel (h, w), `pixel_areas` its square metres.
        """
        parts, classes = connected(labels)
        sums = [
            np.zeros(len(classes)) if weights is None else np.bincount(parts.ravel(), weights.ravel(), len(classes))
            for weights in (certainty, pixel_areas)
        ]
        pixels = np.bincount(parts.ravel(), minlength=len(classes)).tolist()
        outlines = () if self.outline is None else self.outline(parts, tile.top, tile.left)
        of_parts = zip_longest(classes, pixels, sums[0].tolist(), sums[1].tolist(), outlines)
        for number, (class_id, count, certain, area, outline) in enumerate(of_parts, self._next):
            kept = [] if outline is None or class_id in self.without else [outline]
            self._regions[number] = Region(class_id, count, certain, area, kept)
        numbers = parts + np.int64(self._next)
        self._next += len(classes)
        columns = slice(tile.left, tile.left + labels.shape[1])
        if tile.top:
            self._join(self._above[columns], numbers[0])
        if tile.left:
            self._join(self._beside, numbers[:, 0])
        self._above[columns], self._beside = numbers[-1], numbers[:, -1]
        if columns.stop == self.width:
            self._finish_row(tile.top + len(labels) == self.height)

    def _join(self, before: npt.NDArray[np.int64], numbers: npt.NDArray[np.int64]) -> None:
        for pair in np.unique(np.stack([before, numbers]), axis=1).T.tolist():
            one, other = map(self._root, pair)
            if one == other or self._regions[one].class_id != self._regions[other].class_id:
                continue
            if len(self._regions[one].outlines) < len(self._regions[other].outlines):
                one, other = other, one
            self._regions[one].join(self._regions.pop(other))
            self._joined[other] = one

    def _root(self, number: int) -> int:
        while number in self._joined:
            number = self._joined[number]
        return number

    def _finish_row(self, is_last: bool) -> None:
        numbers, places = np.unique(self._above, return_inverse=True)
        self._above = np.array([self._root(number) for number in numbers.tolist()])[places]
        going_on = set() if is_last else set(self._above.tolist())
        for number in [number for number in self._regions if number not in going_on]:
            self.finish(self._regions.pop(number))
        self._joined.clear()


def connected(labels: UInt8) -> tuple[Ids, list[int]]:
    """Numbers the connected parts of labels (h, w) from 0, and returns the class of each."""
    parts, classes = np.zeros(labels.shape, dtype=np.int32), list[int]()
    for class_id in np.bincount(labels.ravel()).nonzero()[0].tolist():  # many times as fast as np.unique
        inside = labels == class_id
        count, found = cv2.connectedComponents(inside.view(np.uint8), connectivity=4, ltype=cv2.CV_32S)
        np.add(found, len(classes) - 1, out=parts, where=inside)
        classes += [class_id] * (count - 1)
    return parts, classes
