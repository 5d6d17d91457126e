"""Polygons of a GIS over an orthomosaic: GeoPackage, GeoJSON or FlatGeobuf. Needs the extra `polygons`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from smir.data.reading.tiff import IMAGE_UNITS, Tiff
from smir.errors import ConfigError, DataError, counted, first_few
from smir.files.pictures import is_tiff
from smir.prepare.labels.shapes import Annotated, Annotations, Bools, Drawn, Window
from smir.terminal import quiet

SUFFIXES = (".gpkg", ".geojson", ".fgb")
"""Formats of one file each; a Shapefile keeps the classes in a second one."""
TITLE = "polygons of a GIS"
_COLUMNS = ("class", "label", "category", "species", "name", "type")
"""Columns of class names, the likeliest first."""
_HEAD = 256
_HALF = 0.5
"""Distance in pixels from the border of a tile to the centres of its outermost pixels."""

Points = npt.NDArray[np.float64]


class Area(NamedTuple):
    """A polygon with its holes.

    Attributes:
        outline: Polygon or multipolygon of shapely, in columns and rows of the image.
    """

    outline: Any

    def pixels(self, height: int, width: int) -> tuple[Window, Bools]:
        """Returns the pixels whose centres it covers, clipped to the image."""
        from affine import Affine
        from rasterio.errors import NotGeoreferencedWarning
        from rasterio.features import rasterize

        left, top, right, bottom = self.outline.bounds
        left, top = max(0, int(left)), max(0, int(top))
        right, bottom = min(width, int(right) + 1), min(height, int(bottom) + 1)
        place, size = Affine.translation(left, top), (bottom - top, right - left)
        with quiet(NotGeoreferencedWarning):  # rasterio takes the transform of the first tile for a missing one
            inside = rasterize([self.outline], size, transform=place, dtype="uint8")
        return (slice(top, bottom), slice(left, right)), inside.astype(bool)


def read_vectors(path: Path, image: Path, windows: Mapping[str, tuple[slice, slice]]) -> Annotations:
    """Reads polygons over an orthomosaic, cut into its tiles.

    Args:
        path: The vector file. Its class column is one of `_COLUMNS`, or the only one that holds text.
        image: The orthomosaic.
        windows: Rows and columns of its tiles, by name.

    Raises:
        ConfigError: If a library is missing.
        DataError: If the file is damaged, has no class column or several layers of polygons, or lies elsewhere.
    """
    names, outlines, left_out, crs = polygons_of(path)
    crs = None if _is_of_the_image(path) else crs
    tiff = Tiff(image) if is_tiff(image) else None
    outlines = _in_pixels(path, outlines, crs, tiff)
    if path.suffix.lower() == ".fgb":
        _refuse_unordered(path, names, outlines)
    found = Annotations(TITLE, declared=list(dict.fromkeys(names)), left_out=left_out)
    found.images = [
        Annotated(tile, (rows.stop - rows.start, columns.stop - columns.start), shapes, path)
        for tile, rows, columns, shapes in _by_tile(names, outlines, windows)
    ]
    if not any(annotated.shapes for annotated in found.images):
        raise DataError(
            f"None of the {len(outlines):,} polygons in {path.absolute()} lies on a tile of {image.absolute()}. The "
            f"coordinate system of the polygons is {crs or 'not known'}, that of the image "
            f"{(tiff and tiff.file.crs) or 'not known'}. Export the polygons of this map, with their coordinate system."
        )
    return found


def _refuse_unordered(path: Path, names: Sequence[str], outlines: npt.NDArray[Any]) -> None:
    """Refuses overlaps of classes in a FlatGeobuf: programs sort it by place, so nothing says which one is on top."""
    import shapely

    sound, classes = shapely.make_valid(outlines), np.array(names)
    one, other = shapely.STRtree(sound).query(sound, predicate="intersects")
    pairs = (one < other) & (classes[one] != classes[other])
    shared = shapely.intersection(sound[one[pairs]], sound[other[pairs]])
    # Borders of neighbours may overlap by less than a pixel.
    if count := int((~shapely.is_empty(shapely.buffer(shared, -0.5))).sum()):
        raise DataError(
            f"{path.absolute()} holds {counted(count, 'pair', 'pairs')} of polygons that overlap and have different "
            "classes. Which one is on top is not known, because programs sort the polygons of a FlatGeobuf by place. "
            "Export a GeoPackage (.gpkg), which keeps their order."
        )


def _is_of_the_image(path: Path) -> bool:
    """Returns whether a GeoJSON of `predict` holds coordinates of its image; readers take all GeoJSON for WGS 84."""
    if path.suffix.lower() != ".geojson":
        return False
    with path.open("rb") as file:
        return IMAGE_UNITS.encode() in file.read(_HEAD)


def polygons_of(path: Path) -> tuple[list[str], npt.NDArray[Any], Counter[str], str | None]:
    """Returns class names, outlines, the number of other shapes by kind, and the coordinate system of a file."""
    try:
        import pyogrio
        import shapely
        from rasterio import features  # noqa: F401  # draws them later
    except ImportError as error:
        raise ConfigError(
            f"{path.absolute()} is a vector file of a GIS. To read it: pip install 'smir[polygons]'."
        ) from error
    try:
        with quiet():
            found = pyogrio.list_layers(path).tolist()
        layers = [name for name, kind in found if kind is not None and "Point" not in kind and "Line" not in kind]
        if len(layers) != 1:
            raise DataError(
                f"{path.absolute()} holds {len(layers)} layers of polygons: {first_few(layers) or 'none'}. Export the "
                "polygons that are the labels as the only layer."
            )
        with quiet():
            about, _, shapes, columns = pyogrio.raw.read(path, layer=layers[0])
        outlines = shapely.from_wkb(shapes)
    except (RuntimeError, ValueError, shapely.errors.GEOSException) as error:  # pyogrio and GDAL raise RuntimeError
        raise DataError(f"{path.absolute()} cannot be read: {error}. Export it again.") from error
    outlines = np.array([_without_collection(shape) for shape in outlines], dtype=object)
    empty = shapely.is_missing(outlines) | shapely.is_empty(outlines)
    kinds = np.where(empty, "empty shape", [getattr(shape, "geom_type", "") for shape in outlines])
    areas = np.isin(kinds, ("Polygon", "MultiPolygon"))
    left_out = Counter(f"{kind.lower()}s" for kind in kinds[~areas])
    if not areas.any():
        others = ", ".join(f"{kind} ({count})" for kind, count in sorted(left_out.items()))
        raise DataError(
            f"{path.absolute()} holds no polygons. It holds {others or 'no shapes'}. Draw areas in the GIS."
        )
    column = _class_column(path, dict(zip(about["fields"].tolist(), columns, strict=True)))
    names = [_text(value).strip() for value in column[areas]]
    if (bare := names.count("")) > 0:
        raise DataError(f"{path.absolute()} holds {bare:,} polygons without a class. Give each one a class name.")
    return names, outlines[areas], left_out, about["crs"]


def _without_collection(shape: Any) -> Any:
    """Returns the polygons of a collection, as repairs in a GIS leave them beside lines; other shapes as they are."""
    import shapely

    if getattr(shape, "geom_type", "") != "GeometryCollection":
        return shape
    parts = shapely.get_parts([_without_collection(part) for part in shape.geoms])
    areas = [part for part in parts if part.geom_type == "Polygon"]
    return shapely.MultiPolygon(areas) if areas else shape


def _class_column(path: Path, columns: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
    by_name = {name.lower(): values for name, values in columns.items()}
    texts = [name for name, values in columns.items() if values.dtype == object]
    if named := [by_name[name] for name in _COLUMNS if name in by_name]:
        return named[0]
    if len(texts) == 1:
        return columns[texts[0]]
    raise DataError(
        f"{path.absolute()} does not say which column holds the class of a polygon. Its columns are "
        f"{first_few(columns, 10) or 'only id'}. Call the column of the class names class."
    )


def _text(value: Any) -> str:
    """Returns a class name; programs store numbers with a point where some are missing."""
    if value is None or value != value:  # NaN
        return ""
    return str(int(value)) if isinstance(value, float | np.floating) and float(value).is_integer() else str(value)


def _in_pixels(path: Path, outlines: npt.NDArray[Any], crs: str | None, tiff: Tiff | None) -> npt.NDArray[Any]:
    """Returns outlines in columns and rows of the image; without a place on Earth, y is the row times -1."""
    import shapely
    from affine import Affine
    from rasterio.crs import CRS
    from rasterio.warp import transform as reproject

    from smir.data.reading.geotiff import georeference_of

    georeference = {} if tiff is None else georeference_of(tiff)
    if "gcps" in georeference:
        assert tiff is not None
        raise DataError(
            f"{tiff.path.absolute()} is placed by control points, so polygons cannot be drawn on it. Warp it to a "
            "coordinate system first (gdalwarp)."
        )
    a, b, c, d, e, f = (~georeference.get("transform", Affine.scale(1, -1)))[:6]
    own = georeference.get("crs") if "transform" in georeference else None

    def place(points: Points) -> Points:
        try:
            if own is not None and crs and (other := CRS.from_user_input(crs)) != own:
                points = np.stack(reproject(other, own, *points.T), axis=1)
            known = bool(np.isfinite(points).all())
        except Exception:  # rasterio does not export the classes of GDAL's errors
            known = False
        if not known:
            is_json = path.suffix.lower() == ".geojson"
            hint = " A GeoJSON that names none counts as longitude and latitude: export a GeoPackage (.gpkg)." * is_json
            raise DataError(
                f"{path.absolute()} cannot be placed on the map: its coordinate system, {crs or 'not known'}, cannot "
                f"be converted to that of the image, {own or 'not known'}, or its coordinates are not numbers.{hint}"
            )
        placed: Points = points @ np.array([[a, d], [b, e]]) + (c, f)
        return placed

    return np.asarray(shapely.transform(outlines, place))


def _by_tile(
    names: Sequence[str], outlines: npt.NDArray[Any], windows: Mapping[str, tuple[slice, slice]]
) -> list[tuple[str, slice, slice, list[Drawn]]]:
    """Returns the shapes that reach into each tile, in its pixels; later ones lie on top."""
    import shapely

    tree, found = shapely.STRtree(outlines), []
    for tile, (rows, columns) in windows.items():
        corner = np.array([columns.start, rows.start], dtype=float)
        inner = (*(corner + _HALF), columns.stop - _HALF, rows.stop - _HALF)
        places = sorted(tree.query(shapely.box(*inner), predicate="intersects").tolist())
        moved = shapely.transform(outlines[places], lambda points, corner=corner: points - corner)
        shapes = [
            Drawn(names[place], Area(outline), f"polygon {place + 1}")
            for place, outline in zip(places, moved, strict=True)
        ]
        found.append((tile, rows, columns, shapes))
    return found
