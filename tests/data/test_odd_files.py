"""Unusual image, label and list files: each is decoded correctly, or refused with its name."""

import io
import os
import pkgutil
import resource
import struct
import subprocess
import sys
import zlib

import cv2
import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.transform import Affine, from_origin

from smir.data import Folder
from smir.data.reading.decode import image_size, read_image, read_label
from smir.data.reading.file_list import FileList
from smir.data.reading.image_files import list_images
from smir.data.reading.label_values import by_table
from smir.data.reading.lists import read_list, write_list
from smir.data.reading.opening import Choice, open_raster
from smir.data.reading.pairs import Images
from smir.data.reading.safe_open import MAX_PIXELS, MOST_OF, refuse_many_scans
from smir.data.reading.stamps import refuse_other_files, save_stamps
from smir.errors import DataError

RGB = np.kron(np.random.default_rng(0).integers(0, 256, (8, 10, 3), np.uint8), np.ones((8, 8, 1), np.uint8))
READERS = [read_image, read_label, image_size]


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width, height, bits=8, colour=2, content=b"\0" * 100):
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(content, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


# Decoded correctly


@pytest.mark.parametrize(("form", "mode"), [("JPEG", "CMYK"), ("TIFF", "CMYK"), ("TIFF", "LAB"), ("TIFF", "YCbCr")])
def test_other_colour_spaces_are_converted(tmp_path, form, mode):
    path = tmp_path / "image.jpg"
    Image.fromarray(RGB).convert(mode).save(path, format=form, **({"quality": 100} if form == "JPEG" else {}))
    assert Image.open(path).mode == mode
    assert np.abs(read_image(path).astype(int) - RGB).mean() < 3  # not inverted


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bit_images_keep_their_high_byte(tmp_path, suffix, channels):
    shape = (12, 14) if channels == 1 else (12, 14, channels)
    deep = np.random.default_rng(1).integers(0, 1 << 16, shape, np.uint16)
    path = tmp_path / f"image.{suffix}"
    cv2.imwrite(
        str(path),
        deep if channels == 1 else cv2.cvtColor(deep, cv2.COLOR_RGB2BGR if channels == 3 else cv2.COLOR_RGBA2BGRA),
    )
    expected = np.stack([deep] * 3, -1) if channels == 1 else deep[..., :3]
    np.testing.assert_array_equal(read_image(path), (expected >> 8).astype(np.uint8))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGBA"])
def test_grey_palette_and_alpha_are_converted(tmp_path, mode):
    path = tmp_path / "image.png"
    image = Image.fromarray(RGB).convert(mode)
    (image.convert("P") if mode == "PA" else image).save(path)
    opaque = image.convert("RGB")
    np.testing.assert_array_equal(read_image(path), np.asarray(opaque))


def test_a_palette_with_transparency_keeps_its_colours(tmp_path):
    image = Image.fromarray(RGB).quantize(16)
    image.save(tmp_path / "image.png", transparency=0)
    np.testing.assert_array_equal(read_image(tmp_path / "image.png"), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP"])
def test_the_first_frame_of_an_animation_is_taken(tmp_path, form):
    frames = [Image.fromarray(RGB), Image.fromarray(255 - RGB)]
    options = {"lossless": True} if form == "WEBP" else {}
    frames[0].save(tmp_path / "image.png", format=form, save_all=True, append_images=frames[1:], **options)
    np.testing.assert_array_equal(read_image(tmp_path / "image.png"), RGB)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "bmp", "webp"])
@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "BMP", "WEBP"])
def test_the_content_and_not_the_suffix_decides_the_format(tmp_path, suffix, form):
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(RGB).save(path, format=form)
    assert image_size(path) == RGB.shape[:2]
    assert np.abs(read_image(path).astype(int) - RGB).mean() < 12


