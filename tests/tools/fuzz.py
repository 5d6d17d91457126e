"""Feeds damaged files to every reader: `python tests/tools/fuzz.py --cases 10000 --seed 0`.

Every case is a good file with a few changes: bytes flipped, cut out, repeated or overwritten with numbers that parsers
often mishandle, also inside PNG chunks and zip members, whose checksums are then corrected. The file must be read or
refused. If it is read, its content must be valid and equal that of a second reader (`pixels`, `ids`). If it is refused,
a `SmirError` must name it. Anything else (another exception, a case that takes seconds, an entry that is silently
dropped) is a failure; the program keeps the file and exits with 1.
"""

import argparse
import copy
import faulthandler
import io
import json
import os
import random
import resource
import shutil
import struct
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import exports
import numpy as np
import rasterio
import torch
from fakes import SIZE, blocks
from PIL import Image
from rasterio.transform import from_origin

from smir.classes import Classes
from smir.cli.identity import weights_fingerprint
from smir.cli.trust import PACKAGES, scan_file
from smir.data import Folder
from smir.data.predict_options import PredictOptions
from smir.data.reading.decode import image_size, label_facts, read_image, read_label
from smir.data.reading.label_values import class_ids
from smir.data.reading.lists import read_list
from smir.data.reading.opening import check_readable, open_raster
from smir.data.reading.tiff_colors import NO_DATA
from smir.errors import SmirError
from smir.files.pictures import is_tiff
from smir.method.mask_table import MaskTable
from smir.method.patches import PatchGrid
from smir.method.preprocessing import Preprocessing
from smir.models.networks import UNetStride4
from smir.models.weights import load_pretrained
from smir.predict.polygons.options import PolygonOptions
from smir.predict.polygons.product import RegionProducts
from smir.predict.predictor import WindowPredictor
from smir.prepare.labels.classes import of_categories
from smir.prepare.labels.formats import read_labels
from smir.prepare.labels.shapes import Annotations, draw
from smir.runs.checkpoint_record import Checkpoint
from smir.runs.mask_files import load_arrays, load_masks, save_masks, save_scores
from smir.runs.run_folder import read_record
from smir.training.from_checkpoint import check_fits
from smir.training.reconstruction import ReconstructionModule

TIME_LIMIT = 5.0  # seconds for a case; nearly all cases take milliseconds
HARD_LIMIT = 60.0  # after which the program stops and shows where it hangs
EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 0x10000000)


@dataclass
class Kind:
    """A kind of file.

    Attributes:
        suffix: End of its name.
        seeds: Good files.
        read: Reads a file, and checks its content.
    """

    suffix: str
    seeds: list[bytes]
    read: Callable[[Path], None]


# Damage


