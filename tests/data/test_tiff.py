"""Every codec that GDAL writes: intact files are read, and blocks that cannot be decoded never become pixels."""

import itertools
import re
import warnings
import zlib
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
from PIL import Image

from smir.data.reading.decode import image_size, read_image, read_label
from smir.data.reading.opening import check_readable, open_raster
from smir.data.reading.tiff import Tiff, mask_blocks
from smir.data.reading.tiff_colors import NO_DATA
from smir.errors import ConfigError, DataError
from smir.prepare.tiling import tile_image

HEIGHT, WIDTH, SIDE = 96, 112, 48
CODECS = {
    "none": {},
    "lzw": {"compress": "lzw"},
    "deflate": {"compress": "deflate", "predictor": 2},
    "packbits": {"compress": "packbits"},
    "jpeg": {"compress": "jpeg"},
    "ycbcr": {"compress": "jpeg", "photometric": "ycbcr"},
    "webp": {"compress": "webp", "webp_lossless": True},
    "zstd": {"compress": "zstd"},
    "lerc": {"compress": "lerc"},
    "lerc_zstd": {"compress": "lerc_zstd"},
    "lerc_deflate": {"compress": "lerc_deflate"},
    "lzma": {"compress": "lzma"},
}
ONLY = {"ycbcr": {("pixel", 3)}, "webp": {("pixel", 3), ("pixel", 4)}}
"""Interleaving and bands that a codec can hold; all others hold any."""
BLOCKS = {"tiled": {"tiled": True, "blockxsize": 32, "blockysize": 32}, "stripped": {"blockysize": 16}}