@pytest.mark.parametrize(
    "name",
    [
        "with space.png",
        "new\nline.png",
        "rübe 名.png",
        "a\u2028b.png",
        "-rf.png",
        "'quoted\".png",
        "%s{x}.png",
        "\udcff.png",
    ],
)
def test_file_names_with_unusual_characters_work(smir, tmp_path, capsys, name):
    root = tmp_path / "field"
    (root / "images").mkdir(parents=True)
    for number in range(3):
        Image.fromarray(RGB).save(root / "images" / f"{number}.png")
    Image.fromarray(RGB).save(root / "images" / "x.png")
    (root / "images" / "x.png").rename(root / "images" / name)
    options = {"root": root, "task": "pretrain", "crop_size": 192, "min_side": 32}
    dataset = ["--data=Folder", *(f"--data.{key}={value}" for key, value in options.items())]
    data = Folder(**options)
    assert f"images/{name}" in list(data.images("pool"))
    smir("check", *dataset)
    assert "All is well" in capsys.readouterr().out
    (root / "images" / name).write_bytes(b"no image")
    with pytest.raises(SystemExit):
        smir("check", *dataset)
    assert "unreadable files: 1" in capsys.readouterr().out


# Refused with their names


@pytest.mark.parametrize("form", ["GIF", "EPS", "PPM", "ICO", "PDF", "TGA"])
@pytest.mark.parametrize("read", READERS)
def test_unsupported_formats_are_refused_even_if_they_are_named_png(tmp_path, read, form):
    path = tmp_path / "image.png"
    Image.fromarray(RGB[..., 0]).save(path, format=form)
    with pytest.raises(DataError, match=r"image\.png \([\d,]+ bytes\) is not an image .*JPEG, PNG, TIFF, BMP, WEBP"):
        read(path)