def damage(content: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    """Changes a file in one to four places, or inside its container."""
    if content.startswith(b"\x89PNG") and chance.random() < 0.4:
        return _inside_png(content, chance)
    if content.startswith(b"PK") and chance.random() < 0.7:
        return _inside_zip(content, chance)
    if content.startswith(b'{"images"') or content.startswith(b'{"version"'):
        return _inside_json(content, chance) if chance.random() < 0.8 else _bytes(content, chance, others)
    if "rübe".encode() in content and chance.random() < 0.5:
        return _lines(content, chance)
    return _bytes(content, chance, others)


def _lines(content: bytes, chance: random.Random) -> bytes:
    lines = content.split(b"\n")
    ends = (b"\n", b"\r\n", b"\r", b" \n\n", b"\n\t")
    chosen = [chance.choice(lines).strip(b"\r") for _ in range(chance.randint(0, 2 * len(lines)))]
    return b"".join(line + chance.choice(ends) for line in chosen)


def _bytes(content: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    data = bytearray(content)
    for _ in range(chance.choice([1, 1, 1, 2, 4])):
        if not data:
            break
        # Headers are at the beginning, and zip directories at the end.
        spread = chance.choice([min(len(data), 64), min(len(data), 512), len(data)])
        at = chance.randrange(spread) if chance.random() < 0.8 else len(data) - 1 - chance.randrange(spread)
        length = min(chance.choice([1, 2, 4, 8, 100]), len(data) - at)
        match chance.randrange(8):
            case 0:
                data[at] ^= 1 << chance.randrange(8)
            case 1:
                data[at] = chance.randrange(256)
            case 2:
                number = struct.pack(chance.choice(["<I", ">I"]), chance.choice(EDGES))
                data[at : at + len(number)] = number
            case 3:
                del data[at : at + length]
            case 4:
                data[at:at] = data[at : at + length] * chance.randint(1, 3)
            case 5:
                data[at:at] = chance.randbytes(length)
            case 6:
                del data[at:]
            case 7:
                other = chance.choice(others)
                data[at:] = other[chance.randrange(len(other)) :]
    return bytes(data)


def _inside_png(content: bytes, chance: random.Random) -> bytes:
    chunks, at = [], 8
    while at + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += 12 + length
    place = chance.randrange(len(chunks))
    kind, body = chunks[place]
    if chance.random() < 0.2:
        chunks[place : place + 1] = chance.choice([[], [chunks[place]] * 2, [(chance.randbytes(4), body)]])
    elif kind == b"IDAT" and chance.random() < 0.5:
        chunks[place] = (kind, zlib.compress(_bytes(zlib.decompress(body), chance, [body])))
    else:
        chunks[place] = (kind, _bytes(body or b"\0", chance, [body or b"\0"]))
    packed = (struct.pack(">I", len(b)) + k + b + struct.pack(">I", zlib.crc32(k + b)) for k, b in chunks)
    return content[:8] + b"".join(packed)


def _inside_json(content: bytes, chance: random.Random) -> bytes:
    """Changes one value, which is reached by a random walk down the branches."""
    whole = json.loads(content)
    parent, key = {"": whole}, ""
    while (node := parent[key]) and isinstance(node, dict | list) and chance.random() < 0.85:
        parent, key = node, chance.choice(list(node) if isinstance(node, dict) else range(len(node)))
    old = parent[key]
    values = [None, True, -1, 0, 1e9, 1e308, float("nan"), "", "a", [], {}, [[]], [old], chance.choice(EDGES)]
    if isinstance(old, str):
        values += [_bytes(old.encode(), chance, [b"~~~~~~~"]).decode(errors="replace")] * 12
    parent[key] = chance.choice(values)
    return json.dumps(whole).encode()


def _inside_zip(content: bytes, chance: random.Random) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(made, "w") as changed:
        entries = archive.infolist()
        chosen = chance.choice(entries)
        for entry in entries:
            body = archive.read(entry)
            if entry is chosen and chance.random() < 0.1:
                continue
            changed.writestr(entry, _bytes(body, chance, [body or b"\0"]) if entry is chosen else body)
    return made.getvalue()


# Good files, and the checks of their readers


def images(folder: Path) -> Kind:
    """Returns photographs of all formats and modes."""
    chance = np.random.default_rng(0)
    rgb = Image.fromarray(chance.integers(0, 256, (40, 56, 3), np.uint8).repeat(2, 0))
    exif = Image.Exif()
    exif[0x0112] = 6
    saves = [
        *((rgb, form, {}) for form in ("JPEG", "PNG", "TIFF", "BMP", "WEBP")),
        *((rgb.convert(mode), "PNG", {}) for mode in ("L", "LA", "P", "RGBA", "1")),
        *((rgb.convert(mode), "TIFF", {"compression": "tiff_lzw"}) for mode in ("L", "CMYK", "RGB")),
        *((rgb, form, {"exif": exif}) for form in ("JPEG", "PNG", "TIFF", "WEBP")),
        (rgb.convert("CMYK"), "JPEG", {}),
        (rgb, "JPEG", {"progressive": True}),
        (rgb, "WEBP", {"save_all": True, "append_images": [rgb.rotate(180)]}),
        (rgb, "PNG", {"save_all": True, "append_images": [rgb.rotate(180)]}),
        (Image.fromarray(chance.integers(0, 65536, (40, 56), np.uint16)), "PNG", {}),
        (Image.fromarray(chance.integers(0, 65536, (40, 56), np.uint16)), "TIFF", {"compression": "tiff_deflate"}),
        (Image.fromarray(chance.random((40, 56), np.float32)), "TIFF", {}),
    ]

    def read(path: Path) -> None:
        image = read_image(path)
        assert image.dtype == np.uint8
        assert image.ndim == 3
        assert image.shape[2] == 3
        assert min(image.shape) > 0
        assert image_size(path) == image.shape[:2]

    return Kind(".png", [_saved(*save) for save in saves], read)


def labels(folder: Path) -> Kind:
    """Returns label images of 8 and 16 bits."""
    ids = np.random.default_rng(1).integers(0, 3, (40, 56), np.uint8)
    palette = Image.fromarray(ids)
    palette.putpalette([0, 0, 0, 9, 9, 9, 200, 0, 0])
    saves = [
        (Image.fromarray(ids), "PNG", {}),
        (palette, "PNG", {}),
        (palette, "PNG", {"bits": 2}),
        (Image.fromarray(ids.astype(np.uint16)), "PNG", {}),
        (Image.fromarray(ids.astype(np.int32)), "TIFF", {"compression": "tiff_deflate"}),
        (Image.fromarray(ids > 1), "PNG", {}),
        (Image.fromarray(ids), "BMP", {}),
    ]

    def read(path: Path) -> None:
        stored = read_label(path)
        assert stored.dtype == np.int32
        assert stored.ndim == 2
        assert set(np.unique(class_ids(stored, path, 3)).tolist()) <= {0, 1, 2, 255}

    return Kind(".png", [_saved(*save) for save in saves], read)


_CODECS = ("none", "lzw", "deflate", "packbits", "zstd", "lzma", "lerc", "lerc_deflate")


def _tiff_how(chance: np.random.Generator) -> dict[str, Any]:
    blocks = {"tiled": True, "blockxsize": 16, "blockysize": 32} if chance.random() < 0.5 else {"blockysize": 8}
    codec, interleave = str(chance.choice(_CODECS)), str(chance.choice(["pixel", "band"]))
    return {"crs": None, "transform": None, "compress": codec, "interleave": interleave, **blocks}


def pixels(folder: Path) -> Kind:
    """Returns images of all codecs, bit depths, palettes and nodata values, compared with a second reader."""
    chance = np.random.default_rng(3)
    seeds = []
    for _ in range(120):
        count = int(chance.choice([1, 3, 3, 4]))
        kind = np.uint16 if chance.random() < 0.3 else np.uint8
        image = chance.integers(0, np.iinfo(kind).max + 1, (40, 56, count), kind).repeat(2, 0)
        how = _tiff_how(chance) | {"dtype": kind.__name__}
        if how["compress"].startswith("lerc") and count == 4:
            how["compress"] = "deflate"  # LERC keeps nothing below transparent pixels
        if count > 1:
            how |= {"photometric": "rgb"} | ({"alpha": "yes"} if count == 4 else {})
        elif chance.random() < 0.3 and kind is np.uint8:
            how["nbits"] = int(chance.choice([1, 2, 4]))
            image &= (1 << how["nbits"]) - 1
        elif chance.random() < 0.4:
            how["nodata"] = int(chance.choice([0, 7, 255]))
        colors = (
            chance.integers(0, 256, (256, 3)).tolist() if count == 1 and kind is np.uint8 and "nbits" not in how else []
        )
        seeds.append(_geotiff(image, colors=colors if chance.random() < 0.4 else [], **how))
    rgb = Image.fromarray(chance.integers(0, 256, (40, 56, 3), np.uint8).repeat(2, 0))
    for mode, bits in (("RGB", 8), ("RGBA", 8), ("L", 8), ("LA", 8), ("P", 8), ("P", 4), ("P", 2), ("P", 1), ("1", 1)):
        image = rgb.quantize(1 << bits) if mode == "P" else rgb.convert(mode)
        seeds += [_saved(image, "PNG", {"bits": bits} if mode == "P" else {})] * 4
    seeds += [_saved(rgb.convert(mode), "BMP", {}) for mode in ("RGB", "L", "P", "1") for _ in range(3)]
    seeds += [
        _saved(rgb, form, options) for form, options in (("JPEG", {}), ("WEBP", {"lossless": True})) for _ in "abc"
    ]

    def read(path: Path) -> None:
        image = read_image(path)
        other = second_colors(path)
        if other is not None:
            assert image.shape == other.shape, f"{image.shape}, but a second reader has {other.shape}"
            error = np.abs(image.astype(int) - other)
            far = error.max() > 1 if _is_lossless(path) else error.mean() > 8  # 16-bit palettes are rounded
            assert not far, f"a second reader has other colours (by up to {error.max()})"
        try:
            raster = open_raster(path, folder / "decoded", progress=False)
        except SmirError:  # 16 bits, for which windows need a value range
            return
        try:
            seen, _ = raster.read(0, 0, raster.height, raster.width)
        except SmirError:  # a damaged alpha channel, which photographs do not need
            return
        assert seen.shape == image.shape
        assert np.abs(seen.astype(int) - image).max() <= (0 if _is_lossless(path) else 60), "in windows other colours"

    return Kind(".tif", seeds, read)


def _is_lossless(path: Path) -> bool:
    return not path.read_bytes().startswith(b"\xff\xd8")


def ids(folder: Path) -> Kind:
    """Returns labels of all codecs, bit depths, palettes and nodata values, compared with a second reader."""
    chance = np.random.default_rng(4)
    seeds = []
    for _ in range(120):
        kind = str(chance.choice(["uint8", "uint8", "uint16", "int16", "int32", "float32", "float64"]))
        how = _tiff_how(chance) | {"dtype": kind}
        values = chance.integers(0, 4, (40, 56, 1)).repeat(2, 0)
        if kind == "uint8" and chance.random() < 0.5:
            how["nbits"] = int(chance.choice([1, 2, 4]))
            values &= (1 << how["nbits"]) - 1
        if chance.random() < 0.4:
            marks = {"uint8": [0, 255], "uint16": [0, 65535], "int16": [0, -9999], "int32": [3, -9999]}
            how["nodata"] = float(chance.choice(marks.get(kind, [0, -9999, np.nan])))
            values = values.astype(kind) if kind.startswith("float") else values
            values[3:9, 5:20] = how["nodata"]
        colors = chance.integers(0, 256, (256, 3)).tolist() if kind == "uint8" and chance.random() < 0.3 else []
        seeds.append(_geotiff(values.astype(kind), colors=[] if "nbits" in how else colors, **how))
    stored = chance.integers(0, 2, (40, 56), np.uint8).repeat(2, 0)
    for bits in (1, 2, 4, 8):
        palette = Image.fromarray(stored * ((1 << bits) - 1))
        palette.putpalette(chance.integers(0, 256, 3 << bits, np.uint8).tobytes())
        seeds += [_saved(palette, "PNG", {"bits": bits})] * 3 + [_grey_png(stored, bits)] * 3
    seeds += [
        _saved(Image.fromarray(stored), "BMP", {}),
        _saved(Image.fromarray(stored.astype(np.uint16)), "PNG", {}),
    ] * 3

    def read(path: Path) -> None:
        found = read_label(path)
        label_facts(path)
        other = second_ids(path)
        if other is not None:
            assert found.shape == other.shape, f"{found.shape}, but a second reader has {other.shape}"
            differ = int((found != other).sum())
            assert not differ, (
                f"a second reader has other ids at {differ} pixels: {np.unique(found)[:6]}, {np.unique(other)[:6]}"
            )

    return Kind(".png", seeds, read)


def _grey_png(values: np.ndarray, bits: int) -> bytes:
    """Returns a grey PNG of 1, 2, 4 or 8 bits, which Pillow does not write."""
    height, width = values.shape
    planes = [(values >> bit) & 1 for bit in reversed(range(bits))]
    rows = np.packbits(np.stack(planes, -1).reshape(height, width * bits), axis=1)
    content = b"".join(b"\0" + row.tobytes() for row in rows)
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(content)),
        (b"IEND", b""),
    )
    packed = (struct.pack(">I", len(b)) + k + b + struct.pack(">I", zlib.crc32(k + b)) for k, b in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


# Second readers: Pillow where smir uses rasterio; OpenCV and GDAL where it uses Pillow


def _can_judge(tags: Any) -> bool:
    """Returns whether Pillow and GDAL interpret a TIFF in the same way.

    They differ if the photometric tag (262) is missing or damaged: 0 is white for Pillow and black for GDAL. They also
    differ if a block has no bytes (279, 325): GDAL considers it not written, and Pillow reads the bytes at its offset.
    Pillow takes signed 16 bits in planes (284) for 32 bits. It takes a fourth band without a tag (338) for alpha, by
    which it divides the colours. It draws tiles (324) beyond the size of the image over the first ones.
    """
    lengths = [*tags.get(279, ()), *tags.get(325, ())]
    signed = tags.get(339, (1,))[0] == 2
    planes = tags.get(277, 1) if tags.get(284) == 2 else 1
    tiles = -(-tags[256] // tags.get(322, tags[256])) * -(-tags[257] // tags.get(323, tags[257]))
    if (tags.get(277, 1) > 3 and 338 not in tags) or len(tags.get(324, ())) > tiles * planes:
        return False
    return tags.get(262) is not None and 0 not in lengths and not (signed and tags.get(284) == 2)


def _overlaps(path: Path) -> bool:
    """Returns whether the pixels of a BMP begin within its header or palette; readers differ then."""
    head = path.read_bytes()[:54].ljust(54, b"\0")
    start, length, bits, colors = (
        struct.unpack_from(kind, head, at)[0] for kind, at in (("<I", 10), ("<I", 14), ("<H", 28), ("<I", 46))
    )
    return head[:2] == b"BM" and start < 14 + length + 4 * (colors or (1 << bits if bits <= 8 else 0))


def second_colors(path: Path) -> np.ndarray | None:
    """Returns the RGB pixels (H, W, 3) of an image, or None if the second reader cannot read it."""
    try:
        if not is_tiff(path):
            if _overlaps(path):
                return None
            flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
            read = cv2.imread(str(path), flags)
            return None if read is None else read[..., ::-1]
        with Image.open(path, formats=["TIFF"]) as image:
            if not _can_judge(image.tag_v2):
                return None
            if image.tag_v2[258][0] > 8 and len(image.getbands()) > 1:  # Pillow reads these as 8 bits
                read = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
                return None if image.tag_v2[284] == 2 else read[..., 2::-1] >> 8  # OpenCV mixes up their planes
            pixels = np.asarray(image if image.mode.startswith("I") else image.convert("RGB"))
    except Exception:
        return None
    if pixels.ndim == 2:
        pixels = np.repeat((pixels >> 8)[..., None], 3, axis=-1)
    return pixels.astype(np.uint8)


def second_ids(path: Path) -> np.ndarray | None:
    """Returns the stored values (H, W) of a label with `NO_DATA`, or None if the second reader cannot read it."""
    try:
        if not is_tiff(path):
            if path.read_bytes().startswith(b"\x89PNG") and b"IEND" not in path.read_bytes()[-12:]:
                return None  # GDAL then takes the compressed bytes for pixels
            with rasterio.open(path) as file:
                return file.read(1).astype(np.int64) if file.count == 1 else None
        with Image.open(path, formats=["TIFF"]) as image:
            tags, mode = image.tag_v2, image.mode
            if not _can_judge(tags):
                return None
            bits = tags.get(258, (1,))[0]
            values = np.asarray(image)
            mark = float(str(tags.get(42113, "nan")).strip("\0 "))
    except Exception:
        return None
    if mode not in ("1", "L", "P", "I;16", "I;16B", "I;16S", "I", "F") or tags.get(277, 1) != 1:
        return None
    values = values.astype(np.float64)
    if mode == "L" and bits in (2, 4):
        values //= 255 // ((1 << bits) - 1)
    if mode in ("1", "L") and tags.get(262) == 0:  # Pillow shows 0 as white, and the ids are the stored values
        values = (1 << bits) - 1 - values
    missing = np.isnan(values) if np.isnan(mark) else (values == mark) & (mark not in range(1 << 16))
    return np.where(missing, NO_DATA, np.nan_to_num(values)).astype(np.int64)


def windows(folder: Path) -> Kind:
    """Returns GeoTIFFs and pictures that `predict` reads in windows, from reading to writing."""
    chance = np.random.default_rng(2)
    pixels = chance.integers(0, 256, (40, 56, 3), np.uint8).repeat(2, 0)
    rgb, holes = Image.fromarray(pixels), np.full((80, 56, 1), 255, np.uint8)
    holes[:9] = 0
    exif = Image.Exif()
    exif[0x0112] = 6
    pictures = [
        *((rgb, form, {}) for form in ("JPEG", "PNG", "WEBP", "TIFF")),
        *((rgb.convert(mode), "PNG", {}) for mode in ("L", "P", "RGBA", "1")),
        (rgb, "JPEG", {"exif": exif}),
        (rgb, "JPEG", {"progressive": True}),
    ]
    alpha = {"photometric": "rgb", "alpha": "yes"}
    maps = [
        _geotiff(pixels, photometric="rgb", nodata=0),
        _geotiff(pixels, photometric="rgb", crs="EPSG:4326", transform=from_origin(8, 52, 1e-6, 1e-6)),
        _geotiff(pixels, photometric="ycbcr", compress="jpeg", tiled=True, blockxsize=32, blockysize=32),
        _geotiff(pixels[..., :1], compress="lzw", blockysize=16, BIGTIFF="YES"),
        _geotiff(np.concatenate([pixels, holes], axis=2), compress="deflate", interleave="band", **alpha),
        _geotiff(np.concatenate([pixels, holes], axis=2), compress="deflate", predictor=2, tiled=True, **alpha),
    ]

    def forward(images: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(images).permute(0, 3, 1, 2).float()

    preprocessing, options = Preprocessing((0.5,) * 3, (0.2,) * 3, 256), PredictOptions(view="windows")
    classes, regions = Classes.named(["a", "b", "c"]), RegionProducts(PolygonOptions(), folder)
    predictor = WindowPredictor(forward, preprocessing, classes, 2.0, options, regions, progress=False)

    def read(path: Path) -> None:
        check_readable(path, decode=True)
        try:
            areas = predictor.predict(path, path.name, folder / "predicted" / path.stem)
        except SmirError as error:  # otherwise the image would not have been skipped
            raise AssertionError(f"looked through, and yet refused: {error}") from error
        (labels,) = (file for file in (folder / "predicted").glob("*.*") if ".preview" not in file.name)
        with rasterio.open(labels) as file:
            counts = np.bincount(file.read(1).ravel(), minlength=256)
        assert counts[:3].tolist() == areas.pixels.tolist()
        assert counts[3:255].sum() == 0
        shutil.rmtree(folder / "predicted")

    return Kind(".tif", [*(_saved(*save) for save in pictures), *maps, *maps], read)


def _geotiff(image: np.ndarray, colors: list[list[int]] | None = None, **profile: Any) -> bytes:
    """Returns a GeoTIFF of bands (H, W, C), in UTM unless another system is given, with a palette if `colors` are."""
    height, width, count = image.shape
    profile = {"crs": "EPSG:32632", "transform": from_origin(5e5, 5.7e6, 0.05, 0.05), **profile}
    shape = {"height": height, "width": width, "count": count, "dtype": "uint8"}
    with rasterio.MemoryFile() as memory:
        with memory.open(driver="GTiff", **{**shape, **profile}) as file:
            if colors:
                file.write_colormap(1, {place: (*color, 255) for place, color in enumerate(colors)})
            file.write(np.moveaxis(image, -1, 0))
        return memory.read()


def _saved(image: Image.Image, form: str, options: dict[str, object]) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=form, **options)
    return buffer.getvalue()


def lists(folder: Path) -> Kind:
    """Returns list files for a folder of images, with entries that try to leave it."""
    root = folder / "listed"
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True)
        for number in range(8):
            (root / kind / f"rübe {number}.png").touch()
    (folder / "outside.png").touch()
    good = [f"rübe {number}" for number in range(6)]
    evil = ["../outside", str(folder / "outside.png"), "images/../../outside", "rübe 1\0", "", "a" * 5000]
    texts = ["\n".join(good), "\r\n".join(good) + "\r\n", "\ufeff" + "\n".join(good), "\n".join(good[:2] + evil)]
    texts += ["\n".join([*good, entry]) for entry in evil]

    def read(path: Path) -> None:
        splits = dict.fromkeys(("train", "val", "test"), str(path))
        data = Folder(root, "images", labels="masks", classes=["a", "b"], split_files=splits)
        used = data.images("train")
        assert len(used) == len(read_list(path))
        assert all(used.path(place).resolve().parent == (root / "images").resolve() for place in range(len(used)))

    return Kind(".txt", [text.encode() for text in texts], read)


def checkpoints(folder: Path) -> Kind:
    """Returns weights as smir, torch and older versions of torch write them."""
    network = UNetStride4(3, "tu-mobilenetv3_small_050", (8, 8, 8))
    state = {f"network.{name}": value for name, value in network.state_dict().items()}
    record = {
        "format": 1,
        "task": "pretrain",
        "network": network.spec,
        "out_channels": 3,
        "preprocessing": {"mean": [0.5] * 3, "std": [0.2] * 3, "view_size": 256, "num_patches": 512},
        "origin": {"experiment": "x", "seed": 0, "image_visits": 12},
    }
    small = {"encoder.conv1.weight": torch.ones(2, 2), "encoder.model.conv_stem.weight": torch.ones(16, 3, 3, 3)}
    contents = [{"state_dict": state, "smir": record, "epoch": 3}, {"state_dict": small, "smir": record}, small]
    seeds = []
    for content, zipped in [(content, True) for content in contents] + [(contents[1], False)]:
        buffer = io.BytesIO()
        torch.save(content, buffer, _use_new_zipfile_serialization=zipped)
        seeds.append(buffer.getvalue())
    seeds += seeds[1:] * 3  # the smallest file covers most of the formats
    before = copy.deepcopy(network.state_dict())
    module = ReconstructionModule(network=lambda channels: network)

    def read(path: Path) -> None:
        network.load_state_dict(before)
        report = load_pretrained(network, path)
        assert report.loaded
        assert len(report.loaded) + len(report.missing) + len(report.mismatched) == len(before)
        module.weights = path
        assert weights_fingerprint(module)["kind"] == "file"
        checkpoint = Checkpoint.read(path)
        assert checkpoint.record.task == "pretrain"
        check_fits(checkpoint, module)
        ReconstructionModule.rebuild(checkpoint)

    return Kind(".ckpt", seeds, read)


def masks(folder: Path) -> Kind:
    """Returns mask and score files of a run."""
    grids = [PatchGrid(256, 256), PatchGrid(256, 341), PatchGrid(384, 256)]
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.rand(len(grid), generator=generator) for grid in grids]
    save_masks(folder / "masks.npz", MaskTable.pack([2, 5, 9], grids, [scores > 0.5 for scores in drawn], 512))
    save_scores(folder / "scores.npz", [2, 5, 9], drawn)

    def read(path: Path) -> None:
        if b"values.npy" in path.read_bytes():
            load_arrays(path, ("index", "length", "values"))
            return
        table = load_masks(path)
        for index in table.indices.tolist():
            grid, mask = table.packed(index).unpack()
            assert len(grid) == len(mask)

    return Kind(".npz", [(folder / f"{name}.npz").read_bytes() for name in ("masks", "scores")], read)


