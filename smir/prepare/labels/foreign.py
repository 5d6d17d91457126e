"""Names label files of formats that smir does not read, and says what to export instead."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from smir.errors import DataError
from smir.files.json_record import read_json
from smir.prepare.labels.shapes import LARGEST

_COCO = "export COCO instead"
_VECTOR = (
    "a vector file of a GIS; --labels takes it for one orthomosaic alone (--images map.tif), as a GeoPackage (.gpkg), "
    ".geojson or .fgb"
)
_BY_SUFFIX = dict.fromkeys((".gpkg", ".shp", ".kml", ".fgb", ".geojson"), _VECTOR)
_BY_START = {
    ".xml": (re.compile(rb"<annotation[\s>]"), "XML of Pascal VOC; export COCO or masks instead"),
    ".txt": (re.compile(rb"\A\d+(?: [-+.\de]+){4,}\s"), f"text of YOLO; {_COCO}"),
    ".csv": (re.compile(rb"region_shape_attributes"), f"CSV of VIA; {_COCO}"),
}
"""By suffix, a pattern of the first bytes."""
_BY_KEYS = (
    ({"_via_img_metadata"}, f"JSON of VIA; {_COCO}"),
    ({"filename", "regions"}, f"JSON of VIA; {_COCO}"),
    ({"annotations", "data"}, f"JSON of Label Studio; {_COCO}, or 'Brush labels to COCO'"),
    ({"annotation_id", "annotator"}, f"JSON of Label Studio; {_COCO}, or 'Brush labels to COCO'"),
    ({"objects", "size"}, f"JSON of Supervisely; {_COCO}"),
    ({"categories", "items"}, f"JSON of Datumaro; {_COCO}"),
    ({"features", "type"}, _VECTOR),
)
"""Keys of JSON, or of its first entry."""
_TRIED, _START = 20, 4096


def hints(files: Iterable[Path]) -> str:
    """Returns a sentence, after a space, for each format among the first files that smir does not read."""
    found: dict[str, str] = {}
    for file in [file for file in files if file.suffix.lower() in {".json", *_BY_SUFFIX, *_BY_START}][:_TRIED]:
        if kind := _kind(file):
            found.setdefault(kind, file.name)
    return "".join(f" {name} is {kind}." for kind, name in found.items())


def _kind(file: Path) -> str | None:
    suffix = file.suffix.lower()
    if not file.is_file() or suffix in _BY_SUFFIX:
        return _BY_SUFFIX.get(suffix)
    if suffix in _BY_START:
        pattern, kind = _BY_START[suffix]
        with file.open("rb") as opened:
            return kind if pattern.search(opened.read(_START)) else None
    try:
        content = read_json(file, error=DataError, largest=LARGEST)
    except DataError:
        return None
    if not isinstance(content, dict | list):
        return None
    entries: list[Any] = [content, *(content.values() if isinstance(content, dict) else content)][:2]
    return next((kind for keys, kind in _BY_KEYS for e in entries if isinstance(e, dict) and keys <= e.keys()), None)
