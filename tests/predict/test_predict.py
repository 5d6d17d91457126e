"""`predict` on images of any size, through its command line: its files and its errors."""

import csv
import importlib.util
import itertools
import json
import math
import os
import resource
import shlex
import shutil
import signal
import struct
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pyogrio.raw
import pytest
import rasterio
import shapely
import torch
from fakes import blocks, photo, save, write_folder
from networks import trained_like
from PIL import Image, UnidentifiedImageError
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp
from rasterio.features import rasterize
from rasterio.transform import Affine, from_origin
from rasterio.warp import transform_geom
from words import EXPERIMENTS, QUIET, REPOSITORY

from smir.__main__ import main
from smir.classes import VOID, Classes
from smir.data.reading.decode import read_image, read_label
from smir.data.reading.geotiff import Ground
from smir.data.reading.opening import Choice, open_raster
from smir.errors import RunError
from smir.predict import writer
from smir.predict.products import label_tiff, probability_tiff
from smir.predict.segment import labels_of, segment_in_windows
from smir.predict.sweep import Tile
from smir.training.segmentation import SegmentationModule

NETWORK = ["--model.network.encoder=tu-test_resnet", "--model.network.decoder_channels=[16,16,16]"]
UTM = {"crs": "EPSG:32613", "transform": Affine(0.05, 0.01, 5e5, 0.01, -0.05, 5.77e6)}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run that was trained on images of 96 x 128 pixels, at 64 x 85."""
    root = tmp_path_factory.mktemp("trained")
    write_folder(root / "field", size=(96, 128))
    segment = [f"--config={EXPERIMENTS / 'folder' / 'segment.yaml'}", "--data.labels=labels", "--data.crop_size=64"]
    segment += [f"--data.root={root / 'field'}", "--data.classes=[soil, crop, weed]", "--data.num_workers=0"]
    segment += ["--data.colors={crop: [51, 221, 255]}"]
    short = ["--trainer.max_epochs=2", "--model.warmup_epochs=0", f"--run.root={root / 'runs'}", "--run.test=false"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["smir"])
        main(["fit", *segment, *short, *NETWORK, *QUIET])
    folder = root / "runs/folder/segment/seed0"
    give_opinions(folder / "checkpoints/best.ckpt")
    return folder


def give_opinions(path):
    """Changes the weights so that all classes are predicted; so short a training labels everything soil."""
    module = trained_like(SegmentationModule.from_checkpoint(path))
    torch.save({**torch.load(path, weights_only=True), "state_dict": module.state_dict()}, path)


@pytest.fixture
def words(run, tmp_path):
    """Returns the command with its results in the folder of this test, beside a copy of the checkpoint."""
    checkpoint = tmp_path / "best.ckpt"
    checkpoint.write_bytes((run / "checkpoints/best.ckpt").read_bytes())
    shared = ["predict", f"--config={run / 'config.yaml'}", f"--ckpt_path={checkpoint}", *QUIET]

    def with_images(place, *more):
        return [*shared, f"--data.predict_images={place}", "--data.predict.window=640", *more]

    return with_images


def write_tiff(path, image, **profile):
    """Writes a TIFF of bands (H, W, C)."""
    height, width, count = image.shape
    shape = {"height": height, "width": width, "count": count, "dtype": image.dtype}
    with rasterio.open(path, "w", driver="GTiff", **shape, **profile) as file:
        file.write(np.moveaxis(image, -1, 0))
    return path


def areas(folder):
    with (folder / "areas.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def expected_labels(run, image):
    module = SegmentationModule.from_checkpoint(run / "checkpoints/best.ckpt")
    assert module.usual_side == 96
    labels = segment_in_windows(module, image, window=640).numpy()
    assert (np.bincount(labels.ravel(), minlength=3)[:3] > 1000).all()
    return labels


def test_a_checkpoint_in_its_run_needs_no_config(smir, fails, run, words, tmp_path):
    Image.fromarray(photo("a", (64, 96))).save(tmp_path / "a.png")
    alone = [f"--data.predict_images={tmp_path / 'a.png'}", *QUIET]
    (tmp_path / "run/checkpoints").mkdir(parents=True)
    shutil.copy(run / "config.yaml", tmp_path / "run")
    shutil.copy(tmp_path / "best.ckpt", tmp_path / "run/checkpoints")
    smir("predict", "--ckpt", tmp_path / "run/checkpoints/best.ckpt", *alone, f"--out={tmp_path / 'alone'}")
    smir(*words(tmp_path / "a.png", f"--out={tmp_path / 'with'}"))
    assert (tmp_path / "alone/a.png").read_bytes() == (tmp_path / "with/a.png").read_bytes()
    assert "do not say which model" in fails("predict", f"--ckpt={tmp_path / 'best.ckpt'}", *alone)


def test_predictions_of_a_georeferenced_image_keep_its_location(smir, run, words, tmp_path, capsys):
    image = np.dstack([photo("ortho", (700, 900)), np.full((700, 900), 255, np.uint8)])
    image[:300, :200, 3] = 0
    source = write_tiff(tmp_path / "ortho.tif", image, photometric="rgb", alpha="yes", **UTM)
    smir(*words(source, "--data.predict.probabilities=true"))
    with rasterio.open(tmp_path / "predict/ortho.tif") as file:
        labels = file.read(1)
        assert (file.crs, file.transform, file.nodata) == (rasterio.CRS.from_epsg(32613), UTM["transform"], VOID)
        assert file.colormap(1)[1] == (51, 221, 255, 255)
        assert file.tags(1)["class_2"] == "weed"
    assert (labels == expected_labels(run, image)).all()
    assert ((labels == VOID) == (image[..., 3] == 0)).all()
    with rasterio.open(tmp_path / "predict/ortho.probabilities.tif") as file:
        steps = file.read().astype(int)
        assert (file.descriptions, file.transform) == (("soil", "crop", "weed"), UTM["transform"])
    assert (steps.sum(axis=0) == np.where(labels == VOID, 0, 255)).all()
    assert (steps.max(axis=0) == np.take_along_axis(steps, labels[None] % VOID, axis=0)[0]).mean() > 0.999
    counts = np.bincount(labels.ravel(), minlength=256)
    rows = areas(tmp_path / "predict")
    assert [int(row["pixels"]) for row in rows] == counts[:3].tolist()
    pixel = abs(UTM["transform"].determinant) / 0.9996**2  # the scale of UTM at its central meridian, as here
    assert [float(row["square_metres"]) for row in rows] == pytest.approx((counts[:3] * pixel).tolist(), rel=1e-4)
    with Image.open(tmp_path / "predict/ortho.preview.png") as picture:
        assert picture.size[0] == 900
        assert picture.getpixel((100, 150)) == (255, 255, 255)
    said = capsys.readouterr().out
    assert f"{counts[2]:,}" in said
    assert f"Predictions: {tmp_path / 'predict'}" in said
    assert f"Look at {tmp_path / 'predict/ortho.preview.png'}: the image with its labels over it." in said
    assert not list((tmp_path / "predict").glob(".*"))


def test_nodata_is_void_and_areas_are_right_for_coordinates_in_degrees(smir, words, tmp_path):
    image = photo("ortho", (400, 500))
    image[:, :100] = 0
    size, latitude = 1e-6, 52.0
    place = from_origin(-106, latitude, size, size)
    smir(*words(write_tiff(tmp_path / "deg.tif", image, nodata=0, photometric="rgb", crs="EPSG:4326", transform=place)))
    with rasterio.open(tmp_path / "predict/deg.tif") as file:
        labels = file.read(1)
    assert ((labels == VOID) == (image == 0).all(axis=-1)).all()
    pixel = ellipsoid_area(latitude, size)
    counts = np.bincount(labels.ravel(), minlength=256)[:3]
    found = [float(row["square_metres"]) for row in areas(tmp_path / "predict")]
    assert found == pytest.approx((counts * pixel).tolist(), rel=1e-4, abs=1e-3)


def ellipsoid_area(latitude, degrees):
    """Returns the area of a small square on WGS 84, from the radii of curvature."""
    a, e2, phi = 6378137.0, 6.69437999014e-3, math.radians(latitude)
    curve = 1 - e2 * math.sin(phi) ** 2
    return math.radians(degrees) ** 2 * a**2 * (1 - e2) / curve**2 * math.cos(phi)


@pytest.mark.parametrize(
    ("epsg", "transform", "expected"),
    [
        (4326, from_origin(-106, 52, 1e-6, 1e-6), ellipsoid_area(52, 1e-6)),
        (3857, from_origin(0, 6800125.454, 0.1, 0.1), 0.01 * math.cos(math.radians(52)) ** 2),  # Mercator at 52 N
        (32601, from_origin(3.2e5, 100, 1, 1), 1.0),  # near the equator, across the date line
        (2263, from_origin(980000, 200000, 1, 1), 0.3048006096**2),  # US survey feet
    ],
)
def test_areas_in_square_metres_account_for_the_projection(epsg, transform, expected):
    ground = Ground.of(rasterio.CRS.from_epsg(epsg), transform)
    cells, side = ground.cells(0, 0, (100, 130))
    assert (cells.shape, side) == ((2, 3), 64)
    assert cells == pytest.approx(np.full((2, 3), expected), rel=7e-3)


def test_polygons_of_photographs_give_the_same_masks_again(smir, words, tmp_path, capsys):
    for name, size in (("deep/big", (500, 700)), ("small", (96, 120)), ("other", (96, 128))):
        save(tmp_path / f"photos/{name}.png", photo(name, size))
    smir(*words("photos", "--formats=coco,cvat,labelme,geojson,gpkg", "--simplify=0"))
    assert '--classes \'["soil=background"' in capsys.readouterr().out
    for labels in ("coco.json", "cvat.xml", "labelme"):
        classes = "--classes=[soil=background, crop, weed]"
        place = f"--labels={tmp_path / 'predict' / labels}"
        smir("prepare", "folder", "--images=photos", place, classes, "--empty=background", f"--root={labels}-field")
        for name in ("deep/big", "small", "other"):
            with Image.open(f"{labels}-field/masks/{name}.png") as mine:
                assert (np.asarray(mine) == np.asarray(Image.open(tmp_path / f"predict/{name}.png"))).all()
    assert {"small.gpkg", "small.geojson"} < {path.name for path in (tmp_path / "predict").iterdir()}
    assert not list((tmp_path / "predict").glob(".*"))


def test_polygons_of_a_map_have_its_coordinates_and_cover_its_labels(smir, words, tmp_path):
    image = np.dstack([photo("ortho", (700, 900)), np.full((700, 900), 255, np.uint8)])
    image[:300, :200, 3] = 0
    write_tiff(tmp_path / "ortho.tif", image, photometric="rgb", alpha="yes", **UTM)
    smir(*words("ortho.tif", "--formats=gpkg,geojson", "--simplify=0", "--background=none", "--min_area=5"))
    meta, _, geometry, columns = pyogrio.raw.read(tmp_path / "predict/ortho.gpkg")
    assert meta["crs"] == "EPSG:32613"
    figures = dict(zip(meta["fields"], columns, strict=True))
    with rasterio.open(tmp_path / "predict/ortho.tif") as file:
        labels = file.read(1)
        shapes = zip(shapely.from_wkb(geometry), figures["class_id"].tolist(), strict=True)
        drawn = rasterize(shapes, labels.shape, fill=VOID, transform=file.transform)
    assert (drawn != labels).mean() < 0.2
    assert (drawn == labels)[drawn != VOID].mean() > 0.9  # holes of less than five pixels are closed
    assert ((figures["confidence"] > 1 / 3) & (figures["confidence"] <= 1)).all()
    rows = areas(tmp_path / "predict")
    assert [int(row["regions"]) for row in rows] == np.bincount(figures["class_id"], minlength=3).tolist()
    pixel = abs(UTM["transform"].determinant) / 0.9996**2
    assert figures["square_metres"] == pytest.approx(figures["pixels"] * pixel, rel=1e-3)
    features = json.loads((tmp_path / "predict/ortho.geojson").read_text())["features"]
    assert len(features) == len(geometry)
    for feature, shape in zip(features[:20], shapely.from_wkb(geometry), strict=False):
        there = transform_geom("EPSG:4326", "EPSG:32613", feature["geometry"])
        assert shapely.geometry.shape(there).symmetric_difference(shape).area < 0.01 * shape.area


def test_polygons_of_a_map_are_labels_of_the_same_map(smir, words, tmp_path, capsys):
    write_tiff(tmp_path / "ortho.tif", photo("ortho", (512, 768)), photometric="rgb", **UTM)
    smir(*words("ortho.tif", "--formats=gpkg,coco", "--simplify=0"))
    said = capsys.readouterr().out
    assert "prepare folder reads the gpkg file of a map with the same class ids if you give --classes" in said
    given = shlex.split(said.partition("if you give ")[2].partition(" --empty background")[0])
    with rasterio.open(tmp_path / "predict/ortho.tif") as file:
        labels = file.read(1)
    there = ["--images=ortho.tif", "--labels=predict/ortho.gpkg", "--root=again", "--tile=256"]
    smir("prepare", "folder", *there, *given, "--empty=background")
    masks = sorted((tmp_path / "again/masks").glob("*.png"))
    assert len(masks) == 6
    corners = [(256 * row, 256 * column) for row, column in np.ndindex(2, 3)]
    for path, (top, left) in zip(masks, corners, strict=True):
        assert np.array_equal(read_label(path), labels[top : top + 256, left : left + 256])


def test_a_coordinate_system_without_a_place_on_earth_has_no_square_metres():
    local = rasterio.CRS.from_wkt('LOCAL_CS["field",UNIT["metre",1]]')
    assert Ground.of(local, from_origin(0, 0, 1, 1)) is None
    assert Ground.of(None, from_origin(0, 0, 1, 1)) is None


def test_a_folder_of_large_and_small_images_is_predicted(smir, run, words, tmp_path):
    photos = tmp_path / "photos"
    (photos / "deep").mkdir(parents=True)
    big, turned = photo("big", (500, 700)), photo("turned", (600, 400))
    Image.fromarray(big).save(photos / "deep/big.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by 90 degrees
    Image.fromarray(turned).save(photos / "turned.jpg", exif=exif, quality=100)
    Image.fromarray(photo("small", (96, 120))).save(photos / "small.png")
    smir(*words(photos))
    names = sorted(path.relative_to(tmp_path / "predict").as_posix() for path in (tmp_path / "predict").rglob("*.*"))
    pictures = ["deep/big.png", "deep/big.preview.png", "small.png", "turned.png", "turned.preview.png"]
    assert names == sorted(["areas.csv", "source.json", "preview.png", *pictures])
    with Image.open(tmp_path / "predict/deep/big.png") as image:
        assert image.mode == "P"
        assert (np.asarray(image) == expected_labels(run, big)).all()
    with Image.open(tmp_path / "predict/turned.png") as image:
        assert image.size == (600, 400)
    with Image.open(tmp_path / "predict/small.png") as image:
        module = SegmentationModule.from_checkpoint(run / "checkpoints/best.ckpt")
        assert (np.asarray(image) == module.segment(photo("small", (96, 120))).numpy()).all()
    rows = areas(tmp_path / "predict")
    assert sum(int(row["pixels"]) for row in rows) == 500 * 700 + 600 * 400 + 96 * 120
    assert {row["square_metres"] for row in rows} == {""}


def test_photographs_can_be_browsed_in_one_picture(smir, words, tmp_path, capsys):
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(30):
        Image.new("RGB", (120, 90 + number), (8 * number, 0, 0)).save(photos / f"{number:02}.png")
    smir(*words(photos))
    path = tmp_path / "predict/preview.png"
    assert f"Look at {path}: 24 of the 30 photographs" in capsys.readouterr().out
    with Image.open(path) as picture:
        pixels = np.asarray(picture)
    rows, per_row, (height, width) = 6, 4, (270 + 40 + 6, 360 + 6)
    below = len(pixels) - rows * height
    assert (below > 0, pixels.shape[1]) == (True, per_row * width)
    for place, number in enumerate(round(n) for n in np.linspace(0, 29, 24)):
        top, left = below + place // per_row * height + 40, place % per_row * width
        with Image.open(tmp_path / f"predict/{number:02}.png") as labels:
            colors = np.asarray(labels.convert("RGB")).astype(float)
        expected = [8 * number, 0, 0]
        same = (colors == colors[0, 0]).all()  # so no outline runs through the middle
        scale = min(360 / 120, 270 / (90 + number))
        shown = pixels[top + int(45.5 * scale), left + int(60.5 * scale)]
        assert not same or np.abs(shown - np.asarray(expected)).max() <= 1


def test_out_must_be_a_folder_without_other_files(smir, fails, words, tmp_path):
    photos = tmp_path / "photos"
    save(photos / "a.jpg", photo("a", (96, 128)))
    smir(*words(photos, "--out=mine"))
    smir(*words(photos, "--out", "mine"))
    assert {path.name for path in (tmp_path / "mine").iterdir()} == {"a.png", "areas.csv", "preview.png", "source.json"}
    save(photos / "b.jpg", photo("b", (96, 128)))
    assert "mine holds predictions of other images, weights or settings" in fails(*words(photos, "--out=mine"))
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/note.txt").touch()
    assert "notes holds other files. Give a new folder" in fails(*words(photos, "--out=notes"))
    assert "lies in the folder of the images" in fails(*words(photos, f"--out={photos}/labels"))
    assert not (tmp_path / "predict").exists()


def test_label_images_in_the_folder_are_not_predicted(smir, words, tmp_path, caplog):
    for number in (1, 10):
        save(tmp_path / f"photos/{number}.png", photo(str(number), (96, 128)))
        save(tmp_path / f"photos/{number}_mask.png", blocks(str(number), (0, 1, 2), (96, 128)))
    smir(*words(tmp_path / "photos"))
    assert {row["image"] for row in areas(tmp_path / "predict")} == {"1.png", "10.png"}
    assert "2 of 4 images look like label images and are left out: 10_mask.png, 1_mask.png. " in caplog.text
    assert "If they are photographs, put them in a separate folder" in caplog.text
    (tmp_path / "photos/1.png").unlink()
    (tmp_path / "photos/10.png").unlink()
    smir(*words(tmp_path / "photos", "--out=own"))
    assert {row["image"] for row in areas(tmp_path / "own")} == {"1_mask.png", "10_mask.png"}


def test_images_with_colours_unlike_the_training_cause_a_warning(smir, words, tmp_path, caplog):
    save(tmp_path / "photos/like.png", photo("a", (96, 128)))
    smir(*words(tmp_path / "photos"))
    assert "colours unlike" not in caplog.text
    save(tmp_path / "photos/night.png", np.zeros((96, 128, 3), np.uint8))
    save(tmp_path / "photos/infrared.png", np.full((500, 700, 3), (230, 128, 128), np.uint8))  # read in windows
    smir(*words(tmp_path / "photos"))
    assert "Warning: 2 of 3 images have colours unlike those of the training: night.png, infrared.png." in caplog.text


def test_photographs_that_are_read_in_windows_because_of_their_size_cause_a_warning(smir, words, tmp_path, caplog):
    photos = tmp_path / "photos"
    save(photos / "like.png", photo("a", (96, 128)))
    save(photos / "below.png", photo("b", (383, 400)))
    write_tiff(photos / "map.tif", photo("ortho", (400, 500)), photometric="rgb", **UTM)
    smir(*words(photos))
    assert "as large as those of the training" not in caplog.text
    save(photos / "at.png", photo("c", (384, 400)))
    save(photos / "above.jpg", photo("d", (500, 480)))
    smir(*words(photos, "--out=auto"))
    said = "Warning: 2 of 5 images are up to 5.0 times as large as those of the training, so they were read in windows"
    assert caplog.text.count(said) == 1
    assert "above.jpg, at.png. That is right for an orthomosaic." in caplog.text
    assert "--data.predict.view whole" in caplog.text
    caplog.clear()
    for number, choice in enumerate(("view=whole", "view=windows", "scale=0.16")):
        smir(*words(photos, f"--data.predict.{choice}", f"--out=by-wish-{number}"))
    assert "as large as those of the training" not in caplog.text


def test_damaged_jpegs_that_can_be_decoded_and_further_pages_cause_warnings(smir, words, tmp_path):
    save(tmp_path / "photos/a.jpg", photo("a", (96, 128)))
    pages = [Image.fromarray(photo(name, (96, 128))) for name in "bc"]
    pages[0].save(tmp_path / "photos/b.tif", save_all=True, append_images=pages[1:])
    content = (tmp_path / "photos/a.jpg").read_bytes()
    (tmp_path / "photos/a.jpg").write_bytes(content[:-900] + bytes(400) + content[-500:])
    with pytest.warns(UserWarning, match=r"1 JPEG is damaged, but can be decoded: a.jpg \(") as said:
        smir(*words(tmp_path / "photos"))
    told = [str(warning.message) for warning in said]
    assert any("1 TIFF has several pages, of which the first is used: b.tif." in text for text in told)


def test_further_formats_are_added_to_the_same_predictions(smir, words, tmp_path, caplog):
    save(tmp_path / "photos/a.png", photo("a", (96, 128)))
    smir(*words(tmp_path / "photos", "--formats=coco"))
    smir(*words(tmp_path / "photos", "--formats=geojson,labelme"))
    assert {"coco.json", "a.geojson", "labelme"} < {path.name for path in (tmp_path / "predict").iterdir()}
    assert f"{tmp_path / 'predict'} holds the same predictions already: they are made again" in caplog.text
    smir(*words(tmp_path / "photos", "--formats=coco", "--simplify=0"))
    assert f"{tmp_path / 'predict'} holds those of other images, weights or settings." in caplog.text
    (other,) = tmp_path.glob("predict-*")
    assert (other / "coco.json").read_bytes() != (tmp_path / "predict/coco.json").read_bytes()


def test_two_processes_write_the_same_files_as_one(smir, python, words, tmp_path):
    for name, size in (("a", (96, 128)), ("big", (400, 500)), ("c", (96, 100))):
        save(tmp_path / f"photos/{name}.png", photo(name, size))
    command = words(tmp_path / "photos", "--formats=coco,cvat,labelme,geojson")
    smir(*command, "--out=one")
    ranks = [python, "-m", "smir", *command, "--out=two", "--trainer.devices=2"]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(ranks, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = (
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*.*")}
        for root in (tmp_path / "one", tmp_path / "two")
    )
    assert len(one) == 15
    assert one == two


def test_the_preview_overwrites_no_prediction(fails, words, tmp_path):
    (tmp_path / "photos").mkdir()
    Image.fromarray(photo("small", (96, 120))).save(tmp_path / "photos/preview.jpg")
    said = fails(*words(tmp_path / "photos"))
    assert "the preview of all images and preview.jpg would both be predicted as preview" in said


def test_the_bar_moves_when_an_image_is_done(smir, words, tmp_path, monkeypatch):
    Image.fromarray(photo("big", (500, 700))).save(tmp_path / "big.png")
    logits, done = SegmentationModule.logits, []

    def looking(self, images):
        done.append(self.trainer.progress_bar_callback.predict_progress_bar.n)
        return logits(self, images)

    monkeypatch.setattr(SegmentationModule, "logits", looking)
    smir(*words(tmp_path / "big.png", "--trainer.enable_progress_bar=true"))
    assert set(done) == {0}


def test_the_options_view_and_scale_are_followed(smir, words, tmp_path):
    source = write_tiff(tmp_path / "ortho.tif", photo("ortho", (400, 500)), photometric="rgb", **UTM)
    smir(*words(source, "--data.predict.view=whole"))
    written = {path.name for path in (tmp_path / "predict").iterdir()}
    assert written == {"ortho.png", "areas.csv", "source.json", "preview.png"}
    smir(*words(source, "--data.predict.view=windows", "--data.predict.scale=0.5"))
    assert len(list(tmp_path.glob("predict-*/ortho.tif"))) == 1  # other settings, another folder


def test_large_and_georeferenced_images_are_read_in_windows(tmp_path):
    for name, size in (("alike", (96, 500)), ("larger", (400, 390)), ("strip", (3, 400))):
        Image.fromarray(photo(name, size)).save(tmp_path / f"{name}.png")
    write_tiff(tmp_path / "geo.tif", photo("geo", (64, 64)), photometric="rgb", **UTM)
    Image.fromarray(photo("plain", (64, 64))).save(tmp_path / "plain.tif")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    os.mkfifo(tmp_path / "pipe.png")
    write_tiff(tmp_path / "bands.tif", np.zeros((64, 64, 5), np.uint8), photometric="minisblack", **UTM)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert [name for name in names if Choice("auto", 96).in_windows(tmp_path / name)] == [
        "bands.tif",
        "geo.tif",
        "larger.png",
        "strip.png",
    ]
    assert not Choice("auto", None).in_windows(tmp_path / "larger.png")
    assert Choice("windows", None).in_windows(tmp_path / "plain.tif")


def test_an_interrupted_prediction_leaves_no_unfinished_files(smir, words, tmp_path, monkeypatch):
    source = write_tiff(tmp_path / "ortho.tif", photo("ortho", (700, 1300)), photometric="rgb", **UTM)
    logits, passes = SegmentationModule.logits, []

    def interrupted(self, images):
        passes.append(1)
        if len(passes) == 4:  # the first two measure how far the network sees
            raise KeyboardInterrupt
        return logits(self, images)

    monkeypatch.setattr(SegmentationModule, "logits", interrupted)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        smir(*words(source, "--data.predict.probabilities=true"))
    assert [path.name for path in (tmp_path / "predict").iterdir()] == ["source.json"]
    killed = tmp_path / "predict/.ortho.tif.1.tmp"
    killed.write_bytes(b"half")
    smir(*words(source, "--data.predict.probabilities=true"))
    assert not killed.exists()
    assert (tmp_path / "predict/ortho.tif").is_file()


def test_a_full_disk_is_noticed_even_if_gdal_reports_no_error(tmp_path):
    chance = torch.Generator().manual_seed(0)
    tile = Tile(0, 0, torch.randn(3, 400, 400, generator=chance), photo("tile", (400, 400)), np.ones((400, 400), bool))
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with (
            pytest.raises(RunError, match="could not be written"),
            probability_tiff(tmp_path / "full.tif", 400, 400, Classes.named(["a", "b", "c"]), {}) as write,
        ):
            write(tile, labels_of(tile))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert not list(tmp_path.iterdir())


def test_control_points_without_a_coordinate_system_are_kept(tmp_path):
    points = [GroundControlPoint(row, column, column, -row) for row, column in ((0, 0), (0, 9), (9, 0), (9, 9))]
    with label_tiff(tmp_path / "a.tif", 9, 9, Classes.named(["a", "b"]), {"gcps": points, "crs": None}) as write:
        tile = Tile(0, 0, torch.zeros(2, 9, 9), np.zeros((9, 9, 0), np.uint8), np.ones((9, 9), bool))
        write(tile, np.zeros((9, 9), np.uint8))
    with rasterio.open(tmp_path / "a.tif") as file:
        assert [(point.row, point.x, point.y) for point in file.gcps[0]] == [(p.row, p.x, p.y) for p in points]
        assert file.gcps[1] is None


def cut_short(path):
    write_tiff(path, photo("ortho", (500, 700)), photometric="rgb", compress="deflate", **UTM)
    path.write_bytes(path.read_bytes()[:-3000])


def a_cut_png(path):
    Image.fromarray(photo("ortho", (500, 700))).save(path, format="PNG")
    path.write_bytes(path.read_bytes()[:-3000])


def a_png_of_a_damaged_size(path):
    Image.fromarray(photo("ortho", (50, 70))).save(path, format="PNG")
    header = b"IHDR" + struct.pack(">II", 14_876_728, 80) + path.read_bytes()[24:29]
    path.write_bytes(path.read_bytes()[:12] + header + struct.pack(">I", zlib.crc32(header)) + path.read_bytes()[33:])


def sixteen_bits(path):
    write_tiff(path, photo("ortho", (500, 700)).astype(np.uint16) * 100, photometric="rgb", **UTM)


def unnamed_deep_bands(path):
    write_tiff(path, np.zeros((500, 700, 4), np.uint16), photometric="minisblack", **UTM)


def five_bands(path):
    write_tiff(path, np.zeros((500, 700, 5), np.uint8), photometric="minisblack", **UTM)


def floating_point(path):
    write_tiff(path, np.zeros((500, 700, 3), np.float32), photometric="rgb", **UTM)


@pytest.mark.parametrize(
    ("name", "write", "says"),
    [
        ("ortho.tif", cut_short, "is damaged or cut short: rows"),
        ("ortho.png", a_cut_png, "is damaged or cut short"),
        ("ortho.png", a_png_of_a_damaged_size, "claims to be 14876728 x 80 pixels"),
        (
            "ortho.tif",
            sixteen_bits,
            "3 bands: red (uint16), green (uint16), blue (uint16). Red, green and blue",
        ),
        ("ortho.tif", sixteen_bits, "--data.predict.bands '[3, 2, 1]' --data.predict.value_range '[0, 4000]'"),
        ("rgb.tif", unnamed_deep_bands, "--bands 3,2,1 --value_range 0,4000 with prepare folder"),
        ("ortho.tif", floating_point, "red (float32)"),
        ("ortho.tif", five_bands, "has 5 bands: gray (uint8), undefined (uint8)"),
        ("ortho.tif", lambda path: path.write_bytes(b"II*\0nonsense"), "cannot be read as a TIFF"),
        ("ortho.tif", lambda path: path.write_bytes(b"no image"), "is not a JPEG, PNG, WebP, TIFF or BMP"),
    ],
)
def test_images_that_cannot_be_read_are_named_with_a_reason(fails, words, tmp_path, name, write, says):
    write(tmp_path / name)
    said = fails(*words(tmp_path / name, "--data.predict.view=windows"))
    assert f"The image {tmp_path / name} " in said
    assert says in said
    assert {path.name for path in (tmp_path / "predict").glob("*")} <= {"source.json"}


def tiny(path):
    Image.new("RGB", (40, 30)).save(path, format="JPEG")


def test_all_bad_headers_are_reported_before_the_first_prediction(smir, fails, run, words, tmp_path, monkeypatch):
    photos, passes, logits = tmp_path / "photos", [], SegmentationModule.logits
    photos.mkdir()
    for number in range(3):
        write_tiff(photos / f"a{number}.tif", photo("good", (300, 400)), photometric="rgb", **UTM)
    Image.new("RGB", (500, 700)).save(photos / "large.png")
    bad = {"x-tiny.jpg": tiny, "y-deep.tif": sixteen_bits, "z-float.tif": floating_point}
    for name, write in bad.items():
        write(photos / name)
    (photos / "z-gone.png").symlink_to("nowhere")
    monkeypatch.setattr(SegmentationModule, "logits", lambda self, images: passes.append(1) or logits(self, images))
    said = fails(*words(photos))
    assert "4 of 8 images cannot be predicted, so nothing was predicted. The image" in said
    assert "x-tiny.jpg is 40 x 30 pixels" in said
    assert "y-deep.tif has 3 bands: red (uint16)" in said
    assert "And 2 more. Or leave such images out: --data.on_bad_image skip --data.max_bad_share 0.51." in said
    assert not passes
    assert not (tmp_path / "predict").exists()
    with pytest.warns(UserWarning, match="Skipped 4 of 8 images"):
        smir(*words(photos, "--data.on_bad_image=skip", "--data.max_bad_share=0.51"))
    assert {row["image"] for row in areas(tmp_path / "predict")} == {"a0.tif", "a1.tif", "a2.tif", "large.png"}


def test_images_that_are_seen_whole_are_checked_by_their_headers_without_being_decoded(
    fails, words, tmp_path, monkeypatch
):
    photos, decoded = tmp_path / "photos", []
    photos.mkdir()
    Image.new("RGB", (120, 96)).save(photos / "good.png")
    Image.new("RGB", (6500, 100)).save(photos / "strip.png")
    tiny(photos / "tiny.jpg")
    monkeypatch.setattr("smir.data.reading.pairs.read_image", decoded.append)
    said = fails(*words(photos, "--data.predict.view=whole"))
    assert "2 of 3 images cannot be predicted" in said
    assert "strip.png is 6500 x 100 pixels; one side is more than 64 times the other" in said
    assert "tiny.jpg is 40 x 30 pixels" in said
    assert not decoded


def test_a_small_image_is_enlarged_with_the_option_that_the_error_names(smir, fails, run, words, tmp_path):
    tiny(tmp_path / "tiny.jpg")
    said = fails(*words(tmp_path / "tiny.jpg"))
    assert "its shortest side is below data.min_side = 64" in said
    assert "MS-SSIM" not in said
    assert "enlarged: --data.min_side 1. Then give the checkpoint by its path" in said
    smir(*words(tmp_path / "tiny.jpg", "--data.min_side=1"))
    with Image.open(tmp_path / "predict/tiny.png") as labels:
        assert labels.size == (40, 30)


def test_bad_images_among_those_read_in_windows_are_skipped_and_reported(smir, fails, words, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    damage = {"cut.tif": cut_short, "cut.png": a_cut_png, "deep.tif": sixteen_bits, "five.tif": five_bands}
    for name, write in damage.items():
        write(photos / name)
    write_tiff(photos / "good.tif", photo("good", (300, 400)), photometric="rgb", **UTM)
    Image.fromarray(photo("small", (96, 120))).save(photos / "small.png")
    command = words(photos, "--data.on_bad_image=skip")
    assert "4 of 6 images of the predict list cannot be used" in fails(*command)
    with pytest.warns(UserWarning, match="Skipped 4 of 6 images of the predict list"):
        smir(*command, "--data.max_bad_share=0.7")
    reasons = json.loads((tmp_path / "predict/skipped.json").read_text())["lists"]["predict"]["skipped"]
    assert {name: str(photos / name) in reason for name, reason in reasons.items()} == dict.fromkeys(damage, True)
    assert "rows" in reasons["cut.tif"]
    assert [row["image"] for row in areas(tmp_path / "predict")][::3] == ["good.tif", "small.png"]


@pytest.mark.parametrize(("name", "write"), [("b-cut.png", a_cut_png), ("b-cut.tif", cut_short)])
def test_an_image_that_is_damaged_behind_its_header_is_answered_with_how_to_leave_it_out(
    smir, fails, words, tmp_path, name, write
):
    save(tmp_path / "photos/a.png", photo("a", (96, 128)))
    write(tmp_path / "photos" / name)
    said = fails(*words(tmp_path / "photos"))
    assert f"The image {tmp_path / 'photos' / name} is damaged or cut short" in said
    way_out = "--data.on_bad_image skip --data.max_bad_share 0.51"
    assert f" Or leave such images out: {way_out}.\n" in said
    with pytest.warns(UserWarning, match="Skipped 1 of 2 images"):
        smir(*words(tmp_path / "photos", *way_out.split()))


def test_a_pipe_in_place_of_an_image_is_refused_without_waiting(fails, words, tmp_path):
    (tmp_path / "photos").mkdir()
    os.mkfifo(tmp_path / "photos/a.png")
    assert "a.png is not a file but" in fails(*words(tmp_path / "photos", "--data.predict.view=windows"))


def cmyk(path):
    Image.fromarray(photo("ortho", (500, 700))).convert("CMYK").save(path, format="JPEG")


def deep(path):
    Image.fromarray(photo("ortho", (500, 700))[..., 0].astype(np.uint16) * 256).save(path, format="PNG")


@pytest.mark.parametrize(("write", "most"), [(cmyk, 3), (deep, 0)])
def test_windows_of_cmyk_and_16_bit_images_equal_the_whole_image(tmp_path, write, most):
    write(tmp_path / "big one.png")
    raster = open_raster(tmp_path / "big one.png", tmp_path / "here", progress=False)
    assert (raster.height, raster.width) == (500, 700)
    shown, valid = raster.read(100, 200, 300, 400)
    whole = read_image(tmp_path / "big one.png")
    assert np.abs(shown.astype(int) - whole[100:400, 200:600]).max() <= most  # JPEG decoders round differently
    assert valid.all()


def test_bands_are_found_by_their_colour_interpretation(smir, run, words, tmp_path):
    """Pillow does not know such TIFFs, so it cannot read their headers."""
    image = photo("ortho", (500, 700))
    write_tiff(tmp_path / "bgr.tif", image[..., ::-1], photometric="minisblack", **UTM)
    with rasterio.open(tmp_path / "bgr.tif", "r+") as file:
        file.colorinterp = [ColorInterp.blue, ColorInterp.green, ColorInterp.red]
    with pytest.raises(UnidentifiedImageError):
        Image.open(tmp_path / "bgr.tif")
    smir(*words(tmp_path / "bgr.tif"))
    with rasterio.open(tmp_path / "predict/bgr.tif") as file:
        assert (file.read(1) == expected_labels(run, image)).all()


def test_chosen_bands_are_predicted_like_the_same_colours_in_rgb(smir, run, words, tmp_path):
    image = photo("ortho", (500, 700))
    write_tiff(tmp_path / "bgr.tif", np.dstack([image[..., ::-1], image]).astype(np.uint16) * 9, **UTM)
    smir(*words(tmp_path / "bgr.tif", "--data.predict.bands=[3,2,1]", "--data.predict.value_range=[0,2295]"))
    with rasterio.open(tmp_path / "predict/bgr.tif") as file:
        assert (file.read(1) == expected_labels(run, image)).all()


def test_without_rasterio_the_extra_is_named_and_plain_images_are_predicted(smir, fails, words, tmp_path, monkeypatch):
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "rasterio" else there(name))
    source = write_tiff(tmp_path / "ortho.tif", photo("ortho", (400, 500)), photometric="rgb", **UTM)
    assert "needs rasterio: pip install 'smir[geo]'" in fails(*words(source))
    Image.fromarray(photo("plain", (400, 500))).save(tmp_path / "plain.tif")
    said = fails(*words(tmp_path / "plain.tif", "--data.predict.probabilities=true"))
    assert "not installed: pip install 'smir[geo]'" in said
    smir(*words(tmp_path / "plain.tif"))
    assert list(tmp_path.glob("predict*/plain.png"))


def test_a_checkpoint_without_the_size_of_its_images_needs_the_option_scale(fails, words, tmp_path):
    content = torch.load(tmp_path / "best.ckpt", weights_only=True)
    assert content["smir"].pop("usual_side") == 96
    torch.save(content, tmp_path / "best.ckpt")
    source = write_tiff(tmp_path / "ortho.tif", photo("ortho", (400, 500)), photometric="rgb", **UTM)
    said = fails(*words(source, f"--data.root={tmp_path / 'gone'}"))
    assert "Set data.predict.scale to 64 divided by" in said


def test_a_missing_folder_of_images_is_reported(fails, words, tmp_path):
    assert "no folder" in fails(*words(tmp_path / "nowhere"))


def test_images_whose_predictions_would_have_the_same_name_are_refused(fails, words, tmp_path):
    (tmp_path / "photos").mkdir()
    for name in ("a.png", "a.preview.png", "b.png", "b.probabilities.png"):
        Image.fromarray(photo(name, (100, 100))).save(Path(tmp_path / "photos" / name))
    assert "would both be predicted as a.preview" in fails(*words(tmp_path / "photos"))
    (tmp_path / "photos/a.preview.png").unlink()
    said = fails(*words(tmp_path / "photos", "--data.predict.probabilities=true"))
    assert "would both be predicted as b.probabilities" in said


@pytest.mark.parametrize(
    ("name", "more", "over"),
    [
        ("a" * 245 + ".png", (), 7),
        ("ü" * 118 + ".png", ("--data.predict.view=windows",), 6),
        ("a" * 238 + ".png", ("--data.predict.probabilities=true",), 14),
    ],
)
def test_names_that_are_too_long_for_their_predictions_are_refused(fails, words, tmp_path, name, more, over):
    (tmp_path / "in").mkdir()
    for each in ("a.png", name):
        Image.fromarray(photo("a", (96, 128))).save(tmp_path / "in" / each)
    said = fails(*words(tmp_path / "in", *more))
    assert f"{name} has too long a name for its predictions" in said
    assert f"{242 + over} bytes, and at most 242 can be written. Shorten it by {over} bytes." in said
    assert not (tmp_path / "predict").exists()


def test_an_image_with_the_longest_possible_name_is_predicted(smir, words, tmp_path):
    name = "a" * 238 + ".png"
    (tmp_path / "in").mkdir()
    Image.fromarray(photo("a", (96, 128))).save(tmp_path / "in" / name)
    smir(*words(tmp_path / "in", "--data.predict.view=whole"))
    assert len(list(tmp_path.rglob(name))) == 2


@pytest.mark.parametrize("view", ["whole", "windows"])
def test_images_with_names_that_are_not_utf_8_are_predicted(smir, words, tmp_path, view):
    (tmp_path / "in").mkdir()
    Image.fromarray(photo("a", (96, 128))).save(tmp_path / "in/photo.png")
    (tmp_path / "in/photo.png").rename(tmp_path / "in/caf\udce9.png")
    smir(*words(tmp_path / "in", f"--data.predict.view={view}", "--data.predict.probabilities=true"))
    (areas,) = tmp_path.rglob("areas.csv")
    assert areas.read_text().splitlines()[1].startswith(r"caf\udce9.png,soil,0,")
    assert len(list(areas.parent.glob("caf*udce9.*"))) == (2 if view == "whole" else 3)


def test_a_tiff_with_a_name_that_is_not_utf_8_is_refused(fails, words, tmp_path):
    (tmp_path / "in").mkdir()
    Image.fromarray(photo("a", (96, 128))).save(tmp_path / "in/photo.tif")
    (tmp_path / "in/photo.tif").rename(tmp_path / "in/caf\udce9.tif")
    said = fails(*words(tmp_path / "in"))
    assert r"caf\udce9.tif has a name that is not UTF-8, which GDAL cannot open. Rename it" in said


def test_a_start_that_failed_does_not_block_its_folder(smir, fails, words, tmp_path, monkeypatch):
    save(tmp_path / "photos/a.png", photo("a", (96, 128)))
    save(tmp_path / "photos/b.png", photo("b", (96, 128)))
    (tmp_path / "photos/c.png").write_bytes(b"")
    more = ["--data.on_bad_image=skip", "--data.max_bad_share=0.5", "--data.predict.probabilities=true", "--out=x"]
    with monkeypatch.context() as patch:
        patch.setattr(writer, "has_rasterio", lambda: False)
        assert "rasterio, which is not installed" in fails(*words(tmp_path / "photos", *more))
    with pytest.warns(UserWarning, match="Skipped 1 of 3 images"):
        smir(*words(tmp_path / "photos", *more))
    assert (tmp_path / "x/a.png").is_file()


def test_missing_pixels_are_not_labelled_in_images_that_are_seen_whole(smir, words, tmp_path):
    alpha = np.full((96, 128), 255, np.uint8)
    alpha[:40] = 0
    colors = photo("gaps", (96, 128))
    save(tmp_path / "photos/rgba.png", np.dstack([colors, alpha]))
    save(tmp_path / "photos/full.png", colors)
    smir(*words(tmp_path / "photos", "--data.predict.view=whole", "--formats=geojson"))
    label, full = (read_label(tmp_path / f"predict/{name}.png") for name in ("rgba", "full"))
    expected = full.copy()
    expected[:40] = VOID
    assert np.array_equal(label, expected)
    pixels: dict[str, int] = {}
    for row in areas(tmp_path / "predict"):
        pixels[row["image"]] = pixels.get(row["image"], 0) + int(row["pixels"])
    assert pixels == {"rgba.png": 56 * 128, "full.png": 96 * 128}


def test_missing_pixels_do_not_hide_colours_unlike_those_of_the_training(smir, words, tmp_path, caplog):
    blue = (photo("map", (200, 200)) // 8).astype(np.uint8)
    blue[..., 2] = 250
    save(tmp_path / "plain/map.png", blue)
    alpha = np.full((200, 200), 255, np.uint8)
    alpha[:150] = 0
    grey = np.where(alpha[..., None] > 0, blue, np.uint8(120))
    save(tmp_path / "gaps/map.png", np.dstack([grey, alpha]))
    for name, view in itertools.product(("plain", "gaps"), ("windows", "whole")):
        smir(*words(tmp_path / name, f"--data.predict.view={view}", f"--out={tmp_path / name}-{view}"))
        assert "have colours unlike those of the training: map.png" in caplog.text
        caplog.clear()


def test_a_geopackage_may_have_a_path_that_gdal_reads_otherwise(smir, words, tmp_path):
    (tmp_path / "maps!").mkdir()
    write_tiff(tmp_path / "maps!/a\tb.tif", photo("ortho", (128, 128)), photometric="rgb", **UTM)
    out = tmp_path / "Results!"
    smir(*words(tmp_path / "maps!", "--formats=gpkg", f"--out={out}"))
    shutil.copyfile(out / "a\tb.gpkg", tmp_path / "plain.gpkg")
    assert len(pyogrio.raw.read(tmp_path / "plain.gpkg")[2]) > 3
    assert not list(out.glob(".*tmp"))


def test_polygons_of_an_image_in_local_coordinates_are_labels_of_it(smir, words, tmp_path, capsys):
    local = rasterio.CRS.from_wkt('LOCAL_CS["field",UNIT["metre",1]]')
    place = {"crs": local, "transform": from_origin(500, 900, 0.5, 0.5)}
    write_tiff(tmp_path / "ortho.tif", photo("ortho", (256, 768)), photometric="rgb", **place)
    smir(*words("ortho.tif", "--formats=geojson", "--simplify=0"))
    given = shlex.split(capsys.readouterr().out.partition("if you give ")[2].partition(" --empty background")[0])
    there = ["--images=ortho.tif", "--labels=predict/ortho.geojson", "--root=again", "--tile=256"]
    smir("prepare", "folder", *there, *given, "--empty=background")
    with rasterio.open(tmp_path / "predict/ortho.tif") as file:
        labels = file.read(1)
    masks = [read_label(path) for path in sorted((tmp_path / "again/masks").glob("*.png"))]
    assert np.array_equal(np.concatenate(masks, axis=1), labels)


def test_a_labelme_file_behind_a_link_names_its_photograph(smir, words, tmp_path):
    save(tmp_path / "photos/a.png", photo("a", (96, 128)))
    (tmp_path / "disk/deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "disk/deep", target_is_directory=True)
    smir(*words(tmp_path / "photos", "--formats=labelme", f"--out={tmp_path / 'link/labels'}"))
    (made,) = (tmp_path / "disk").rglob("a.json")
    assert (made.parent / json.loads(made.read_text())["imagePath"]).resolve() == (tmp_path / "photos/a.png").resolve()


def test_options_without_effect_are_refused_or_named(smir, fails, words, tmp_path, caplog):
    save(tmp_path / "photos/a.png", photo("a", (96, 128)))
    assert "--simplify and --background are for polygons" in fails(*words(tmp_path / "photos", "--simplify=5"))
    smir(*words(tmp_path / "photos", "--data.predict.scale=1"))
    assert "All images were seen whole, so without data.predict.scale, data.predict.window." in caplog.text
