"""Reads position and valid pixels of a GeoTIFF, with rasterio (the extra `geo`)."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from smir.data.reading.band_choice import BandChoice
from smir.data.reading.raster import Bool
from smir.data.reading.tiff import Tiff, has_rasterio
from smir.errors import DataError
from smir.files.pictures import is_tiff
from smir.terminal import progress

_TOLERANCE = 0.5
"""Allowed offset of two grids in pixels: programs round, or refer to the centre of a pixel."""


def check_same_place(label: Path, image: Path) -> None:
    """Checks that a label image and its image share one grid, if both are georeferenced.

    Raises:
        DataError: If their coordinate systems, pixel sizes or corners differ, or one cannot be read.
    """
    if not (has_rasterio() and is_tiff(label) and is_tiff(image)):
        return
    if found := _differences(Tiff(label, "label"), Tiff(image)):
        raise DataError(
            f"The label image {label.absolute()} does not lie where its image {image.absolute()} lies: "
            f"{'; '.join(found)}. Export it on the same grid: same coordinate system, extent and pixel size."
        )


def _differences(label: Tiff, image: Tiff) -> list[str]:
    from smir.data.reading.geotiff import georeference_of  # it imports rasterio, which photographs do without

    own, other = georeference_of(label), georeference_of(image)
    place, there = (_transform(found) for found in (own, other))
    if place is None or there is None:
        return []
    systems = own.get("crs"), other.get("crs")
    names = [f"EPSG:{number}" if (number := system and system.to_epsg()) else None for system in systems]
    if None not in names and names[0] != names[1]:
        return [f"its coordinate system is {names[0]}, not {names[1]}"]
    found = []
    (width, height), (wide, high) = ((abs(each.a), abs(each.e)) for each in (place, there))
    turned = 0 in (width, height, wide, high)
    if not turned and max(abs(width / wide - 1) * image.width, abs(height / high - 1) * image.height) > _TOLERANCE:
        found.append(f"it has pixels of {width:g} x {height:g}, not {wide:g} x {high:g}")
    for corner, (left, top) in {"first": (0, 0), "last": (image.width, image.height)}.items():
        right, down = np.subtract(_at(~there, *_in_system(_at(place, left, top), *systems)), (left, top))
        if not np.isfinite([right, down]).all():
            return ["its coordinate system cannot be converted to that of its image"]
        if not found and max(abs(down), abs(right)) > _TOLERANCE:
            found.append(f"its {corner} pixel lies {_far(right, 'east', 'west')} and {_far(down, 'south', 'north')}")
    return found


def _transform(georeference: Mapping[str, Any]) -> Any:
    """Returns the transform of an image, which control points give only roughly; None without one."""
    from rasterio.transform import from_gcps

    points = georeference.get("gcps")
    return from_gcps(points) if points else georeference.get("transform")


def _at(transform: Any, across: float, down: float) -> tuple[float, float]:
    a, b, c, d, e, f = transform[:6]
    return a * across + b * down + c, d * across + e * down + f


def _in_system(place: tuple[float, float], own: Any, other: Any) -> tuple[float, float]:
    """Returns a place of a label in the coordinate system of its image; the same if one of them is not known."""
    from rasterio.warp import transform

    if own is None or other is None or own == other:
        return place
    try:
        (x,), (y,) = transform(own, other, [place[0]], [place[1]])
    except Exception:  # of GDAL, whose classes rasterio does not export: there is no conversion
        return math.inf, math.inf
    return x, y


def _far(pixels: float, there: str, back: str) -> str:
    return f"{abs(pixels):,.4g} pixels to the {there if pixels >= 0 else back}"


def tiles_with_gaps(
    path: Path, windows: Mapping[str, tuple[slice, slice]], bands: BandChoice | None = None
) -> Iterator[tuple[str, Bool]]:
    """Yields the tiles of an image that have missing pixels, and their valid pixels (h, w); only a TIFF has such tiles.

    Of chosen bands, values that are not finite are missing, too.

    Raises:
        DataError: If the TIFF cannot be read.
    """
    if not is_tiff(path):
        return
    from smir.data.reading.geotiff import GeoTiffRaster  # it imports rasterio, which photographs do without

    tiff, raster = Tiff(path), None if bands is None else GeoTiffRaster(path, bands)
    if not (tiff.has_mask if raster is None else raster.knows_gaps):
        return
    title, few = f"No data of {path.name}", len(windows) < 2
    for name, (rows, columns) in progress(windows.items(), title, unit="tile", disable=few):
        (top, bottom, _), (left, right, _) = rows.indices(tiff.height), columns.indices(tiff.width)
        place = top, left, bottom - top, right - left
        valid = tiff.valid(*place) if raster is None else raster.read(*place)[1]
        if not valid.all():
            yield name, valid
