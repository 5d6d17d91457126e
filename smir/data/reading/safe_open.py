"""Opens image files, and refuses those that are damaged, claim an impossible size, or are not images.

Only the bytes of a file count. Its content decides the format, not its suffix. Its bytes must be able to hold the
size that its header claims. Any error of a library about damage becomes one error that names the file.
"""

import re
import stat
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from PIL import Image, ImageOps, ImagePalette

from smir.data.reading.deflate_sums import check_sums
from smir.data.reading.tiff import Tiff, has_rasterio, is_lab, refuse_thumbnail
from smir.errors import ConfigError, DataError
from smir.files.kinds import kind_of_file
from smir.files.orientation import orientation_of
from smir.files.pictures import is_tiff

MAX_PIXELS = 2 * 89_478_485
"""Pixels above which an image is refused: 0.5 GB of RGB, and where Pillow stops too."""
MAX_ASPECT = 64
"""Most times that one side may be as long as the other: a view of 256 pixels then has 4 million pixels."""
MOST_OF = {"WEBP": 100_000_000, "BMP with run lengths": 10_000_000}
"""Most pixels of a WebP, which takes 22 bytes for each (others take 12 to 14), and of what Pillow decodes in Python."""

FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP")
"""All formats that Pillow may try. Some of the others start programs (EPS), and cameras write none of them."""
_BOMB_PIXELS, _BOMB_RATIO = 1 << 24, 10_000
"""Pixels, and pixels per byte, above which a header is wrong: 1-bit PNGs, the densest, hold 8,300 in a byte."""
MOST_SCANS, _LARGE_SCANS = 64, 16
"""Most passes in which a JPEG may be stored, and most of a large one; each takes as long as the whole image."""
_SCAN, _MARKER = b"\xff\xda", re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
"""The marker that begins a scan, and all markers but those within a scan."""
_CHECKED = ("raw", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate")
"""Compressions of TIFF in which Pillow notices all damage; in Deflate only once the sums are checked."""
_BITS = {1, 8, 16, 32}
"""Bits of a value that Pillow does not stretch."""

Result = TypeVar("Result")


def _size_of(path: Path, kind: str) -> int:
    """Returns the bytes of a file, after checking that it can be read."""
    try:
        status = path.stat()
    except FileNotFoundError:
        raise _vanished(path, kind) from None
    except OSError as error:
        raise DataError(f"The {kind} {path} cannot be read: {error}.") from error
    if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
        raise DataError(f"The {kind} {path} is not a file but a folder, a pipe or a device. Remove it.")
    return status.st_size


def _vanished(path: Path, kind: str) -> DataError:
    what = "is a link to a file that does not exist" if path.is_symlink() else "does not exist"
    return DataError(f"The {kind} {path} {what}; it was there when the dataset was listed.")


def open_tiff(path: Path, kind: str) -> Tiff | None:
    """Opens a TIFF to be read as a whole; returns None for other files, for Lab, and without rasterio."""
    size = _size_of(path, kind)
    try:
        if not (is_tiff(path) and has_rasterio()) or is_lab(path):
            return None
    except FileNotFoundError:
        raise _vanished(path, kind) from None
    tiff = Tiff(path, kind)
    _check_size(path, kind, tiff.width, tiff.height, size)
    return tiff


def open_picture(path: Path, kind: str) -> Image.Image:
    """Opens an image that `open_tiff` does not open, with Pillow."""
    size = _size_of(path, kind)
    try:
        image = Image.open(path, formats=FORMATS)
    except FileNotFoundError:
        raise _vanished(path, kind) from None
    except Image.DecompressionBombError as error:
        raise DataError(f"The {kind} {path} is too large: {error} Cut it into tiles.") from error
    except Exception as error:  # the parsers of headers raise all kinds of errors on damaged files
        if isinstance(error, OSError) and error.errno is not None:  # the system refuses to read it
            raise DataError(f"The {kind} {path} cannot be read: {error.strerror}.") from error
        what = kind_of_file(path) or f" It is damaged or of another format: {error}. Replace or remove the file."
        raise DataError(
            f"The {kind} {path} ({size:,} bytes) is not an image that can be read ({', '.join(FORMATS)}, by "
            f"its content).{what}"
        ) from error
    try:
        _check_size(path, kind, *image.size, size)
        if image.format == "TIFF":
            refuse_thumbnail(path, f"The {kind} {path}")
            _refuse_unchecked(image, path, kind, size)
        costly = "BMP with run lengths" if image.tile and image.tile[0][0] == "bmp_rle" else image.format
        if image.width * image.height > (most := MOST_OF.get(str(costly), MAX_PIXELS)):
            raise DataError(
                f"The {kind} {path} is a {costly} of {image.width} x {image.height} pixels; more than {most:,} take "
                "too long or too much memory. Save it as JPEG or PNG, or cut it into tiles."
            )
        if image.format in ("BMP", "DIB"):
            _mend_bits(image, path)
        if image.format in ("JPEG", "MPO"):
            refuse_many_scans(path, kind, image.width * image.height)
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
        needs = "cannot be read; convert it to RGB" if is_lab(path) else "needs rasterio: pip install 'smir[geo]'"
        raise ConfigError(f"The {kind} {path} is a TIFF of a kind ({codec}, {tags.get(258)} bits) that {needs}.")
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


def _mend_bits(image: Image.Image, path: Path) -> None:
    """Mends the bits of a BMP of 4 or 8 whose palette is black and white: Pillow writes such files, but reads 1 bit."""
    with path.open("rb") as file:
        head = file.read(30)
    place = 24 if head[14] == 12 else 28  # the oldest header is shorter
    bits = int.from_bytes(head[place : place + 2], "little")
    if bits == {"1": 1, "L": 8}.get(image.mode, bits):
        return
    shades = (0, 255) if image.mode == "1" else range(256)
    image.palette = ImagePalette.ImagePalette("RGB", [shade for shade in shades for _ in "RGB"])
    image._mode = "P"
    image.tile = [  # type: ignore[attr-defined]  # of the subclass that Image.open returns
        tile._replace(args=("P" if bits == 8 else "P;4", *tile.args[1:]))
        for tile in image.tile  # type: ignore[attr-defined]
    ]


def refuse_many_scans(path: Path, kind: str, pixels: int) -> None:
    """Refuses a JPEG that is stored in so many passes that a small file takes minutes."""
    content = path.read_bytes()
    most = max(_LARGE_SCANS, min(MOST_SCANS, _LARGE_SCANS * MAX_PIXELS // pixels))
    if content.count(_SCAN) <= most:  # almost every file; thumbnails and films behind it count, too
        return
    scans, place = 0, 2
    while marker := _MARKER.search(content, place):
        scans += marker[1] == _SCAN[1:]
        if scans > most:
            raise DataError(
                f"The {kind} {path} is a JPEG of more than {most} scans; cameras and programs write about ten. "
                "Save it again as a JPEG or PNG."
            )
        if marker[1] == b"\xd9":  # its end
            return
        place = marker.end() + (0 if marker[1] == b"\xd8" else int.from_bytes(content[marker.end() :][:2], "big"))


def can_hold(size: int, pixels: int) -> bool:
    """Returns whether a file of this many bytes can hold an image of this many pixels."""
    return pixels <= max(_BOMB_PIXELS, _BOMB_RATIO * size)


def guarded(work: Callable[[], Result], path: Path, kind: str) -> Result:
    """Turns any error that a library raises on a damaged file into one that names the file."""
    try:
        return work()
    except DataError:
        raise
    except FileNotFoundError:
        raise _vanished(path, kind) from None
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise DataError(
            f"The {kind} {path} is damaged: {reason}. Copy it again from its source, or remove it."
        ) from error


def decoded(image: Image.Image) -> Image.Image:
    """Decodes an open image and turns it as its EXIF orientation says."""
    oriented = orientation_of(image) != 1
    if image.format == "PNG":
        _check_sums_of_png(Path(image.filename))  # type: ignore[attr-defined]  # of the subclass that Image.open returns
    if image.format == "TIFF":
        # Else Pillow maps an uncompressed file into memory with the sides of the rotated image.
        image.filename = ""  # type: ignore[attr-defined]  # of the subclass that Image.open returns
    image.load()
    return ImageOps.exif_transpose(image) if oriented else image


def _check_sums_of_png(path: Path) -> None:
    """Raises a `ValueError` if a checksum of the pixels is wrong; Pillow checks none, and may decode other pixels."""
    content, place = memoryview(path.read_bytes()), 8
    while place < len(content):
        end = place + 8 + int.from_bytes(content[place : place + 4], "big")
        chunk = content[place + 4 : end]
        if bytes(chunk[:4]) == b"IDAT" and zlib.crc32(chunk) != int.from_bytes(content[end : end + 4], "big"):
            raise ValueError("the sum of its pixels is wrong")
        place = end + 4
