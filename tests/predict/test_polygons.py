"""Predicted regions as polygons, which annotation tools, GIS programs and `prepare folder` can read."""

import itertools
import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import shapely
import torch
from fakes import blocks, photo, save
from PIL import Image

from smir.classes import VOID, Classes
from smir.data.reading.raster import ArrayRaster
from smir.errors import ConfigError
from smir.predict.areas import Areas
from smir.predict.polygons.options import PolygonOptions
from smir.predict.polygons.prelabel import write_prelabel
from smir.predict.polygons.product import RegionProducts
from smir.predict.sweep import Tile

SIZE = HEIGHT, WIDTH = 45, 60
NAMES = ("a", "deep/b", "c")
CLASSES = Classes.named(["soil", "crop", "weed"])
TOOLS = {"coco": "coco.json", "cvat": "cvat.xml", "labelme": "labelme"}


def drawn(name):
    """Returns labels with touching regions, holes in holes, single pixels, regions at all borders, and void."""
    labels = blocks(name, (0, 1, 2), SIZE)
    labels[5:35, 5:40] = 1
    labels[8:30, 8:35] = 0
    labels[10:25, 10:30] = 2
    labels[12:20, 12:20] = 1
    labels[14, 14], labels[15, 15] = 2, 0  # these two touch only at a corner
    labels[12:20, 20:22] = VOID
    labels[0, 0], labels[-1, -1], labels[-1, 0] = 1, 2, 1
    labels[40:, 10:50] = np.random.default_rng(len(name)).integers(0, 3, (5, 40))
    return labels


def tiles(labels, height=20, width=25):
    """Returns the labels in tiles, with a class probability that differs from pixel to pixel."""
    chance = np.random.default_rng(1)
    for top, left in itertools.product(range(0, labels.shape[0], height), range(0, labels.shape[1], width)):
        part = labels[top : top + height, left : left + width]
        share = chance.uniform(0.4, 0.9, part.shape)
        spread = [np.where(part == number, share, (1 - share) / 2) for number in range(3)]
        pixels = np.empty((*part.shape, 0), np.uint8)
        yield Tile(top, left, torch.from_numpy(np.log(spread)).float(), pixels, part != VOID), part


def write(folder, masks, classes=CLASSES, **options):
    products = RegionProducts(PolygonOptions(**options), folder)
    found = {}
    for index, (name, labels) in enumerate(masks.items()):
        areas = found[name] = Areas.none_yet(f"{name}.png", len(classes))
        source, target = ArrayRaster(np.empty((*labels.shape, 0), np.uint8)), folder / name
        with products.of(index, folder.parent / f"photos/{name}.png", target, source, classes, areas) as add:
            for tile, part in tiles(labels):
                add(tile, part)
    return found, products.finish(products.images, classes)


@pytest.fixture
def masks(tmp_path):
    for name in NAMES:
        save(tmp_path / f"photos/{name}.png", photo(name, SIZE))
    return {name: drawn(name) for name in NAMES}


@pytest.fixture
def read_back(smir, tmp_path):
    """Returns the masks that `prepare folder` makes from a file of polygons."""

    def read(place, classes="[soil=background, crop, weed]"):
        words = [f"--labels={place}", f"--classes={classes}", "--empty=background", f"--root={place.stem}-field"]
        smir("prepare", "folder", "--images=photos", *words)
        found = {}
        for name in NAMES:
            with Image.open(tmp_path / f"{place.stem}-field/masks/{name}.png") as image:
                found[name] = np.asarray(image)
        return found

    return read


@pytest.mark.parametrize("tool", TOOLS)
def test_exact_polygons_give_the_same_mask(tool, masks, read_back, tmp_path):
    _, said = write(tmp_path / "predict", masks, formats=tool, simplify=0)
    assert """--classes '["soil=background", "crop", "weed"]' --empty background""" in said[0]
    found = read_back(tmp_path / "predict" / TOOLS[tool])
    for name, labels in masks.items():
        assert (found[name] == labels).all(), name
    assert not list((tmp_path / "predict").rglob(".*"))


