"""Bands of multispectral TIFFs as red, green and blue: `prepare folder --bands`, and `predict` after it."""

import cv2
import numpy as np
import pytest
import rasterio
import yaml
from fakes import photo, save
from PIL import Image

from smir.data.predict_options import PredictOptions
from smir.data.reading.opening import Choice, open_raster

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def write(path, bands, **how):
    path.parent.mkdir(exist_ok=True)
    size = {"height": bands.shape[0], "width": bands.shape[1], "count": bands.shape[2], "dtype": bands.dtype}
    with rasterio.open(path, "w", driver="GTiff", **size, **how) as file:
        file.write(np.moveaxis(bands, -1, 0))


def five_bands(seed="five", dtype=np.uint16):
    picture = photo(seed, (128, 128)).astype(float)
    return np.dstack([picture, picture[..., :2]]).astype(dtype) * dtype(20)


def predict_options(root):
    return yaml.safe_load((root / "data.yaml").read_text())["data"]["init_args"]["predict"]


def test_a_value_range_may_begin_with_a_minus_sign(smir, tmp_path):
    for name in "ab":
        write(tmp_path / f"photos/{name}.tif", five_bands(name, np.float32))
    smir("prepare", "folder", "--images", "photos", "--bands", "3,2,1", "--value_range", "-5,3200")
    assert predict_options(tmp_path / "field")["value_range"] == [-5, 3200]


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
@pytest.mark.parametrize("given", ["100,3000", "5%,90%"])
def test_chosen_bands_of_a_map_are_stored_and_used_by_predict(smir, tmp_path, dtype, given):
    bands = five_bands(dtype=dtype)
    write(tmp_path / "maps/map.tif", bands)
    smir("prepare", "folder", "--images=maps/map.tif", "--tile=64", "--bands=3,2,1", f"--value_range={given}")
    stored = predict_options(tmp_path / "field")
    chosen = bands[..., [2, 1, 0]].astype(float)
    low, high = (100, 3000) if given == "100,3000" else np.percentile(chosen, [5, 90])
    assert stored["bands"] == [3, 2, 1]
    assert stored["value_range"] == pytest.approx([low, high])
    wanted = np.clip(np.round((chosen - low) * 255 / (high - low)), 0, 255)
    tile = cv2.imread(str(tmp_path / "field/images/tile_00003.png"))[..., ::-1]
    assert np.abs(tile - wanted[64:, 64:]).max() <= 1
    options = PredictOptions(**stored)
    assert Choice("auto", None, options.band_choice()).in_windows(tmp_path / "maps/map.tif")
    raster = open_raster(tmp_path / "maps/map.tif", tmp_path, False, options.band_choice())
    assert (raster.read(64, 64, 64, 64)[0] == tile).all()


def test_chosen_bands_of_photographs_are_written_to_new_images(smir, tmp_path):
    for name in "abc":
        write(tmp_path / f"photos/{name}.tif", five_bands(name))
    smir("prepare", "folder", "--images=photos", "--bands=5,4,1", "--value_range=0,5100")
    for name in "abc":
        with Image.open(tmp_path / f"field/images/{name}.tif") as image:
            assert (np.asarray(image) == five_bands(name)[..., [4, 3, 0]] / 20).all()
    smir("check", "--config=field/data.yaml", "--data.task=pretrain")  # `check` reads the images as `predict` does


