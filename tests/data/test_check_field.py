"""`check` on a field that `prepare folder` made, after files of it were damaged or replaced."""

import shutil
import subprocess

import numpy as np
import pytest
import rasterio
from PIL import Image

from smir.__main__ import main
from smir.classes import Classes
from smir.data.reading import jpeg_damage

LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12345\n"
SIZE = (48, 64)
IDS = np.kron(np.arange(12).reshape(3, 4) % 3, np.ones((16, 16))).astype(np.uint8)
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def noise(seed, count=3):
    return np.random.default_rng(seed).integers(0, 250, (count, *SIZE)).astype(np.uint8)


def tif(path, bands, **how):
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    size = {"height": SIZE[0], "width": SIZE[1], "count": len(bands), "dtype": bands.dtype}
    with rasterio.open(path, "w", driver="GTiff", **{"compress": "deflate", **size, **how}) as file:
        file.write(bands)


def palette(ids, colors):
    picture = Image.fromarray(ids)
    picture.putpalette(colors)
    return picture


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    root = tmp_path_factory.mktemp("whole")
    (root / "labels").mkdir()
    for number in range(5):
        tif(root / f"photos/p{number}.tif", noise(number), photometric="rgb", blockysize=16)
        Image.fromarray(IDS).save(root / f"labels/p{number}.png")
    words = [f"--images={root}/photos", f"--labels={root}/labels", f"--root={root}/field"]
    main(["prepare", "folder", *words, "--classes=[soil, crop, weed]"])
    return root / "field"


@pytest.fixture
def check(smir, whole, tmp_path, capsys):
    """Changes a copy of the field and returns exit code and report of `check`."""

    def run(change, *words):
        root = shutil.copytree(whole, tmp_path / "field")
        change(root / "images", root / "masks")
        code = 0
        try:
            smir("check", f"--config={root / 'data.yaml'}", f"--data.root={root}", *words)
        except SystemExit as end:
            code = end.code
        return code, capsys.readouterr().out

    return run


def cut(images, masks):
    content = (images / "p1.tif").read_bytes()
    (images / "p1.tif").write_bytes(content[:-900])


def damaged_block(images, masks):
    with rasterio.open(images / "p1.tif") as file:
        start, size = (int(file.get_tag_item(f"BLOCK_{what}_0_1", "TIFF", bidx=1)) for what in ("OFFSET", "SIZE"))
    content = (images / "p1.tif").read_bytes()
    (images / "p1.tif").write_bytes(content[:start] + bytes(size) + content[start + size :])


def smooth(images, masks):
    Image.fromarray(IDS * 120).resize((32, 24)).resize(SIZE[::-1]).save(masks / "p1.png")


def palettes(images, masks):
    palette(IDS, [0, 0, 0, 0, 200, 0, 220, 0, 0]).save(masks / "p1.png")
    palette(IDS, [0, 0, 0, 220, 0, 0, 0, 200, 0]).save(masks / "p2.png")


def label_among_images(images, masks):
    (images / "val").mkdir()
    shutil.copy(masks / "p2.png", images / "val/other.png")


def exchanged(images, masks):
    """Writes a mask as a tool does that has the same colours for the classes, but other ids."""
    colors = [Classes.named(["soil", "crop", "weed"]).colors[value] for value in (0, 2, 1)]
    palette(IDS, np.ravel(colors).tolist()).save(masks / "p1.png")


def greys_in_a_palette(images, masks):
    """Writes a mask as a program does that reduces grey to a palette, the most frequent value first."""
    palette(np.array([2, 0, 1], np.uint8)[IDS], [1, 1, 1, 2, 2, 2, 0, 0, 0]).save(masks / "p1.png")


def shown_labels_among_images(images, masks):
    Image.fromarray(np.dstack([IDS * 90, IDS * 20, IDS * 7])).save(images / "p2_mask.png")


def pointer(images, masks):
    (images / "p1.tif").write_text(LFS)


