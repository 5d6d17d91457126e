"""GeoTIFF files, read in windows, and areas in square metres. Needs rasterio, the extra `geo`."""

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from affine import loadsw
from rasterio.warp import transform as reproject

from smir.classes import UInt8
from smir.data.reading.band_choice import BandChoice
from smir.data.reading.raster import Bool, Raster
from smir.data.reading.tiff import Tiff, world_files
from smir.data.reading.tiff_colors import chosen_bands, color_bands, read_colors, refusal, unused_bands
from smir.errors import DataError, first_few

Float = npt.NDArray[np.float64]
CELL = 64
"""Side in pixels of squares in which all pixels count as equally large; even in degrees, areas change that slowly."""
_EQUAL_AREA = "EPSG:6933"
"""A projection of the whole ellipsoid in which areas are true."""
_AROUND = 2 * 17_367_530.445
"""Its width in metres."""
_ROWS = 512
"""Rows that are read at a time to look for damage."""
_MOST_WORLD = 4096
"""Characters of a world file that are read; it has six numbers."""


class Ground:
    """Areas of an image's pixels, true on the ellipsoid.

    In UTM they differ from the square of the pixel size by up to 0.1 %, in web Mercator by a factor of 2 at 45 degrees,
    and in degrees the square of the pixel size is not an area at all.

    Args:
        crs: The image's coordinate system.
        transform: From (column, row) to its coordinates, an affine transform.
    """

    def __init__(self, crs: Any, transform: Any) -> None:
        self.crs, self.transform = crs, transform

    @classmethod
    def of(cls, crs: Any, transform: Any) -> "Ground | None":
        """Returns None if the coordinate system is missing or does not say where on Earth the image is."""
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
        """Mean area of a pixel in the squares between ascending grid lines, R + 1 rows and C + 1 columns in pixels.

        Returns:
            Square metres (R, C); not finite where the projection ends.
        """
        down, across = np.meshgrid(rows, columns, indexing="ij")
        a, b, c, d, e, f = self.transform[:6]
        x, y = a * across + b * down + c, d * across + e * down + f
        try:
            east, north = reproject(self.crs, _EQUAL_AREA, x.ravel(), y.ravel())
        except Exception:  # of GDAL, whose classes rasterio does not export: there is no conversion
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


def _world(path: Path) -> Any:
    """Returns the transform of a world file beside a TIFF; None without a usable one."""
    for file in world_files(path):
        with contextlib.suppress(OSError, ValueError), file.open(encoding="ascii") as text:
            transform = loadsw(text.read(_MOST_WORLD))
            if np.isfinite([*transform]).all() and transform.determinant:
                return transform
    return None


def georeference_of(tiff: Tiff) -> dict[str, Any]:
    """Returns where an image lies, as rasterio writes it: `gcps`, or `transform`, and `crs`, where they are known."""
    file = tiff.file
    points, crs = file.gcps
    if points:
        return {"gcps": points, "crs": crs}
    found: dict[str, Any] = {} if file.crs is None else {"crs": file.crs}
    place = None if file.transform.is_identity else file.transform
    if place is None and tiff.orientation == 1:  # a world file does not say which way is up
        place = _world(tiff.path)
    return found if place is None else {**found, "transform": place}


class GeoTiffRaster(Raster):
    """A TIFF of any size, read in place, in its colours or in the bands of `choice`.

    Pixels flagged by alpha, mask or nodata count as missing.

    Raises:
        DataError: If it cannot be read, or has no 8-bit RGB or grey bands.
    """

    def __init__(self, path: Path, choice: BandChoice | None = None) -> None:
        self._tiff, self._choice = Tiff(path), choice
        self.height, self.width = self._tiff.height, self._tiff.width
        self._bands = color_bands(self._tiff) if choice is None else chosen_bands(self._tiff, choice)
        self.knows_gaps = self._tiff.has_mask or any(
            "float" in self._tiff.file.dtypes[band - 1] for band in self._bands
        )
        if choice is None and any(self._tiff.file.dtypes[band - 1] != "uint8" for band in self._bands):
            raise DataError(refusal(self._tiff))
        if choice is None and (unused := unused_bands(self._tiff)):
            self.left_out = f" Bands that are not used: {', '.join(map(str, unused))}; bands can be chosen."
        self.georeference = georeference_of(self._tiff)
        self.has_alpha = "alpha" in self._tiff.meanings
        beside = [*world_files(path), *filter(Path.is_file, [path.with_name(f"{path.name}.aux.xml")])]
        if beside and not self.georeference:
            self.left_out += (
                f" {first_few([file.name for file in beside])} is not read; gdal_translate {path.name} new.tif puts it "
                "into the file."
            )
        place = self.georeference.get("transform")
        self.ground = Ground.of(self._tiff.file.crs, place) if place is not None else None

    def read(self, top: int, left: int, height: int, width: int) -> tuple[UInt8, Bool]:
        """Reads a rectangle from the file."""
        place = top, left, height, width
        if self._choice is None:
            pixels = read_colors(self._tiff, self._bands, place)
            rgb = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=-1)
            return rgb, self._tiff.valid(*place)
        values = self._tiff.read(self._bands, *place)
        known = np.isfinite(values).all(axis=-1) & ~self._tiff.is_marked(self._bands, values)
        return self._choice.to_bytes(values), self._tiff.valid(*place) & known

    def look_through(self) -> None:
        """Reads every block once; the first that is damaged is an error."""
        for top in range(0, self.height, _ROWS):
            self.read(top, 0, min(_ROWS, self.height - top), self.width)

    def cache_bytes(self, rows: int, columns: int) -> int:
        """Returns the bytes of the blocks that a rectangle touches; strips count in their whole width."""
        return self._tiff.cache_bytes(rows, columns)
