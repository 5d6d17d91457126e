"""Recognises files that are not readable images by their first bytes, and says what to do with them."""

import re
from pathlib import Path

_CONVERT = "Convert it to JPEG or PNG"
_FETCH = "Fetch the file again"
_KINDS: tuple[tuple[bytes, str, str], ...] = (
    (rb"version https://git-lfs", "a Git LFS pointer, not the file itself", "Run git lfs pull"),
    (rb"[./\w]*annex/objects/", "a git-annex pointer, not the file itself", "Run git annex get"),
    (rb".{4}ftyp(heic|heix|heim|heis|hevc|hevx|hevm|hevs|mif1|msf1)", "a HEIC picture, as phones write", _CONVERT),
    (rb".{4}ftypavi[fs]", "an AVIF picture", _CONVERT),
    (rb".{4}ftypcrx|FUJIFILM", "a raw camera picture", _CONVERT),
    (rb".{4}ftyp|\x1aE\xdf\xa3|RIFF.{4}AVI ", "a video", "Export frames as JPEG or PNG"),
    (rb"\xff\x0a|\0\0\0\x0cJXL ", "a JPEG XL picture", _CONVERT),
    (rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", "a JPEG 2000 picture", _CONVERT),
    (rb"\xff\xd8\xff.*\xff[\xc1\xc2]\0.\x0c", "a JPEG of 12 bits", "Convert it to PNG or TIFF of 16 bits"),
    (rb"GIF8", "a GIF picture", _CONVERT),
    (rb"8BPS", "a Photoshop picture", _CONVERT),
    (rb"P[1-7]\s|\0\0[\x01\x02]\0|v/1\x01|#\?RADIANCE|DDS |qoif", "a picture of another format", _CONVERT),
    (rb"%PDF", "a PDF document", "Export its pages as PNG"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "a PostScript document", "Export it as PNG"),
    (rb"PK[\x03\x05]|Rar!|7z\xbc\xaf|\x1f\x8b|.{257}ustar", "an archive, such as ZIP", "Unpack it"),
    (rb"\x93NUMPY", "a NumPy array", "Save it as PNG or TIFF"),
    (rb"\x89HDF|CDF[\x01\x02]", "an HDF5 or NetCDF file", "Export it as TIFF"),
    (rb"\x00\x05\x16[\x00\x07]", "a macOS resource file, not the picture", "Delete it"),
    (rb"(?i)(\xef\xbb\xbf)?\s*(<!--.*?-->\s*)*<(!doctype html|html|head|body)", "a web page", _FETCH),
    (rb"(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?(<!DOCTYPE[^>]*>\s*)?<svg", "an SVG drawing", "Export it as PNG"),
    (rb"(\xef\xbb\xbf)?\s*<\w*[?\w]", "an XML text", _FETCH),
    (rb"(\xef\xbb\xbf)?\s*[\[{]\s*[\"{\[\d]", "a JSON text", _FETCH),
    (rb"\0+\Z", "only zeros, as after an interrupted copy", "Copy it again from its source"),
    (rb"[\t\n\r -~]+\Z", "a text", _FETCH),
)
"""Beginnings, as patterns; the kind; what to do."""
_HEAD = 512
"""Bytes that are looked at."""


def kind_of_file(path: Path) -> str:
    """Returns what a file is and what to do, as ` It is a GIF picture. Convert it.`; empty if not known.

    Raises:
        OSError: If it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head:
        return " It is an empty file. Copy it again from its source."
    found = ((kind, remedy) for start, kind, remedy in _KINDS if re.match(start, head, re.DOTALL))
    kind, remedy = next(found, ("", ""))
    return f" It is {kind}. {remedy}." if kind else ""
