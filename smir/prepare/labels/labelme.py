"""Reads Labelme JSON: one file for each image, with polygons, boxes, circles and small masks."""

import base64
import binascii
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from smir.errors import DataError
from smir.prepare.labels.shapes import (
    Annotated,
    Annotations,
    Bitmap,
    Drawn,
    Polygon,
    Shape,
    box,
    ellipse,
    numbers,
    whole,
)

TITLE = "Labelme JSON"
_CORNERS = ("rectangle", "rotation", "oriented_rectangle")
"""Shapes of four points; X-AnyLabeling, which also writes this format, gives them to rectangles, too."""


def read_labelme(path: Path, content: Any, folder: Path) -> Annotations | None:
    """Reads the shapes of an image; returns None if the JSON has another format.

    The image is named after the file, relative to `folder`, since the stored path may come from another machine; `also`
    holds that path.

    Raises:
        DataError: If the file is malformed.
    """
    if not isinstance(content, dict) or not {"shapes", "imagePath"} <= content.keys():
        return None
    if not isinstance(content["shapes"], list | None):
        raise DataError(f"{path}: 'shapes' should be a list, got {str(content['shapes'])[:80]}.")
    size = _size(path, content)
    found = Annotations(TITLE)
    shapes: list[Drawn] = []
    for place, stored in enumerate(content["shapes"] or ()):
        where = f"shape number {place}"
        if not isinstance(stored, dict) or not isinstance(stored.get("label"), str) or not stored["label"].strip():
            raise DataError(f"{path}: {where} has no label. Name it in the annotation tool.")
        shape = _shape(path, stored, where)
        if isinstance(shape, str):
            found.left_out[shape] += 1
        else:
            shapes.append(Drawn(stored["label"].strip(), shape, where))
    image = path.relative_to(folder).with_suffix("")  # the picture may have been converted since, as from HEIC
    also = stored if isinstance(stored := content["imagePath"], str) and stored else None
    found.images = [Annotated(image.as_posix(), size, shapes, path, also)]
    return found


def _size(path: Path, content: dict[str, Any]) -> tuple[int, int] | None:
    """Returns height and width of the image, which are missing before version 3.5."""
    stored = content.get("imageHeight"), content.get("imageWidth")
    if None in stored:
        return None
    height, width = map(whole, stored)
    if height is None or width is None:
        raise DataError(f"{path}: imageHeight and imageWidth should be whole numbers, got {stored[0]}, {stored[1]}.")
    return height, width


def _shape(path: Path, stored: dict[str, Any], where: str) -> Shape | str:
    """Returns the shape, or its kind if it has no area."""
    points = stored.get("points")
    if not isinstance(points, list):
        raise DataError(f"{path}: {where} has no points.")
    pairs = [numbers(point, path, f"a point of {where}") for point in points]
    if bad := [pair for pair in pairs if len(pair) != 2]:
        raise DataError(f"{path}: a point of {where} is {bad[0]}; it should be x and y.")
    kind = stored.get("shape_type") or "polygon"
    if kind == "polygon" or (kind in _CORNERS and len(pairs) == 4):
        flat = [value for pair in pairs for value in pair]
        return Polygon([flat]) if len(pairs) >= 3 else "outlines of less than three points"
    if kind in (*_CORNERS, "circle", "mask") and (len(pairs) != 2 or kind in _CORNERS[1:]):
        right = 4 if kind in _CORNERS[1:] else 2
        raise DataError(f"{path}: {where} is a {kind} of {len(pairs)} points; it should have {right}.")
    if kind == "rectangle":
        return box(*pairs[0], *pairs[1])
    if kind == "circle":
        (x, y), edge = pairs
        radius = math.dist((x, y), edge)
        return ellipse(x, y, radius, radius)
    return _bitmap(path, stored, pairs, where) if kind == "mask" else f"shapes of the kind {kind}"


def _bitmap(path: Path, stored: dict[str, Any], corners: Sequence[Sequence[float]], where: str) -> Bitmap:
    try:
        with Image.open(io.BytesIO(base64.b64decode(str(stored.get("mask")))), formats=["PNG"]) as image:
            inside = np.asarray(image.convert("L")) > 0
    except (OSError, ValueError, SyntaxError, binascii.Error, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: the mask of {where} is not a PNG in base64.") from error
    height, width = inside.shape
    (left, top), (right, bottom) = corners
    if abs(right - left + 1 - width) > 1 or abs(bottom - top + 1 - height) > 1:
        raise DataError(
            f"{path}: the mask of {where} has {width} x {height} pixels, but its points are {corners[0]} and "
            f"{corners[1]}. Draw it again."
        )
    return Bitmap(round(left), round(top), inside)
