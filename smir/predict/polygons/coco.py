"""Writes COCO JSON: one file for all images, with polygons, or run lengths where a region has holes."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from smir.classes import VOID, Classes
from smir.files.json_record import write_json_items
from smir.predict.polygons.kept import VOID_NAME, ImageRegions, Outlined
from smir.predict.polygons.outlines import runs


def write_coco(path: Path, images: Sequence[ImageRegions], classes: Classes, background: int | None) -> None:
    """Writes a file, region by region; ids of categories are class ids, and `score` is the confidence."""
    names = {number: name for number, name in enumerate(classes.names) if number != background} | {VOID: VOID_NAME}
    categories = [{"id": number, "name": name, "supercategory": ""} for number, name in names.items()]
    listed = [
        {"id": number, "file_name": each.image, "height": each.height, "width": each.width}
        for number, each in enumerate(images, 1)
    ]
    head = f'"categories": {json.dumps(categories)},\n"images": {json.dumps(listed)}'
    annotations = ({"id": number, **annotation} for number, annotation in enumerate(_annotations(images), 1))
    write_json_items(path, f'{{{head},\n"annotations": [', annotations)


def _annotations(images: Iterable[ImageRegions]) -> Iterator[dict[str, Any]]:
    for number, image in enumerate(images, 1):
        for region in image:
            score = {} if region.confidence is None else {"score": region.confidence}
            common = {"image_id": number, "category_id": region.class_id, "area": region.pixels, "iscrowd": 0}
            yield {**common, "bbox": region.box, "segmentation": _segmentation(region, image), **score}


def _segmentation(region: Outlined, image: ImageRegions) -> Any:
    if not region.needs_mask:
        return [[value for point in region.rings[0] for value in point]]
    size = image.height, image.width
    return {"size": size, "counts": runs(region.polygon, region.box, size)}
