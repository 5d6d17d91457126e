"""Writes Labelme JSON, one file for each image.

Labelme's polygons have no holes, but later shapes lie on top, in Labelme's own converters, too. So a hole is a later
polygon of `_background_`, and the regions in it come after that.
"""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from shapely.geometry import Polygon

from smir.classes import VOID, Classes
from smir.files.json_record import write_json
from smir.files.names import relative
from smir.predict.polygons.kept import ImageRegions, Outlined
from smir.predict.polygons.outlines import Ring

BACKGROUND, NOT_LABELLED = "_background_", "__ignore__"


def write_labelme(path: Path, regions: ImageRegions, classes: Classes, image: Path) -> None:
    """Writes the file of an image, and holds its polygons in memory for that."""
    every = list(regions)
    filled = {_key(region.rings[0]) for region in every}
    layers = [(region.rings[0], _label(region, classes), _described(region)) for region in every]
    layers += [(hole, BACKGROUND, "") for region in every for hole in region.rings[1:] if _key(hole) not in filled]
    layers.sort(key=lambda layer: (-Polygon(layer[0]).area, layer[1] != BACKGROUND))
    near = path.absolute().drive == image.absolute().drive  # Windows has no relative path to another drive
    content: dict[str, Any] = {
        "version": "5.0.0",
        "flags": {},
        "shapes": [_shape(*layer) for layer in layers],
        "imagePath": Path(relative(image, path.parent) if near else image.absolute()).as_posix(),
        "imageData": None,
        "imageHeight": regions.height,
        "imageWidth": regions.width,
    }
    write_json(path, content)


def _label(region: Outlined, classes: Classes) -> str:
    return NOT_LABELLED if region.class_id == VOID else region.name(classes)


def _described(region: Outlined) -> str:
    return "" if region.confidence is None else f"confidence {region.confidence}"


def _key(ring: Ring) -> tuple[tuple[int, int], ...]:
    return tuple(sorted((x, y) for x, y in ring))


def _shape(ring: Ring, label: str, described: str) -> dict[str, Any]:
    shape: dict[str, Any] = {
        "label": label,
        "points": ring,
        "group_id": None,
        "description": described,
        "flags": {},
        "mask": None,
    }
    if max(max(point) for point in ring) > 1:
        return {**shape, "shape_type": "polygon"}
    pixel = io.BytesIO()  # the pixel in the corner: a polygon between 0 and 1 would be taken for shares of the image
    Image.fromarray(np.full((1, 1), 255, dtype=np.uint8)).save(pixel, "PNG")
    mask = base64.b64encode(pixel.getvalue()).decode()
    return {**shape, "shape_type": "mask", "points": [[0, 0], [0, 0]], "mask": mask}
