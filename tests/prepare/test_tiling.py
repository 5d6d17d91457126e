import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import pyvips
import rasterio
from fakes import photo
from PIL import Image

from smir.data.reading.decode import read_image
from smir.errors import ConfigError, DataError
from smir.prepare import tiling
from smir.prepare.sources import shown_size
from smir.prepare.tiling import TileReport, tile_image


def write_bands(path: Path, count: int) -> None:
    """Writes a GeoTIFF whose bands are not marked as colours."""
    size = {"height": 40, "width": 40, "count": count, "dtype": "uint8"}
    with rasterio.open(path, "w", driver="GTiff", photometric="minisblack", **size) as file:
        file.write(np.zeros((count, 40, 40), np.uint8))


def save(path: Path, pixels: np.ndarray) -> Path:
    interpretation = "srgb" if pixels.dtype == np.uint8 else "rgb16"
    pyvips.Image.new_from_array(pixels, interpretation=interpretation).write_to_file(str(path))
    return path


def read(path: Path) -> np.ndarray:
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[..., ::-1]


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}


@pytest.fixture
def pixels():
    # 5 x 4 tiles of 32 pixels; the last row and column are not full.
    return np.random.default_rng(0).integers(1, 255, (150, 101, 3), np.uint8)


@pytest.fixture
def source(tmp_path, pixels):
    return save(tmp_path / "field.png", pixels)


