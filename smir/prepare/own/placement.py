"""Whether two rasters lie on the same ground. Needs rasterio, the extra `geo`."""

from pathlib import Path
from typing import Any

import rasterio

from smir.errors import DataError
from smir.terminal import quiet

_TOLERANCE = 0.5
"""Pixels by which two grids may lie apart: programs round, or mean the middle of a pixel."""


def check_same_place(label: Path, image: Path) -> None:
    """Checks that a label image lies where its orthomosaic lies, if both say where that is.

    Raises:
        DataError: If their coordinate systems, pixel sizes or corners differ.
    """
    try:
        with quiet(rasterio.errors.NotGeoreferencedWarning), rasterio.open(label) as own, rasterio.open(image) as other:
            found = _differences(own, other)
    except rasterio.errors.RasterioError:  # who reads the pixels says what is wrong
        return
    if found:
        raise DataError(
            f"The label image {label.absolute()} does not lie where its orthomosaic {image.absolute()} lies: "
            f"{'; '.join(found)}. Export it on the same grid: same coordinate system, extent and pixel size."
        )


def _differences(own: Any, other: Any) -> list[str]:
    if own.transform.is_identity or other.transform.is_identity:
        return []
    systems = [file.crs.to_epsg() if file.crs else None for file in (own, other)]
    if None not in systems and systems[0] != systems[1]:  # what has no number may be the same by another name
        return [f"its coordinate system is EPSG:{systems[0]}, not EPSG:{systems[1]}"]
    found = []
    (width, height), (wide, high) = own.res, other.res
    if abs(width / wide - 1) * other.width > _TOLERANCE or abs(height / high - 1) * other.height > _TOLERANCE:
        found.append(f"it has pixels of {width:g} x {height:g}, not {wide:g} x {high:g}")
    row, column = (float(place) for place in other.index(*own.xy(0, 0, offset="ul"), op=lambda place: place))
    if max(abs(column), abs(row)) > _TOLERANCE:
        found.append(f"its corner lies {_far(column, 'east', 'west')} and {_far(row, 'south', 'north')} of it")
    return found


def _far(pixels: float, there: str, back: str) -> str:
    return f"{abs(pixels):,.4g} pixels to the {there if pixels >= 0 else back}"