@pytest.mark.parametrize("tool", TOOLS)
def test_simplified_polygons_keep_all_pixels_but_those_at_borders(tool, masks, read_back, tmp_path):
    write(tmp_path / "predict", masks, formats=tool, simplify=1.0)
    found = read_back(tmp_path / "predict" / TOOLS[tool])
    for name, labels in masks.items():
        around = np.lib.stride_tricks.sliding_window_view(np.pad(labels, 2, mode="edge"), (5, 5))
        inner = (around == labels[..., None, None]).all(axis=(2, 3))
        assert inner.sum() > 100
        assert (found[name] == labels)[inner].all(), name
        assert (found[name] == labels).mean() > 0.9
    text = sum(path.stat().st_size for path in (tmp_path / "predict").rglob("*.*") if path.is_file())
    write(tmp_path / "exact", masks, formats=tool, simplify=0)
    assert text < sum(path.stat().st_size for path in (tmp_path / "exact").rglob("*.*") if path.is_file())


def test_neighbours_keep_their_common_border(masks, tmp_path):
    labels = np.zeros((300, 300), np.uint8)
    y, x = np.mgrid[:300, :300]
    labels[np.hypot(y - 150, x - 150) < 120] = 1
    labels[(np.hypot(y - 150, x - 150) < 120) & (x > y)] = 2
    for tolerance in (0.8, 1.0, 3.0):
        write(tmp_path, {"round": labels}, formats="geojson", simplify=tolerance, background="none")
        features = json.loads((tmp_path / "round.geojson").read_text())["features"]
        shapes = [shapely.from_geojson(json.dumps(feature["geometry"])) for feature in features]
        assert all(shape.is_valid for shape in shapes)
        assert sum(shape.area for shape in shapes) == pytest.approx(labels.size)
        assert shapely.union_all(shapes).area == pytest.approx(labels.size)
    assert sum(shapely.get_num_coordinates(shapes)) < 300


def test_each_region_has_its_pixels_and_mean_probability(masks, tmp_path):
    """The oracle flood-fills every region from its first pixel."""
    labels = masks["a"]
    areas, (said,) = write(tmp_path / "predict", {"a": labels}, formats="gpkg,geojson", simplify=0, background="none")
    assert "geojson and gpkg are in pixels: column, -row" in said
    probability = np.zeros(SIZE)
    for tile, part in tiles(labels):
        height, width = part.shape
        best = tile.logits.softmax(dim=0).numpy().max(axis=0)
        probability[tile.top : tile.top + height, tile.left : tile.left + width] = best
    expected = sorted(
        (int(labels[next(iter(region))]), len(region), np.mean([probability[place] for place in region]))
        for region in flooded(labels)
        if labels[next(iter(region))] != VOID
    )
    content = json.loads((tmp_path / "predict/a.geojson").read_text())
    rows = [feature["properties"] for feature in content["features"]]
    found = sorted((row["class_id"], row["pixels"], row["confidence"]) for row in rows)
    assert [row[:2] for row in found] == [row[:2] for row in expected]
    assert [row[2] for row in found] == pytest.approx([row[2] for row in expected], abs=1e-4)
    assert areas["a"].regions.tolist() == [sum(row[0] == number for row in expected) for number in range(3)]
    for feature in content["features"]:
        shape = shapely.from_geojson(json.dumps(feature["geometry"]))
        assert shape.area == feature["properties"]["pixels"]
        assert shape.exterior.is_ccw
        assert shape.bounds[3] <= 0  # y is minus the row
    import pyogrio.raw

    meta, _, geometry, columns = pyogrio.raw.read(tmp_path / "predict/a.gpkg")
    assert list(meta["fields"]) == ["class", "class_id", "pixels", "square_metres", "confidence"]
    assert shapely.area(shapely.from_wkb(geometry)).tolist() == columns[2].tolist() == [row["pixels"] for row in rows]


def flooded(labels):
    left = set(itertools.product(*map(range, labels.shape)))
    while left:
        region, edge = set(), [left.pop()]
        while edge:
            y, x = edge.pop()
            region.add((y, x))
            for place in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                if place in left and labels[place] == labels[y, x]:
                    left.remove(place)
                    edge.append(place)
        yield region


