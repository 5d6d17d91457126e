"""Opens a JPEG, PNG or WebP of any size with libvips, which decodes it row by row."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pyvips

from smir.data.reading.decode import refuse_losses
from smir.data.reading.safe_open import MOST_OF, can_hold, refuse_many_scans
from smir.errors import DataError
from smir.files.kinds import kind_of_file
from smir.files.orientation import orientation_in
from smir.files.pictures import loader_of

pyvips.cache_set_max(0)  # a cached image may call a progress bar that is gone, which aborts the process
_ALPHA = (2, 4)
"""Numbers of bands that end with alpha."""
_WHOLE = ("uchar", "ushort")
"""Types of values of 8 and 16 bits."""
_NAMED = ("b-w", "grey16", "rgb", "srgb", "rgb16")
"""Colours that need no conversion."""


def open_picture_stream(path: Path, kind: Literal["image", "label"] = "image") -> pyvips.Image:
    """Opens a picture, as displayed.

    An image is grey or RGB of 8 bits, with or without alpha; 16 bits and CMYK are converted as `read_image` does. A
    label is the same in colours, or one band of stored values of 8 or 16 bits, without alpha.

    Raises:
        DataError: If it is damaged, takes too long or too much memory, or is of another kind.
    """
    with naming_damage(path, kind):
        image = _opened(path, "sequential", kind)
        orientation = orientation_in(path)  # libvips finds EXIF only in its usual place
        if orientation not in range(2, 9):
            return image
        turned = _opened(path, "random", kind).copy()  # its rows no longer come in order
        turned.set_type(pyvips.GValue.gint_type, "orientation", orientation)
        return turned.autorot()


@contextlib.contextmanager
def naming_damage(path: Path, kind: str = "image") -> Iterator[None]:
    """Turns an error of libvips into one that names the file."""
    try:
        yield
    except pyvips.Error as error:
        raise DataError(
            f"The {kind} {path.absolute()} is damaged or cut short: {reason_of(error)}. Copy it again from its source."
        ) from error


def has_alpha(image: pyvips.Image) -> bool:
    """Returns whether the last band tells which pixels are missing."""
    return image.bands in _ALPHA


def has_palette(image: pyvips.Image) -> bool:
    """Returns whether the colours were indices of a palette."""
    return bool(image.get_typeof("palette"))


def reason_of(error: pyvips.Error) -> str:
    """Returns libvips' message, which spans several lines, as one."""
    return "; ".join(str(error).split("\n")).strip("; ")


def write_pixels(image: pyvips.Image, descriptor: int) -> None:
    """Decodes an image row by row, and writes the raw pixels to an open file or pipe.

    Raises:
        pyvips.Error: If the image is damaged.
        OSError: If the pixels cannot be written; libvips itself reports a full disk like a damaged image.
    """
    failures: list[OSError] = []

    def write(pixels: bytes) -> int:
        try:
            return os.write(descriptor, pixels)
        except OSError as error:
            failures.append(error)
            return -1  # it ends the decoding

    target = pyvips.TargetCustom()
    target.on_write(write)
    try:
        image.rawsave_target(target)
    except pyvips.Error:
        if failures:
            raise failures[0] from None
        raise


def _opened(path: Path, access: str, kind: str) -> pyvips.Image:
    if (loader := loader_of(path)) is None:
        what = kind_of_file(path) or " It is damaged or of another format. Replace it."
        raise DataError(f"The {kind} {path} is not a JPEG, PNG, WebP, TIFF or BMP.{what}")
    # By default libvips fills parts that it cannot decode with black.
    image = getattr(pyvips.Image, loader)(os.fsencode(path), access=access, fail_on="error")
    pixels = image.width * image.height
    if kind == "label":
        refuse_losses(path, {"jpegload": "JPEG", "webpload": "WEBP"}.get(loader))
    if loader == "jpegload":
        refuse_many_scans(path, kind, pixels)
    if loader == "webpload" and pixels > MOST_OF["WEBP"]:
        raise DataError(
            f"The {kind} {path} is a WebP of {image.width} x {image.height} pixels; more than {MOST_OF['WEBP']:,} take "
            "too much memory. Save it as JPEG or PNG."
        )
    if not can_hold(size := path.stat().st_size, pixels):
        raise DataError(
            f"The {kind} {path} claims to be {image.width} x {image.height} pixels, in {size:,} bytes, which cannot "
            "hold them. It is damaged; copy it again from its source."
        )
    shown = _of_ids(image[0]) if kind == "label" and image.bands < 3 else _of_colors(image)
    if shown is None:
        raise DataError(
            f"The {kind} {path} has {image.bands} bands of {image.format} ({image.interpretation}); grey, RGB or CMYK "
            "of 8 or 16 bits is read. Save it as an RGB image."
        )
    return shown


def _of_colors(image: pyvips.Image) -> pyvips.Image | None:
    if image.format not in _WHOLE:
        return None
    bytes_ = image if image.format == "uchar" else (image >> 8).cast("uchar")
    if image.interpretation == "cmyk" and image.bands == 4:
        return _rgb_of_cmyk(bytes_)
    return bytes_ if image.bands in (1, 2, 3, 4) and image.interpretation in _NAMED else None


def _rgb_of_cmyk(image: pyvips.Image) -> pyvips.Image:
    """Converts like Pillow: white less black, times one less the ink, rounded."""
    white = (255 - image[3]).cast("uchar")
    inked = (image[:3] * white + 128).cast("ushort")
    return (white - (((inked >> 8) + inked) >> 8)).cast("uchar").copy(interpretation="srgb")


def _of_ids(image: pyvips.Image) -> pyvips.Image | None:
    """Returns values as stored: libvips spreads those of fewer than 8 bits over 0 to 255."""
    if image.format not in _WHOLE:
        return None
    bits = image.get("bits-per-sample") if image.get_typeof("bits-per-sample") else 8
    return image if bits >= 8 else (image // (255 // ((1 << bits) - 1))).cast("uchar")