def test_pixels_without_data_in_the_chosen_bands_are_missing_though_others_hold_some(smir, tmp_path):
    bands = five_bands(dtype=np.float32)
    bands[:, :40, :3] = -9999
    write(tmp_path / "map.tif", bands, nodata=-9999)
    Image.fromarray(np.indices((128, 128)).sum(axis=0).astype(np.uint8) // 64).save(tmp_path / "labels.png")
    words = ("--images=map.tif", "--tile=64", "--labels=labels.png", "--bands=3,2,1", "--value_range=0%,100%")
    smir("prepare", "folder", *words, "--min_valid=0")
    assert predict_options(tmp_path / "field")["value_range"] == [bands[:, 40:, :3].min(), bands[:, 40:, :3].max()]
    with Image.open(tmp_path / "field/masks/tile_00000.png") as mask:
        assert (np.asarray(mask)[:, :40] == 255).all()
        assert (np.asarray(mask)[:, 40:] < 255).all()


@pytest.mark.parametrize("given", [("--images=photos",), ("--images=photos/a.tif", "--tile=64")])
def test_files_that_do_not_say_their_colours_are_refused_with_the_options(fails, tmp_path, given):
    write(tmp_path / "photos/a.tif", five_bands())
    said = fails("prepare", "folder", *given)
    assert "a.tif has 5 bands: gray (uint16), undefined (uint16)" in said
    assert "--bands 3,2,1 --value_range 0,4000" in said


@pytest.mark.parametrize("tile", [(), ("--tile=64",)])
def test_floating_point_colours_are_refused_with_the_options(fails, tmp_path, tile):
    write(tmp_path / "photos/a.tif", photo("a", (128, 128)).astype(np.float32), photometric="rgb")
    said = fails("prepare", "folder", "--images=photos", *tile)
    assert "a.tif has 3 bands: red (float32)" in said
    assert "--bands 3,2,1 --value_range 0,4000" in said


def test_single_bands_among_photographs_are_refused(fails, tmp_path):
    dark = np.random.default_rng(0).integers(0, 4000, (64, 64, 1)).astype(np.uint16)
    for name in "ab":
        save(tmp_path / f"photos/DJI_{name}_D.JPG", photo(name, (64, 64)))
        write(tmp_path / f"photos/DJI_{name}_MS_NIR.TIF", dark)
    said = fails("prepare", "folder", "--images=photos")
    assert "2 of 4 images in" in said
    assert "one channel of 16 bits, beside images in colours: DJI_a_MS_NIR.TIF, DJI_b_MS_NIR.TIF." in said
    assert "choose three with --bands" in said


def test_four_grey_bands_are_refused_as_colours(fails, tmp_path):
    write(tmp_path / "photos/a.tif", five_bands(dtype=np.uint8)[..., :4], photometric="minisblack")
    said = fails("prepare", "folder", "--images=photos")
    assert "a.tif has 4 bands: gray (uint8), undefined (uint8), undefined (uint8), undefined (uint8)" in said


def test_a_fourth_band_is_reported_as_not_used(smir, tmp_path, capsys):
    write(tmp_path / "photos/a.tif", five_bands(dtype=np.uint8)[..., :4], photometric="rgb")
    smir("prepare", "folder", "--images=photos")
    assert "1 image has bands that are not used, such as 4 of a.tif; --bands chooses bands." in capsys.readouterr().out


def test_16_bit_images_that_use_few_values_are_reported(smir, tmp_path, capsys):
    for name in "ab":
        write(tmp_path / f"photos/{name}.tif", photo(name, (128, 128)).astype(np.uint16) * 16, photometric="rgb")
    smir("prepare", "folder", "--images=photos")
    assert "Note: The images show little contrast: the deviation is 1." in capsys.readouterr().out
    smir("prepare", "folder", "--images=photos", "--root=b", "--bands=1,2,3", "--value_range=2%,98%")
    assert "almost nothing" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (("--bands=1,2",), "--bands names three bands"),
        (("--value_range=0,9",), "--value_range is for the bands that --bands names"),
        (("--bands=1,2,3", "--value_range=9,0"), "--value_range is LOW,HIGH"),
        (("--bands=1,2,3", "--value_range=0,9%"), "--value_range is LOW,HIGH"),
        (("--bands=1,2,3", "--value_range=1.2.3,9"), "--value_range is LOW,HIGH"),
        (("--bands=1,2,3", "--value_range=2%,200%"), "--value_range is LOW,HIGH"),
        (("--bands=1,2,6", "--value_range=0,9"), "has no band 6, but only 5 bands"),
        (("--bands=1,2,6", "--value_range=0%,9%"), "has no band 6, but only 5 bands"),
        (("--bands=1,2,3",), "has 5 bands: gray (uint16)"),
    ],
)
def test_options_that_do_not_fit_are_refused(fails, tmp_path, given, says):
    write(tmp_path / "photos/a.tif", five_bands())
    assert says in fails("prepare", "folder", "--images=photos", *given)


@pytest.mark.parametrize("bands", ["-3,2,1", "b3,2,1", "3.2.1", "3,2", "3,2,1,4", "0,1,2"])
def test_bands_are_three_numbers_with_commas(fails, tmp_path, bands):
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (64, 64)).save(tmp_path / "photos/a.tif")
    said = fails("prepare", "folder", "--images=photos", f"--bands={bands}")
    assert f"--bands names three bands counted from 1, such as 3,2,1; got '{bands}'." in said


def test_a_single_band_of_fractions_can_be_prepared_as_the_message_says(smir, fails, tmp_path):
    (tmp_path / "photos").mkdir()
    size = {"height": 60, "width": 80, "count": 1, "dtype": "float32"}
    with rasterio.open(tmp_path / "photos/a.tif", "w", driver="GTiff", **size) as file:
        file.write(np.random.default_rng(0).random((1, 60, 80)).astype(np.float32))
    said = fails("prepare", "folder", "--images=photos")
    assert "a.tif has 1 band: gray (float32)" in said
    assert "--bands 1,1,1 --value_range 0,4000" in said
    said = fails("prepare", "folder", "--images=photos", "--bands=2,3,4", "--value_range=0,1")
    assert "a.tif has no band 4, but only 1 band." in said
    smir("prepare", "folder", "--images=photos", "--bands=1,1,1", "--value_range=2%,98%")
    assert (tmp_path / "field/images/a.tif").is_file()
