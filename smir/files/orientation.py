"""The orientation in which a picture is shown, as Pillow reads it; the exported scripts use Pillow, too."""

import re
import struct
from collections.abc import Callable
from pathlib import Path

from PIL import Image, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from smir.errors import DataError
from smir.files.pictures import loader_of

PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY = 1 << 26
"""Bytes of a colour profile or text: programs store whole documents there, and no more than this is unpacked."""
_TAG = 0x0112
_XMP = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')
_TEXTS = (b"Raw profile type exif\0", b"XML:com.adobe.xmp\0")
_OPENERS: dict[str, Callable[..., Image.Image]] = {
    "jpegload": JpegImagePlugin.JpegImageFile,
    "pngload": PngImagePlugin.PngImageFile,
    "webpload": WebPImagePlugin.WebPImageFile,
}


def orientation_of(image: Image.Image) -> int:
    """Returns the orientation (1 to 8) by EXIF or XMP, even if these are in a PNG's text or after its pixels.

    No pixels are decoded.
    """
    if isinstance(image, PngImagePlugin.PngImageFile):
        _read_behind(image)
    found = Image.Image.getexif(image).get(_TAG, 1)  # that of PNGs would decode the image first
    return found if isinstance(found, int) else 1  # Pillow passes over other types, too


def orientation_in_xmp(xmp: object) -> int:
    """Returns the orientation in an XMP document, which counts where EXIF has none."""
    found = _XMP.search(xmp) if isinstance(xmp, bytes) else None
    return int(found[1]) if found else 1


def orientation_in(path: Path) -> int:
    """Returns the orientation of a JPEG, PNG or WebP of any size; 1 for other files.

    Raises:
        DataError: If its header is damaged.
    """
    if (loader := loader_of(path)) is None:
        return 1
    try:
        with path.open("rb") as file:
            return orientation_of(_OPENERS[loader](file))
    except Exception as error:  # the parsers of headers raise all kinds of errors on damaged files
        raise DataError(
            f"The image {path} is damaged: {str(error) or type(error).__name__}. Copy it again from its source."
        ) from error


def _read_behind(image: PngImagePlugin.PngImageFile) -> None:
    """Reads the metadata after the pixels into `image.info`."""
    file, stream = image.fp, image.png
    if file is None or stream is None:  # decoded already
        return
    place, at, behind = file.tell(), 8, False
    try:
        while True:
            file.seek(at)
            if len(head := file.read(8)) < 8:
                break
            length, kind = struct.unpack(">I4s", head)
            behind |= kind == b"IDAT"
            if behind and (
                kind == b"eXIf" or (kind in (b"tEXt", b"zTXt", b"iTXt") and file.read(22).startswith(_TEXTS))
            ):
                file.seek(at + 8)
                stream.call(kind, at + 8, length)
            at += 12 + length
    finally:
        file.seek(place)
