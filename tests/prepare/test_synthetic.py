import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from smir.cli.hints import after_prepare
from smir.errors import ConfigError, DataError
from smir.prepare import command as prepare
from smir.prepare.synthetic import dataset as synthetic
from smir.prepare.synthetic.dataset import write_dataset
from smir.prepare.synthetic.field import Field, noise
from smir.prepare.synthetic.plants import WEED_SPECIES, Species

SMALL = {"width": 300, "height": 270, "tile": 64, "train_tiles": 5, "val_tiles": 2, "test_tiles": 3}


@pytest.fixture(scope="module")
def view():
    return Field(0, 0).render(0, 0, 1024, 1024)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_dataset(root, seed=3, **SMALL)
    return root


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("window", [(0, 0, 256, 256), (101, 37, 300, 211), (517, 700, 507, 324), (511, 3, 1, 1000)])
def test_overlapping_windows_have_the_same_pixels(view, window):
    top, left, height, width = window
    image, label = Field(0, 0).render(*window)
    assert image.shape == (height, width, 3)
    np.testing.assert_array_equal(image, view[0][top : top + height, left : left + width])
    np.testing.assert_array_equal(label, view[1][top : top + height, left : left + width])


def test_small_windows_equal_the_same_part_of_a_large_one(view):
    # Small windows hold tips and shadows of plants whose centres are far outside.
    for top, left in np.random.default_rng(0).integers(0, 1020, (200, 2)).tolist():
        image = Field(0, 0).render(top, left, 4, 4)[0]
        np.testing.assert_array_equal(image, view[0][top : top + 4, left : left + 4])


def test_windows_left_of_and_above_the_origin_agree():
    image, label = Field(1, 2).render(-150, -90, 200, 180)
    part, part_label = Field(1, 2).render(-33, -20, 50, 70)
    np.testing.assert_array_equal(part, image[117:167, 70:140])
    np.testing.assert_array_equal(part_label, label[117:167, 70:140])


def test_seeds_and_numbers_are_different_fields(view):
    window = (0, 0, 128, 128)
    for other in (Field(1, 0), Field(0, 1)):
        assert (other.render(*window)[0] != view[0][:128, :128]).mean() > 0.5


def test_noise_has_no_seams_and_many_scales():
    values = noise(7, -40, -40, 512, 512, (0, 500, 500, 500, 500)).astype(int)
    steps = np.abs(np.diff(values, axis=1)).mean(0)
    # A seam between lattice cells would make the columns at one phase rougher than the others.
    for pitch in (4, 8, 16):
        phases = np.array([steps[phase::pitch].mean() for phase in range(pitch)])
        assert phases.max() < 1.6 * phases.min()
    assert values.std() > 100
    assert abs(values.mean()) < 60


@pytest.mark.parametrize("number", range(3))
def test_crop_and_weed_have_plausible_shares(number):
    _, label = Field(5, number).render(0, 0, 768, 1536)
    crop, weed = (label == 1).mean(), (label == 2).mean()
    assert set(np.unique(label)) == {0, 1, 2}
    assert 0.07 < crop < 0.20
    assert 0.003 < weed < 0.03


def test_even_the_densest_patch_of_weeds_stays_below_three_per_cent(monkeypatch):
    # Everywhere the maximum of the wave that controls the density of weeds and the size of the crop.
    monkeypatch.setattr(Field, "_wave", lambda *_: 1.0)
    labels = [Field(seed, 0).render(0, 0, 1024, 1024)[1] for seed in range(3)]
    assert 0.01 < np.mean([label == 2 for label in labels]) < 0.03


def test_plants_are_green_soil_is_brown_and_rare_species_are_rare(view):
    image, label = view[0].astype(int), view[1]
    red, green, _ = (image[label == 0][:, k].mean() for k in range(3))
    assert red > green
    for value in (1, 2):
        red, green, blue = (image[label == value][:, k].mean() for k in range(3))
        assert green > 1.15 * max(red, blue)
    shares = sorted(species.share for species in WEED_SPECIES)
    assert sum(shares) == pytest.approx(1)
    assert shares[1] <= 0.03 < 0.2 < shares[2]


def test_the_label_follows_the_drawn_plant(monkeypatch):
    # Draws one species in pure blue on a separate field: the blue pixels must equal the label of the crop.
    blue = Species("blue", 1.0, (26, 64), (6, 9), 137.5, 0.25, 0.95, 0.3, 0.0, 2.5, 0.2, (0, 0, 250), (0, 0, 250))
    monkeypatch.setattr("smir.prepare.synthetic.field.CROP_SPECIES", blue)
    monkeypatch.setattr("smir.prepare.synthetic.field._WEEDS_PER_CELL", 0.0)
    image, label = Field(0, 0).render(0, 0, 400, 400)
    painted = image[..., 2].astype(int) > image[..., 0].astype(int) + 20
    assert (label == 1).mean() > 0.05
    assert (painted == (label == 1)).mean() > 0.98


