"""Reads the XML of CVAT's export "CVAT for images 1.1": one file for many images."""

import contextlib
import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from smir.errors import DataError
from smir.files.json_record import read_bounded
from smir.prepare.labels.classes import color_of
from smir.prepare.labels.shapes import (
    LARGEST,
    Annotated,
    Annotations,
    Bitmap,
    Drawn,
    Polygon,
    Shape,
    box,
    ellipse,
    from_row_runs,
    turned,
    whole,
)

TITLE = "CVAT for images XML"
_COSTS = {b"<": 100, b"=": 250}
"""Bytes of memory for a tag and an attribute."""
_WITHOUT_AREA = ("polyline", "points", "cuboid", "skeleton")


def read_cvat(path: Path) -> Annotations | None:
    """Reads images, labels and shapes; returns None if the XML has another format.

    Raises:
        DataError: If the file is CVAT's export of a video, cannot be parsed, or is malformed.
    """
    try:
        root = ElementTree.fromstring(read_bounded(path, _COSTS, LARGEST))
    except (ElementTree.ParseError, OSError, ValueError, LookupError) as error:
        raise DataError(f"{path} cannot be read as XML: {error}. Export it again, as UTF-8.") from error
    if root.tag != "annotations":
        return None
    if root.find("track") is not None:
        raise DataError(f"{path} is CVAT's export for videos. Export the task again as 'CVAT for images 1.1'.")
    labels = [(label.findtext("name", ""), label.findtext("color")) for label in root.findall("./meta/*/labels/label")]
    found = Annotations(TITLE, declared=list(dict.fromkeys(name.strip() for name, _ in labels)))
    found.colors = {name.strip(): color for name, stored in labels if (color := color_of(stored))}
    found.images = [_image(path, image, found) for image in root.iter("image")]
    return found


def _image(path: Path, image: ElementTree.Element, found: Annotations) -> Annotated:
    name = image.get("name")
    if not name:
        raise DataError(f"{path}: image {image.get('id')} has no name.")
    size = (_whole(path, image, "height", name), _whole(path, image, "width", name))
    layers: list[tuple[int, Drawn]] = []
    for place, element in enumerate(image):
        where = f"{element.tag} number {place} of {name}"
        if element.tag == "tag":
            continue
        if not (label := element.get("label", "").strip()):
            raise DataError(f"{path}: {where} has no label. Name it in the annotation tool.")
        shape = _shape(path, element, where)
        if isinstance(shape, str):
            found.left_out[shape] += 1
        else:
            layers.append((_whole(path, element, "z_order", where, 0), Drawn(label, shape, where)))
    layers.sort(key=lambda entry: entry[0])  # stable: within a layer the file's order
    return Annotated(name, size, [drawn for _, drawn in layers], path)


def _number(path: Path, element: ElementTree.Element, key: str, where: str, default: float | None = None) -> float:
    stored = element.get(key, "" if default is None else str(default))
    return _numbers(path, [stored], f"{key} of {where}")[0]


def _whole(path: Path, element: ElementTree.Element, key: str, where: str, default: int | None = None) -> int:
    if (found := whole(element.get(key, default))) is None:
        raise DataError(f"{path}: the {key} of {where} should be a whole number, got {element.get(key)!r}.")
    return found


def _numbers(path: Path, words: Sequence[str], where: str) -> list[float]:
    with contextlib.suppress(ValueError):
        found = [float(word) for word in words]
        if all(map(math.isfinite, found)):
            return found
    raise DataError(f"{path}: the {where} should be numbers, got {','.join(words)[:80]!r}.")


def _shape(path: Path, element: ElementTree.Element, where: str) -> Shape | str:
    """Returns the shape, or its kind if it has no area."""
    if element.tag in _WITHOUT_AREA:
        return f"shapes of the kind {element.tag}"
    value = partial(_number, path, element, where=where)
    if element.tag == "polygon":
        points = [point for point in element.get("points", "").split(";") if point.strip()]
        if odd := [point for point in points if point.count(",") != 1]:
            raise DataError(f"{path}: a point of {where} is {odd[0]!r}; it should be x and y.")
        outline = _numbers(path, [word for point in points for word in point.split(",")], f"points of {where}")
        return Polygon([outline]) if len(points) >= 3 else "outlines of less than three points"
    if element.tag == "box":
        return turned(box(value("xtl"), value("ytl"), value("xbr"), value("ybr")), value("rotation", default=0))
    if element.tag == "ellipse":
        return turned(ellipse(value("cx"), value("cy"), value("rx"), value("ry")), value("rotation", default=0))
    if element.tag == "mask":
        side = partial(_whole, path, element, where=where)
        stored = element.get("rle", "").split(",")
        runs = [run for run in map(whole, stored) if run is not None]
        if len(runs) != len(stored):
            raise DataError(f"{path}: the rle of {where} should be whole numbers.")
        try:
            inside = from_row_runs(runs, side("height"), side("width"))
        except ValueError as error:
            raise DataError(f"{path}: {where} is damaged: {error}.") from error
        return Bitmap(side("left"), side("top"), inside)
    raise DataError(f"{path}: {where} is a kind of shape that smir does not know.")
