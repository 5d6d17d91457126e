"""The meaning of mask pixels whose value alone does not decide it."""

import os
import warnings

import cv2
import numpy as np
import pytest
import rasterio
from fakes import photo
from PIL import Image
from rasterio.windows import Window

IDS = np.repeat(np.repeat(np.arange(12).reshape(3, 4) % 3, 16, axis=0), 16, axis=1).astype(np.uint8)


@pytest.fixture
def field(tmp_path):
    """Writes one photograph for each mask, and returns a function that reads the mask made from it."""
    (tmp_path / "labels").mkdir()
    (tmp_path / "photos").mkdir()
    for name in "abc":
        Image.fromarray(photo(name, IDS.shape)).save(tmp_path / f"photos/{name}.png")
    return lambda name: np.asarray(Image.open(tmp_path / f"field/masks/{name}.png"))


WORDS = ("prepare", "folder", "--images=photos", "--labels=labels")


def test_masks_with_different_palettes_are_read_by_colour(smir, fails, tmp_path, field):
    colors = np.array([(0, 0, 0), (0, 200, 0), (220, 0, 0)], np.uint8)
    for name, order in zip("abc", ([0, 1, 2], [2, 0, 1], [0, 1, 2]), strict=True):
        picture = Image.fromarray(np.argsort(order).astype(np.uint8)[IDS])
        picture.putpalette(colors[order].tobytes())
        picture.save(tmp_path / f"labels/{name}.png")
    said = fails(*WORDS, "--classes=[background, crop, weed]")
    assert "[background=#000000, crop=#00c800, weed=#dc0000]" in said
    smir(*WORDS, "--classes=[background=#000000, crop=#00c800, weed=#dc0000]")
    assert all((field(name) == IDS).all() for name in "abc")


def test_the_background_is_the_value_that_a_palette_shows_in_black(smir, fails, tmp_path, field):
    """Programs that reduce colours to a palette order it as they like, and equally in all files."""
    for name in "abc":
        picture = Image.fromarray(np.array([2, 0, 1], np.uint8)[IDS])
        picture.putpalette([0, 200, 0, 220, 0, 0, 0, 0, 0])
        picture.save(tmp_path / f"labels/{name}.png")
    smir(*WORDS)
    assert 'classes: ["background", "class_0", "class_1"]' in (tmp_path / "field/data.yaml").read_text()
    assert all((field(name) == IDS).all() for name in "abc")
    said = fails(*WORDS, "--classes=[background, crop, weed]", "--root=other")
    assert "The masks hold: 2 (#000000, " in said
    assert "Give each a value: --classes '[background=2, crop=0, weed=1]'" in said
    smir(*WORDS, "--classes=[background=0, crop=1, weed=2]", "--root=other")


@pytest.mark.parametrize("suffix", ["png", "bmp"])
def test_a_palette_of_white_and_black_does_not_make_white_the_background(smir, fails, tmp_path, field, suffix):
    for name in "abc":
        picture = Image.fromarray((IDS == 0).astype(np.uint8))
        picture.putpalette([255, 255, 255, 0, 0, 0])
        picture.save(tmp_path / f"labels/{name}.{suffix}")
    said = fails(*WORDS, "--classes=[background, plant]")
    assert "Give each a value: --classes '[background=1, plant=0]'" in said
    smir(*WORDS)
    assert all((field(name) == (IDS > 0)).all() for name in "abc")


def test_a_black_entry_before_others_is_set_though_a_palette_ends_in_black(smir, tmp_path, field):
    for name in "abc":
        picture = Image.fromarray(np.array([1, 0, 2], np.uint8)[IDS])
        picture.putpalette([0, 200, 0, 0, 0, 0, 220, 0, 0, *[0] * 759])
        picture.save(tmp_path / f"labels/{name}.tif")
    smir(*WORDS)
    assert all((field(name) == IDS).all() for name in "abc")


@pytest.mark.parametrize("shades", [[0, 255], [255, 0]])
def test_a_bmp_with_a_palette_of_black_and_white_is_not_read_as_single_bits(smir, tmp_path, field, shades):
    """Pillow writes 8 bits there, but reads 1."""
    black = shades.index(0)
    for name in "abc":
        picture = Image.fromarray(np.where(IDS > 0, 1 - black, black).astype(np.uint8))
        picture.putpalette(np.repeat(shades, 3).tolist())
        picture.save(tmp_path / f"labels/{name}.bmp")
    smir(*WORDS, f"--classes=[background={black}, plant={1 - black}]")
    assert all((field(name) == (IDS > 0)).all() for name in "abc")


