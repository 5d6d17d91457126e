"""Files with image suffixes: training, `predict` and tiling read them as Pillow does, or name them in an error."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps, PngImagePlugin

from smir.data.reading.decode import image_size, read_image, read_label
from smir.data.reading.image_files import list_images
from smir.data.reading.opening import check_readable, open_raster
from smir.errors import DataError
from smir.prepare.sources import open_source, shown_size
from smir.prepare.tiling import tile_image

RGB = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
FOREIGN = {
    "HEIC picture, as phones write. Convert it to JPEG or PNG": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    "AVIF picture": b"\0\0\0\x1cftypavif\0\0\0\0mif1",
    "Git LFS pointer, not the file itself. Run git lfs pull": b"version https://git-lfs.github.com/spec/v1\noid",
    "git-annex pointer": b"/annex/objects/SHA256E-s1--a.jpg\n",
    "web page. Fetch the file again": b"\n<!DOCTYPE html>\n<html><head><title>404</title>",
    "XML text": b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code></Error>',
    "SVG drawing": b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>',
    "JSON text": b'{"message": "Not Found"}',
    "text": b"Not Found\n",
    "archive, such as ZIP. Unpack it": b"PK\x03\x04\x14\0\0\0\x08\0" + bytes(range(256)),
    "PDF document": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
    "GIF picture": b"GIF89a\1\0\1\0\x80",
    "JPEG XL picture": b"\xff\x0a\xfa\x1f",
    "video": b"\0\0\0\x20ftypisom\0\0\2\0",
    "NumPy array": b"\x93NUMPY\1\0v\0{'descr'",
    "only zeros": bytes(4096),
    "empty file. Copy it again from its source": b"",
}


@pytest.mark.parametrize(("kind", "content"), FOREIGN.items(), ids=[kind.split(".")[0] for kind in FOREIGN])
def test_a_file_of_another_kind_is_named(tmp_path, kind, content):
    path = tmp_path / "IMG_9.jpg"
    path.write_bytes(content)
    readers = [read_image, read_label, image_size, shown_size, lambda path: check_readable(path, decode=False)]
    for read in (*readers, lambda path: open_source(path, 8, grey=False)):
        with pytest.raises(DataError, match=rf"IMG_9\.jpg .*\. It is (an? )?{kind}"):
            read(path)


def test_a_jpeg_of_12_bits_is_named(tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(RGB).save(path)
    path.write_bytes(path.read_bytes().replace(b"\xff\xc0\0\x11\x08", b"\xff\xc1\0\x11\x0c"))
    with pytest.raises(DataError, match="It is a JPEG of 12 bits"):
        read_image(path)


def test_files_of_another_kind_stop_prepare(fails, tmp_path):
    (tmp_path / "photos").mkdir()
    Image.fromarray(RGB).save(tmp_path / "photos/1.jpg")
    (tmp_path / "photos/2.jpg").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    for more in ((), ("--tile=32",)):
        said = fails("prepare", "folder", "--images=photos", *more)
        assert "2.jpg" in said
        assert "It is a Git LFS pointer, not the file itself. Run git lfs pull." in said


# Orientation


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def with_chunk(added: bytes, before: bool) -> bytes:
    made = io.BytesIO()
    Image.fromarray(RGB).save(made, "PNG")
    content = made.getvalue()
    place = content.index(b"IDAT") - 4 if before else content.rindex(b"IEND") - 4
    return content[:place] + added + content[place:]


def oriented(kind: str, value: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = value
    raw = exif.tobytes()
    profile = f"\nexif\n{len(raw):8}\n{raw.hex()}\n".encode()
    xmp = f'<x:xmpmeta><rdf:Description tiff:Orientation="{value}"/></x:xmpmeta>'.encode()
    chunks = {
        "eXIf": chunk(b"eXIf", raw[6:]),
        "Raw profile": chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(profile)),
        "XMP": chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp),
    }
    form, _, place = kind.partition(" ")
    if place.startswith(("before", "behind")):
        return with_chunk(chunks[place[7:]], place.startswith("before"))
    made = io.BytesIO()
    options = {"exif": exif} if place == "EXIF" else {"tiffinfo": {700: xmp}} if form == "TIFF" else {"xmp": xmp}
    Image.fromarray(RGB).save(made, form, **options, **({"lossless": True} if form == "WEBP" else {}))
    return made.getvalue()


@pytest.mark.parametrize("value", [2, 3, 6, 8, 9])
@pytest.mark.parametrize(
    "kind",
    [
        *(f"PNG {place} {name}" for place in ("before", "behind") for name in ("eXIf", "Raw profile", "XMP")),
        *(f"{form} {name}" for form in ("JPEG", "WEBP") for name in ("EXIF", "XMP")),
        "TIFF XMP",
    ],
)
def test_training_predict_and_tiling_apply_the_same_orientation(tmp_path, kind, value):
    """The reference is Pillow's `exif_transpose`, which the exported scripts use."""
    path = tmp_path / "image.png"
    path.write_bytes(oriented(kind, value))
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    size = expected.shape[:2]
    assert size == (RGB.shape[:2] if value in (2, 3, 9) else RGB.shape[1::-1])
    seen = {
        "training": read_image(path),
        "predict": open_raster(path, tmp_path, progress=False).read(0, 0, *size)[0],
        "tiling": next(open_source(path, size[0], grey=False).strips([0]))[0],
    }
    for door, pixels in seen.items():
        assert np.abs(pixels.astype(int) - expected).max() <= (3 if form_of(kind) == "JPEG" else 0), door
    assert image_size(path) == shown_size(path) == size