PROBLEMS = {
    "a cut image": (cut, "p1.tif is damaged or cut short"),
    "a damaged block": (damaged_block, "p1.tif is damaged or cut short"),
    "a pointer": (pointer, "bytes) is not an image that can be read"),
    "five bands": (lambda images, masks: tif(images / "p1.tif", noise(0, 5)), "p1.tif has 5 bands"),
    "a single band": (
        lambda images, masks: tif(images / "p1.tif", noise(1, 1) * np.uint16(9) + noise(2, 1)),
        "one channel of 16 bits",
    ),
    "a label as image": (lambda images, masks: shutil.copy(masks / "p2.png", images / "p1.tif"), "images/p1.tif"),
    "a label among images": (label_among_images, "images/val/other.png"),
    "palettes": (palettes, "1 is (220, 0, 0), in masks/p1.png (0, 200, 0)"),
    "a palette of other ids": (exchanged, "masks/p1.png: 1 is (50, 230, 230), which stands for 2"),
    "a palette of greys": (greys_in_a_palette, "masks/p1.png: 0 is (1, 1, 1), which stands for 1"),
    "labels in colours among images": (shown_labels_among_images, "images/p2_mask.png"),
    "a pointer as mask": (lambda images, masks: (masks / "p1.png").write_text(LFS), "It is a Git LFS pointer"),
    "odd nodata": (lambda images, masks: tif(masks / "p1.png", IDS[None] * np.uint16(4999)), "4999 (1024 px)"),
    "smooth borders": (smooth, "p1.png holds values outside the classes"),
    "colours": (lambda images, masks: Image.fromarray(np.dstack([IDS] * 3)).save(masks / "p1.png"), "has mode RGB"),
    "losses": (lambda images, masks: Image.fromarray(IDS).save(masks / "p1.png", "JPEG"), "p1.png is a JPEG"),
    "tiff with losses": (
        lambda images, masks: tif(masks / "p1.png", IDS[None], compress="jpeg"),
        "lossy compression (JPEG)",
    ),
    "another size": (lambda images, masks: Image.fromarray(IDS[:-1]).save(masks / "p1.png"), "is 64 x 47 pixels"),
}


@pytest.mark.parametrize("kind", PROBLEMS)
def test_damaged_or_replaced_files_are_reported_as_problems(check, kind):
    change, says = PROBLEMS[kind]
    code, report = check(change)
    assert code == 1
    assert says in report


def gaps(images, masks):
    bands = noise(1) + np.uint8(1)
    bands[:, :4] = 0
    tif(images / "p1.tif", bands, nodata=0, photometric="rgb")


def specks(images, masks):
    for path in masks.glob("*.png"):
        ids = np.minimum(IDS, 1)
        ids[::8, ::8] = 2
        Image.fromarray(ids).save(path)


def copy(images, masks):
    (images / "small").mkdir()
    Image.open(images / "p1.tif").save(images / "small/p1.png")


def jpeg(path, start=None, change=bytes(500)):
    """Writes a photograph, and replaces bytes in its middle."""
    Image.fromarray(np.moveaxis(noise(7), 0, -1)).save(path, "JPEG", quality=95)
    content = path.read_bytes()
    if start is not None:
        start = len(content) // 2 if start == "middle" else start
        path.write_bytes(content[:start] + change + content[start + len(change) :])


def damaged_jpeg(images, masks):
    (images / "p1.tif").unlink()
    jpeg(images / "p1.tif", "middle")
    (images / "p2.tif").unlink()
    jpeg(images / "p2.tif")