def test_masks_may_number_any_count_of_objects_if_classes_gives_them_one_class(smir, fails, tmp_path, field):
    numbers = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64) // 8  # 0 to 383
    for name in "abc":
        Image.fromarray(numbers).save(tmp_path / f"labels/{name}.png")
    assert "--classes '[background=0, NAME=1-383]'" in fails(*WORDS)
    smir(*WORDS, "--classes=[background=0, plant=1-383]")
    assert all((field(name) == (numbers > 0)).all() for name in "abc")


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_255_that_masks_mark_as_missing_is_no_number_of_an_object(smir, tmp_path, field):
    numbers = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64) // 8
    profile = {"driver": "GTiff", "height": 48, "width": 64, "count": 1, "dtype": "uint16", "nodata": 255}
    for name in "abc":
        with rasterio.open(tmp_path / f"labels/{name}.tif", "w", **profile) as file:
            file.write(numbers, 1)
    smir(*WORDS, "--classes=[background=0, plant=1-383]")
    assert (field("b") == np.where(numbers == 255, 255, numbers > 0)).all()


def test_of_two_values_that_a_palette_shows_in_black_none_is_taken_for_the_background(smir, tmp_path, field):
    for name, ids in zip("abc", (np.maximum(IDS, 1), IDS, IDS), strict=True):
        picture = Image.fromarray(ids)
        picture.putpalette([0, 0, 0, 0, 0, 0, 220, 0, 0])
        picture.save(tmp_path / f"labels/{name}.png")
    smir(*WORDS)
    assert (field("b") == IDS).all()


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_entries_of_a_palette_that_are_black_because_nobody_set_them_are_no_background(smir, tmp_path, field, suffix):
    """Value 2 has no colour of its own."""
    for name in "abc":
        picture = Image.fromarray(IDS.astype(np.uint8))
        picture.putpalette([255, 255, 255, 0, 200, 0, *[0] * 762])
        picture.save(tmp_path / f"labels/{name}.{suffix}")
    smir(*WORDS)
    assert 'classes: ["background", "class_1", "class_2"]' in (tmp_path / "field/data.yaml").read_text()
    smir(*WORDS, "--classes=[background, crop, weed]", "--root=other")
    assert all((field(name) == IDS).all() for name in "abc")


@pytest.mark.parametrize(("suffix", "given"), [("png", "[background=0, plant=255]"), ("tif", "[background, plant]")])
def test_masks_that_were_reduced_to_one_bit_are_read_like_the_others(smir, tmp_path, field, suffix, given):
    for name in "ab":
        Image.fromarray(255 * (IDS > 0).astype(np.uint8)).save(tmp_path / f"labels/{name}.png")
    Image.fromarray(IDS > 0).save(tmp_path / f"labels/c.{suffix}")
    smir(*WORDS, f"--classes={given}")
    assert all((field(name) == (IDS > 0)).all() for name in "abc")


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_pixels_that_a_mask_of_one_bit_marks_as_missing_stay_not_labelled(smir, tmp_path, field):
    for name in "ab":
        Image.fromarray(255 * (IDS > 0).astype(np.uint8)).save(tmp_path / f"labels/{name}.png")
    size = {"driver": "GTiff", "height": 48, "width": 64, "count": 1, "dtype": "uint8", "nbits": 1}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(tmp_path / "labels/c.tif", "w", **size) as file,
    ):
        file.write((IDS > 0).astype(np.uint8), 1)
        file.write_mask(np.broadcast_to((np.arange(48) >= 8)[:, None], IDS.shape))
    smir(*WORDS, "--classes=[background=0, plant=255]")
    assert (field("c")[:8] == 255).all()
    assert (field("c")[8:] == (IDS > 0)[8:]).all()


@pytest.mark.parametrize(
    ("small", "large", "given"),
    [
        (IDS > 0, (IDS > 0) * np.uint8(255), "[background=0, plant=1, plant=255]"),
        (IDS * np.uint8(100), IDS * np.uint16(25700), "[soil=0, crop=100, crop=25700, weed=200, weed=51400]"),
        ((IDS > 0) * np.uint8(255), (IDS > 0) * np.uint16(65535), "[soil=0, crop=255, crop=65535]"),
        (IDS, IDS * np.uint8(127), "[soil=0, crop=1, crop=127, weed=2, weed=254]"),
    ],
)
def test_masks_in_two_scales_are_refused(smir, fails, tmp_path, field, small, large, given):
    for name, ids in zip("abc", (small.astype(np.uint8), large, large * 0), strict=True):
        Image.fromarray(ids).save(tmp_path / f"labels/{name}.png")
    unnamed = "[soil, plant]" if len(np.unique(small)) == 2 else "[soil, crop, weed]"
    for classes in ([], [f"--classes={unnamed}"]):
        said = fails(*WORDS, *classes)
        assert "seem to have two scales: a.png holds" in said
        assert not (tmp_path / "field/data.yaml").exists()
    smir(*WORDS, f"--classes={given}")
    wanted = np.unique(small, return_inverse=True)[1].reshape(IDS.shape)
    assert (field("a") == wanted).all()
    assert (field("b") == wanted).all()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("[weed:2, background:0, crop:1]", "--classes holds 'weed:2'. Write an equals sign: weed=2."),
        ("[background: 0, crop: 1]", "a list with equals signs: '[background=0, crop=1]'."),
        ("{0: background, 1: crop}", "a list with equals signs: '[background=0, crop=1]'."),
        ("[0=background, 1=crop, 2=weed]", "as NAME=VALUE: --classes '[background=0, crop=1, weed=2]'."),
        ("[soil=#000000, crop=#010101]", "--classes names #000000, #010101. Name what they hold, as NAME=VALUE:"),
    ],
)
def test_values_that_are_given_in_another_way_are_answered_with_the_right_one(
    smir, capsys, tmp_path, field, given, said
):
    for name in "abc":
        Image.fromarray(IDS).save(tmp_path / f"labels/{name}.png")
    with pytest.raises(SystemExit):
        smir(*WORDS, f"--classes={given}")
    assert said in capsys.readouterr().err


