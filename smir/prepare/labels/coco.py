"""Reads COCO JSON: one file for many images, with polygons or run lengths."""

from collections import Counter
from pathlib import Path
from typing import Any

from smir.errors import DataError, first_few
from smir.prepare.labels.shapes import Annotated, Annotations, Drawn, Polygon, RunLengths, Shape, numbers

TITLE = "COCO JSON"


def read_coco(path: Path, content: Any) -> Annotations | None:
    """Reads images, categories and shapes; returns None if the JSON has another format.

    Raises:
        DataError: If ids clash or do not exist, or a shape is malformed.
    """
    if not isinstance(content, dict) or not {"images", "annotations", "categories"} <= content.keys():
        return None
    categories = _by_id(path, content, "categories")
    images = _by_id(path, content, "images")
    names = {key: _name(path, category) for key, category in categories.items()}
    found = Annotations(TITLE, declared=list(dict.fromkeys(names.values())))
    annotated = {key: Annotated(*_image(path, image), [], path) for key, image in images.items()}
    for place, entry in enumerate(_list(path, content, "annotations")):
        where = f"annotation {entry.get('id', f'number {place}')}"
        for key, known in (("image_id", images), ("category_id", categories)):
            if not isinstance(entry.get(key), int | str) or entry[key] not in known:
                raise DataError(f"{path}: {where} has {key} {entry.get(key)!r}, but the file has no such {key[:-3]}.")
        category = names[entry["category_id"]]
        shape = _shape(path, entry.get("segmentation"), where)
        if isinstance(shape, str):
            found.left_out[shape] += 1
        else:
            annotated[entry["image_id"]].shapes.append(Drawn(category, shape, where))
    found.images = list(annotated.values())
    return found


def _list(path: Path, content: dict[str, Any], key: str) -> list[dict[str, Any]]:
    entries = content[key]
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise DataError(f"{path}: {key!r} should be a list of records, as in COCO.")
    return entries


def _by_id(path: Path, content: dict[str, Any], key: str) -> dict[Any, dict[str, Any]]:
    entries = _list(path, content, key)
    if strange := [entry.get("id") for entry in entries if not isinstance(entry.get("id"), int | str)]:
        raise DataError(f"{path}: {key!r} holds the id {strange[0]!r}; an id is a number or a word.")
    counts = Counter(entry["id"] for entry in entries)
    if twice := [value for value, count in counts.items() if count > 1]:
        raise DataError(f"{path}: {key!r} has the id {first_few(twice)} more than once, so shapes cannot be assigned.")
    return {entry["id"]: entry for entry in entries}


def _name(path: Path, category: dict[str, Any]) -> str:
    if not isinstance(name := category.get("name"), str) or not name.strip():
        raise DataError(f"{path}: category {category['id']} has no name, got {name!r}.")
    return name


def _image(path: Path, image: dict[str, Any]) -> tuple[str, tuple[int, int]]:
    name, height, width = (image.get(key) for key in ("file_name", "height", "width"))
    if not isinstance(name, str) or not isinstance(height, int) or not isinstance(width, int):
        raise DataError(
            f"{path}: image {image['id']} needs file_name, height and width, got {name}, {height}, {width}."
        )
    return name, (height, width)


def _shape(path: Path, stored: Any, where: str) -> Shape | str:
    """Returns the shape, or its kind if it has no area."""
    if not stored:
        return "boxes without an outline"
    if isinstance(stored, dict):
        size, counts = stored.get("size"), stored.get("counts")
        if isinstance(size, list) and len(size) == 2 and isinstance(counts, str | list):
            counts = counts if isinstance(counts, str) else [int(c) for c in numbers(counts, path, where)]
            return RunLengths((size[0], size[1]), counts)
    elif isinstance(stored, list):
        if len(stored) > 2 and all(isinstance(point, list) and len(point) == 2 for point in stored):
            stored = [[coordinate for point in stored for coordinate in point]]  # one outline as pairs of x and y
        outlines = [numbers(outline, path, f"the outline of {where}") for outline in stored]
        if odd := [outline for outline in outlines if len(outline) % 2]:
            raise DataError(
                f"{path}: an outline of {where} has {len(odd[0])} numbers; they should be pairs of x and y."
            )
        outlines = [outline for outline in outlines if len(outline) >= 6]
        if outlines and max(map(max, outlines)) <= 1:
            raise DataError(
                f"{path}: {where} lies within one pixel, so its coordinates are shares of the image. Export pixels."
            )
        return Polygon(outlines) if outlines else "outlines of less than three points"
    raise DataError(f"{path}: the segmentation of {where} is neither polygons nor run lengths: {str(stored)[:80]}.")
