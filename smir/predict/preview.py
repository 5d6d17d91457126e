"""A small picture of a large prediction: the image with the classes in colour over it, and a legend."""

from typing import Any

import numpy as np
import numpy.typing as npt

from smir.classes import Classes, UInt8
from smir.files.pages.overlays import Entry, blend, legend, stacked
from smir.predict.areas import Areas
from smir.predict.sweep import Tile

LONGEST = 2000
"""Pixels of the longest side."""


class Preview:
    """Collects the tiles of an image into a picture, whose pixels are means over the image's."""

    def __init__(self, height: int, width: int, classes: Classes) -> None:
        self.classes = classes
        self.step = -(-max(height, width) // LONGEST)
        shape = -(-height // self.step), -(-width // self.step)
        self._sums = np.zeros((*shape, 3), dtype=np.float32)
        self._counts = np.zeros((*shape, 1), dtype=np.float32)

    def add(self, tile: Tile, labels: UInt8) -> None:
        """Adds a finished tile; nodata stays white."""
        first = tile.top // self.step, tile.left // self.step
        colors = blend(tile.pixels, labels, self.classes, 2 * self.step) * tile.valid[..., None]
        for canvas, values in ((self._sums, colors), (self._counts, tile.valid[..., None])):
            part = self._summed(self._summed(values, tile.top, 0), tile.left, 1)
            height, width = part.shape[:2]
            canvas[first[0] : first[0] + height, first[1] : first[1] + width] += part

    def _summed(self, values: npt.NDArray[Any], offset: int, axis: int) -> npt.NDArray[np.float32]:
        """Sums the pixels along an axis that belong to one pixel of the picture."""
        inside = np.arange(-(offset % self.step), values.shape[axis], self.step).clip(min=0)
        sums: npt.NDArray[np.float32] = np.add.reduceat(values, inside, axis=axis, dtype=np.float32)
        return sums

    def picture(self, areas: Areas) -> UInt8:
        """Returns RGB (h, w, 3) with the legend below."""
        mean = np.where(self._counts > 0, self._sums / self._counts.clip(min=1), 255)
        return stacked([mean.round().astype(np.uint8), legend(_lines(self.classes, areas), mean.shape[1])])


def _lines(classes: Classes, areas: Areas) -> list[Entry]:
    """Name, share and area of every class."""
    return [
        (f"{name}: {float(share):.1%}{f', {float(ground):,.1f} m2' if ground else ''}", color)
        for (_, name, _, _, share, ground, _), color in zip(areas.rows(classes), classes.colors, strict=True)
    ]
