"""Reads COCO JSON: one file for many images, with polygons, run lengths, or ids in panoptic PNGs."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from smir.errors import DataError, first_few
from smir.prepare.labels.classes import color_of
from smir.prepare.labels.panoptic import PanopticFiles
from smir.prepare.labels.shapes import Annotated, Annotations, Drawn, Polygon, RunLengths, Shape, numbers, whole

TITLE = "COCO JSON"
PANOPTIC_TITLE = "COCO panoptic JSON; pixels of no segment are not labelled"
_LONGEST_ID = 30
_CLEARLY_LARGER, _NEAR, _SEVERAL = 200, 90, 2
_ONE, _OVER = 2, 3
"""Largest coordinate of outlines in shares, and per cent by which an outline in per cent may pass the border."""


def read_coco(path: Path, content: Any, folder: Path) -> Annotations | None:
    """Reads images, categories and shapes; returns None if the JSON has another format.

    Panoptic PNGs are looked up below `folder`.

    Raises:
        DataError: If ids clash or do not exist, a shape is malformed, or a PNG is missing.
    """
    if not isinstance(content, dict) or not {"images", "annotations", "categories"} <= content.keys():
        return None
    categories = _by_id(path, content, "categories")
    images = _by_id(path, content, "images")
    names = {key: _name(path, category) for key, category in categories.items()}
    found = Annotations(TITLE, declared=list(dict.fromkeys(names.values())))
    found.colors = {names[key]: color for key, entry in categories.items() if (color := color_of(entry.get("color")))}
    annotated = {key: Annotated(*_image(path, image), [], path) for key, image in images.items()}
    panoptic = PanopticFiles(path, folder)
    with_shapes: set[int | str] = set()
    for place, entry in enumerate(_list(path, content, "annotations")):
        where = f"annotation {entry.get('id', f'number {place}')}"
        shapes = annotated[_known(path, entry, "image_id", images, where)].shapes
        if (segments := entry.get("segments_info")) is not None:
            found.title = PANOPTIC_TITLE
            of_segment = _segments(path, segments, names, where)
            drawn = panoptic.segments(entry.get("file_name"), of_segment, where)
            shapes += [Drawn(category, shape, where) for category, shape in drawn.items()]
            continue
        category = _known(path, entry, "category_id", categories, where)
        shape, left_out = _shape(path, entry.get("segmentation"), where)
        found.left_out += left_out
        if shape is not None:
            shapes.append(Drawn(names[category], shape, where))
            with_shapes.add(category)
    found.images = list(annotated.values())
    found.notes += _notes_on_equal_names(path, [categories[key] for key in sorted(with_shapes, key=str)])
    _refuse_shares(path, found)
    return found


def _id(stored: object) -> int | str | None:
    """Returns an id; tools also write the number 7 as 7.0 or "7". Returns None if it is not an id."""
    if isinstance(stored, str):
        is_number = stored.strip().isdecimal() and len(stored) <= _LONGEST_ID
        return int(stored) if is_number else stored or None
    if isinstance(stored, bool) or not isinstance(stored, int | float) or stored % 1 != 0:
        return None
    return int(stored)


def _known(path: Path, entry: dict[str, Any], key: str, known: Mapping[Any, object], where: str) -> int | str:
    if (found := _id(entry.get(key))) is None or found not in known:
        raise DataError(f"{path}: {where} has {key} {entry.get(key)!r}, but the file has no such {key[:-3]}.")
    return found


def _list(path: Path, content: dict[str, Any], key: str) -> list[dict[str, Any]]:
    entries = content[key]
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise DataError(f"{path}: {key!r} should be a list of records, as in COCO.")
    return entries


def _by_id(path: Path, content: dict[str, Any], key: str) -> dict[int | str, dict[str, Any]]:
    entries = _list(path, content, key)
    ids = [_id(entry.get("id")) for entry in entries]
    if None in ids:
        raise DataError(
            f"{path}: {key!r} holds the id {entries[ids.index(None)].get('id')!r}; an id is a number or a word."
        )
    if twice := [value for value, count in Counter(ids).items() if count > 1]:
        raise DataError(f"{path}: {key!r} has the id {first_few(twice)} more than once, so shapes cannot be assigned.")
    return {key: entry for key, entry in zip(ids, entries, strict=True) if key is not None}


def _name(path: Path, category: dict[str, Any]) -> str:
    if not isinstance(name := category.get("name"), str) or not name.strip():
        raise DataError(f"{path}: category {category['id']} has no name, got {name!r}.")
    return name.strip()


def _notes_on_equal_names(path: Path, categories: Iterable[dict[str, Any]]) -> list[str]:
    """Returns a note if categories of different groups have one name, such as the leaf of a crop and that of a weed."""
    groups: dict[str, set[str]] = {}
    for category in categories:
        groups.setdefault(_name(path, category), set()).add(str(category.get("supercategory")))
    return [
        f"{path.name} has several categories {name!r}, of the groups (supercategory) {first_few(sorted(of_name))}; "
        "they are one class. If they differ, give them different names."
        for name, of_name in groups.items()
        if len(of_name) > 1
    ]


def _image(path: Path, image: dict[str, Any]) -> tuple[str, tuple[int, int]]:
    name, *stored = (image.get(key) for key in ("file_name", "height", "width"))
    height, width = map(whole, stored)
    if not isinstance(name, str) or not name or height is None or width is None:
        raise DataError(
            f"{path}: image {image['id']} needs file_name, height and width, got {name}, {stored[0]}, {stored[1]}."
        )
    return name, (height, width)


def _segments(path: Path, stored: object, names: Mapping[int | str, str], where: str) -> dict[int, str]:
    """Returns the category of each segment of a panoptic annotation."""
    categories: dict[int, str] = {}
    for segment in _list(path, {"segments_info": stored}, "segments_info"):
        key = _id(segment.get("id"))
        if not isinstance(key, int) or key == 0 or key in categories:
            raise DataError(f"{path}: {where} has a segment with the id {segment.get('id')!r}; ids are 1, 2, 3, ...")
        categories[key] = names[_known(path, segment, "category_id", names, f"segment {key} of {where}")]
    return categories


def _shape(path: Path, stored: Any, where: str) -> tuple[Shape | None, Counter[str]]:
    """Returns the shape, None if it has no area, and the kinds of what is left out of it."""
    if not stored:
        return None, Counter(["boxes without an outline"])
    if isinstance(stored, dict):
        size, counts = stored.get("size"), stored.get("counts")
        if isinstance(size, list) and len(size) == 2 and isinstance(counts, str | list):
            height, width = (_whole(side, path, f"a side of {where}") for side in size)
            is_text = isinstance(counts, str)
            runs = counts if is_text else [_whole(count, path, f"a run length of {where}") for count in counts]
            return RunLengths((height, width), runs), Counter()
    elif isinstance(stored, list):
        outlines = _outlines(stored, path, f"the outline of {where}")
        if odd := [outline for outline in outlines if len(outline) % 2]:
            raise DataError(
                f"{path}: an outline of {where} has {len(odd[0])} numbers; they should be pairs of x and y."
            )
        drawn = [outline for outline in outlines if len(outline) >= 6]
        short = Counter({"outlines of less than three points": len(outlines) - len(drawn)})
        return Polygon(drawn) if drawn else None, +short
    raise DataError(f"{path}: the segmentation of {where} is neither polygons nor run lengths: {str(stored)[:80]}.")


def _refuse_shares(path: Path, found: Annotations) -> None:
    """Refuses outlines that are most likely shares or per cent of their images; tools let shapes pass the border a bit.

    For per cent, several must come near 100 in both axes, because small objects in a corner are in pixels. If they
    do not, a note says so.
    """
    places, large = [], True
    for image in found.images:
        outlines = [line for drawn in image.shapes if isinstance(drawn.shape, Polygon) for line in drawn.shape.outlines]
        if outlines:
            points = np.concatenate([np.reshape(line, (-1, 2)) for line in outlines])
            places.append((points.min(), points.max(), points.max(axis=0).min()))
            large &= min(image.size or (0,)) >= _CLEARLY_LARGER
    if not places:
        return
    low, high = min(place[0] for place in places), max(place[1] for place in places)
    if low >= -1 and high <= _ONE:
        raise DataError(
            f"{path}: all outlines lie between {low:g} and {high:g}, so the coordinates are shares of the image, not "
            "pixels. Multiply x by the width and y by the height, or export again in pixels."
        )
    if not large or low < -_OVER or high > 100 + _OVER:
        return
    if sum(reach >= _NEAR for _, _, reach in places) >= _SEVERAL:
        raise DataError(
            f"{path}: no outline passes x = 100 or y = 100, though the images are larger and many outlines come near "
            "both: the coordinates are per cent of the image, not pixels. Multiply x by width / 100 and y by height / "
            "100, or export again in pixels."
        )
    if len(places) > _SEVERAL:
        found.notes.append(
            f"No outline in {path.name} passes x = 100 or y = 100. If the coordinates are per cent of the image, the "
            "labels are wrong: export them in pixels."
        )


def _whole(stored: object, path: Path, where: str) -> int:
    if (found := whole(stored)) is None:
        raise DataError(f"{path}: {where} should be a whole number, got {str(stored)[:80]}.")
    return found


def _outlines(stored: list[Any], path: Path, where: str, depth: int = 2) -> list[list[float]]:
    """Returns outlines x, y, x, y, ...; tools also write a lone outline without its list, and points as pairs."""
    if depth == 0 or not all(isinstance(part, list) for part in stored):
        return [numbers(stored, path, where)]
    if all(len(part) == 2 and not isinstance(part[0], list) for part in stored):
        return [numbers([coordinate for point in stored for coordinate in point], path, where)]
    return [outline for part in stored for outline in _outlines(part, path, where, depth - 1)]