def write(path: Path, bands: np.ndarray, **how: object) -> Path:
    """Writes bands (B, H, W) as a TIFF."""
    count, height, width = bands.shape
    named = {"photometric": "rgb"} if count > 2 else {}
    named |= {"alpha": "yes"} if count == 4 else {}
    path.unlink(missing_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        size = {"height": height, "width": width, "count": count, "dtype": bands.dtype}
        with rasterio.open(path, "w", driver="GTiff", **{**size, **named, **how}) as file:
            file.write(bands)
    return path


def pixels(count: int) -> np.ndarray:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    noise = np.random.default_rng(0).integers(0, 9, (count, HEIGHT, WIDTH))
    return (noise + rows + columns // 2 + 20 * np.arange(1, count + 1)[:, None, None]).astype(np.uint8)


def block(path: Path, tiled: bool) -> tuple[int, int]:
    """Returns the offset and the length of a block in the middle."""
    with rasterio.open(path) as file:
        place = "1_1" if tiled else "0_2"
        return tuple(int(file.get_tag_item(f"BLOCK_{what}_{place}", "TIFF", bidx=1)) for what in ("OFFSET", "SIZE"))


def tiles(source: Path, target: Path) -> np.ndarray:
    """Returns the pixels of the image, put together from its tiles."""
    tile_image(source, target, SIDE, prefix="t_", bar=False)
    whole = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    places = itertools.product((0, 48), (0, 48, WIDTH - SIDE))
    for file, (top, left) in zip(sorted(target.glob("t_*.png")), places, strict=True):
        whole[top : top + SIDE, left : left + SIDE] = cv2.imread(str(file))[..., ::-1]
    return whole


def cut_up(target: Path, source: Path) -> None:
    tiles(source, target / source.stem)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("layout", BLOCKS)
@pytest.mark.parametrize("codec", CODECS)
def test_every_codec_is_read_and_damage_to_it_is_named(tmp_path, codec, layout):
    path = tmp_path / "map.tif"
    for interleave, count in ONLY.get(codec, set(itertools.product(("pixel", "band"), (1, 3, 4)))):
        bands = pixels(count)
        if count == 4:
            bands[3] = 255 * (bands[3] > 99)
            bands[:3] *= bands[3] > 0  # LERC keeps nothing below transparent pixels
        write(path, bands, interleave=interleave, **BLOCKS[layout], **CODECS[codec])
        whole = read_image(path)
        expected = np.moveaxis(bands[:3], 0, -1) if count > 1 else np.repeat(bands[0][..., None], 3, axis=-1)
        assert np.abs(whole.astype(int) - expected).max() <= (60 if codec in ("jpeg", "ycbcr") else 0)
        assert image_size(path) == (HEIGHT, WIDTH)
        seen, valid = open_raster(path, tmp_path, progress=False).read(10, 20, 60, 80)
        assert (seen == whole[10:70, 20:100]).all()
        assert (valid == (bands[3] > 0)[10:70, 20:100]).all() if count == 4 else valid.all()
        target = tmp_path / f"{interleave}{count}"
        assert (tiles(path, target) == whole).all()
        content, (start, length) = path.read_bytes(), block(path, layout == "tiled")
        noise = bytes([255]) * (length - length // 3)
        damaged = {"cut": content[: start + length // 2], "end": content[:-4]}
        if codec != "none":
            damaged["zeros"] = content[:start] + bytes(length) + content[start + length :]
        if codec not in ("none", "packbits", "zstd"):  # these have no checksums, so any bytes may be pixels
            damaged["noise"] = content[: start + length // 3] + noise + content[start + length :]
        for kind, changed in damaged.items():
            bad = tmp_path / f"{kind}.tif"
            bad.write_bytes(changed)
            for read in (partial(check_readable, decode=True), partial(cut_up, target), read_image):
                if read is read_image and (kind, count, interleave) == ("end", 4, "band"):
                    continue  # a photograph is read without its alpha channel
                with pytest.raises(DataError, match=rf"{kind}\.tif is damaged or cut short: rows .* cannot be read"):
                    read(bad)
            assert not (target / bad.stem / "tiles.json").exists()


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("codec", [codec for codec in CODECS if codec not in ONLY and codec != "jpeg"])
def test_labels_of_every_codec_keep_their_ids(tmp_path, codec):
    ids = pixels(1) % 5
    path = write(tmp_path / "ids.tif", ids, **BLOCKS["tiled"], **CODECS[codec])
    assert (read_label(path) == ids[0]).all()


@pytest.mark.parametrize(
    "how",
    [
        {"compress": "jpeg"},
        {"compress": "lerc", "max_z_error": 1},
        {"compress": "lerc_zstd", "max_z_error": 1},
    ],
)
def test_labels_that_lose_ids_are_refused(tmp_path, how):
    path = write(tmp_path / "ids.tif", pixels(1) % 5, **how)
    with pytest.raises(DataError, match=r"The label .*ids\.tif has lossy compression"):
        read_label(path)


@pytest.mark.parametrize("bits", [1, 2, 4, 12])
def test_ids_of_few_bits_are_kept_and_grey_images_are_scaled_to_8_bits(tmp_path, bits):
    ids = pixels(1).astype(np.uint16 if bits > 8 else np.uint8) & min((1 << bits) - 1, 255)
    path = write(tmp_path / "ids.tif", ids, nbits=bits)
    assert (read_label(path) == ids[0]).all()
    assert read_image(path).max() == 255 if bits < 8 else (read_image(path)[..., 0] == ids[0] >> 4).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rasterio_there", [True, False])
def test_ids_as_floating_point_numbers(tmp_path, monkeypatch, dtype, rasterio_there):
    monkeypatch.setattr("smir.data.reading.safe_open.has_rasterio", lambda: rasterio_there or dtype == "float64")
    values = (pixels(1) % 5).astype(dtype)
    assert (read_label(write(tmp_path / "ids.tif", values)) == values[0]).all()
    for odd in (1.5, np.nan, np.inf, 3e9):
        values[0, 3, 4] = odd
        with pytest.raises(DataError, match=re.escape(f"ids.tif holds floating-point numbers such as {odd:g} (1 px)")):
            read_label(write(tmp_path / "ids.tif", values))
    values[0, 3, 4] = np.nan  # marked as missing
    if rasterio_there:
        assert read_label(write(tmp_path / "ids.tif", values, nodata=np.nan))[3, 4] == NO_DATA


@pytest.mark.parametrize("odd", [-1, -9999, 70_000])
@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_values_that_are_not_ids_are_refused_unless_they_are_named_void(smir, fails, tmp_path, odd, dtype):
    for folder in ("photos", "labels"):
        (tmp_path / folder).mkdir()
    for number in range(3):
        values = (pixels(1) % 3).astype(dtype)
        values[0, :2] = odd
        write(tmp_path / f"labels/{number}.tif", values)
        cv2.imwrite(str(tmp_path / f"photos/{number}.png"), np.moveaxis(pixels(3), 0, -1))
    command = ("prepare", "folder", "--images=photos", "--labels=labels")
    assert f"hold {odd} (672 px), which is not an id (0 to 65535)" in fails(*command)
    smir(*command, f"--classes=[a=0, b=1, c=2, void={odd}]")
    mask = cv2.imread(str(tmp_path / "field/masks/0.png"), cv2.IMREAD_UNCHANGED)
    assert (mask[:2] == 255).all()
    assert (mask[2:] == pixels(1)[0, 2:] % 3).all()


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        ((1 << 32) + 1, "int64"),
        ((1 << 32) - 1, "uint32"),
        (1 << 40, "uint64"),
        (NO_DATA, "int32"),
        (NO_DATA, "int64"),
    ],
)
def test_whole_numbers_that_would_wrap_to_ids_or_missing_pixels_are_refused(tmp_path, value, dtype):
    ids = np.array([[[0, 1, value, value]]], dtype)
    with pytest.raises(DataError, match=rf"label\.tif holds {value} \(2 px\), which is not an id"):
        read_label(write(tmp_path / "label.tif", ids))
    read = read_label(write(tmp_path / "label.tif", ids, nodata=value))
    assert read.tolist() == [[0, 1, NO_DATA, NO_DATA]]


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_inks_of_8_and_16_bits_become_colours(tmp_path, dtype):
    inks = 255 - pixels(4)
    stored = inks if dtype == "uint8" else inks.astype(dtype) << 8 | 7
    path = write(tmp_path / "image.tif", stored, photometric="cmyk", alpha="no")
    expected = Image.fromarray(np.moveaxis(inks, 0, -1), "CMYK").convert("RGB")
    assert np.abs(read_image(path).astype(int) - np.asarray(expected)).max() <= 1  # libtiff rounds those of 8 bits


def test_without_rasterio_only_tiffs_whose_damage_can_be_found_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr("smir.data.reading.safe_open.has_rasterio", lambda: False)
    monkeypatch.setattr("smir.prepare.sources.has_rasterio", lambda: False)
    monkeypatch.setattr("smir.data.reading.opening.has_rasterio", lambda: False)
    path = tmp_path / "map.tif"
    for codec in ("none", "lzw", "deflate"):
        bands = pixels(3)
        write(path, bands, **BLOCKS["tiled"], **CODECS[codec])
        assert (tiles(path, tmp_path / codec) == np.moveaxis(bands, 0, -1)).all()
        path.write_bytes(path.read_bytes()[:-4])
        with pytest.raises(DataError, match=r"map\.tif is damaged"):
            tiles(path, tmp_path / f"{codec}-cut")
    for codec in ("packbits", "jpeg", "zstd"):
        write(path, pixels(3), **CODECS[codec])
        with pytest.raises(ConfigError, match=r"needs rasterio: pip install 'smir\[geo\]'"):
            tiles(path, tmp_path / codec)


def test_a_block_that_would_fill_the_memory_is_refused(tmp_path, monkeypatch):
    path = write(tmp_path / "map.tif", pixels(3), compress="deflate", blockysize=HEIGHT)
    monkeypatch.setattr("smir.data.reading.tiff._MOST_BLOCK", HEIGHT * WIDTH * 3 - 1)
    with pytest.raises(DataError, match=r"stored in blocks of .* gdal_translate -co TILED=YES"):
        check_readable(path, decode=False)
    write(path, pixels(3), compress="deflate", blockysize=16)
    check_readable(path, decode=True)


@pytest.mark.parametrize("door", ["rasterio", "pillow", "one strip as rows"])
def test_a_deflate_block_with_a_wrong_checksum_is_refused(tmp_path, monkeypatch, door):
    """The damaged block is longer than its pixels; libtiff stops after the pixels and does not check the rest."""
    monkeypatch.setattr("smir.data.reading.safe_open.has_rasterio", lambda: door != "pillow")
    bands = np.concatenate([pixels(3)] * 21, axis=1) if door == "one strip as rows" else pixels(3)
    rows = bands.shape[1] if door == "one strip as rows" else 16
    path = write(tmp_path / "map.tif", bands, compress="deflate", blockysize=rows, interleave="pixel")
    assert (read_image(path) == np.moveaxis(bands, 0, -1)).all()
    with rasterio.open(path) as file:
        start, length = (int(file.get_tag_item(f"BLOCK_{what}_0_0", "TIFF", bidx=1)) for what in ("OFFSET", "SIZE"))
    longer = zlib.compress(bytes(rows * WIDTH * 3 + 1))[:-1] + b"?"
    content = path.read_bytes()
    bad = tmp_path / "bad.tif"
    bad.write_bytes(content[:start] + longer.ljust(length, b"?") + content[start + length :])
    with pytest.raises(DataError, match=r"bad\.tif is damaged or cut short"):
        read_image(bad)


def test_a_damaged_mask_inside_a_tiff_is_refused(tmp_path):
    valid = np.kron(np.random.default_rng(0).integers(0, 2, (HEIGHT // 4, WIDTH // 4)), np.ones((4, 4))) > 0
    path = tmp_path / "map.tif"
    size = {"height": HEIGHT, "width": WIDTH, "count": 3, "dtype": "uint8"}
    how = {"driver": "GTiff", "photometric": "rgb", "compress": "deflate"}
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "w", **size, **how) as file:
        file.write(pixels(3))
        file.write_mask(valid)
    assert (Tiff(path).valid(0, 0, HEIGHT, WIDTH) == valid).all()
    (start, length), *_ = mask_blocks(path)
    content = bytearray(path.read_bytes())
    for place in range(start, start + length - 8, 5):
        content[place] ^= 4
        (tmp_path / f"{place}.tif").write_bytes(content)
        content[place] ^= 4
        with pytest.raises(DataError, match=r"damaged or cut short"):
            Tiff(tmp_path / f"{place}.tif").valid(0, 0, HEIGHT, WIDTH)
