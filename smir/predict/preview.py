"""A small picture of a large prediction: the image with the classes in colour over it, and a legend."""

import cv2
import numpy as np

from smir.classes import Classes, UInt8
from smir.files.pages.overlays import Entry, Float32, blended, legend, stacked
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
        self._colors = np.zeros((*shape, 3), dtype=np.float32)
        self._known = np.zeros(shape, dtype=np.float32)  # share of each pixel of the picture that is not nodata

    def add(self, tile: Tile, labels: UInt8) -> None:
        """Adds a finished tile; nodata stays white."""
        colors = blended(tile.pixels, labels, self.classes, 2 * self.step)
        colors[~tile.valid] = 0
        top, left = tile.top // self.step, tile.left // self.step
        for canvas, values in ((self._colors, colors), (self._known, tile.valid.astype(np.float32))):
            part = self._reduced(values, tile.top, tile.left)
            canvas[top : top + part.shape[0], left : left + part.shape[1]] += part

    def _reduced(self, values: Float32, top: int, left: int) -> Float32:
        """Returns what a tile contributes to every pixel of the picture that it touches."""
        above, before = top % self.step, left % self.step
        below, behind = -(above + values.shape[0]) % self.step, -(before + values.shape[1]) % self.step
        whole = cv2.copyMakeBorder(values, above, below, before, behind, cv2.BORDER_CONSTANT, value=0)
        size = whole.shape[1] // self.step, whole.shape[0] // self.step
        return np.asarray(cv2.resize(whole, size, interpolation=cv2.INTER_AREA), dtype=np.float32)

    def picture(self, areas: Areas) -> UInt8:
        """Returns RGB (h, w, 3) with the legend below."""
        known = self._known[..., None]
        mean = np.where(known > 0, self._colors / np.where(known > 0, known, 1), 255)
        return stacked([mean.round().astype(np.uint8), legend(_lines(self.classes, areas), mean.shape[1])])


def _lines(classes: Classes, areas: Areas) -> list[Entry]:
    """Name, share and area of every class."""
    return [
        (f"{name}: {float(share):.1%}{f', {float(ground):,.1f} m2' if ground else ''}", color)
        for (_, name, _, _, share, ground, _), color in zip(areas.rows(classes), classes.colors, strict=True)
    ]