BOMBS = {
    "header of 60,000 x 60,000": png(60_000, 60_000),
    "header of 12,000 x 12,000": png(12_000, 12_000),
    "one bit": png(30_000, 5_000, bits=1, colour=0),
    "widest": png(2**31 - 1, 1),
    "negative": png(2**31 + 5, 7),
    "bmp": b"BM"
    + struct.pack("<IHHI", 100, 0, 0, 54)
    + struct.pack("<IiiHHIIiiII", 40, 20_000, 8_000, 1, 24, 0, 0, 0, 0, 0, 0),
    "tiff": b"II*\0"
    + struct.pack("<I", 8)
    + struct.pack("<H", 6)
    + b"".join(
        struct.pack("<HHII", tag, 4, 1, value)
        for tag, value in ((256, 50_000), (257, 50_000), (258, 8), (262, 1), (273, 8), (279, 100))
    )
    + bytes(4),
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("content", BOMBS.values(), ids=BOMBS)
@pytest.mark.parametrize("read", READERS)
def test_bombs_are_refused_before_their_memory_is_taken(tmp_path, read, content):
    path = tmp_path / "bomb.png"
    path.write_bytes(content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DataError, match=r"bomb\.png"):
        read(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB


def test_a_bomb_that_inflates_is_refused(tmp_path):
    """The file holds content for every pixel of the header, compressed a thousandfold."""
    path = tmp_path / "bomb.png"
    path.write_bytes(png(20_000, 9_000, bits=1, colour=0, content=bytes(9_000 * (20_000 // 8 + 1))))
    assert path.stat().st_size > 20_000 * 9_000 // 10_000
    with pytest.raises(DataError, match=rf"bomb\.png .*(more than {MAX_PIXELS:,}|exceeds limit)"):
        read_image(path)


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.random.default_rng(0).random((9, 9), np.float32), r"has 1 band: gray \(float32\)"),
        (np.full((9, 9), 70_000, np.int32), r"has 1 band: gray \(int32\)"),
    ],
)
def test_floating_point_and_32_bit_images_are_refused(tmp_path, array, said):
    Image.fromarray(array).save(tmp_path / "image.tif")
    with pytest.raises(DataError, match=rf"image\.tif {said}"):
        read_image(tmp_path / "image.tif")


def test_a_strip_is_refused(tmp_path):
    Image.fromarray(np.zeros((32, 32 * 65, 3), np.uint8)).save(tmp_path / "strip.png")
    with pytest.raises(DataError, match=r"strip\.png is 2080 x 32 pixels; one side is more than 64"):
        Images(FileList(tmp_path, ["strip.png"]), 32).read(0)


@pytest.mark.parametrize("read", [read_image, read_label])
def test_a_png_with_a_wrong_checksum_is_refused(tmp_path, read):
    """Pillow reads such a file, even with wrong pixels."""
    path = tmp_path / "a.png"
    Image.fromarray(np.arange(40 * 56, dtype=np.uint8).reshape(40, 56)).save(path)
    content = path.read_bytes()
    end = content.index(b"IEND") - 4  # after the checksum of the pixels
    path.write_bytes(content[: end - 1] + bytes([content[end - 1] ^ 1]) + content[end:])
    with pytest.raises(DataError, match=r"a\.png is damaged: the sum of its pixels is wrong"):
        read(path)


@pytest.mark.parametrize("quality", [50, 100])
def test_a_label_as_jpeg_is_refused(tmp_path, quality):
    Image.fromarray(RGB[..., 0] % 3).save(tmp_path / "label.png", format="JPEG", quality=quality)
    with pytest.raises(DataError, match=r"label\.png is a JPEG"):
        read_label(tmp_path / "label.png")


@pytest.mark.parametrize("value", [-1, -(2**31), 1 << 16, (1 << 16) + 1, 2**31 - 1])
def test_label_values_outside_of_16_bits_are_refused(tmp_path, value):
    path = tmp_path / "label.tif"
    Image.fromarray(np.full((4, 4), value, np.int32)).save(path)
    stored = read_label(path)
    assert (stored == value).all()
    with pytest.raises(DataError, match=rf"label\.tif .* {value} \(16 px\)"):
        by_table(stored, path, {0: 0, 65535: 255}, "Pascal VOC")


@pytest.mark.parametrize("read", READERS)
def test_pipes_devices_and_broken_links_are_refused_without_waiting(tmp_path, read):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "broken.png").symlink_to("nowhere.png")
    (tmp_path / "through.png").mkdir()
    said = {
        "pipe.png": "is not a file but",
        "zero.png": "is not a file but",
        "loop.png": "cannot be read: .*symbolic links",
        "broken.png": "is a link to a file that does not exist",
        "through.png/deeper.png": "does not exist",
        "loop.png/deeper.png": "cannot be read",
    }
    for name, message in said.items():
        with pytest.raises(DataError, match=f"{name} {message}"):
            read(tmp_path / name)


def test_a_pipe_among_the_files_of_a_run_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    save_stamps(tmp_path / "files.npz", {"pool": FileList(tmp_path, ["pipe.png"])})
    refuse_other_files(tmp_path / "files.npz", {"pool": FileList(tmp_path, ["pipe.png"])})


def test_a_file_that_disappears_between_listing_and_reading_is_named(tmp_path):
    (tmp_path / "images").mkdir()
    for number in range(20):
        Image.fromarray(np.kron(RGB, np.ones((3, 3, 1), np.uint8))).save(tmp_path / f"images/{number:02d}.png")
    data = Folder(tmp_path, task="pretrain", crop_size=192, batch_size=2, num_workers=2)
    batches = iter(data.train_dataloader())
    next(batches)
    for path in (tmp_path / "images").iterdir():
        path.unlink()
    with pytest.raises(DataError, match=r"images/\d\d\.png does not exist; it was there when"):
        list(batches)


@pytest.mark.parametrize("opener", ["smir.data.reading.safe_open.is_tiff", "PIL.Image.open"])
def test_a_file_that_disappears_while_it_is_opened_is_named(tmp_path, monkeypatch, opener):
    """The file exists when its size is read, and is gone when it is opened."""
    path = tmp_path / "a.png"
    Image.fromarray(RGB).save(path)
    opened = pkgutil.resolve_name(opener)

    def vanishing(*args, **kwargs):
        path.unlink()
        return opened(*args, **kwargs)

    monkeypatch.setattr(opener, vanishing)
    with pytest.raises(DataError, match=r"a\.png does not exist; it was there when"):
        read_image(path)


# Folders and lists


def test_links_to_folders_outside_are_reported_and_not_followed(tmp_path):
    for folder in ("images", "elsewhere"):
        (tmp_path / folder).mkdir()
        Image.fromarray(RGB).save(tmp_path / folder / "a.png")
    (tmp_path / "images/link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "images/round").symlink_to(tmp_path / "images")
    with pytest.warns(UserWarning, match=r"images behind 1 of them in .*images are not listed: link"):
        assert list_images(tmp_path / "images") == ["a.png"]


def test_a_folder_that_cannot_be_read_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "images/locked").mkdir(parents=True)
    Image.fromarray(RGB).save(tmp_path / "images/a.png")
    scandir = os.scandir

    def denying(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", denying)
    with pytest.raises(DataError, match=r"images/locked cannot be listed: Permission denied"):
        list_images(tmp_path / "images")


@pytest.mark.parametrize(
    "entry", ["../outside", "{root}/../outside.png", "images/../../outside", "../../../../etc/passwd"]
)
def test_a_list_cannot_name_files_outside_the_dataset(tmp_path, entry):
    root = tmp_path / "field"
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
        Image.fromarray(RGB[..., 0] % 2).save(root / folder / "a.png")
    Image.fromarray(RGB).save(tmp_path / "outside.png")
    (root / "list.txt").write_text(f"a\n{entry.format(root=root)}\n")
    splits = dict.fromkeys(("train", "val", "test"), "list.txt")
    data = Folder(root, labels="masks", classes=["a", "b"], split_files=splits)
    with pytest.raises(DataError, match=r"list\.txt lists 1 names that are not among the 1 images"):
        data.images("train")


def test_a_list_may_be_split_only_at_line_ends(tmp_path):
    entries = ["a\u2028b", "a\x0bb", "a\x85b", "a b"]
    write_list(tmp_path / "list.txt", entries)
    assert read_list(tmp_path / "list.txt") == entries


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "utf-16", "loop", "huge"])
def test_a_path_that_is_not_a_readable_list_is_refused(tmp_path, kind):
    path = tmp_path / "list.txt"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "huge":
        with path.open("wb") as file:
            file.truncate(1 << 40)
    elif kind == "utf-16":
        path.write_text("rübe", encoding="utf-16")
    else:
        path.symlink_to("/dev/zero" if kind == "device" else "list.txt")
    with pytest.raises(DataError, match=r"list\.txt") as refused:
        read_list(path)
    assert ("cannot be read as UTF-8 text" in str(refused.value)) == (kind in ("utf-16", "loop"))


# Files that two readers could interpret differently


def exif(value, kind=3):
    """Returns an EXIF block with an orientation tag, as SHORT, LONG, BYTE or text."""
    number = struct.pack("<HH" if kind == 3 else "<I", *((value, 0) if kind == 3 else (value,)))
    return b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHI", 0x0112, kind, 1) + number + bytes(4)


XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
RAW = (
    b"Raw profile type exif\0\nexif\n" + b"%8d\n" % len(b"Exif\0\0" + exif(6)) + (b"Exif\0\0" + exif(6)).hex().encode()
)


def app1(body):
    return b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body


def orientations():
    """Returns files by how they state their orientation, and whether they are turned."""
    pixels = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8))
    made = {}
    for form in ("JPEG", "PNG", "WEBP"):
        for value, kind in ((6, 3), (6, 4), (0, 3), (9, 3), (258, 3), (1 << 31, 4), (6, 1), (54, 2)):
            file = io.BytesIO()
            pixels.save(file, form, exif=b"Exif\0\0" + exif(value, kind))
            made[f"{form} {value} {kind}"] = file.getvalue(), value == 6 and kind in (3, 4)
    plain = io.BytesIO()
    pixels.save(plain, "PNG")
    png = plain.getvalue()
    made["PNG text"] = png[:33] + chunk(b"tEXt", RAW) + png[33:], True
    made["PNG XMP"] = png[:33] + chunk(b"iTXt", b"XML:com.adobe.xmp" + bytes(5) + XMP) + png[33:], True
    made["PNG exif behind"] = png[:-12] + chunk(b"eXIf", exif(6)) + png[-12:], True
    plain = io.BytesIO()
    pixels.save(plain, "JPEG")
    jpeg = plain.getvalue()
    made["JPEG XMP"] = jpeg[:2] + app1(b"http://ns.adobe.com/xap/1.0/\0" + XMP) + jpeg[2:], True
    made["JPEG twice"] = jpeg[:2] + app1(b"Exif\0\0" + exif(1)) + app1(b"Exif\0\0" + exif(6)) + jpeg[2:], False
    webp = io.BytesIO()
    pixels.save(webp, "WEBP", xmp=XMP)
    made["WEBP XMP"] = webp.getvalue(), True
    return made


