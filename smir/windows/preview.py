"""A small picture of a large prediction: the image with the classes in colour over it, and a legend."""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from smir.pictures import blend
from smir.preprocessing import Classes, UInt8
from smir.windows.areas import Areas
from smir.windows.sweep import Tile

LONGEST = 2000
"""Pixels of the longest side."""
_LINE, _SWATCH = 26, 18


class Preview:
    """Collects the tiles of an image into a picture. A pixel is the mean of those it stands for.

    Args:
        height: Pixels of the image.
        width: Pixels of the image.
        classes: Names and colours.
    """

    def __init__(self, height: int, width: int, classes: Classes) -> None:
        self.classes = classes
        self.step = -(-max(height, width) // LONGEST)
        shape = -(-height // self.step), -(-width // self.step)
        self._sums = np.zeros((*shape, 3), dtype=np.float32)
        self._counts = np.zeros((*shape, 1), dtype=np.float32)

    def add(self, tile: Tile, labels: UInt8) -> None:
        """Adds a finished tile; what holds no data stays white."""
        first = tile.top // self.step, tile.left // self.step
        colors = blend(tile.pixels, labels, self.classes) * tile.valid[..., None]
        for canvas, values in ((self._sums, colors), (self._counts, tile.valid[..., None])):
            part = self._summed(self._summed(values, tile.top, 0), tile.left, 1)
            height, width = part.shape[:2]
            canvas[first[0] : first[0] + height, first[1] : first[1] + width] += part

    def _summed(self, values: npt.NDArray[Any], offset: int, axis: int) -> npt.NDArray[np.float32]:
        """Sums pixels along an axis that fall on the same pixel of the picture."""
        inside = np.arange(-(offset % self.step), values.shape[axis], self.step).clip(min=0)
        sums: npt.NDArray[np.float32] = np.add.reduceat(values, inside, axis=axis, dtype=np.float32)
        return sums

    def picture(self, areas: Areas) -> UInt8:
        """RGB (h, w, 3), the legend below; wide enough for it."""
        mean = np.where(self._counts > 0, self._sums / self._counts.clip(min=1), 255)
        legend = _legend(mean.shape[1], self.classes, areas)
        beside = [(0, 0), (0, legend.shape[1] - mean.shape[1]), (0, 0)]
        return np.concatenate([np.pad(mean.round().astype(np.uint8), beside, constant_values=255), legend])


def _legend(width: int, classes: Classes, areas: Areas) -> UInt8:
    """A line for every class: its colour, name, share and area; several beside each other where there is room.

    RGB (h, w, 3), wider than asked for where an entry needs it.
    """
    entries = []
    for row, color in zip(areas.rows(classes), classes.colors, strict=True):
        ground = f", {float(row[5]):,.1f} m2" if row[5] else ""
        entries.append((f"{row[1]}: {float(row[4]):.1%}{ground}", color))
    column = 9 * max(len(text) for text, _ in entries) + 2 * _SWATCH
    width = max(width, column)
    per_line = width // column
    lines = -(-len(entries) // per_line)
    canvas = np.full((lines * _LINE + 8, width, 3), 255, dtype=np.uint8)
    for place, (text, color) in enumerate(entries):
        left, top = 4 + place % per_line * column, 4 + place // per_line * _LINE
        corner = left + _SWATCH, top + _SWATCH
        cv2.rectangle(canvas, (left, top), corner, color, cv2.FILLED)
        cv2.rectangle(canvas, (left, top), corner, (128, 128, 128))
        where = left + _SWATCH + 8, top + 14
        cv2.putText(canvas, text, where, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    return canvas