def test_masks_that_show_one_of_the_named_classes_are_refused(smir, fails, tmp_path, field):
    for name in "abc":
        Image.fromarray((IDS > 0) * np.uint8(255)).save(tmp_path / f"labels/{name}.png")
    said = fails(*WORDS, "--classes=[background=0, plant=1]")
    assert (
        "--classes '[background=0, plant=1]' they show 1 of its 2 classes, and a training needs 2. 255 is only" in said
    )
    smir(*WORDS, "--classes=[background=0, plant=1]", "--shares=[0, 0, 1]")


def test_masks_of_16_bits_beside_palettes_of_grey_are_not_read_by_their_high_byte(fails, tmp_path, field):
    for name, kind in zip("abc", (np.uint16, np.uint16, np.uint8), strict=True):
        picture = Image.fromarray(IDS.astype(kind))
        if name == "c":
            picture.putpalette([0, 0, 0, 1, 1, 1, 2, 2, 2])
        picture.save(tmp_path / f"labels/{name}.png")
    said = fails(*WORDS, "--classes=[background=0, crop=1, weed=2]")
    assert "2 masks in" in said
    assert "have more than 8 bits a channel (a.png, b.png)" in said


@pytest.mark.parametrize("mode", ["RGB", "LA"])
def test_ids_stored_as_grey_in_several_channels_are_read(smir, fails, tmp_path, field, mode):
    for name in "abc":
        Image.fromarray(IDS).convert(mode).save(tmp_path / f"labels/{name}.png")
    smir(*WORDS)
    assert (field("b") == IDS).all()
    for name, factor in zip("abc", (255, 1, 1), strict=True):
        Image.fromarray((IDS > 0) * np.uint8(factor)).convert(mode).save(tmp_path / f"labels/{name}.png")
    said = fails(*WORDS, "--root=other")
    assert "seem to have two scales: b.png holds 1, and a.png 255." in said
    classes = "[background=0, class_1=1, void=255]"
    assert classes in said
    smir(*WORDS, "--root=other", f"--classes={classes}")


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_nodata_value_that_only_one_three_channel_mask_declares_is_reported(fails, tmp_path, field):
    profile = {"driver": "GTiff", "height": 48, "width": 64, "count": 3, "dtype": "uint8"}
    for name in "abc":
        with rasterio.open(tmp_path / f"labels/{name}.tif", "w", nodata=0 if name == "a" else None, **profile) as file:
            file.write(np.stack([IDS] * 3))
    said = fails(*WORDS)
    assert "2 of 3 masks" in said
    assert "hold 0, which others mark as nodata: b.tif, c.tif." in said


def test_255_in_one_mask_beside_several_classes_is_not_labelled(smir, tmp_path, field):
    for name, ids in zip("abc", (IDS, IDS, (IDS > 0) * np.uint8(255)), strict=True):
        Image.fromarray(ids).save(tmp_path / f"labels/{name}.png")
    smir(*WORDS)
    assert set(np.unique(field("c"))) == {0, 255}


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("bits", [1, 8])
@pytest.mark.parametrize("with_rasterio", [True, False])
def test_ids_of_miniswhite_tiffs_are_read_as_stored(smir, tmp_path, field, monkeypatch, capsys, bits, with_rasterio):
    ids = IDS if bits == 8 else np.minimum(IDS, 1)
    profile = {"driver": "GTiff", "height": 48, "width": 64, "count": 1, "dtype": "uint8", "nbits": bits}
    for name in "abc":
        with rasterio.open(tmp_path / f"labels/{name}.tif", "w", photometric="miniswhite", **profile) as file:
            file.write(ids[None])
        with rasterio.open(tmp_path / f"labels/{name}.tif") as file:
            assert (file.read(1) == ids).all()
    if not with_rasterio:
        for module in ("safe_open", "opening", "tiff"):
            monkeypatch.setattr(f"smir.data.reading.{module}.has_rasterio", lambda: False)
    smir(*WORDS)
    assert (field("b") == ids).all()
    note = "3 masks show the value 0 in white and 1 in black: a.tif, b.tif, c.tif. Are the white pixels background?"
    assert (note in capsys.readouterr().out) == (bits == 1)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_complex_masks_are_refused(fails, tmp_path, field):
    profile = {"driver": "GTiff", "height": 48, "width": 64, "count": 1, "dtype": "complex64"}
    for name in "abc":
        with rasterio.open(tmp_path / f"labels/{name}.tif", "w", **profile) as file:
            file.write(IDS[None].astype(np.complex64))
    assert "a.tif holds complex numbers; class ids are whole." in fails(*WORDS)


