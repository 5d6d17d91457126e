"""Writes GeoPackage and GeoJSON, one file for each image, for GIS programs.

A georeferenced image gives a GeoPackage in its coordinate system, and GeoJSON in longitude and latitude (WGS 84, RFC
7946). Without a place on Earth x is the column and y is minus the row, where GIS programs put such a picture.
"""

import contextlib
import itertools
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from shapely.geometry import mapping

from smir.classes import VOID, Classes
from smir.data.reading.tiff import IMAGE_UNITS
from smir.files.atomic import placing
from smir.files.json_record import write_json_items
from smir.predict.polygons.kept import Outlined
from smir.terminal import quiet

_BATCH = 10_000
"""Regions that are written at a time."""
_DECIMALS = 9
"""Of degrees: a tenth of a millimetre."""
_WGS84 = "EPSG:4326"

Points = npt.NDArray[np.float64]


def write_gpkg(path: Path, regions: Iterable[Outlined], classes: Classes, georeference: dict[str, Any]) -> None:
    """Writes the layer `regions` in the coordinate system of the image."""
    import pyogrio.raw

    crs = georeference.get("crs") if "transform" in georeference else None
    remaining, append = (region for region in regions if region.class_id != VOID), False
    # GDAL warns of the ending, and of a missing coordinate system.
    with placing(path) as temporary, _plain(temporary) as file, quiet():
        while (batch := list(itertools.islice(remaining, _BATCH))) or not append:
            rows = [_properties(region, classes) for region in batch]
            columns = [np.array([row[name] for row in rows], dtype=kind) for name, kind in _FIELDS.items()]
            pyogrio.raw.write(
                file,
                shapely.to_wkb(_placed(batch, _placing(georeference))),
                columns,
                list(_FIELDS),
                layer="regions",
                driver="GPKG",
                geometry_type="Polygon",
                crs=crs and crs.to_wkt(),
                append=append,
            )
            append = True


@contextlib.contextmanager
def _plain(path: Path) -> Iterator[Path]:
    """Yields a path that GDAL takes as it is: `!` divides archives from their members, control characters are dropped.

    A file with such a path is written elsewhere first.
    """
    if not re.search(r"[!\x00-\x1f]", str(path.absolute())):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="smir-") as folder:
        plain = Path(folder) / path.name.encode().hex()[:32]
        yield plain
        shutil.copyfile(plain, path)


def write_geojson(
    path: Path, regions: Iterable[Outlined], classes: Classes, georeference: dict[str, Any], on_earth: bool
) -> None:
    """Writes features one by one, in longitude and latitude if the image's place on Earth is known."""
    place = _placing(georeference)
    coordinates, decimals = IMAGE_UNITS if "transform" in georeference else "column, -row", 6
    if on_earth:
        place, decimals = _on_earth(place, georeference["crs"]), _DECIMALS
        coordinates = "longitude, latitude (WGS 84)"
    head = f'{{"type": "FeatureCollection", "units": {json.dumps(coordinates)}, "features": ['
    write_json_items(path, head, _features(regions, classes, place, decimals))


_FIELDS = {"class": object, "class_id": np.int32, "pixels": np.int64, "square_metres": float, "confidence": float}


def _properties(region: Outlined, classes: Classes) -> dict[str, Any]:
    figures = region.class_id, region.pixels, region.square_metres, region.confidence
    return dict(zip(_FIELDS, (region.name(classes), *figures), strict=True))


def _features(
    regions: Iterable[Outlined], classes: Classes, place: Callable[[Points], Points], decimals: int
) -> Iterator[dict[str, Any]]:
    remaining = (region for region in regions if region.class_id != VOID)
    while batch := list(itertools.islice(remaining, _BATCH)):
        outlines = shapely.orient_polygons(_placed(batch, lambda points: place(points).round(decimals)))
        for region, outline in zip(batch, outlines, strict=True):
            properties = _properties(region, classes)
            yield {"type": "Feature", "properties": properties, "geometry": mapping(outline)}


def _placed(regions: Iterable[Outlined], place: Callable[[Points], Points]) -> npt.NDArray[Any]:
    return np.asarray(shapely.transform(np.array([region.polygon for region in regions], dtype=object), place))


def _placing(georeference: dict[str, Any]) -> Callable[[Points], Points]:
    """Returns what turns columns and rows into coordinates of the image."""
    a, b, c, d, e, f = (georeference.get("transform") or (1, 0, 0, 0, -1, 0))[:6]
    return lambda points: points @ np.array([[a, d], [b, e]], dtype=float) + (c, f)


def _on_earth(place: Callable[[Points], Points], crs: Any) -> Callable[[Points], Points]:
    from rasterio.warp import transform

    return lambda points: np.stack(transform(crs, _WGS84, *place(points).T), axis=1)