def configs(folder: Path) -> Kind:
    """Returns config files."""
    seeds = [
        "model: {class_path: SegmentationModule, init_args: {lr: 1e-3}}\ntrainer: {callbacks+: [torch.nn.Module]}\n",
        "a: &a [1, 2]\nb: [*a, *a]\nc: {<<: {x: '{class_path: torch.nn.Module}'}}\nd: !!binary aGFsbG8=\n",
        "model: {class_path: evil.Module}\n",
    ]
    return Kind(".yaml", [seed.encode() for seed in seeds], lambda path: scan_file(path, PACKAGES))


_LABELS = {f"{number}": blocks(f"{number}", (0, 1, 2)) for number in range(2)}


def _draw(path: Path) -> None:
    found = read_labels(path)
    assert isinstance(found, Annotations)
    table = of_categories(None, found.declared, found.used(), str(path))
    for annotated in found.images:
        if annotated.size in (SIZE, None):  # the images would not belong to another root
            assert draw(annotated, SIZE, table).shape == SIZE


def annotations(folder: Path) -> Kind:
    """Returns shapes of COCO and Labelme."""
    writers = (exports.coco_polygons, exports.coco_runs, exports.coco_text, exports.labelme)
    return Kind(".json", [seed for writer in writers for seed in _exported(folder, writer, "json")], _draw)


