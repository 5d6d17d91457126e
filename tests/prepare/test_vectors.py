"""Polygons of a GIS as labels of an orthomosaic, compared with the masks that they were traced from."""

import numpy as np
import pyogrio.raw
import pytest
import rasterio
import shapely
from fakes import blocks, photo
from rasterio.features import shapes
from rasterio.transform import from_origin
from rasterio.warp import transform as reproject
from shapely.geometry import shape

from smir.data.reading.decode import read_label

SIDE, GRID = 96, (2, 3)
SIZE = tuple(SIDE * count for count in GRID)
UTM, TURNED = from_origin(500_000, 5_800_000, 0.02, 0.02), from_origin(0, 0, 1, 1).rotation(10)
NAMES = ("background", "crop", "weed")


@pytest.fixture
def labels():
    """Class ids (H, W) of an orthomosaic of six tiles; the last tile shows no plant."""
    labels = blocks("vectors", (0, 1, 2), SIZE)
    labels[-SIDE:, -SIDE:] = 0
    labels[20:60, 80:110] = 1  # across the border of two tiles
    labels[30:40, 90:100] = 0  # a hole
    return labels


def write_map(path, transform=UTM, crs="EPSG:32633"):
    image = photo("vectors", SIZE).transpose(2, 0, 1)
    about = {"count": 3, "dtype": "uint8", "height": SIZE[0], "width": SIZE[1]}
    with rasterio.open(path, "w", driver="GTiff", transform=transform, crs=crs, photometric="RGB", **about) as file:
        file.write(image)


def traced(labels, transform=UTM):
    """Returns every plant as a class name and a polygon in map coordinates."""
    pairs = shapes(labels.astype(np.uint8), mask=labels > 0, transform=transform)
    return [(NAMES[int(value)], shape(geometry)) for geometry, value in pairs]


def write_vectors(path, found, crs="EPSG:32633", column="class", **columns):
    fields = {column: np.array([name for name, _ in found], dtype=object), **columns}
    geometry = shapely.to_wkb(np.array([outline for _, outline in found], dtype=object))
    kind = {".gpkg": "GPKG", ".geojson": "GeoJSON", ".fgb": "FlatGeobuf"}[path.suffix]
    values, names = list(fields.values()), list(fields)
    pyogrio.raw.write(path, geometry, values, names, driver=kind, geometry_type="Unknown", crs=crs)


def masks(root):
    return {path.stem: read_label(path) for path in sorted((root / "masks").glob("*.png"))}


def tiles(labels):
    corners = [(SIDE * row, SIDE * column) for row, column in np.ndindex(*GRID)]
    return [labels[top : top + SIDE, left : left + SIDE] for top, left in corners]


def words(*more):
    return ["prepare", "folder", "--images=map.tif", "--root=field", f"--tile={SIDE}", *more]


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".fgb"])
def test_polygons_give_the_masks_that_they_were_traced_from(smir, tmp_path, capsys, labels, suffix):
    write_map(tmp_path / "map.tif")
    found, crs = traced(labels), "EPSG:32633"
    if suffix == ".geojson":  # always in longitude and latitude
        crs = "EPSG:4326"
        place = lambda points: np.stack(reproject("EPSG:32633", crs, *points.T), axis=1)  # noqa: E731
        found = [(name, shapely.transform(outline, place)) for name, outline in found]
    write_vectors(tmp_path / f"plants{suffix}", found, crs)
    smir(*words(f"--labels=plants{suffix}", "--classes=[background, crop, weed]"))
    said = capsys.readouterr().out
    assert "5 of them are labelled (polygons of a GIS)" in said
    assert "1 image in the annotations has no shape" in said
    drawn = masks(tmp_path / "field")
    assert len(drawn) == 5
    for mask, expected in zip(drawn.values(), tiles(labels), strict=False):
        assert np.array_equal(mask, expected)
    smir(*words(f"--labels=plants{suffix}", "--classes=[background, crop, weed]", "--empty=background"))
    assert not list(masks(tmp_path / "field").values())[-1].any()


def test_a_flatgeobuf_does_not_say_which_of_two_polygons_is_on_top(smir, fails, tmp_path):
    """Programs sort its polygons by place when they write it."""
    write_map(tmp_path / "map.tif")
    left, top, side = 500_000, 5_800_000, SIDE * 0.02
    field = shapely.geometry.box(left, top - side, left + side, top)
    inside = shapely.geometry.box(left, top - side / 2, left + side / 2, top)
    write_vectors(tmp_path / "plants.fgb", [("crop", field), ("weed", inside)])
    said = fails(*words("--labels=plants.fgb"))
    assert "plants.fgb holds 1 pair of polygons that overlap and have different classes" in said
    write_vectors(tmp_path / "plants.gpkg", [("crop", field), ("weed", inside)])
    smir(*words("--labels=plants.gpkg", "--empty=background"))
    below = shapely.transform(inside, lambda points: points - (0, side / 2 - 0.01))  # overlaps by half a pixel
    write_vectors(tmp_path / "plants.fgb", [("crop", inside), ("weed", below)])
    smir(*words("--labels=plants.fgb", "--empty=background", "--splits=field"))


