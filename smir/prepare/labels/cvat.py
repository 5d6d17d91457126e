"""Reads the XML of CVAT's export "CVAT for images 1.1": one file for many images."""

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from functools import partial
from pathlib import Path

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
    from_row_runs,
    turned,
)

TITLE = "CVAT for images XML"
_WITHOUT_AREA = ("polyline", "points", "cuboid", "skeleton")


def read_cvat(path: Path) -> Annotations | None:
    """Reads images, labels and shapes; returns None if the XML has another format.

    Raises:
        DataError: If the file is CVAT's export of a video, cannot be parsed, or is malformed.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, OSError, ValueError, LookupError) as error:
        raise DataError(f"{path} cannot be read as XML: {error}. Export it again.") from error
    if root.tag != "annotations":
        return None
    if root.find("track") is not None:
        raise DataError(f"{path} is CVAT's export for videos. Export the task again as 'CVAT for images 1.1'.")
    names = [label.findtext("name", "") for label in root.findall("./meta/*/labels/label")]
    found = Annotations(TITLE, declared=list(dict.fromkeys(names)))
    found.images = [_image(path, image, found) for image in root.iter("image")]
    return found


def _image(path: Path, image: ElementTree.Element, found: Annotations) -> Annotated:
    name = image.get("name")
    if not name:
        raise DataError(f"{path}: image {image.get('id')} has no name.")
    size = (int(_number(path, image, "height", name)), int(_number(path, image, "width", name)))
    layers: list[tuple[int, Drawn]] = []
    for place, element in enumerate(image):
        where = f"{element.tag} number {place} of {name}"
        if element.tag == "tag":
            continue
        if element.tag in _WITHOUT_AREA:
            found.left_out[f"shapes of the kind {element.tag}"] += 1
            continue
        if (label := element.get("label")) is None:
            raise DataError(f"{path}: {where} has no label.")
        layer = int(_number(path, element, "z_order", where, 0))
        layers.append((layer, Drawn(label, _shape(path, element, where), where)))
    layers.sort(key=lambda entry: entry[0])  # stable: within a layer the file's order
    return Annotated(name, size, [drawn for _, drawn in layers], path)


def _number(path: Path, element: ElementTree.Element, key: str, where: str, default: float | None = None) -> float:
    stored = element.get(key, "" if default is None else str(default))
    return _numbers(path, [stored], f"{key} of {where}")[0]


def _numbers(path: Path, words: Sequence[str], where: str) -> list[float]:
    try:
        return [float(word) for word in words]
    except ValueError as error:
        raise DataError(f"{path}: the {where} should be a number: {error}.") from error


def _shape(path: Path, element: ElementTree.Element, where: str) -> Shape:
    value = partial(_number, path, element, where=where)
    if element.tag == "polygon":
        points = element.get("points", "").replace(";", ",").split(",")
        if len(points) < 6 or len(points) % 2:
            raise DataError(f"{path}: {where} has {len(points)} numbers; three or more pairs of x and y are needed.")
        return Polygon([_numbers(path, points, f"points of {where}")])
    if element.tag == "box":
        return turned(box(value("xtl"), value("ytl"), value("xbr"), value("ybr")), value("rotation", default=0))
    if element.tag == "ellipse":
        return turned(ellipse(value("cx"), value("cy"), value("rx"), value("ry")), value("rotation", default=0))
    if element.tag == "mask":
        runs = [int(run) for run in _numbers(path, element.get("rle", "").split(","), f"rle of {where}")]
        try:
            inside = from_row_runs(runs, int(value("height")), int(value("width")))
        except ValueError as error:
            raise DataError(f"{path}: {where} is damaged: {error}.") from error
        return Bitmap(int(value("left")), int(value("top")), inside)
    raise DataError(f"{path}: {where} is a kind of shape that smir does not know.")