def cvat(folder: Path) -> Kind:
    """Returns shapes of CVAT."""
    return Kind(".xml", list(_exported(folder, exports.cvat, "xml")), _draw)


def _exported(folder: Path, write: Callable[[Path, dict[str, np.ndarray]], None], suffix: str) -> Iterator[bytes]:
    target = folder / write.__name__
    write(target, _LABELS)
    for path in sorted(target.rglob(f"*.{suffix}")):
        yield path.read_bytes()


def records(folder: Path) -> Kind:
    """Returns the record of a run."""
    record = {"format": 1, "experiment": "a", "seed": 0, "recipe_hash": "x", "hash": "y", "recipe": {}, "inputs": {}}

    def read(path: Path) -> None:
        path.replace(folder / "run.json")
        path.touch()
        found = read_record(folder)
        assert found is not None
        assert {"hash", "recipe_hash"} <= found.keys()

    return Kind(".json", [json.dumps(record).encode()], read)


KINDS = {
    "image": (images, 0.1),
    "pixels": (pixels, 0.25),
    "ids": (ids, 0.25),
    "window": (windows, 0.05),
    "label": (labels, 0.05),
    "annotation": (annotations, 0.08),
    "cvat": (cvat, 0.02),
    "list": (lists, 0.05),
    "checkpoint": (checkpoints, 0.08),
    "masks": (masks, 0.04),
    "config": (configs, 0.02),
    "record": (records, 0.01),
}
"""Every kind, with its share of the cases."""