@pytest.mark.parametrize("name", ORIENTATIONS := orientations())
def test_all_readers_apply_the_same_orientation(tmp_path, name):
    content, turned = ORIENTATIONS[name]
    (path := tmp_path / "image").write_bytes(content)
    whole, raster = read_image(path), open_raster(path, tmp_path, progress=False)
    assert image_size(path) == whole.shape[:2] == (raster.height, raster.width) == ((60, 40) if turned else (40, 60))
    windows = raster.read(0, 0, *whole.shape[:2])[0]
    assert np.abs(windows.astype(int) - whole).mean() < 3  # decoders of lossy files round differently
    if name.startswith("PNG"):
        np.testing.assert_array_equal(windows, whole)


def test_only_a_world_file_beside_a_tiff_is_read_and_only_if_the_tiff_has_no_georeference(tmp_path):
    """Each of these files could move a map, or hide its pixels, without a change to the image."""
    pixels, path = np.full((1, 40, 60), 7, np.uint8), tmp_path / "map.tif"
    place = {"crs": "EPSG:32632", "transform": from_origin(500_000, 5_400_000, 0.5, 0.5)}
    with rasterio.open(path, "w", driver="GTiff", height=40, width=60, count=1, dtype="uint8", **place) as file:
        file.write(pixels)
    evil = "<PAMDataset><SRS>EPSG:3857</SRS><GeoTransform>0,9,0,0,0,-9</GeoTransform><PAMRasterBand band='1'>"
    evil += "<NoDataValue>7</NoDataValue></PAMRasterBand></PAMDataset>"
    (tmp_path / "map.tif.aux.xml").write_text(evil)
    (tmp_path / "map.tfw").write_text("9\n0\n0\n-9\n0\n0\n")
    raster = open_raster(path, tmp_path)
    assert raster.georeference["crs"].to_epsg() == 32632
    assert raster.georeference["transform"] == place["transform"]
    assert raster.read(0, 0, 40, 60)[1].all()
    save_plain(path, pixels[0])
    raster = open_raster(path, tmp_path)
    assert raster.georeference == {"transform": Affine(9, 0, -4.5, 0, -9, 4.5)}  # a world file states pixel centres
    assert raster.ground is None
    assert raster.read(0, 0, 40, 60)[1].all()
    assert not raster.left_out
    assert Choice("auto", 40).in_windows(path)  # read as a whole, it would lose its location


