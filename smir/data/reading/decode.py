"""Files to arrays, and stored label values to class ids.

Orientation tags are applied to images and labels alike (METHOD.md section 8). Only the bytes of a file are believed:
the format is that of the content, whatever the suffix; the size in its header must be one that its bytes can hold; and
whatever a library makes of damage is one error that names the file.
"""

import os
import re
import stat
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from smir.classes import UInt8
from smir.data.reading.deflate_sums import check_sums
from smir.data.reading.tiff import Tiff, has_rasterio, is_lab
from smir.data.reading.tiff_colors import (
    color_bands,
    id_of_no_data,
    kind_of_label,
    palette,
    read_colors,
    read_ids,
    refuse_fractions,
)
from smir.errors import ConfigError, DataError
from smir.files.kinds import kind_of_file
from smir.files.orientation import orientation_of
from smir.files.pictures import is_tiff

MAX_PIXELS = 2 * 89_478_485
"""Pixels above which an image is refused: 0.5 GB of RGB, and where Pillow stops too."""
MAX_ASPECT = 64
"""Longest side of an image, in shortest sides: views keep the aspect, and this one has 4 million pixels."""

FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP")
"""All that Pillow may try; of the others some start programs (EPS), and none is what cameras write."""
_BOMB_PIXELS, _BOMB_RATIO = 1 << 24, 10_000
"""A size that fits no file: no format packs more than 8,300 pixels into a byte (1-bit PNG at deflate's best)."""
MOST_SCANS = 64
"""Passes in which a JPEG may be stored; each takes as long as the whole image."""
_SCAN, _MARKER = b"\xff\xda", re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
"""The mark of a scan, and every mark but those within one."""
_CHECKED = ("raw", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate")
"""Compressions of TIFF of which Pillow tells all damage; of Deflate once the sums are checked."""
_BITS = {1, 8, 16, 32}
"""Bits of a value that Pillow does not stretch."""
_SIDEWAYS = (5, 6, 7, 8)  # orientations that swap height and width
_LABEL_MODES = ("1", "L", "P", "I", "I;16", "I;16B", "I;16L")

Result = TypeVar("Result")


def _status(path: Path, kind: str) -> os.stat_result:
    """Returns the size and kind of a file that is there to be read."""
    try:
        status = path.stat()
    except FileNotFoundError:
        what = "is a link to a file that does not exist" if path.is_symlink() else "does not exist"
        raise DataError(f"The {kind} {path} {what}; it was there when the dataset was listed.") from None
    except OSError as error:
        raise DataError(f"The {kind} {path} cannot be read: {error}.") from error
    if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
        raise DataError(f"The {kind} {path} is not a file but a folder, a pipe or a device. Remove it.")
    return status


def _tiff(path: Path, kind: str, size: int) -> "Tiff | None":
    """Opens a TIFF to be read as a whole; returns None for other files, for Lab, and without rasterio."""
    if not (is_tiff(path) and has_rasterio()) or is_lab(path):
        return None
    tiff = Tiff(path, kind)
    _check_size(path, kind, tiff.width, tiff.height, size)
    return tiff


def _open(path: Path, kind: str, status: os.stat_result) -> Image.Image:
    try:
        image = Image.open(path, formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise DataError(f"The {kind} {path} is too large: {error} Cut it into tiles.") from error
    except Exception as error:  # the parsers of headers raise all kinds of errors on damaged files
        if isinstance(error, OSError) and error.errno is not None:  # the system refuses to read it
            raise DataError(f"The {kind} {path} cannot be read: {error.strerror}.") from error
        what = kind_of_file(path) or f" It is damaged or of another format: {error}. Replace or remove the file."
        raise DataError(
            f"The {kind} {path} ({status.st_size:,} bytes) is not an image that can be read ({', '.join(FORMATS)}, by "
            f"its content).{what}"
        ) from error
    try:
        _check_size(path, kind, *image.size, status.st_size)
        if image.format == "TIFF":
            _refuse_unchecked(image, path, kind, status.st_size)
        if image.format in ("JPEG", "MPO"):
            refuse_many_scans(path, kind)
    except BaseException:
        image.close()
        raise
    return image


def _check_size(path: Path, kind: str, width: int, height: int, size: int) -> None:
    if width * height > MAX_PIXELS or not can_hold(size, width * height):
        raise DataError(
            f"The {kind} {path} claims to be {width} x {height} pixels, in {size:,} bytes. A file of that size cannot "
            f"hold them, or they are more than {MAX_PIXELS:,}. Replace it, or cut it into tiles."
        )


def _refuse_unchecked(image: Image.Image, path: Path, kind: str, size: int) -> None:
    """Refuses a TIFF in which Pillow would not notice damage."""
    tags = image.tag_v2  # type: ignore[attr-defined]  # of the subclass that Image.open returns
    if (codec := image.info.get("compression")) not in _CHECKED or not _BITS.issuperset(tags.get(258, ())):
        raise ConfigError(
            f"The {kind} {path} is a TIFF of a kind ({codec}, {tags.get(258)} bits) that needs rasterio: pip install "
            "'smir[geo]'. Lab images of this kind cannot be read; convert them to RGB."
        )
    offsets, lengths = (tags.get(strips) or tags.get(tiles) or () for strips, tiles in ((273, 324), (279, 325)))
    blocks = [*zip(offsets, lengths, strict=False)]
    sound = len(offsets) == len(lengths) and all(sum(block) <= size for block in blocks)
    if sound and "deflate" in codec:
        try:
            check_sums(path, blocks)
        except zlib.error:
            sound = False
    if not sound:
        raise DataError(f"The {kind} {path} is damaged or cut short. Copy it again from its source, or remove it.")


def refuse_many_scans(path: Path, kind: str) -> None:
    """Refuses a JPEG that is stored in so many passes that a small file takes minutes."""
    content = path.read_bytes()
    if content.count(_SCAN) <= MOST_SCANS:  # almost every file; thumbnails and films behind it count, too
        return
    scans, place = 0, 2
    while marker := _MARKER.search(content, place):
        scans += marker[1] == _SCAN[1:]
        if scans > MOST_SCANS:
            raise DataError(
                f"The {kind} {path} is a JPEG of more than {MOST_SCANS} scans; cameras and programs write about ten. "
                "Save it anew as a JPEG or PNG."
            )
        if marker[1] == b"\xd9":  # its end
            return
        place = marker.end() + (0 if marker[1] == b"\xd8" else int.from_bytes(content[marker.end() :][:2], "big"))


def can_hold(size: int, pixels: int) -> bool:
    """Returns whether a file of this many bytes can hold an image of this many pixels."""
    return pixels <= max(_BOMB_PIXELS, _BOMB_RATIO * size)


def _guarded(work: Callable[[], Result], path: Path, kind: str) -> Result:
    """Whatever a library raises on a damaged file is one error that names it."""
    try:
        return work()
    except DataError:
        raise
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise DataError(
            f"The {kind} {path} is damaged: {reason}. Copy it again from its source, or remove it."
        ) from error


def _decoded(image: Image.Image) -> Image.Image:
    oriented = orientation_of(image) != 1
    if image.format == "PNG":
        _check_sums_of_png(Path(image.filename))  # type: ignore[attr-defined]  # of the subclass that Image.open returns
    if image.format == "TIFF":
        # Else Pillow maps an uncompressed file into memory with the sides of the rotated image.
        image.filename = ""  # type: ignore[attr-defined]  # of the subclass that Image.open returns
    image.load()
    return ImageOps.exif_transpose(image) if oriented else image


def _check_sums_of_png(path: Path) -> None:
    """Raises a `ValueError` if a sum of the pixels is wrong; Pillow looks at none, and may decode other pixels."""
    content, place = memoryview(path.read_bytes()), 8
    while place < len(content):
        end = place + 8 + int.from_bytes(content[place : place + 4], "big")
        chunk = content[place + 4 : end]
        if bytes(chunk[:4]) == b"IDAT" and zlib.crc32(chunk) != int.from_bytes(content[end : end + 4], "big"):
            raise ValueError("the sum of its pixels is wrong")
        place = end + 4


def image_size(path: Path) -> tuple[int, int]:
    """Returns height and width of an image as it is shown, from its header alone.

    Raises:
        DataError: If the file cannot be read as an image.
    """

    def shown(image: Image.Image) -> tuple[int, int]:
        width, height = image.size
        if image.format == "TIFF":
            width, height = image.tag_v2[256], image.tag_v2[257]  # type: ignore[attr-defined]  # `size` is that of the rotated image already
        return (width, height) if orientation_of(image) in _SIDEWAYS else (height, width)

    status = _status(path, "image")
    if tiff := _tiff(path, "image", status.st_size):
        return tiff.height, tiff.width
    with _open(path, "image", status) as image:
        return _guarded(lambda: shown(image), path, "image")


def read_image(path: str | Path) -> UInt8:
    """Decodes an image to RGB.

    Grey, palette, CMYK and 16-bit images are converted, transparency is dropped, of an animation the first frame is
    taken.

    Returns:
        Array (H, W, 3) uint8.

    Raises:
        DataError: If the file cannot be read as an image, or holds numbers that are no colours.
    """
    path = Path(path)
    status = _status(path, "image")
    if tiff := _tiff(path, "image", status.st_size):
        return _rgb(read_colors(tiff, color_bands(tiff), (0, 0, tiff.height, tiff.width)), path)
    with _open(path, "image", status) as file:
        return _guarded(lambda: _rgb(_colors(_decoded(file)), path), path, "image")


def _colors(image: Image.Image) -> npt.NDArray[Any]:
    deep = image.mode.startswith("I") or image.mode == "F"  # Pillow's own conversion would clip them at 255
    return np.asarray(image) if deep else np.array(image.convert("RGB"))


def _rgb(pixels: npt.NDArray[Any], path: Path) -> UInt8:
    """Returns RGB (H, W, 3) for RGB or grey of 8 or 16 bits."""
    if pixels.dtype.kind not in "iu":
        raise DataError(f"The image {path} holds floating-point numbers, not colours. Convert it to 8 or 16 bits.")
    if pixels.dtype != np.uint8:
        low, high = int(pixels.min()), int(pixels.max())
        if low < 0 or high > np.iinfo(np.uint16).max:
            raise DataError(
                f"The image {path} holds whole numbers from {low} to {high}; colours are 8 or 16 bits, 0 to 65535. "
                "Convert it."
            )
        pixels = np.right_shift(pixels, 8, out=np.empty(pixels.shape, np.uint8), casting="unsafe")
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=-1)


def read_label(path: Path) -> npt.NDArray[np.int32]:
    """Decodes a label image to its stored values: palette indices, 8-bit or 16-bit ids.

    Pixels that a TIFF marks as missing, in another way than by an id, are `NO_DATA`.

    Returns:
        Array (H, W) int32.

    Raises:
        DataError: If the file cannot be read, has colours in place of ids, or is a JPEG.
    """
    status = _status(path, "label")
    if tiff := _tiff(path, "label", status.st_size):
        return read_ids(tiff)
    with _open(path, "label", status) as file:
        _refuse_losses(file, path)
        return _guarded(lambda: _stored(file, path), path, "label")


def invisible(path: Path) -> npt.NDArray[np.bool_] | None:
    """Returns which pixels of an image are fully transparent (H, W); None if it has no transparency."""
    status = _status(path, "label")
    if tiff := _tiff(path, "label", status.st_size):
        return ~tiff.valid(0, 0, tiff.height, tiff.width) if tiff.has_mask else None
    with _open(path, "label", status) as file:
        if "A" not in file.mode and "transparency" not in file.info:
            return None
        alpha = _guarded(lambda: np.asarray(_decoded(file).convert("RGBA"))[..., 3], path, "label")
        return np.asarray(alpha == 0, np.bool_)


def label_kind(path: Path) -> Literal["ids", "palette", "colors"]:
    """Tells from the header of a label image how it holds its classes; see `label_facts` for the errors."""
    return label_facts(path).kind


def _refuse_losses(file: Image.Image, path: Path) -> None:
    if file.format in ("JPEG", "MPO"):
        raise DataError(
            f"The label {path} is a JPEG, whose compression changes class ids along every border. Export the "
            "labels again as PNG, from the program that they were drawn in."
        )
    if file.format == "WEBP" and b"VP8L" not in path.read_bytes():
        raise DataError(
            f"The label {path} is a WebP with losses, which change classes along every border. Export it as PNG."
        )


@dataclass(frozen=True)
class LabelFacts:
    """What a label file says of its values.

    Attributes:
        kind: How it holds its classes.
        bits: Bits of a grey value in a PNG or TIFF of fewer than 8, else 8.
        palette: Red, green and blue of the values (N, 3), if it has a palette.
        no_data: The id that the file marks as missing.
    """

    kind: Literal["ids", "palette", "colors"]
    bits: int = 8
    palette: UInt8 | None = None
    no_data: int | None = None


def label_facts(path: Path) -> LabelFacts:
    """Reads from the header of a label image what its values mean.

    Raises:
        DataError: If the file cannot be read as an image, or is compressed with losses.
    """
    status = _status(path, "label")
    if tiff := _tiff(path, "label", status.st_size):
        kind = kind_of_label(tiff)
        bits = tiff.bits if 0 < tiff.bits < 8 and kind == "ids" else 8
        return LabelFacts(kind, bits, palette(tiff) if kind == "palette" else None, id_of_no_data(tiff))
    with _open(path, "label", status) as file:
        _refuse_losses(file, path)
        if file.mode == "P":
            colors = file.getpalette("RGB") or []
            return LabelFacts("palette", palette=np.array(colors, np.uint8).reshape(-1, 3))
        bits = {"1": 1, "L;2": 2, "L;4": 4}.get(str(file.tile[0].args) if file.tile else "", 8)
        return LabelFacts("ids" if file.mode in (*_LABEL_MODES, "F") else "colors", bits)


def _stored(file: Image.Image, path: Path) -> npt.NDArray[np.int32]:
    raw = file.tile[0].args if file.format == "PNG" and file.tile else None  # type: ignore[attr-defined]  # of the subclass that Image.open returns
    image = _decoded(file)
    if image.mode == "F":
        refuse_fractions(np.asarray(image), f"The label {path}")
    elif image.mode not in _LABEL_MODES:
        raise DataError(
            f"The label {path} has mode {image.mode} ({len(image.getbands())} channels); a label has one channel "
            "that holds class ids (a grey or palette PNG). Convert colours to ids first."
        )
    stretch = {"L;2": 85, "L;4": 17}.get(str(raw), 1)  # Pillow spreads grey of 2 and 4 bits over 0 to 255
    stored = np.asarray(image).astype(np.int32)
    return stored // stretch if stretch > 1 else stored