def test_polygons_are_placed_on_a_map_that_is_rotated_or_has_no_coordinate_system(smir, tmp_path, labels):
    for name, transform, crs in (("turned", UTM @ TURNED, "EPSG:32633"), ("flat", rasterio.Affine.identity(), None)):
        folder = tmp_path / name
        folder.mkdir()
        write_map(folder / "map.tif", transform, crs)
        placed = transform if crs else rasterio.Affine.scale(1, -1)
        write_vectors(folder / "plants.gpkg", traced(labels, placed), crs)
        own = [f"--images={folder}/map.tif", f"--labels={folder}/plants.gpkg", f"--root={folder}/field"]
        smir("prepare", "folder", *own, f"--tile={SIDE}", "--classes=[background, crop, weed]")
        for mask, expected in zip(masks(folder / "field").values(), tiles(labels), strict=False):
            assert np.array_equal(mask, expected)


def test_the_class_column_is_found_or_asked_for(smir, fails, tmp_path, labels):
    write_map(tmp_path / "map.tif")
    found = traced(labels)
    numbers = np.arange(len(found))
    write_vectors(tmp_path / "plants.gpkg", found, column="Kultur", area=numbers * 1.5)
    smir(*words("--labels=plants.gpkg", "--empty=background"))
    text = (tmp_path / "field/data.yaml").read_text()
    assert "crop" in text
    assert "weed" in text
    two = {"column": "Kultur", "Notiz": np.array(["x"] * len(found), dtype=object)}
    write_vectors(tmp_path / "two.gpkg", found, **two)
    said = fails(*words("--labels=two.gpkg", "--root=other"))
    assert "two.gpkg does not say which column holds the class of a polygon. Its columns are Kultur, Notiz" in said
    assert not list((tmp_path / "other").glob("images/*"))  # the error comes before the map is cut


def test_unusable_vector_files_are_reported_before_the_map_is_cut(smir, fails, tmp_path, labels):
    write_map(tmp_path / "map.tif")
    found = traced(labels)

    def said(name, root="other"):
        text = fails(*words(f"--labels={name}", f"--root={root}"))
        return text.replace(f"{tmp_path}/", "")

    (tmp_path / "damaged.gpkg").write_bytes(b"SQLite format 3\0" + bytes(200))
    assert "damaged.gpkg cannot be read: " in said("damaged.gpkg")
    write_vectors(tmp_path / "bare.gpkg", [("crop", found[0][1]), (None, found[1][1])])
    assert "bare.gpkg holds 1 polygons without a class" in said("bare.gpkg")
    write_vectors(tmp_path / "layers.gpkg", found)
    geometry = shapely.to_wkb(np.array([found[0][1]], dtype=object))
    pyogrio.raw.write(
        tmp_path / "layers.gpkg", geometry, [], [], layer="b", driver="GPKG", geometry_type="Polygon", append=True
    )
    assert "layers.gpkg holds 2 layers of polygons: layers, b." in said("layers.gpkg")
    write_vectors(tmp_path / "local.gpkg", found, 'LOCAL_CS["field",UNIT["metre",1]]')
    assert "local.gpkg cannot be placed on the map: its coordinate system, " in said("local.gpkg", "fourth")
    far = shapely.to_geojson(shapely.geometry.box(500_000, 5_799_999, 500_001, 5_800_000))
    (tmp_path / "metres.geojson").write_text(
        f'{{"type": "Feature", "properties": {{"class": "crop"}}, "geometry": {far}}}'
    )
    assert "A GeoJSON that names none counts as longitude and latitude" in said("metres.geojson", "fifth")
    (tmp_path / "cut.gpkg").write_bytes((tmp_path / "bare.gpkg").read_bytes()[:20_000])
    assert "cut.gpkg" in said("cut.gpkg")
    assert not list((tmp_path / "other").glob("images/*"))
    away = [(name, shapely.transform(outline, lambda points: points + 1000)) for name, outline in found]
    write_vectors(tmp_path / "away.gpkg", away)
    text = said("away.gpkg", "third")
    assert f"None of the {len(found)} polygons in away.gpkg lies on a tile of map.tif" in text
    assert "EPSG:32633" in text


def test_points_and_lines_are_left_out(smir, tmp_path, capsys, labels):
    write_map(tmp_path / "map.tif")
    points = [("crop", shapely.Point(500_000.5, 5_799_999.5)), ("crop", None)]
    write_vectors(tmp_path / "plants.gpkg", [*traced(labels), *points])
    smir(*words("--labels=plants.gpkg", "--empty=background"))
    assert "Left out, because their pixels are not known: empty shapes (1), points (1)." in capsys.readouterr().out


def test_the_polygons_of_collections_are_drawn(smir, tmp_path, labels):
    """Tools that repair or cut polygons leave such collections."""
    write_map(tmp_path / "map.tif")
    line = shapely.LineString([(500_000, 5_799_999), (500_001, 5_799_998)])
    collected = [
        (name, shapely.GeometryCollection([shapely.MultiPolygon([outline]), line])) for name, outline in traced(labels)
    ]
    write_vectors(tmp_path / "labels.gpkg", collected)
    smir(*words("--labels=labels.gpkg", "--empty=background", "--classes=[background, crop, weed]"))
    found = masks(tmp_path / "field")
    assert len(found) == len(tiles(labels))
    assert all((own == part).all() for own, part in zip(found.values(), tiles(labels), strict=True))


def test_empty_polygons_are_no_polygons(fails, tmp_path):
    write_map(tmp_path / "map.tif")
    write_vectors(tmp_path / "labels.gpkg", [("crop", shapely.Polygon())])
    said = fails("prepare", "folder", "--images=map.tif", "--labels=labels.gpkg", f"--tile={SIDE}")
    assert "holds no polygons. It holds empty shapes (1)." in said