def test_transparent_colours_are_not_classes(smir, fails, tmp_path, field):
    for name in "abc":
        alpha = np.where(IDS > 0, 255, 0).astype(np.uint8)
        Image.fromarray(np.dstack([IDS * 100 + 7, IDS * 0, IDS * 0, alpha])).save(tmp_path / f"labels/{name}.png")
    given = "crop=#6b0000, weed=#cf0000]"
    assert "background=transparent" in fails(*WORDS, f"--classes=[soil=#000000, {given}")
    smir(*WORDS, f"--classes=[soil=transparent, {given}")
    assert (field("a") == IDS).all()


@pytest.mark.parametrize("meaning", ["background", "void"])
def test_transparent_black_is_transparent_if_classes_names_it(smir, fails, tmp_path, field, meaning):
    """Most programs store black below transparent pixels, and black may be a class, too."""
    for name in "abc":
        alpha = np.where(IDS > 0, 255, 0).astype(np.uint8)
        Image.fromarray(np.dstack([(IDS == 2) * np.uint8(200), IDS * 0, IDS * 0, alpha])).save(
            tmp_path / f"labels/{name}.png"
        )
    given = "soil=#000000, weed=#c80000"
    assert "also hold transparent (3,072 px)" in fails(*WORDS, f"--classes=[{given}]")
    smir(*WORDS, f"--classes=[{meaning}=transparent, {given}]")
    first = meaning == "background"
    assert (field("a") == (IDS if first else np.where(IDS == 0, 255, IDS - 1))).all()


def test_masks_that_hold_shapes_in_their_transparency_alone_are_explained(smir, fails, tmp_path, field):
    for name in "abc":
        alpha = np.where(IDS > 0, 255, 0).astype(np.uint8)
        Image.fromarray(np.dstack([IDS * 0, IDS * 0, IDS * 0, alpha])).save(tmp_path / f"labels/{name}.png")
    assert "hold only black, which is one class; a training needs 2. If transparency" in fails(*WORDS)
    smir(*WORDS, "--classes=[background=transparent, plant=#000000]")
    assert (field("a") == (IDS > 0)).all()


@pytest.mark.parametrize(("suffix", "channels"), [("png", 3), ("png", 4), ("tif", 3)])
def test_colours_of_16_bits_are_refused(fails, tmp_path, field, suffix, channels):
    deep = np.dstack([IDS.astype(np.uint16) * 40] * channels)
    for name in "abc":
        assert cv2.imwrite(str(tmp_path / f"labels/{name}.{suffix}"), deep)
    assert f"3 masks in {tmp_path}/labels have more than 8 bits a channel (a.{suffix}" in fails(*WORDS)


def test_a_pipe_in_place_of_a_colour_list_is_ignored_without_waiting(smir, tmp_path, field):
    os.mkfifo(tmp_path / "labels/labelmap.txt")
    for name in "abc":
        Image.fromarray(IDS.astype(np.uint8)).save(tmp_path / f"labels/{name}.png")
    smir(*WORDS)


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_grey_masks_beside_a_list_of_colours_are_refused(smir, fails, tmp_path, field, depth):
    (tmp_path / "labels/labelmap.txt").write_text("background:0,0,0::\ncrop:128,128,128::\nweed:220,0,0::\n")
    for name in "abc":
        Image.fromarray(IDS.astype(depth)).save(tmp_path / f"labels/{name}.png")
    said = fails(*WORDS)
    if depth is np.uint16:
        assert "have more than 8 bits a channel" in said
        return
    assert "of the colour #010101, which labelmap.txt does not name" in said
    assert "It is grey, and may hold class ids: export it again as 'Segmentation mask', or remove labelmap.txt" in said
    for name in "ab":  # a mask that shows no coloured class may be grey
        Image.fromarray(128 * (IDS == 1).astype(np.uint8)).save(tmp_path / f"labels/{name}.png")
    Image.fromarray(COLORS[2 * (IDS == 2)]).save(tmp_path / "labels/c.png")
    smir(*WORDS)
    assert (field("a") == (IDS == 1)).all()
    assert (field("c") == 2 * (IDS == 2)).all()


def beside(tmp_path, kind):
    """Writes a label image among the photographs, as a dataset with labels of several splits has."""
    (tmp_path / "photos/val").mkdir()
    if kind == "grey":
        Image.fromarray(IDS).save(tmp_path / "photos/val/x.png")
    elif kind == "palette":
        picture = Image.fromarray(IDS)
        picture.putpalette([0, 0, 0, 0, 200, 0, 220, 0, 0])
        picture.save(tmp_path / "photos/val/x.png")
    elif kind == "empty":
        Image.fromarray(IDS * 0).save(tmp_path / "photos/val/x.png")
    else:
        Image.fromarray(np.dstack([IDS * 90] * 3)).save(tmp_path / "photos/val/a.png")