@pytest.mark.parametrize("content", [b"9\n0\n0\n-9\n0\n", b"9 0 0 nan 0 0", b"0 0 0 0 0 0", b"\xff" * 99, b"1 " * 9999])
def test_a_bad_world_file_is_named(tmp_path, content):
    Image.new("L", (60, 40)).save(path := tmp_path / "map.tif")
    (tmp_path / "map.TFW").write_bytes(content)
    (tmp_path / "map.tif.aux.xml").touch()
    raster = open_raster(path, tmp_path)
    assert not raster.georeference
    assert "map.TFW, map.tif.aux.xml is not read; gdal_translate map.tif new.tif" in raster.left_out


def save_plain(path, pixels):
    path.unlink()
    Image.fromarray(pixels).save(path)


# Small files that are slow to read or take much memory


def scans(count, behind=b""):
    """Returns a progressive JPEG that repeats one scan many times."""
    file = io.BytesIO()
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(file, "JPEG", progressive=True)
    content = file.getvalue()
    last = content.rindex(b"\xff\xda")
    return content[:last] + content[last:-2] * count + b"\xff\xd9" + behind


@pytest.mark.parametrize("read", [read_image, read_label, image_size, lambda path: open_raster(path, path.parent)])
def test_a_jpeg_of_many_scans_is_refused(tmp_path, read):
    (tmp_path / "slow.jpg").write_bytes(scans(2000))
    with pytest.raises(DataError, match=r"slow\.jpg is a JPEG of more than 64 scans"):
        read(tmp_path / "slow.jpg")