def form_of(kind: str) -> str:
    return kind.partition(" ")[0]


# Long profiles, suffixes, BMP


@pytest.mark.parametrize("long", ["profile", "text"])
def test_a_long_colour_profile_or_text_chunk_is_accepted(tmp_path, long):
    path = tmp_path / "image.png"
    filling = b"colour " * 500_000
    info = PngImagePlugin.PngInfo()
    if long == "text":
        info.add_text("history", filling.decode(), zip=True)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes() + filling
    Image.fromarray(RGB).save(path, pnginfo=info, icc_profile=profile if long == "profile" else None)
    assert (read_image(path) == RGB).all()
    assert (open_raster(path, tmp_path, progress=False).read(0, 0, 48, 64)[0] == RGB).all()
    assert (next(open_source(path, 48, grey=False).strips([0]))[0] == RGB).all()


@pytest.mark.parametrize("suffix", ["jfif", "JFIF", "jpe", "dib"])
def test_other_suffixes_of_known_formats_are_accepted(tmp_path, suffix):
    Image.fromarray(RGB).save(tmp_path / f"a.{suffix}", format="BMP" if suffix == "dib" else "JPEG")
    assert list_images(tmp_path) == [f"a.{suffix}"]
    with Image.open(tmp_path / f"a.{suffix}") as image:
        assert (read_image(tmp_path / f"a.{suffix}") == np.asarray(image)).all()


def tiles_of(source: Path, target: Path, grey: bool = False) -> np.ndarray:
    tile_image(source, target, 32, prefix="t_", grey=grey, bar=False)
    (top_left, top_right, *_) = sorted(target.glob("t_*.png"))
    return np.concatenate([np.asarray(Image.open(path)) for path in (top_left, top_right)], axis=1)


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1", "RGBA"])
def test_a_bmp_is_tiled_and_read_in_windows(tmp_path, mode):
    image = Image.fromarray(RGB).convert(mode)
    image.save(tmp_path / "image.bmp")
    with Image.open(tmp_path / "image.bmp") as stored:
        expected = np.asarray(stored.convert("RGB"))
    check_readable(tmp_path / "image.bmp", decode=True)
    pixels, valid = open_raster(tmp_path / "image.bmp", tmp_path, progress=False).read(8, 4, 20, 30)
    assert (pixels == expected[8:28, 4:34]).all()
    assert valid.all()
    assert (tiles_of(tmp_path / "image.bmp", tmp_path / "tiles") == expected[:32]).all()


@pytest.mark.parametrize("mode", ["L", "P"])
def test_a_label_as_bmp_keeps_its_ids_in_tiles(tmp_path, mode):
    ids = RGB[..., 0] % 5
    image = Image.fromarray(ids)
    if mode == "P":
        image.putpalette([0, 0, 0, 9, 9, 9, 200, 0, 0, 0, 200, 0, 0, 0, 200])
    image.save(tmp_path / "label.bmp")
    assert (tiles_of(tmp_path / "label.bmp", tmp_path / "tiles", grey=True) == ids[:32]).all()


def test_photographs_as_bmp_are_cut(smir, tmp_path):
    (tmp_path / "photos").mkdir()
    Image.fromarray(RGB).save(tmp_path / "photos/a.bmp")
    smir("prepare", "folder", "--images=photos", "--tile=32")
    tiles = sorted((tmp_path / "field/images").rglob("*.png"))
    assert len(tiles) == 4
    assert (np.asarray(Image.open(tiles[0])) == RGB[:32, :32]).all()
