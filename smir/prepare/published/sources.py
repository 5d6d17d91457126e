"""The published datasets: the files in their archives, where they go, and where to get them."""

import re
from typing import Any

from smir.prepare.published.download import Download
from smir.prepare.published.parts import ArchivedDataset, Part

_IMAGE = r"[^/]+\.(?i:png|jpe?g|tiff?)"
_VOC = "pascal/VOCtrainvaltest/VOCdevkit"
_BEETS = "sugarbeets/ijrr_sugarbeets_2016_annotations"


def _part(name: str, archive: str, target: str, like: str, mark: str, takes: str, *there: str, **more: Any) -> Part:
    """Makes a part; anchors both patterns at the start of a folder or file name and at the end of the path."""
    marks, taken = (re.compile(f"(?:^|.*/){pattern}$") for pattern in (mark, takes))
    return Part(name, archive, target, like, marks, taken, there, **more)


_VOC_ARCHIVES = (
    ("VOC 2012 train and val", 2012, "train", "VOCtrainval_11-May-2012.tar", "6cd6e144f989b92b3379bac3b3de84fd"),
    ("VOC 2007 test", 2007, "test", "VOCtest_06-Nov-2007.tar", "b6e924de25625d8de591ea690078ad9f"),
)
PASCAL_VOC = ArchivedDataset(
    "pascal_voc",
    "Pascal VOC",
    "pascal",
    tuple(
        _part(
            title,
            archive,
            _VOC,
            f"VOC{year}/ImageSets/Segmentation/{split}.txt",
            f"VOC{year}/ImageSets/Segmentation/{split}.txt",
            rf"(VOC{year}/(?:JPEGImages|SegmentationClass)/{_IMAGE}|VOC{year}/ImageSets/Segmentation/[^/]+\.txt)",
            f"{_VOC}/VOC{year}/ImageSets/Segmentation/{split}.txt",
            download=Download(f"https://thor.robots.ox.ac.uk/pascal/VOC/voc{year}/{archive}", md5),
        )
        for title, year, split, archive, md5 in _VOC_ARCHIVES
    ),
    "http://host.robots.ox.ac.uk/pascal/VOC/ (free to fetch; the images come from Flickr, whose terms apply).",
)

_EXTRA, _FINE, _GT = (
    f"cityscapes/{name}" for name in ("leftImg8bit_trainextra", "leftImg8bit_trainvaltest", "gtFine_trainvaltest")
)
_FRAME, _LABEL = r"[^/]+/[^/]+_leftImg8bit\.png", r"[^/]+/[^/]+_gtFine_labelIds\.png"
CITYSCAPES = ArchivedDataset(
    "cityscapes",
    "Cityscapes",
    "cityscapes",
    (
        _part(
            "frames without fine labels, to pretrain on",
            "leftImg8bit_trainextra.zip",
            _EXTRA,
            "leftImg8bit/train_extra/<city>/<frame>_leftImg8bit.png",
            f"leftImg8bit/train_extra/{_FRAME}",
            rf"(leftImg8bit/train_extra/(?:{_FRAME}|data_list\.txt))",
            f"{_EXTRA}/leftImg8bit/train_extra/*/*_leftImg8bit.png",
        ),
        _part(
            "frames of train, val and test",
            "leftImg8bit_trainvaltest.zip",
            _FINE,
            "leftImg8bit/train/<city>/<frame>_leftImg8bit.png",
            f"leftImg8bit/(?:train|val|test)/{_FRAME}",
            rf"(leftImg8bit/(?:(?:train|val|test)/{_FRAME}|train/train\.txt|val/val\.txt))",
            f"{_FINE}/leftImg8bit/train/*/*_leftImg8bit.png",
        ),
        _part(
            "fine labels",
            "gtFine_trainvaltest.zip",
            _GT,
            "gtFine/train/<city>/<frame>_gtFine_labelIds.png",
            f"gtFine/(?:train|val)/{_LABEL}",
            f"(gtFine/(?:train|val)/{_LABEL})",
            f"{_GT}/gtFine/train/*/*_gtFine_labelIds.png",
        ),
    ),
    "https://www.cityscapes-dataset.com (needs a registration; the dataset has its own licence, see there).",
)

NASSAR = ArchivedDataset(
    "nassar",
    "Nassar 2020",
    "nassar",
    (
        _part(
            "orthomosaic, to pretrain on",
            "the download of the orthomosaic, or make artificial data: python -m smir prepare synthetic",
            "nassar/orthomosaic/data",
            "RGB_reference_png.png",
            r"RGB_reference_png\.png",
            r"(RGB_reference_png\.png)",
            "nassar/orthomosaic/data/RGB_reference_png.png",
            "nassar/ortho_tiles/nassar_*.png",
        ),
        _part(
            "tiles of the orthomosaic, ready made",
            "",
            "nassar/ortho_tiles",
            "nassar_<number>.png",
            r"nassar_\d+\.png",
            r"(nassar_\d+\.png|datalist\.txt)",
        ),
        _part(
            "labelled tiles",
            "the download of the labelled tiles",
            "nassar/tiled_dataset/train",
            "data/sub<number>_<name>.png",
            rf"(?:data|mask)/sub\d+{_IMAGE}",
            rf"((?:data|mask)/sub\d+{_IMAGE}|data_list/(?:train|val|test)\.txt)",
            "nassar/tiled_dataset/train/data/*.*",
        ),
    ),
    "the place that the paper's reference for Nassar 2020 names (arXiv 2512.06981); for its licence see there.",
)

SUGAR_BEETS = ArchivedDataset(
    "sugar_beets",
    "Sugar Beets 2016",
    "sugarbeets",
    (
        _part(
            "RGB frames",
            "the annotated part, ijrr_sugarbeets_2016_annotations.part01.rar and so on",
            _BEETS,
            "CKA_<date>/images/rgb/<frame>.png",
            rf"CKA_[^/]+/images/rgb/{_IMAGE}",
            rf"(CKA_[^/]+/images/rgb/{_IMAGE}|sugarbeets(?:_weeds)?\.txt)",
            f"{_BEETS}/CKA_*/images/rgb/*.*",
        ),
        _part(
            "labels",
            "the annotated part, ijrr_sugarbeets_2016_annotations.part01.rar and so on",
            _BEETS,
            "CKA_<date>/annotations/dlp/iMapCleaned/<frame>.png",
            rf"CKA_[^/]+/annotations/dlp/iMapCleaned/{_IMAGE}",
            rf"(CKA_[^/]+/annotations/dlp/iMapCleaned/{_IMAGE})",
            f"{_BEETS}/CKA_*/annotations/dlp/iMapCleaned/*.*",
        ),
    ),
    "https://www.ipb.uni-bonn.de/data/sugarbeets2016/ (for the licence see there). It comes as RAR files, which smir "
    "does not read: unpack part01 with unrar or 7-Zip into the folder `sugarbeets` of the data root, which takes the "
    "other parts, too; then give no --archives.",
)
