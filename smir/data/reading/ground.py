"""Areas in square metres for georeferenced images, anywhere on Earth and in any projection. Needs rasterio."""

from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.warp import transform as reproject

Float = npt.NDArray[np.float64]
CELL = 64
"""Pixels of the squares of one area per pixel: also in degrees, or in Mercator's projection, it changes slowly."""
_EQUAL_AREA = "EPSG:6933"
"""A projection of the whole ellipsoid in which areas are true."""
_AROUND = 2 * 17_367_530.445
"""Its width in metres."""


class Ground:
    """Areas of an image's pixels, true on the ellipsoid.

    In UTM they differ from the square of the pixel size by up to 0.1 %, in web Mercator by a factor of 2 at 45
    degrees, and in degrees the square of the pixel size is no area at all.

    Args:
        crs: The image's coordinate system.
        transform: From (column, row) to its coordinates, an affine transform.
    """

    def __init__(self, crs: Any, transform: Any) -> None:
        self.crs, self.transform = crs, transform

    @classmethod
    def of(cls, crs: Any, transform: Any) -> "Ground | None":
        """Gives nothing where the coordinate system is missing or does not say where on Earth it is."""
        if crs is None:
            return None
        ground = cls(crs, transform)
        area = ground.pixel_areas(np.array([0.0, 1.0]), np.array([0.0, 1.0]))
        return ground if np.isfinite(area).all() and area.min() > 0 else None

    def cells(self, top: int, left: int, shape: tuple[int, int]) -> tuple[Float, int]:
        """Mean area of a pixel in the cells of a rectangle, in square metres, and the side of a cell in pixels."""
        rows, columns = (
            first + np.append(np.arange(0, side, CELL), side).astype(float)
            for first, side in zip((top, left), shape, strict=True)
        )
        return self.pixel_areas(rows, columns), CELL

    def pixel_areas(self, rows: Float, columns: Float) -> Float:
        """Mean area of a pixel in the squares between grid lines.

        Args:
            rows: Ascending rows (R + 1,) of the lines, in pixels.
            columns: Ascending columns (C + 1,) of the lines.

        Returns:
            Square metres (R, C); not finite where the projection ends.
        """
        down, across = np.meshgrid(rows, columns, indexing="ij")
        a, b, c, d, e, f = self.transform[:6]
        x, y = a * across + b * down + c, d * across + e * down + f
        try:
            east, north = reproject(self.crs, _EQUAL_AREA, x.ravel(), y.ravel())
        except Exception:  # GDAL's own, of classes that rasterio keeps to itself: there is no way to the ellipsoid
            return np.full((len(rows) - 1, len(columns) - 1), np.nan)
        corners = np.stack([np.reshape(east, down.shape), np.reshape(north, down.shape)])
        first = _short_way(corners[:, 1:, 1:] - corners[:, :-1, :-1])
        second = _short_way(corners[:, 1:, :-1] - corners[:, :-1, 1:])
        squares = np.abs(first[0] * second[1] - first[1] * second[0]) / 2
        pixels = np.diff(rows)[:, None] * np.diff(columns)
        areas: Float = squares / pixels
        return areas


def _short_way(steps: Float) -> Float:
    """Steps (2, R, C) to the east and north; those across the date line do not go around the Earth."""
    steps[0] = (steps[0] + _AROUND / 2) % _AROUND - _AROUND / 2
    return steps