def test_the_dataset_has_the_layout_and_the_lists_of_nassar(dataset):
    folder = dataset / "nassar"
    orthomosaic = cv2.imread(str(folder / "orthomosaic" / "data" / "RGB_reference_png.png"))[..., ::-1]
    np.testing.assert_array_equal(orthomosaic, Field(3, 0).render(0, 0, 270, 300)[0])
    train = folder / "tiled_dataset" / "train"
    lists = {split: (train / "data_list" / f"{split}.txt").read_text().split() for split in ("train", "val", "test")}
    assert lists == {
        "train": ["sub5_0_0", "sub5_0_1", "sub4_0_0", "sub4_0_1", "sub3_0_0"],
        "val": ["sub1_0_0", "sub1_0_1"],
        "test": ["sub2_0_0", "sub2_0_1", "sub2_1_0"],
    }
    names = {f"{name}.png" for split in lists.values() for name in split}
    for kind in ("data", "mask"):
        assert {path.name for path in (train / kind).iterdir()} == names
    image, label = Field(3, 2).render(64, 0, 64, 64)
    np.testing.assert_array_equal(cv2.imread(str(train / "data" / "sub2_1_0.png"))[..., ::-1], image)
    mask = cv2.imread(str(train / "mask" / "sub2_1_0.png"), cv2.IMREAD_UNCHANGED)
    assert mask.ndim == 2
    np.testing.assert_array_equal(mask, label)


def test_a_second_run_changes_nothing(dataset, monkeypatch):
    before = files(dataset)
    monkeypatch.setattr(Field, "render", lambda *_: pytest.fail("rendered again"))
    write_dataset(dataset, seed=3, **SMALL)
    assert files(dataset) == before


@pytest.mark.parametrize("windows", [4, 12, 13])
def test_an_interrupted_run_is_completed(dataset, tmp_path, monkeypatch, windows):
    # Ten labelled tiles and, in strips of 100 rows and windows of 150 columns, six windows of the orthomosaic.
    monkeypatch.setattr(synthetic, "_STRIP_ROWS", 100)
    monkeypatch.setattr(synthetic, "_WINDOW_COLUMNS", 150)
    render, calls = Field.render, []

    def failing(self, *window):
        calls.append(window)
        if len(calls) > windows:
            raise KeyboardInterrupt
        return render(self, *window)

    with monkeypatch.context() as patch:
        patch.setattr(Field, "render", failing)
        with pytest.raises(KeyboardInterrupt):
            write_dataset(tmp_path, seed=3, **SMALL)
    assert not (tmp_path / "nassar" / "synthetic.json").exists()
    with pytest.raises(DataError, match=r"other settings: seed 3, now 4"):
        write_dataset(tmp_path, seed=4, **SMALL)
    for raw in tmp_path.rglob("*.raw.tmp"):
        with raw.open("ab") as stream:
            stream.write(b"part of a row")
    calls.clear()
    with monkeypatch.context() as patch:
        patch.setattr(Field, "render", lambda self, *window: (calls.append(window), render(self, *window))[1])
        write_dataset(tmp_path, seed=3, **SMALL)
    # Complete files are kept: whole tiles, and whole strips of the orthomosaic.
    assert len(calls) == 16 - (windows if windows <= 10 else 10 + (windows - 10) // 2 * 2)
    assert files(tmp_path) == files(dataset)


def test_other_settings_and_other_data_are_refused(dataset, tmp_path):
    with pytest.raises(DataError, match=r"synthetic\.json records other settings: width 300, now 301"):
        write_dataset(dataset, seed=3, **{**SMALL, "width": 301})
    real = tmp_path / "nassar" / "orthomosaic" / "data" / "RGB_reference_png.png"
    real.parent.mkdir(parents=True)
    real.write_bytes(b"years of work")
    with pytest.raises(DataError, match=r"RGB_reference_png\.png exists without"):
        write_dataset(tmp_path, **SMALL)
    assert files(tmp_path) == {"nassar/orthomosaic/data/RGB_reference_png.png": b"years of work"}
    with pytest.raises(ConfigError, match="val_tiles 0"):
        write_dataset(tmp_path / "new", **{**SMALL, "val_tiles": 0})


def test_the_synthetic_field_can_be_prepared_as_nassar(tmp_path, capsys):
    with pytest.raises(DataError, match=r"orthomosaic/data/RGB_reference_png\.png is not there.*prepare synthetic"):
        prepare.nassar(tmp_path)
    made = prepare.synthetic(tmp_path, **SMALL)
    assert after_prepare(made) == [f"Next: python -m smir prepare nassar --root {tmp_path}"]
    prepare.nassar(tmp_path, tile=64)
    assert "An artificial field in the layout of Nassar 2020 is ready in" in capsys.readouterr().out
    tiles = tmp_path / "nassar" / "ortho_tiles"
    assert len(list(tiles.glob("nassar_*.png"))) == 25
    assert json.loads((tiles / "tiles.json").read_text())["written"] == 25
    image = cv2.imread(str(tiles / "nassar_00024.png"))[..., ::-1]
    np.testing.assert_array_equal(image, Field(0, 0).render(270 - 64, 300 - 64, 64, 64)[0])