@pytest.mark.parametrize(
    ("overlap", "tops", "lefts"),
    [
        (0, [0, 32, 64, 96, 118], [0, 32, 64, 69]),
        (12, [0, 20, 40, 60, 80, 100, 118], [0, 20, 40, 60, 69]),
        (28, [*range(0, 117, 4), 118], [*range(0, 69, 4), 69]),
    ],
)
def test_tiles_equal_slices_of_the_source(tmp_path, pixels, source, overlap, tops, lefts):
    report = tile_image(source, tmp_path / "tiles", 32, overlap)
    assert report == TileReport(len(tops) * len(lefts), 0)
    names = sorted(path.name for path in (tmp_path / "tiles").glob("*.png"))
    assert names == [f"nassar_{number:05d}.png" for number in range(report.written)]
    places = [(top, left) for top in tops for left in lefts]
    for number in range(0, report.written, max(1, report.written // 40)):
        top, left = places[number]
        tile = read(tmp_path / "tiles" / names[number])
        np.testing.assert_array_equal(tile, pixels[top : top + 32, left : left + 32])


def test_sides_that_are_multiples_of_the_tile_get_no_extra_row(tmp_path, pixels):
    source = save(tmp_path / "field.png", pixels[:64, :96])
    assert tile_image(source, tmp_path / "tiles", 32).written == 6


@pytest.mark.parametrize("name", ["field.tif", "field.webp"])
def test_tiff_and_webp_are_cut(tmp_path, name):
    flat = np.full((40, 70, 3), (200, 100, 50), np.uint8)
    tile_image(save(tmp_path / name, flat), tmp_path / "tiles", 32)
    assert np.abs(read(tmp_path / "tiles" / "nassar_00005.png").astype(int) - (200, 100, 50)).max() <= 4


def test_alpha_marks_valid_pixels_and_tiles_keep_their_numbers(tmp_path, pixels):
    alpha = np.full((150, 101, 1), 255, np.uint8)
    alpha[:32, :32] = 0  # tile 0: nothing valid
    alpha[:16, 32:64] = 0  # tile 1: half
    alpha[:17, 64:96] = 0  # tile 2: less than half
    source = save(tmp_path / "field.png", np.concatenate([pixels, alpha], -1))
    assert tile_image(source, tmp_path / "all", 32) == TileReport(20, 0)
    assert tile_image(source, tmp_path / "some", 32, min_valid=0.5) == TileReport(18, 2)
    missing = {p.name for p in (tmp_path / "all").iterdir()} - {p.name for p in (tmp_path / "some").iterdir()}
    assert missing == {"nassar_00000.png", "nassar_00002.png"}
    np.testing.assert_array_equal(read(tmp_path / "all" / "nassar_00000.png"), pixels[:32, :32])
    # Left-out tiles do not make a finished folder look unfinished.
    before = contents(tmp_path / "some")
    assert tile_image(source, tmp_path / "some", 32, min_valid=0.5) == TileReport(18, 2)
    assert contents(tmp_path / "some") == before


def test_pure_black_and_white_count_as_no_data_without_alpha(tmp_path):
    pixels = np.full((32, 160, 3), 128, np.uint8)
    pixels[:, :32] = 0
    pixels[:, 32:64] = 255
    pixels[:, 64:96] = (0, 0, 1)
    pixels[:31, 96:128] = 0
    source = save(tmp_path / "field.png", pixels)
    assert tile_image(source, tmp_path / "tiles", 32, min_valid=0.2) == TileReport(2, 3)
    assert sorted(p.stem for p in (tmp_path / "tiles").glob("*.png")) == ["nassar_00002", "nassar_00004"]


def test_an_interrupted_run_is_completed_and_keeps_its_tiles(tmp_path, pixels, source, monkeypatch):
    tile_image(source, tmp_path / "whole", 32, 12, 0.1)
    write, calls = tiling.write_png, []

    def failing(path, image, **how):
        calls.append(path.name)
        if len(calls) == 9:
            # As after a crash in the middle of the file.
            path.with_name(f".{path.name}.99999999.tmp").write_bytes(b"half a ti")
            raise KeyboardInterrupt
        write(path, image, **how)

    monkeypatch.setattr(tiling, "write_png", failing)
    target = tmp_path / "tiles"
    with pytest.raises(KeyboardInterrupt):
        tile_image(source, target, 32, 12, 0.1)
    first = {path.name: path.stat().st_mtime_ns for path in target.glob("*.png")}
    assert len(first) == 8
    assert not (target / "tiles.json").exists()

    with pytest.raises(DataError, match=r"other settings: overlap 12, now 0"):
        tile_image(source, target, 32, 0, 0.1)
    calls.clear()
    monkeypatch.setattr(tiling, "write_png", lambda path, image, **_: (calls.append(path.name), write(path, image)))
    assert tile_image(source, target, 32, 12, 0.1) == TileReport(35, 0)
    assert len(calls) == 27
    assert {name: (target / name).stat().st_mtime_ns for name in first} == first
    assert {n: c for n, (_, c) in contents(target).items()} == {
        n: c for n, (_, c) in contents(tmp_path / "whole").items()
    }


def test_a_finished_run_is_left_alone_and_lost_tiles_are_made_again(tmp_path, source, monkeypatch):
    target = tmp_path / "tiles"
    report = tile_image(source, target, 32)
    before = contents(target)
    with monkeypatch.context() as patch:
        patch.setattr("smir.prepare.sources._strips_of", lambda *_: pytest.fail("read the source again"))
        assert tile_image(source, target, 32) == report
    (target / "nassar_00007.png").unlink()
    assert tile_image(source, target, 32) == report
    after = contents(target)
    assert after["nassar_00007.png"][1] == before["nassar_00007.png"][1]
    assert after["nassar_00008.png"] == before["nassar_00008.png"]


def test_other_settings_another_source_and_foreign_tiles_are_refused(tmp_path, pixels, source):
    target = tmp_path / "tiles"
    tile_image(source, target, 32)
    with pytest.raises(DataError, match=r"tiles\.json records other settings: tile 32, now 16"):
        tile_image(source, target, 16)
    save(source, 255 - pixels)
    with pytest.raises(DataError, match=r"other settings: .*mtime_ns.*Delete .*tiles to start over"):
        tile_image(source, target, 32)
    (target / "tiles.json").write_text("{")
    with pytest.raises(DataError, match=r"tiles\.json is damaged"):
        tile_image(source, target, 32)
    (target / "tiles.json").unlink()
    with pytest.raises(DataError, match=r"holds 20 tiles \(nassar_00000\.png.*no tiles\.json"):
        tile_image(source, target, 32)


def test_a_truncated_source_is_an_error_and_gives_no_black_tiles(tmp_path, pixels):
    source = save(tmp_path / "field.png", np.tile(pixels, (6, 6, 1)))
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    with pytest.raises(DataError, match=r"field\.png cannot be decoded below row \d+.*fetch it again"):
        tile_image(source, tmp_path / "tiles", 32)
    assert not (tmp_path / "tiles" / "tiles.json").exists()
    whole = np.tile(pixels, (6, 6, 1))
    made = sorted((tmp_path / "tiles").glob("*.png"))
    assert made
    for path in made:
        row, column = divmod(int(path.stem.removeprefix("nassar_")), 19)
        left = min(32 * column, 606 - 32)
        np.testing.assert_array_equal(read(path), whole[32 * row : 32 * row + 32, left : left + 32])


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("small.png", lambda p: save(p, np.ones((40, 20, 3), np.uint8)), r"20 x 40 pixels.*tile of at most 20"),
        (
            "bands.tif",
            lambda p: write_bands(p, 3),
            r"--bands 3,2,1",
        ),
        ("text.png", lambda p: p.write_text("not an image"), r"is not a JPEG, PNG, WebP, TIFF or BMP"),
        ("none.png", lambda p: None, r"does not exist"),
    ],
)
def test_sources_that_cannot_be_tiled_are_refused(tmp_path, name, make, message):
    make(tmp_path / name)
    with pytest.raises(DataError, match=f"{name}.*{message}"):
        tile_image(tmp_path / name, tmp_path / "tiles", 32)
    assert not (tmp_path / "tiles").exists()


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_class_ids_of_any_type_are_kept(tmp_path, dtype):
    ids = np.arange(1600).reshape(40, 40) % 300
    pyvips.Image.new_from_array(ids.astype(dtype)).write_to_file(str(tmp_path / "my labels.tif"))
    tile_image(tmp_path / "my labels.tif", tmp_path / "tiles", 32, grey=True)
    assert (cv2.imread(str(tmp_path / "tiles/nassar_00003.png"), cv2.IMREAD_UNCHANGED) == ids[8:, 8:]).all()


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_tiles_follow_the_orientation_of_the_image(tmp_path, orientation):
    path = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(photo("turned", (40, 72))).save(path, exif=exif)
    shown = read_image(path)
    assert shown_size(path) == shown.shape[:2]
    tile_image(path, tmp_path / "tiles", 32)
    for name, (_, _, top, left) in tiling.names_of_tiles(*shown.shape[:2], 32, "nassar_").items():
        tile = read_image(tmp_path / "tiles" / name)
        # two JPEG decoders, which may round differently
        assert np.abs(tile.astype(int) - shown[top : top + 32, left : left + 32]).max() <= 3


@pytest.mark.parametrize("settings", [{"tile": 0}, {"overlap": 256}, {"overlap": -1}, {"min_valid": 1.1}])
def test_settings_out_of_range_are_refused(tmp_path, source, settings):
    with pytest.raises(ConfigError, match=f"{next(iter(settings))} {next(iter(settings.values()))}"):
        tile_image(source, tmp_path / "tiles", **settings)


def test_the_grid_has_the_number_of_tiles_of_the_paper():
    tops, lefts = tiling.starts(29400, 256, 256), tiling.starts(90600, 256, 256)
    assert len(tops) * len(lefts) == 40710
    assert (tops[-1], lefts[-1]) == (29400 - 256, 90600 - 256)


def test_the_record_says_what_was_made(tmp_path, source):
    tile_image(source, tmp_path / "tiles", 32)
    record = json.loads((tmp_path / "tiles" / "tiles.json").read_text())
    assert record["settings"]["source"] == "field.png"
    assert (record["width"], record["height"], record["written"], record["skipped"]) == (101, 150, 20, 0)