def outcome(kind: Kind, path: Path) -> str:
    """Reads a file; returns `read`, `refused`, or what went wrong."""
    faulthandler.dump_traceback_later(HARD_LIMIT, exit=True, file=sys.__stdout__)
    size, started = path.stat().st_size, time.perf_counter()
    try:
        kind.read(path)
        result = "read"
    except SmirError as error:
        named = path.name in str(error) or str(path.parent / "run.json") in str(error)
        result = "refused" if named else f"an error that names no file: {error}"
    except Exception as error:
        result = f"{type(error).__name__} at {traceback.extract_tb(error.__traceback__)[-1]}: {error}"
    finally:
        faulthandler.cancel_dump_traceback_later()
    took = time.perf_counter() - started
    return f"{took:.1f} s for a file of {size} bytes" if took > TIME_LIMIT else result


def fuzz(cases: int, seed: int, keep: Path, kinds: Sequence[str] = tuple(KINDS)) -> Iterator[tuple[str, str]]:
    """Yields kind and outcome of every case; keeps the files of failed cases."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for title, (make, share) in ((title, KINDS[title]) for title in kinds):
            chance = random.Random(f"{seed} {title}")
            kind = make(folder)
            for number, seed_file in enumerate(dict.fromkeys(kind.seeds)):
                good = folder / f"good-{title}-{number}{kind.suffix}"
                good.write_bytes(seed_file)
                outcome(kind, good)  # fills caches before time and memory are measured
            for number in range(round(cases * share)):
                path = folder / f"{title}-{number}{kind.suffix}"
                seed_file = chance.choice(kind.seeds)
                whole = title in ("pixels", "ids") and chance.random() < 0.3
                path.write_bytes(seed_file if whole else damage(seed_file, chance, kind.seeds))
                content = path.read_bytes()
                result = outcome(kind, path)
                if result not in ("read", "refused"):
                    keep.mkdir(parents=True, exist_ok=True)
                    (keep / path.name).write_bytes(content)
                path.unlink(missing_ok=True)
                yield title, result


def table(results: list[tuple[str, str]]) -> str:
    """Returns a table of the outcomes by kind, and every failure once."""
    counts = Counter((kind, result if result in ("read", "refused") else "failed") for kind, result in results)
    rows = [
        f"| {'kind':<10} |  cases |   read | refused | failed |",
        f"|{'-' * 12}|{'-:|'.join(['-' * 7, '-' * 7, '-' * 8, '-' * 7, ''])}",
    ]
    for kind in KINDS:
        read, refused, failed = (counts[kind, result] for result in ("read", "refused", "failed"))
        rows.append(f"| {kind:<10} | {read + refused + failed:6,} | {read:6,} | {refused:7,} | {failed:6,} |")
    bad = Counter(f"{kind}: {result}" for kind, result in results if result not in ("read", "refused"))
    return "\n".join([*rows, *(f"{count} x {text}" for text, count in bad.most_common(40))])


def main() -> None:
    """Runs the given number of cases and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--keep", type=Path, default=Path("fuzz-failures"), help="folder for the files that failed")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stderr__.fileno())  # libtiff writes its complaints there
    started = time.perf_counter()
    results = list(fuzz(options.cases, options.seed, options.keep, options.kinds))
    print(table(results))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)
    print(f"seed {options.seed}, {time.perf_counter() - started:.0f} s, peak memory {peak:.1f} GiB")
    sys.exit(any(result not in ("read", "refused") for _, result in results))


if __name__ == "__main__":
    main()
