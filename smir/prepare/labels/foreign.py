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
_SAM = "JSON of Segment Anything or CreateML, without outlines that have classes; draw them in an annotation tool"
_MASKS = "save a PNG of class ids for each image instead"
_BY_SUFFIX = {
    **dict.fromkeys((".gpkg", ".shp", ".kml", ".kmz", ".gml", ".dxf", ".fgb", ".geojson"), _VECTOR),
    ".svg": f"a drawing; {_MASKS}",
    ".mat": f"a file of MATLAB; {_MASKS}",
    ".roi": f"a region of ImageJ; {_MASKS}",
    **dict.fromkeys((".npy", ".npz"), f"an array of NumPy; {_MASKS}"),
    **dict.fromkeys((".h5", ".hdf5"), f"an HDF5 file; {_MASKS}"),
    ".tfrecord": f"a file of TensorFlow; {_COCO}",
    ".jsonl": f"JSON for language models; {_COCO}",
    **dict.fromkeys((".nii", ".nrrd", ".mha"), f"a medical volume; {_MASKS}"),
    ".ndjson": f"JSON of Labelbox; {_COCO}",
}
_BY_START = {
    ".xml": [
        (re.compile(rb"<polygon>\s*(<username>[^<]*</username>)?\s*<pt>"), f"XML of the LabelMe website; {_MASKS}"),
        (re.compile(rb"<annotation[\s>]"), "XML of Pascal VOC; export COCO or masks instead"),
    ],
    ".txt": [(re.compile(rb"\A\d+(?: [-+.\de]+){4,}\s"), f"text of YOLO; {_COCO}")],
    ".csv": [
        (re.compile(rb"region_shape_attributes|CSV_HEADER = metadata_id"), f"CSV of VIA; {_COCO}"),
        (re.compile(rb"\A[^\n]*annotation_id"), f"CSV of Label Studio; {_COCO}, or 'Brush labels to COCO'"),
        (re.compile(rb"(?i)\A[^\n]*(encodedpixels|\brle\b)"), f"CSV of run lengths, as on Kaggle; {_MASKS}"),
        (re.compile(rb"(?i)\A[^\n]*\bxmin\b"), f"CSV of boxes, which have no outlines; {_COCO}"),
    ],
    ".tsv": [(re.compile(rb"\A[^\n]*annotation_id"), f"TSV of Label Studio; {_COCO}, or 'Brush labels to COCO'")],
    ".yaml": [(re.compile(rb"(?m)^names\s*:"), f"the list of classes of YOLO; {_COCO}")],
}
"""By suffix, patterns of the first bytes."""
_BY_KEYS = (
    ({"_via_img_metadata"}, f"JSON of VIA; {_COCO}"),
    ({"filename", "regions"}, f"JSON of VIA; {_COCO}"),
    ({"file", "metadata", "project"}, f"JSON of VIA; {_COCO}"),
    ({"annotations", "data"}, f"JSON of Label Studio; {_COCO}, or 'Brush labels to COCO'"),
    ({"annotation_id", "annotator"}, f"JSON of Label Studio; {_COCO}, or 'Brush labels to COCO'"),
    ({"objects", "size"}, f"JSON of Supervisely; {_COCO}"),
    ({"categories", "items"}, f"JSON of Datumaro; {_COCO}"),
    ({"annotations", "item"}, f"JSON of V7 (Darwin); {_COCO}"),
    ({"annotations", "image", "dataset"}, f"JSON of V7 (Darwin); {_COCO}"),
    ({"created_at", "dataset"}, f"JSON of Segments.ai; {_COCO}"),
    ({"data_row", "projects"}, f"JSON of Labelbox; {_COCO}"),
    ({"Label", "Labeled Data"}, f"JSON of Labelbox; {_COCO}"),
    ({"metadata", "instances"}, f"JSON of SuperAnnotate; {_COCO}"),
    ({"info", "objects"}, f"JSON of ISAT; {_COCO}"),
    ({"externalId", "labels"}, f"JSON of Kili; {_COCO}"),
    ({"imgHeight", "objects"}, "JSON of Cityscapes; give its label images (_labelIds.png) instead, with --pair"),
    ({"export_format_version", "images"}, f"JSON of Hasty; {_COCO}"),
    ({"datasetId", "annotations"}, f"JSON of Dataloop; {_COCO}"),
    ({"name", "labels"}, f"JSON of BDD100K or Scalabel; {_COCO}"),
    ({"annotations", "images"}, "COCO JSON without categories; export it with them"),
    ({"category_id", "image_id"}, "a list of COCO annotations alone; export the whole dataset as COCO"),
    ({"annotations", "file_name"}, f"JSON of Detectron2; {_COCO}"),
    ({"annotations", "image"}, _SAM),
    ({"predicted_iou", "segmentation"}, _SAM),
    ({"geometry", "properties"}, f"GeoJSON without a collection, as QuPath writes; {_MASKS}"),
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
        with file.open("rb") as opened:
            start = opened.read(_START)
        return next((kind for pattern, kind in _BY_START[suffix] if pattern.search(start)), None)
    try:
        content = read_json(file, error=DataError, largest=LARGEST)
    except DataError:
        return None
    if not isinstance(content, dict | list):
        return None
    entries: list[Any] = [content, *(content.values() if isinstance(content, dict) else content)][:2]
    return next((kind for keys, kind in _BY_KEYS for e in entries if isinstance(e, dict) and keys <= e.keys()), None)