def test_jpegs_that_are_damaged_in_their_middle_are_named(smir, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(jpeg_damage, "subprocess", subprocess)  # a separate process, as for users
    (tmp_path / "photos").mkdir()
    for name, change in {"zeros": bytes(500), "end": b"\xff\xd9"}.items():
        jpeg(tmp_path / f"photos/{name}.jpg", "middle", change)
    jpeg(tmp_path / "photos/whole.jpg")
    smir("prepare", "folder", "--images=photos")
    assert "Note: 2 JPEGs are damaged, but can be decoded: end.jpg (premature end of data segment), zeros.jpg (" in (
        capsys.readouterr().out
    )


WARNINGS = {
    "a damaged JPEG": (damaged_jpeg, "JPEGs that are damaged, but can be decoded (1): "),
    "no data": (gaps, "labels of pixels that the image marks as missing (1): "),
    "specks": (specks, "classes that only lie on borders between others (1): weed (masks/p"),
    "a fourth band": (
        lambda images, masks: tif(images / "p1.tif", noise(1, 4), photometric="rgb", alpha="no"),
        "images/p1.tif (4)",
    ),
    "lacking blocks": (
        lambda images, masks: tif(masks / "p1.png", IDS[None] * np.uint8(0), sparse_ok=True),
        "TIFFs that lack blocks (SPARSE_OK), which count as 0 (1): ",
    ),
    "nodata that is a class": (
        lambda images, masks: tif(masks / "p1.png", IDS[None], nodata=0),
        "labels that mark a class as missing, by nodata (1): ",
    ),
    "0 and 255": (
        lambda images, masks: Image.fromarray(IDS // 2 * 255).save(masks / "p1.png"),
        "labels that hold only 0 and 255 (not labelled), unlike the others (1): ",
    ),
    "a copy": (copy, "images with one name but two suffixes (1): images/p1.tif and images/small/p1.png"),
}


@pytest.mark.parametrize("kind", WARNINGS)
def test_unusual_files_are_reported_as_warnings(check, kind):
    change, says = WARNINGS[kind]
    assert says in check(change)[1]


def deep(images, masks):
    tif(images / "p1.tif", noise(1).astype(np.uint16) * 256, photometric="rgb")


def test_check_reads_images_as_predict_does(check):
    assert "p1.tif has 3 bands: red (uint16)" in check(deep, "--data.predict.view=windows")[1]


def test_a_field_with_several_tiff_codecs_passes(check):
    def change(images, masks):
        with rasterio.open(images / "p1.tif") as file:
            pixels = file.read()
        for number, how in enumerate([{"compress": "zstd"}, {"compress": "lerc"}, {"interleave": "band"}]):
            tif(images / f"p{number}.tif", pixels + np.uint8(number), photometric="rgb", **how)
        tif(masks / "p1.png", IDS[None], nbits=2)

    code, report = check(change)
    assert code == 0
    assert "warning" not in report


def test_a_field_without_labels_is_checked_for_pretraining(smir, fails, tmp_path, capsys):
    for number in range(4):
        tif(tmp_path / f"photos/p{number}.tif", noise(number), photometric="rgb")
    smir("prepare", "folder", "--images=photos")
    smir("check", "--config=field/data.yaml")
    assert "there are no labelled splits to check\n\nAll is well." in capsys.readouterr().out
    smir("stats", "--config=field/data.yaml")
    smir("check", "--config=folder/pretrain", "--config=field/data.yaml")
    for task in ("--config=folder/segment", "--data.task=segment"):
        said = fails("check", "--config=field/data.yaml", task, "--data.root=field")
        assert "Folder needs data.labels" in said
        assert "--data.task pretrain" in said


def test_missing_pixels_of_a_palette_label_are_named_so(check):
    def change(images, masks):
        with rasterio.open(masks / "p1.png", "w", driver="GTiff", height=48, width=64, count=1, dtype="uint8") as file:
            file.write(IDS[None])
            file.write_colormap(1, {0: (0, 0, 0), 1: (0, 200, 0), 2: (200, 0, 0)})
            file.write_mask(IDS != 2)

    code, report = check(change)
    assert "IndexError" not in report
    assert code == 0
    assert any(line.split()[0] == "missing" and line.endswith("void") for line in report.splitlines() if line.strip())


def test_nodata_is_compared_with_stored_values(check):
    def change(images, masks):
        tif(masks / "p1.png", (10 * IDS + 10)[None], nodata=0)

    assert "by nodata" not in check(change, "--data.label_map={0: 0, 1: 1, 2: 2, 10: 0, 20: 1, 30: 2}")[1]


def test_nodata_of_a_mapped_class_is_a_warning(check):
    def change(images, masks):
        tif(masks / "p1.png", (10 * IDS + 10)[None], nodata=20)

    report = check(change, "--data.label_map={0: 0, 1: 1, 2: 2, 10: 0, 20: 1, 30: 2}")[1]
    assert "labels that mark a class as missing, by nodata (1): " in report


def test_a_split_of_a_field_without_labels_cannot_be_counted(smir, fails, tmp_path):
    for number in range(4):
        tif(tmp_path / f"photos/p{number}.tif", noise(number), photometric="rgb")
    smir("prepare", "folder", "--images=photos")
    said = fails("stats", "--config=field/data.yaml", "--split=train")
    assert "data.labels is not set, so there is no split of labelled images." in said
