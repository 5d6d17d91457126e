"""Outlines of the parts of a tile: exact along the pixels, or simplified so that neighbours keep their common border.

Coordinates are pixels; 0, 0 is the upper left corner of the upper left pixel.
"""

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import shapely
from rasterio import features
from rasterio.transform import Affine
from shapely.geometry import Polygon, shape

from smir.predict.regions import Ids

Ring = list[list[int]]
_STRIP = 1 << 22
"""Pixels that are drawn at a time."""


def outlines(parts: Ids, top: int, left: int, tolerance: float) -> list[Polygon]:
    """Returns the polygon of each part of a tile whose first pixel lies at that row and column.

    `parts` (h, w) are numbered from 0; the list has the polygon of part n at place n.

    The border of the tile stays as it is, so that parts in neighbouring tiles fit together. A pixel whose centre is
    farther than the tolerance from every border keeps its part; with a tolerance of 0, all pixels do.
    """
    exact = np.empty(int(parts.max()) + 1, dtype=object)
    for traced, number in features.shapes(parts, connectivity=4):
        exact[int(number)] = shape(traced)
    found = _simplified(parts, exact, tolerance) if tolerance else exact
    moved: list[Polygon] = shapely.transform(found, lambda points: points + np.array([left, top])).tolist()
    return moved


def _simplified(parts: Ids, exact: npt.NDArray[Any], tolerance: float) -> npt.NDArray[Any]:
    """Removes corners with the algorithm of Visvalingam and Whyatt, which bounds areas, and checks the distance."""
    corners = shapely.transform(shapely.segmentize(exact, 1.0), np.round)  # neighbours must share every corner
    reach = tolerance + 0.5  # between the centres of a pixel and of one beyond the border
    offsets = np.mgrid[-int(reach) : int(reach) + 1, -int(reach) : int(reach) + 1]
    near = (np.hypot(*offsets) <= reach).astype(np.uint8)
    numbers = parts.astype(np.float32)
    inner = cv2.erode(numbers, near) == cv2.dilate(numbers, near)
    strength = tolerance
    while strength > 0.5:  # below, no corner of a pixel goes
        found = shapely.coverage_simplify(corners, strength, simplify_boundary=False)
        drawn = features.rasterize(zip(found, range(len(found)), strict=True), parts.shape, fill=-1, dtype="int32")
        if not (inner & (drawn != parts)).any():
            return np.asarray(found)
        strength /= 2
    return exact


def rings(parts: Sequence[Polygon], min_area: int) -> list[Ring]:
    """Returns the outline of a region, then its holes of at least `min_area` pixels, from its parts in all tiles."""
    whole = shapely.union_all(parts) if len(parts) > 1 else parts[0]
    holes = [ring for ring in whole.interiors if Polygon(ring).area >= min_area]
    return [_corners(ring) for ring in (whole.exterior, *holes)]  # the outline always: simplifying may shrink it


def _corners(ring: Any) -> Ring:
    """Returns the points at which the direction changes."""
    points = np.rint(shapely.get_coordinates(ring)[:-1]).astype(int)
    (x, y), (u, v) = (points - np.roll(points, 1, axis=0)).T, (np.roll(points, -1, axis=0) - points).T
    corners: Ring = points[x * v != y * u].tolist()
    return corners


def runs(polygon: Polygon, box: tuple[int, int, int, int], image: tuple[int, int] | None = None) -> list[int]:
    """Returns the lengths of the runs of pixels outside and inside a polygon in turn.

    Args:
        polygon: The polygon.
        box: Left, top, width and height of its bounds; the runs go through it row by row.
        image: Height and width of the image, if the runs go through that column by column; only the box is drawn.
    """
    left, top, width, height = box
    lines, length = (width, height) if image else (height, width)
    stride, begin, total = (image[0], left * image[0] + top, math.prod(image)) if image else (width, 0, width * height)
    edges: list[npt.NDArray[np.int64]] = []
    step = max(1, _STRIP // length)
    for first in range(0, lines, step):
        count = min(step, lines - first)
        size, place = ((height, count), (left + first, top)) if image else ((count, width), (left, top + first))
        inside = features.rasterize([polygon], size, transform=Affine.translation(*place))
        ended = np.pad(inside.T if image else inside, ((0, 0), (0, 1)))  # every line ends outside
        line, place_in_line = np.divmod(np.flatnonzero(np.diff(ended.ravel(), prepend=np.uint8(0))), length + 1)
        edges.append(begin + (first + line) * stride + place_in_line)
    places, times = np.unique(np.concatenate(edges), return_counts=True)  # twice: the next line begins inside
    kept = places[(times == 1) & (places < total)]
    lengths: list[int] = np.diff(kept, prepend=0, append=total).tolist()
    return lengths