def test_small_regions_and_holes_are_left_out(tmp_path):
    labels = np.zeros((30, 30), np.uint8)
    labels[5:25, 5:25] = 1
    labels[10:13, 10:13] = 2
    labels[0, 0] = 2
    areas, _ = write(tmp_path, {"a": labels}, formats="geojson", simplify=0, min_area=10)
    (feature,) = json.loads((tmp_path / "a.geojson").read_text())["features"]
    assert (feature["properties"]["pixels"], len(feature["geometry"]["coordinates"])) == (391, 1)
    assert areas["a"].regions.tolist() == [1, 1, 0]


def test_coco_and_cvat_files_have_the_content_that_tools_expect(masks, tmp_path):
    write(tmp_path, masks, formats="coco,cvat", simplify=0)
    content = json.loads((tmp_path / "coco.json").read_text())
    assert [image["file_name"] for image in content["images"]] == [f"{name}.png" for name in NAMES]
    assert {entry["id"]: entry["name"] for entry in content["categories"]} == {1: "crop", 2: "weed", 255: "void"}
    tools = pytest.importorskip("pycocotools.mask")
    for entry in content["annotations"]:
        shape = entry["segmentation"]
        runs = tools.frPyObjects(shape, *SIZE)
        runs = tools.merge(runs) if isinstance(shape, list) else runs
        assert (tools.area(runs), tools.toBbox(runs).tolist()) == (entry["area"], entry["bbox"])
        assert entry["category_id"] == VOID or 0.4 < entry["score"] < 0.9
    kinds = {shape.tag for shape in ElementTree.parse(tmp_path / "cvat.xml").iter() if shape.get("label")}
    assert kinds == {"polygon", "mask"}


@pytest.mark.parametrize("tool", TOOLS)
def test_awkward_class_names_are_kept_in_every_format(tool, masks, read_back, tmp_path):
    classes = Classes.named(["no", 'a, <b> & "c"', "1e3\nß", "Background"])
    labels = {name: np.where(mask == 0, 3, mask % 3).astype(np.uint8) for name, mask in masks.items()}
    write(tmp_path / "predict", labels, classes, formats=tool, simplify=0)
    found = read_back(tmp_path / "predict" / TOOLS[tool], json.dumps(classes.names))
    for name in labels:
        assert (found[name] == labels[name]).all()


def test_a_pre_label_names_its_photograph_and_gives_the_same_mask(masks, read_back, tmp_path):
    for name, labels in masks.items():
        path = tmp_path / f"beside/{name}.json"
        photograph = tmp_path / f"photos/{name}.png"
        assert write_prelabel(path, photograph, labels, CLASSES, options=PolygonOptions(simplify=0)) > 10
        assert (path.parent / json.loads(path.read_text())["imagePath"]).samefile(photograph)
    found = read_back(tmp_path / "beside")
    assert all((found[name] == labels).all() for name, labels in masks.items())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"formats": "coco,kml"}, "knows coco, cvat, labelme, gpkg, geojson; got kml"),
        ({"simplify": -1.0}, "tolerance in pixels"),
        ({"simplify": float("nan")}, "tolerance in pixels"),
        ({"min_area": -1}, "number of pixels"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        PolygonOptions(**options)


def test_a_missing_package_is_named(monkeypatch):
    there = ("rasterio", "pyogrio")
    monkeypatch.setattr("smir.predict.polygons.options.find_spec", lambda name: name in there or None)
    with pytest.raises(ConfigError, match=r"needs shapely, which this Python lacks: pip install 'smir\[polygons\]'"):
        PolygonOptions("coco")
    PolygonOptions()


def test_a_region_whose_simplified_outline_is_below_min_area_is_drawn(tmp_path):
    labels = (np.random.default_rng(0).random((120, 160)) > 0.55).astype(np.uint8)
    masks = {"a": labels}
    areas, _ = write(tmp_path, masks, formats="coco,cvat,labelme,geojson", min_area=12)
    features = json.loads((tmp_path / "a.geojson").read_text())["features"]
    assert all(feature["geometry"]["coordinates"] for feature in features)
    assert len(features) == areas["a"].regions[1]