@pytest.mark.parametrize("kind", ["grey", "palette", "empty", "colours"])
def test_label_images_among_the_photographs_are_named(fails, tmp_path, field, kind):
    noise = np.random.default_rng(0).integers(0, 255, (*IDS.shape, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "photos/a.png")
    beside(tmp_path, kind)
    said = fails("prepare", "folder", "--images=photos")
    assert "1 of 4 images in" in said
    assert f"one channel or the name of a photograph: val/{'a' if kind == 'colours' else 'x'}.png" in said


def tif(path, bands, rows=None, **how):
    """Writes bands (B, H, W) as a TIFF, or only its first rows."""
    size = {"height": bands.shape[1], "width": bands.shape[2], "count": len(bands), "dtype": bands.dtype}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(path, "w", driver="GTiff", **{**size, **how}) as file:
            file.write(bands[:, :rows], window=Window(0, 0, bands.shape[2], rows or bands.shape[1]))


SPARSE = {"tiled": True, "blockxsize": 16, "blockysize": 16, "sparse_ok": True}
LABEL_MAPS = {
    "two bits": ({"nbits": 2}, None, IDS),
    "zstd": ({"compress": "zstd", "tiled": True, "blockxsize": 16, "blockysize": 16}, None, IDS),
    "sparse with nodata": ({**SPARSE, "nodata": 255}, 32, np.where(np.arange(48)[:, None] < 32, IDS, 255)),
    "sparse": (SPARSE, 32, np.where(np.arange(48)[:, None] < 32, IDS, 0)),
}


@pytest.mark.parametrize("kind", LABEL_MAPS)
def test_a_label_image_of_an_orthomosaic_keeps_its_ids(smir, tmp_path, capsys, kind):
    how, rows, wanted = LABEL_MAPS[kind]
    tif(tmp_path / "map.tif", photo("map", IDS.shape).transpose(2, 0, 1), photometric="rgb")
    tif(tmp_path / "labels.tif", IDS[None], rows, **how)
    smir("prepare", "folder", "--images=map.tif", "--labels=labels.tif", "--tile=16", "--min_valid=0")
    for number, (top, left) in enumerate((top, left) for top in (0, 16, 32) for left in (0, 16, 32, 48)):
        part, path = wanted[top : top + 16, left : left + 16], tmp_path / f"field/masks/tile_{number:05d}.png"
        assert (np.asarray(Image.open(path)) == part).all() if path.exists() else (part == 255).all()
    noted = "1 TIFF lacks blocks (SPARSE_OK), which count as 0: labels.tif." in capsys.readouterr().out
    assert noted == (kind == "sparse")


def test_values_that_a_tiff_marks_as_missing_are_not_labelled(smir, tmp_path, field):
    for name in "abc":
        ids = IDS.astype(np.int16)
        ids[:8] = -9999
        tif(tmp_path / f"labels/{name}.tif", ids[None], nodata=-9999)
    smir(*WORDS)
    assert (field("a") == np.where(np.arange(48)[:, None] < 8, 255, IDS)).all()


COLORS = np.array([(0, 0, 0), (0, 200, 0), (220, 0, 0)], np.uint8)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize(("how", "below"), [("mask", 0), ("mask", 220), ("nodata", 0), ("nodata", 9), ("map", 0)])
def test_colours_that_a_tiff_marks_as_missing_are_not_labelled(smir, tmp_path, field, how, below):
    colors, rows = COLORS[IDS].transpose(2, 0, 1).copy(), np.arange(48)[:, None] < 8
    colors[:, :8] = [[[below]]] if how == "nodata" else np.array([below, 0, 0])[:, None, None]
    for name in "abc":
        path = tmp_path / f"labels/{name}.tif"
        tif(path, colors, photometric="rgb", nodata=below if how == "nodata" else None)
        if how != "nodata":
            with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as file:
                file.write_mask(np.broadcast_to(~rows, IDS.shape))
    black = (how, below) == ("nodata", 0)
    given = f"--classes=[{'' if black else 'soil=#000000, '}crop=#00c800, weed=#dc0000]"
    if how == "map":
        smir("prepare", "folder", "--images=photos/a.png", "--labels=labels/a.tif", "--tile=16", given)
        assert (field("tile_00000") == np.where(rows[:16], 255, IDS[:16, :16])).all()
        return
    smir(*WORDS, given)
    ids = IDS - 1 if black else IDS  # black pixels, now 255, are all missing
    assert (field("a") == np.where(rows, 255, ids)).all()


def test_pixels_without_data_of_a_photograph_are_not_labelled(smir, tmp_path, field):
    for name in "abc":
        (tmp_path / f"photos/{name}.png").unlink()
        bands = photo(name, IDS.shape).transpose(2, 0, 1).copy()
        bands[:, :8] = 0
        tif(tmp_path / f"photos/{name}.tif", bands, nodata=0, photometric="rgb")
        Image.fromarray(IDS).save(tmp_path / f"labels/{name}.png")
    smir(*WORDS)
    assert (field("a") == np.where(np.arange(48)[:, None] < 8, 255, IDS)).all()


@pytest.mark.parametrize("given", [(), ("--tile=16", "--min_valid=0")])
def test_nan_and_infinite_pixels_of_an_image_are_not_labelled(smir, tmp_path, field, given):
    bands = photo("a", IDS.shape).transpose(2, 0, 1).astype(np.float32)
    bands[1, :8], bands[2, 8:16] = np.nan, np.inf
    for name in "abc":
        (tmp_path / f"photos/{name}.png").unlink()
        tif(tmp_path / f"photos/{name}.tif", bands)
        Image.fromarray(IDS).save(tmp_path / f"labels/{name}.png")
    smir(*WORDS, "--bands=1,2,3", "--value_range=0,255", *given)
    if not given:
        assert (field("a") == np.where(np.arange(48)[:, None] < 16, 255, IDS)).all()
        return
    assert (field("a/tile_00000") == 255).all()
    assert (field("a/tile_00004") == IDS[16:32, :16]).all()


def test_an_id_that_only_some_files_mark_as_missing_must_be_named(smir, fails, tmp_path, field):
    for name in "ab":
        Image.fromarray(IDS).save(tmp_path / f"labels/{name}.png")
    tif(tmp_path / "labels/c.tif", IDS[None], nodata=0)
    said = fails(*WORDS)
    assert "2 of 3 masks in" in said
    assert "hold 0, which others mark as nodata: a.png, b.png. Name it in --classes: NAME=0" in said
    smir(*WORDS, "--classes=[soil=0, crop=1, weed=2]")
    assert all((field(name) == IDS).all() for name in "abc")


def test_masks_with_lossy_compression_are_refused(fails, tmp_path, field):
    for name in "abc":
        tif(tmp_path / f"labels/{name}.tif", IDS[None], compress="jpeg")
    assert "a.tif has lossy compression (JPEG)" in fails(*WORDS)


def test_smooth_borders_are_refused_and_a_class_of_few_pixels_is_reported(smir, fails, tmp_path, capsys, field):
    for name in "abc":
        Image.fromarray(IDS * 120).resize((128, 96), Image.Resampling.BILINEAR).save(tmp_path / f"labels/{name}.png")
        Image.fromarray(photo(name, (96, 128))).save(tmp_path / f"photos/{name}.png")
    assert "hold 15 values, 12 of which only lie on the borders between others" in fails(*WORDS)
    ids = np.kron(np.minimum(IDS, 1), np.ones((2, 2), np.uint8))
    ids[31:33, 31:33] = 2
    for name in "abc":
        Image.fromarray(ids).save(tmp_path / f"labels/{name}.png")
    smir(*WORDS)
    assert "Found only on the borders between other values: 2. Are the borders smooth?" in capsys.readouterr().out
    assert (field("a") == ids).all()


@pytest.mark.parametrize("made", ["@eaDir/a.png", "#snapshot/daily", "lost+found"])
def test_system_folders_are_not_searched_for_photographs(smir, tmp_path, field, made):
    (tmp_path / "photos" / made).mkdir(parents=True)
    Image.fromarray(photo("thumb", (24, 32))).save(tmp_path / "photos" / made / "SYNOPHOTO_THUMB_M.jpg")
    with pytest.warns(UserWarning, match="Folders that systems make are not searched"):
        smir("prepare", "folder", "--images=photos")
    assert sorted(path.name for path in (tmp_path / "field/images").rglob("*")) == ["a.png", "b.png", "c.png"]


@pytest.mark.parametrize(
    ("place", "lines"),
    [
        ("class_dict.csv", "name,r,g,b\n1 Crop,0,200,0\nWeed,220,0,0\nFlower,9,9,9\nVoid,0,0,0\n"),
        ("labels/label_colors.txt", "0 200 0\t\t1 Crop\r\n220 0 0\tWeed\r\n0 0 0 \tVoid\r\n"),
    ],
)
def test_lists_of_colours_of_public_datasets_name_the_classes(smir, fails, tmp_path, field, capsys, place, lines):
    colors = np.array([(0, 0, 0), (0, 200, 0), (220, 0, 0)], np.uint8)
    for name in "abc":
        Image.fromarray(colors[IDS]).save(tmp_path / f"labels/{name}.png")
    (tmp_path / place).write_text("red\n")
    assert f"Line 1 of {place} should be" in fails(*WORDS).replace(f"{tmp_path}/", "")
    (tmp_path / place).write_text(lines.replace("220", "221"))
    assert f"also hold #dc0000 (3,072 px), which {place} does not name" in fails(*WORDS)
    (tmp_path / place).write_text(lines)
    smir(*WORDS)
    said = capsys.readouterr().out
    assert f"The names of the classes are from {place}." in said
    assert "black in pictures" not in said  # black pixels are not labelled
    assert all((field(name) == IDS - np.uint8(1)).all() for name in "abc")
    assert 'classes: ["1 Crop", "Weed"]' in (tmp_path / "field/data.yaml").read_text()


def test_a_list_with_quotes_is_read_and_read_again_after_a_correction(smir, tmp_path, field):
    colors = np.array([(0, 0, 0), (0, 200, 0), (220, 0, 0)], np.uint8)
    for name in "abc":
        Image.fromarray(colors[IDS]).save(tmp_path / f"labels/{name}.png")
    lines = '"name","r","g","b"\n"soil","0","0","0"\n"crop",0,200,0\nweed,220,0,0\n'
    for crop in ("crop", "maize"):
        (tmp_path / "class_dict.csv").write_text(lines.replace("crop", crop))
        smir(*WORDS)
        assert f'classes: ["soil", "{crop}", "weed"]' in (tmp_path / "field/data.yaml").read_text()
        assert all((field(name) == IDS).all() for name in "abc")


def test_the_lists_of_values_of_roboflow_name_the_classes(smir, fails, tmp_path, field, capsys):
    lists = []
    for split, names in (("train", "ab"), ("valid", "c")):
        lists.append(tmp_path / "labels" / split / "_classes.csv")
        lists[-1].parent.mkdir()
        for name in names:
            Image.fromarray(IDS).save(tmp_path / f"labels/{split}/{name}.png")
        lists[-1].write_text('Pixel Value, Class\n0, background\n1, crop\n2, "weed, tall"\n3, stone\n')
    smir(*WORDS)
    assert "The names of the classes are from labels/train/_classes.csv." in capsys.readouterr().out
    assert all((field(name) == IDS).all() for name in "abc")
    assert 'classes: ["background", "crop", "weed, tall"]' in (tmp_path / "field/data.yaml").read_text()
    lists[1].write_text("Pixel Value, Class\n0, background\n1, weed\n2, crop\n")
    assert "labels/valid/_classes.csv differs from labels/train/_classes.csv" in fails(*WORDS)
    for path in lists:
        path.write_text("Pixel Value, Class\n0, background\n1, crop\n")
    assert "also hold 2 (3,072 px), which labels/train/_classes.csv does not name" in fails(*WORDS)
    lists[0].write_text("0, crop\n0, weed\n")
    assert "gives the value 0 to 'crop' and 'weed'" in fails(*WORDS)
    lists[0].write_text("Pixel Value, Class\n")
    assert "names no value" in fails(*WORDS)
    lists[0].write_text("0, a=b\n")
    assert "names a class 'a=b'. Rename it without =" in fails(*WORDS)
    for path in lists:  # of Roboflow's export for classification
        path.write_text("filename, daisy, rose\na.jpg, 1, 0\n")
    smir(*WORDS)
    assert "The classes are named after their values" in capsys.readouterr().out


def test_binary_masks_that_were_jpegs_are_refused_and_thin_classes_beside_255_are_not(smir, fails, tmp_path, field):
    noisy = np.where(np.kron(IDS, np.ones((4, 4), np.uint8)) == 1, 255, 0).astype(np.uint8)
    for name in "abc":
        Image.fromarray(photo(name, noisy.shape)).save(tmp_path / f"photos/{name}.png")
        mask = noisy.copy()
        mask[::60, 7::60], mask[5::60, ::60] = 1, 254
        Image.fromarray(mask).save(tmp_path / f"labels/{name}.png")
    assert "their borders are smooth" in fails(*WORDS)
    for name in "abc":
        mask = noisy.copy()
        mask[::60] = 200  # such as roots
        Image.fromarray(mask).save(tmp_path / f"labels/{name}.png")
    smir(*WORDS)
    assert np.unique(field("a")).tolist() == [0, 1, 255]


def test_numbers_of_objects_are_joined_to_one_class(smir, fails, tmp_path, field, capsys):
    objects = np.arange(48 * 64).reshape(48, 64) // (16 * 64) + 3 * (np.arange(64) // 16)
    for name, most in zip("abc", (4, 7, 11), strict=True):
        Image.fromarray((objects % (most + 1)).astype(np.uint8)).save(tmp_path / f"labels/{name}.png")
    smir(*WORDS, "--root=plain")
    said = capsys.readouterr().out
    assert "The values run from 1 to a number that differs between masks (4 to 11)." in said
    assert "'[background=0, NAME=1-11]'" in said
    hint = "If the values number objects: '[background=0, apple=1-11]'"
    assert hint in fails(*WORDS, "--classes=[background, apple]")
    assert "names 5 more than once" in fails(*WORDS, "--classes=[background=0, apple=1-5, pear=5-11]")
    assert "names 20-30, but no mask" in fails(*WORDS, "--classes=[background=0, apple=1-11, pear=20-30]")
    assert hint in fails(*WORDS, "--classes=[apple]")
    assert "number objects" not in fails(*WORDS, "--classes=[background, apple, pear]")
    bare = objects % 5
    bare[:9] = 255
    Image.fromarray(bare.astype(np.uint8)).save(tmp_path / "labels/a.png")
    smir(*WORDS, "--classes=[background=0, apple=1-255]")
    assert np.array_equal(field("a"), np.where(bare == 255, 255, bare > 0))
    assert all((field(name) == (objects % (most + 1) > 0)).all() for name, most in zip("bc", (7, 11), strict=True))


@pytest.mark.parametrize("mark", [3, 128, 65535])
def test_a_nodata_value_behind_the_classes_is_void_without_being_named(smir, tmp_path, field, mark):
    ids = np.where(np.arange(48)[:, None] < 16, mark, IDS).astype(np.uint16 if mark > 255 else np.uint8)
    for name in "abc":
        tif(tmp_path / f"labels/{name}.tif", ids[None], nodata=mark)
    smir(*WORDS, "--classes=[background, crop, weed]")
    assert (field("a") == np.where(ids == mark, 255, ids)).all()


def test_a_single_class_beside_a_value_marked_as_nodata_is_explained(smir, fails, tmp_path, field):
    for name in "abc":
        tif(tmp_path / f"labels/{name}.tif", (IDS == 1).astype(np.uint8)[None], nodata=0)
    said = fails(*WORDS)
    assert "hold only 1 beside 0, which they mark as nodata. If that is a class, too, name both: --classes" in said
    smir(*WORDS, "--classes=[ground=0, weed=1]")
    assert (field("a") == (IDS == 1)).all()


def test_labels_of_photographs_that_are_stored_turned_are_to_be_looked_at(smir, tmp_path, field, capsys):
    turned = Image.Exif()
    turned[0x0112] = 3
    Image.fromarray(photo("a", IDS.shape)).save(tmp_path / "photos/a.png", exif=turned)
    for name in "abc":
        Image.fromarray(IDS).save(tmp_path / f"labels/{name}.png")
    smir(*WORDS)
    assert "1 labelled image is stored turned or mirrored (EXIF orientation): a.png." in capsys.readouterr().out


def test_pictures_named_after_photographs_and_files_that_are_not_read_are_reported(smir, fails, tmp_path, capsys):
    (tmp_path / "photos").mkdir()
    for name in "abc":
        for ending in ("", "_overlay"):
            Image.fromarray(photo(name + ending, (48, 64))).save(tmp_path / f"photos/{name}{ending}.png")
    (tmp_path / "photos/d.ppm").write_bytes(b"P6 1 1 255 ...")
    (tmp_path / "photos/more.zip").write_bytes(b"PK")
    with pytest.warns(UserWarning, match="Convert|Unpack") as said:
        smir("prepare", "folder", "--images=photos")
    told = " ".join(str(warning.message) for warning in said)
    assert "that are not read: 1 .ppm. Convert them to JPEG or PNG" in told
    assert "photos are not read: more.zip. Unpack them to use them." in told
    assert "3 images are named after others: a_overlay.png, b_overlay.png, c_overlay.png." in capsys.readouterr().out
    assert "cannot hold a slash" in fails("prepare", "folder", "--images=photos", "--labels=photos", "--pair=a/{}=b/{}")


def test_pages_and_bands_of_tiffs_that_are_not_used_are_both_named(smir, tmp_path, capsys):
    (tmp_path / "photos").mkdir()
    pages = [Image.fromarray(photo(name, (48, 64))) for name in "ab"]
    pages[0].save(tmp_path / "photos/pages.tif", save_all=True, append_images=pages[1:])
    bands = np.concatenate([photo("c", (48, 64)), photo("d", (48, 64))], axis=2)[..., :5]
    tif(tmp_path / "photos/bands.tif", np.moveaxis(bands, -1, 0), photometric="rgb")
    smir("prepare", "folder", "--images=photos")
    said = capsys.readouterr().out
    several = "1 TIFF has several pages, of which the first is used: pages.tif."
    assert several in said
    assert "1 image has bands that are not used, such as 4, 5 of bands.tif" in said
    smir("prepare", "folder", "--images=photos", "--bands=3,2,1", "--root=chosen")
    assert several in capsys.readouterr().out


@pytest.mark.parametrize("value_range", ["0,255", "2%,98%"])
def test_bands_in_pages_are_not_found(fails, tmp_path, value_range):
    (tmp_path / "photos").mkdir()
    bands = [Image.fromarray(band) for band in np.moveaxis(photo("a", (48, 64)), -1, 0)]
    bands[0].save(tmp_path / "photos/a.tif", save_all=True, append_images=bands[1:])
    said = fails("prepare", "folder", "--images=photos", "--bands=3,2,1", f"--value_range={value_range}")
    assert "a.tif has no band 3, but only 1 band and 3 pages. Save its pages as bands of one image." in said