def test_a_large_jpeg_may_have_fewer_scans(tmp_path, monkeypatch):
    monkeypatch.setattr("smir.data.reading.safe_open.MAX_PIXELS", 64)
    (tmp_path / "slow.jpg").write_bytes(scans(20))
    with pytest.raises(DataError, match=r"slow\.jpg is a JPEG of more than 16 scans"):
        refuse_many_scans(tmp_path / "slow.jpg", "image", 64)
    refuse_many_scans(tmp_path / "slow.jpg", "image", 16)


def test_a_webp_that_takes_too_much_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(MOST_OF, "WEBP", 99)
    Image.new("RGB", (10, 10)).save(tmp_path / "large.webp")
    with pytest.raises(DataError, match=r"large\.webp is a WEBP of 10 x 10 pixels; more than 99 take too long"):
        read_image(tmp_path / "large.webp")


def test_a_tiff_that_begins_with_a_thumbnail_is_refused(tmp_path):
    Image.new("RGB", (32, 32)).save(tmp_path / "raw.tif", tiffinfo={254: 1, 330: 8})
    with pytest.raises(DataError, match=r"raw\.tif begins with a thumbnail, as raw photographs"):
        read_image(tmp_path / "raw.tif")
    Image.new("RGB", (32, 32)).save(tmp_path / "marked.tif", tiffinfo={254: 1})
    assert read_image(tmp_path / "marked.tif").shape == (32, 32, 3)
    photograph = [Image.new("RGB", (64, 64))]
    Image.new("RGB", (32, 32)).save(tmp_path / "pages.tif", save_all=True, append_images=photograph, tiffinfo={254: 1})
    with pytest.raises(DataError, match=r"pages\.tif begins with a thumbnail"):
        image_size(tmp_path / "pages.tif")


def test_a_label_of_several_pages_is_refused(tmp_path):
    pages = [Image.fromarray(np.full((8, 9), value, np.uint8)) for value in (1, 2)]
    pages[0].save(tmp_path / "label.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(DataError, match=r"label\.tif has 2 pages, of which readers show the first"):
        read_label(tmp_path / "label.tif")


@pytest.mark.parametrize("dtype", ["int8", "int32", "uint32"])
def test_signed_and_32_bit_integer_images_are_refused(tmp_path, dtype):
    with rasterio.open(
        tmp_path / "a.tif", "w", driver="GTiff", height=40, width=60, count=3, dtype=dtype, photometric="rgb"
    ) as file:
        file.write(np.full((3, 40, 60), 100, dtype))
    with pytest.raises(DataError, match=rf"has 3 bands: red \({dtype}\)"):
        read_image(tmp_path / "a.tif")


def test_only_the_scans_of_the_image_itself_are_counted(tmp_path):
    """Scans of a thumbnail before the image or of a film after it do not count."""
    content = scans(3, behind=b"\xff\xda" * 100)
    (tmp_path / "film.jpg").write_bytes(content[:2] + app1(b"\xff\xda" * 100) + content[2:])
    assert read_image(tmp_path / "film.jpg").shape == (64, 64, 3)


@pytest.mark.parametrize("read", ["read_image", "label"])
def test_the_largest_images_fit_into_memory(tmp_path, read):
    """Reads a fifth of the largest size in a process that may take a fifth of the memory that docs/files.md states."""
    Image.fromarray(np.zeros((6000, 6000), np.uint16)).save(tmp_path / "deep.png")
    code = f"""
import resource, sys, warnings
import numpy as np
from pathlib import Path
from smir.data.reading.decode import read_image, read_label
from smir.data.reading.label_values import class_ids
path = Path({str(tmp_path / "deep.png")!r})
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 36_000_000 * 12 + (32 << 20),) * 2)
result = read_image(path) if {read == "read_image"} else class_ids(read_label(path), path, 2)
print(result.shape, result.max())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("(6000, 6000"), done.stderr[-500:]
