"""`prepare folder --tile`: photographs cut into tiles, with their labels."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import pyvips
import yaml
from fakes import blocks, photo, save
from PIL import Image

from smir.cli.hints import how_to_label
from smir.cli.run_data import photographs, source_of
from smir.data.reading.decode import read_image
from smir.data.reading.lists import read_list
from smir.prepare import tiling

TILE = 32
SIZE = (80, 100)
TOPS, LEFTS = (0, 32, 48), (0, 32, 64, 68)
PLACES = [(top, left) for top in TOPS for left in LEFTS]
SPLITS = ("train", "val", "test")


@pytest.fixture
def photos(tmp_path):
    """Eight photographs, of which seven are labelled, and a patch that is smaller than a tile."""
    for number in range(8):
        save(tmp_path / f"photos/day 1/{number}.png", photo(f"image {number}", SIZE))
    for number in range(7):
        save(tmp_path / f"labels/{number}.png", blocks(f"label {number}", (0, 1, 2), SIZE))
    save(tmp_path / "photos/patch.png", photo("patch", (30, 40)))
    save(tmp_path / "labels/patch.png", blocks("patch", (0, 1, 2), (30, 40)))
    return tmp_path / "photos"


@pytest.fixture
def prepare(smir, photos):
    return lambda *words: smir("prepare", "folder", "--images=photos", f"--tile={TILE}", *words)


def lists(root):
    return {split: read_list(root / f"{split}.txt") for split in SPLITS}


def settings(root):
    return yaml.safe_load((root / "data.yaml").read_text())["data"]


@pytest.mark.parametrize(("mode", "suffix"), [("L", "png"), ("LA", "png"), ("CMYK", "jpg")])
def test_tiles_of_grey_and_cmyk_images_equal_the_whole_image(smir, tmp_path, mode, suffix):
    (tmp_path / "photos").mkdir()
    picture = Image.fromarray(photo("a", SIZE)).convert(mode)
    picture.save(tmp_path / f"photos/a.{suffix}")
    smir("prepare", "folder", "--images=photos", f"--tile={TILE}")
    whole = read_image(tmp_path / f"photos/a.{suffix}")
    for place, (top, left) in enumerate(PLACES):
        tile = read_image(tmp_path / f"field/images/a/tile_{place:05d}.png")
        assert np.abs(tile.astype(int) - whole[top : top + TILE, left : left + TILE]).max() <= 2 * (mode == "CMYK")


@pytest.mark.parametrize("bands", [1, 3, 4])
def test_tiles_of_16_bit_images_equal_the_whole_image(smir, tmp_path, bands):
    (tmp_path / "photos").mkdir()
    deep = np.random.default_rng(0).integers(1, 1 << 16, (*SIZE, bands), dtype=np.uint16)
    cv2.imwrite(str(tmp_path / "photos/a.png"), deep[..., [0] if bands == 1 else [2, 1, 0, 3][:bands]])
    smir("prepare", "folder", "--images=photos", f"--tile={TILE}")
    whole = read_image(tmp_path / "photos/a.png")
    assert (whole == deep[..., :3] >> 8).all()
    for place, (top, left) in enumerate(PLACES):
        tile = read_image(tmp_path / f"field/images/a/tile_{place:05d}.png")
        assert (tile == whole[top : top + TILE, left : left + TILE]).all()


def test_tiles_of_lab_images_equal_the_whole_image(smir, tmp_path):
    path = tmp_path / "photos/a.tif"
    path.parent.mkdir()
    Image.fromarray(photo("a", SIZE)).convert("RGB").save(tmp_path / "a.png")
    pyvips.Image.new_from_file(str(tmp_path / "a.png")).colourspace("lab").cast("float").tiffsave(str(path), bitdepth=8)
    smir("prepare", "folder", "--images=photos", f"--tile={TILE}")
    for place, (top, left) in enumerate(PLACES):
        tile = read_image(tmp_path / f"field/images/a/tile_{place:05d}.png")
        assert (tile == read_image(path)[top : top + TILE, left : left + TILE]).all()


@pytest.mark.parametrize("kind", [1, 2, 4, 8, 16, "palette", "transparent"])
def test_tiles_of_a_png_label_keep_the_stored_ids(smir, tmp_path, kind):
    ids = blocks("label", (0, 1) if kind == 1 else (0, 1, 2), SIZE)
    save(tmp_path / "map.png", photo("map", SIZE))
    label = tmp_path / "label.png"
    if kind == "transparent":
        Image.fromarray(ids).save(label, transparency=1)
    elif kind == "palette":
        picture = Image.fromarray(ids)
        picture.putpalette([0, 0, 0, 0, 200, 0, 0, 200, 0])  # two classes have the same colour
        picture.save(label)
    else:
        save(label, ids.astype(np.uint16 if kind == 16 else np.uint8))
        if kind < 8:
            pyvips.Image.new_from_array(ids * (255 // (2**kind - 1))).cast("uchar").pngsave(str(label), bitdepth=kind)
            assert label.read_bytes()[24] == kind
    smir("prepare", "folder", "--images=map.png", "--labels=label.png", f"--tile={TILE}")
    for place, (top, left) in enumerate(PLACES):
        mask = np.asarray(Image.open(tmp_path / f"field/masks/tile_{place:05d}.png"))
        assert (mask == ids[top : top + TILE, left : left + TILE]).all()


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_transparent_pixels_of_a_coloured_label_are_void_in_tiles(smir, fails, tmp_path, suffix):
    colors = np.array([(0, 0, 0), (0, 200, 0), (200, 0, 0)], np.uint8)[blocks("label", (0, 1, 2), SIZE)]
    alpha = np.full((*SIZE, 1), 255, np.uint8)
    alpha[:20] = 0
    save(tmp_path / "map.png", photo("map", SIZE))
    Image.fromarray(np.dstack([colors, alpha])).save(tmp_path / f"label.{suffix}")
    words = ("prepare", "folder", "--images=map.png", f"--labels=label.{suffix}", f"--tile={TILE}")
    smir(*words, "--classes=[soil=#000000, crop=#00c800, weed=#c80000, void=transparent]")
    mask = np.asarray(Image.open(tmp_path / "field/masks/tile_00000.png"))
    assert (mask[:20] == 255).all()
    assert (mask[20:] < 3).all()


@pytest.mark.parametrize("how", ["whole", "cut", "map"])
def test_transparent_pixels_of_a_photograph_are_not_labelled(smir, tmp_path, capsys, how):
    """As those of a TIFF; `predict` gives them no label, either."""
    label = blocks("label", (0, 1, 2), SIZE)
    alpha = np.full((*SIZE, 1), 255, np.uint8)
    alpha[:20] = 0
    folder = tmp_path / ("." if how == "map" else "photos")
    folder.mkdir(exist_ok=True)
    for name in "abcd":
        visible = 0 if name == "d" else 1
        Image.fromarray(np.dstack([photo(name, SIZE), alpha * visible])).save(folder / f"{name}.png")
        save(tmp_path / f"labels/{name}.png", label)
    tile = () if how == "whole" else (f"--tile={TILE}", "--min_valid=0")
    where = ("--images=a.png", "--labels=labels/a.png") if how == "map" else ("--images=photos", "--labels=labels")
    smir("prepare", "folder", *where, *tile)
    expected = np.where(alpha[..., 0] > 0, label, 255)
    root = tmp_path / "field/masks" / ("a" if how == "cut" else "")
    if how == "whole":
        assert (np.asarray(Image.open(root / "a.png")) == expected).all()
        assert (np.asarray(Image.open(root / "d.png")) == 255).all()
        assert "1 image has no data where labels are (transparent, or marked as missing)" in capsys.readouterr().out
        return
    for place, (top, left) in enumerate(PLACES):
        mask = np.asarray(Image.open(root / f"tile_{place:05d}.png"))
        assert (mask == expected[top : top + TILE, left : left + TILE]).all()


def test_photographs_that_are_transparent_or_damaged_are_named(fails, tmp_path):
    """Some programs write an alpha channel of zeros over photographs that show everything."""
    for name in "abc":
        save(tmp_path / f"photos/{name}.png", np.dstack([photo(name, SIZE), np.zeros(SIZE, np.uint8)]))
        save(tmp_path / f"labels/{name}.png", blocks("label", (0, 1, 2), SIZE))
    words = ("prepare", "folder", "--images=photos", "--labels=labels")
    said = fails(*words)
    assert "no data where labels are, such as a.png: the pixels are transparent" in said
    assert "remove their alpha channel" in said
    content = (tmp_path / "photos/b.png").read_bytes()
    (tmp_path / "photos/b.png").write_bytes(content[: len(content) // 2])
    assert "The image photos/b.png is damaged" in fails(*words)


def test_a_label_with_lossy_compression_is_refused(fails, tmp_path):
    save(tmp_path / "map.png", photo("map", SIZE))
    Image.fromarray(blocks("label", (0, 1, 2), SIZE)).save(tmp_path / "label.jpg")
    said = fails("prepare", "folder", "--images=map.png", "--labels=label.jpg", f"--tile={TILE}")
    assert "label.jpg is a JPEG, whose compression changes class ids" in said


def test_photographs_and_labels_are_cut_alike(prepare, photos, tmp_path, capsys):
    prepare("--labels=labels")
    root = tmp_path / "field"
    for number in range(7):
        picture = read_image(photos / f"day 1/{number}.png")
        label = np.asarray(Image.open(tmp_path / f"labels/{number}.png"))
        for place, (top, left) in enumerate(PLACES):
            name, here = f"day 1/{number}/tile_{place:05d}.png", np.s_[top : top + TILE, left : left + TILE]
            assert np.array_equal(read_image(root / "images" / name), picture[here])
            assert np.array_equal(np.asarray(Image.open(root / "masks" / name)), label[here])
    assert len(list((root / "images/day 1/7").glob("*.png"))) == len(PLACES)
    assert (root / "images/patch.png").samefile(photos / "patch.png")
    assert np.array_equal(np.asarray(Image.open(root / "masks/patch.png")), blocks("patch", (0, 1, 2), (30, 40)))
    assert len(list((root / "masks").rglob("*.png"))) == 7 * len(PLACES) + 1
    said = capsys.readouterr().out
    assert "9 images, 8 cut into 96 tiles of 32 x 32 pixels; 1 too small for a tile, linked" in said
    assert "85 of them are labelled" in said
    assert settings(root)["init_args"]["predict"] == {"view": "windows"}

    prepare("--labels=labels")
    assert "nothing has changed" in capsys.readouterr().out


def test_a_photograph_is_in_one_split(prepare, tmp_path):
    prepare("--labels=labels")
    found = lists(tmp_path / "field").values()
    where = [{name.rpartition("/")[0] or name for name in names} for names in found]
    assert sum(map(len, where)) == len(set().union(*where)) == 8


def test_few_photographs_are_split_in_blocks(smir, tmp_path):
    save(tmp_path / "photos/map.png", photo("map", (256, 256)))
    save(tmp_path / "photos/other.png", photo("other", (256, 256)))
    save(tmp_path / "labels/map.png", blocks("map", (0, 1), (256, 256)))
    smir("prepare", "folder", "--images=photos", "--labels=labels", f"--tile={TILE}")
    found = lists(tmp_path / "field")
    assert sum(map(len, found.values())) == 64
    corner = {f"map/tile_{number:05d}.png" for number in (0, 1, 8, 9)}
    assert sum(bool(corner & set(names)) for names in found.values()) == 1


def test_a_tile_without_a_label_is_not_labelled(prepare, tmp_path, capsys):
    label = blocks("label 0", (0, 1, 2), SIZE)
    label[:, 32:] = 255
    save(tmp_path / "labels/0.png", label)
    prepare("--labels=labels")
    assert {path.name for path in (tmp_path / "field/masks/day 1/0").iterdir()} == {
        f"tile_{place:05d}.png" for place, (_, left) in enumerate(PLACES) if left == 0
    }
    assert f"{85 - 9} of them are labelled" in capsys.readouterr().out


def test_split_lists_may_name_photographs_instead_of_tiles(prepare, tmp_path):
    members = {"train": ["0", "1", "2", "3"], "val": ["day 1/4", "patch"], "test": ["day 1/5.png", "6", "7"]}
    for split, names in members.items():
        (tmp_path / f"lists/{split}.txt").parent.mkdir(exist_ok=True)
        (tmp_path / f"lists/{split}.txt").write_text("\n".join(names) + "\n")
    prepare("--labels=labels", "--splits=lists")
    found = lists(tmp_path / "field")
    assert [len(found[split]) for split in SPLITS] == [4 * 12, 12 + 1, 2 * 12]
    assert {name.split("/")[1] for name in found["test"]} == {"5", "6"}


def test_labels_can_be_added_later(prepare, tmp_path, capsys):
    prepare()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "field/images").rglob("*.png")}
    hint = how_to_label(settings(tmp_path / "field"))[-1]
    assert hint.endswith("prepare folder --images photos --labels LABELS --root field --tile 32 --min_valid 0.5")
    prepare("--labels=labels")
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert "85 of them are labelled" in capsys.readouterr().out


def test_next_commands_predict_photographs_and_inspect_tiles(prepare, photos, tmp_path):
    prepare("--labels=labels")
    assert source_of(settings(tmp_path / "field")) == [Path("photos")]
    assert photographs(settings(tmp_path / "field")) == [Path("field/images")]
    save(photos / "elsewhere.png", photo("elsewhere", SIZE))  # it does not belong to the field
    assert source_of(settings(tmp_path / "field")) == [Path("field/images")]


def test_an_interrupted_run_is_completed(prepare, fails, tmp_path, monkeypatch):
    write, calls = tiling.write_png, []

    def failing(path, image, **how):
        calls.append(path)
        if len(calls) == 40:
            raise KeyboardInterrupt
        write(path, image, **how)

    with monkeypatch.context() as patch:
        patch.setattr(tiling, "write_png", failing)
        fails("prepare", "folder", "--images=photos", "--labels=labels", f"--tile={TILE}", code=130)
    root = tmp_path / "field"
    assert not (root / "data.yaml").exists()
    assert not (root / "new_masks").exists()
    made = {path: path.stat().st_mtime_ns for path in (root / "images").rglob("*.png")}
    assert made
    prepare("--labels=labels")
    assert {path: path.stat().st_mtime_ns for path in made} == made
    assert len(list((root / "images").rglob("*.png"))) == 8 * len(PLACES) + 1
    assert len(list((root / "masks").rglob("*.png"))) == 7 * len(PLACES) + 1


def test_a_wrong_label_is_reported_before_anything_is_cut(prepare, fails, tmp_path):
    save(tmp_path / "labels/3.png", blocks("label 3", (0, 1, 2), (80, 90)))
    said = fails("prepare", "folder", "--images=photos", "--labels=labels", f"--tile={TILE}")
    assert "3.png is for an image of 90 x 80 pixels, but day 1/3.png is 100 x 80" in said
    assert not (tmp_path / "field/images").exists()
    save(tmp_path / "labels/3.png", blocks("label 3", (0, 1, 2), SIZE))
    prepare("--labels=labels", "--tile=40")  # so the tile size may still be changed
    assert (tmp_path / "field/data.yaml").exists()


def test_a_damaged_photograph_is_named(prepare, fails, photos, tmp_path):
    path = photos / "day 1/5.png"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    said = fails("prepare", "folder", "--images=photos", "--labels=labels", f"--tile={TILE}")
    assert f"{path} cannot be decoded" in said
    assert not (tmp_path / "field/data.yaml").exists()


def test_images_that_are_seen_much_smaller_are_reported(smir, tmp_path, capsys):
    save(tmp_path / "photos/large.png", np.zeros((2048, 2100, 3), np.uint8))
    smir("prepare", "folder", "--images=photos")
    said = capsys.readouterr().out
    assert "1 image has no side below 2048 pixels (large.png)" in said
    assert "cut these images and their labels: --tile 1024 and another --root." in said


def test_tiles_that_are_left_out_are_counted_and_photographs_without_any_are_named(prepare, tmp_path, capsys):
    save(tmp_path / "photos/day 1/6.png", np.full((*SIZE, 3), 255, np.uint8))
    prepare("--labels=labels")
    said = capsys.readouterr().out
    assert "8 cut into 84 tiles of 32 x 32 pixels, 12 left out for too few valid pixels (--min_valid)" in said
    assert "among them all of day 1/6.png" in said


def test_min_valid_is_a_share(fails, photos):
    assert "--min_valid is a share of pixels, from 0 to 1; got 7." in fails(
        "prepare", "folder", "--images=photos", "--min_valid=7"
    )
