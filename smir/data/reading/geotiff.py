"""GeoTIFF files, read in windows, and areas in square metres. Needs rasterio, the extra `geo`."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.warp import transform as reproject
from rasterio.windows import Window

from smir.classes import UInt8
from smir.data.reading.raster import Bool, Raster
from smir.errors import DataError
from smir.terminal import quiet

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
        """Mean area of a pixel in the squares between ascending grid lines, R + 1 rows and C + 1 columns in pixels.

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


_COLORS = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)


class GeoTiffRaster(Raster):
    """A TIFF of any size, read in place. Pixels flagged by alpha, mask or nodata count as missing.

    Raises:
        DataError: If it cannot be read, or has no 8-bit RGB or grey bands.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with quiet(NotGeoreferencedWarning):
                self._file = rasterio.open(path, driver="GTiff")
        except RasterioError as error:
            raise DataError(f"The image {path} cannot be read as a TIFF: {error}. Copy it again.") from error
        self.height, self.width = self._file.height, self._file.width
        self._bands = self._color_bands()
        self._has_mask = any(flags != [MaskFlags.all_valid] for flags in self._file.mask_flag_enums)
        self.georeference = self._georeference()
        self.ground = Ground.of(self._file.crs, self._file.transform) if "transform" in self.georeference else None

    def read(self, top: int, left: int, height: int, width: int) -> tuple[UInt8, Bool]:
        """Reads a rectangle from the file."""
        window = Window(left, top, width, height)
        try:
            pixels = self._file.read(self._bands, window=window)
            valid = self._file.dataset_mask(window=window) > 0 if self._has_mask else np.ones((height, width), bool)
        except RasterioError as error:
            raise DataError(
                f"The image {self.path} is damaged or cut short: rows {top} to {top + height}, columns {left} to "
                f"{left + width} cannot be read ({error.__cause__ or error}). Copy it again from its source."
            ) from error
        return np.ascontiguousarray(pixels.transpose(1, 2, 0)), valid

    def look_through(self) -> None:
        """Reads every block once; the first that is damaged is an error."""
        for _, block in self._file.block_windows(1):
            self.read(block.row_off, block.col_off, block.height, block.width)

    def cache_bytes(self, rows: int, columns: int) -> int:
        """The blocks of the file under a rectangle; under a row of them if its blocks are strips."""
        block_height, block_width = self._file.block_shapes[0]
        across = self.width if block_width >= self.width else columns + 2 * block_width
        return int((rows + 2 * block_height) * across * self._file.count)

    def _color_bands(self) -> list[int]:
        """Numbers of the red, green and blue band; of a grey image three times the same."""
        file, meanings = self._file, list(self._file.colorinterp)
        if set(_COLORS) <= set(meanings):
            bands = [meanings.index(color) + 1 for color in _COLORS]
        elif meanings[0] == ColorInterp.gray and set(meanings[1:]) <= {ColorInterp.alpha}:
            bands = [1, 1, 1]
        elif meanings == [ColorInterp.palette]:
            raise DataError(self._refusal("Write its colours out: gdal_translate -expand rgb"))
        else:
            raise DataError(
                self._refusal(
                    "Say which bands are red, green and blue, e.g. the third, second and first: gdal_translate -b 3 "
                    f"-b 2 -b 1 -colorinterp red,green,blue{self._to_bytes(file.indexes)}"
                )
            )
        if scaling := self._to_bytes(bands):
            raise DataError(
                self._refusal(
                    "Bring it to 8 bits as the training images were (of those with 16 bits smir keeps the high byte): "
                    f"gdal_translate{scaling}"
                )
            )
        return bands

    def _to_bytes(self, bands: Iterable[int]) -> str:
        """Options of gdal_translate that bring bands to 8 bits; none where they are."""
        kinds = {self._file.dtypes[band - 1] for band in bands} - {"uint8"}
        # Without a range -scale stretches every band by itself, and every map in another way.
        span = "0 65535" if kinds == {"uint16"} else "LOWEST HIGHEST"
        return f" -ot Byte -scale {span} 0 255" if kinds else ""

    def _refusal(self, remedy: str) -> str:
        pairs = zip(self._file.colorinterp, self._file.dtypes, strict=True)
        found = ", ".join(f"{meaning.name} ({dtype})" for meaning, dtype in pairs)
        target = "rgb.tif" if self.path.name != "rgb.tif" else "bytes.tif"
        return (
            f"The image {self.path} has {self._file.count} bands: {found}. Red, green and blue (or grey alone) of 8 "
            f"bits are needed; alpha and further bands may stand beside them. {remedy} {self.path.name} {target}"
        )

    def _georeference(self) -> dict[str, Any]:
        file = self._file
        points, crs = file.gcps
        if points:
            return {"gcps": points, "crs": crs}
        found: dict[str, Any] = {} if file.crs is None else {"crs": file.crs}
        return found if file.transform.is_identity else {**found, "transform": file.transform}
