"""Reads position and valid pixels of a GeoTIFF, with rasterio (the extra `geo`)."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

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
    if found := _differences(Tiff(label, "label").file, Tiff(image).file):
        raise DataError(
            f"The label image {label.absolute()} does not lie where its image {image.absolute()} lies: "
            f"{'; '.join(found)}. Export it on the same grid: same coordinate system, extent and pixel size."
        )


def _differences(own: Any, other: Any) -> list[str]:
    if own.transform.is_identity or other.transform.is_identity:
        return []
    systems = [file.crs.to_epsg() if file.crs else None for file in (own, other)]
    if None not in systems and systems[0] != systems[1]:  # without a number, it may be the same system
        return [f"its coordinate system is EPSG:{systems[0]}, not EPSG:{systems[1]}"]
    found = []
    (width, height), (wide, high) = own.res, other.res
    if abs(width / wide - 1) * other.width > _TOLERANCE or abs(height / high - 1) * other.height > _TOLERANCE:
        found.append(f"it has pixels of {width:g} x {height:g}, not {wide:g} x {high:g}")
    for corner, (top, left) in {"first": (0, 0), "last": (other.height, other.width)}.items():
        down, right = other.index(*own.xy(top, left, offset="ul"), op=lambda place: place)
        down, right = float(down) - top, float(right) - left
        if not found and max(abs(down), abs(right)) > _TOLERANCE:
            found.append(f"its {corner} pixel lies {_far(right, 'east', 'west')} and {_far(down, 'south', 'north')}")
    return found


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
