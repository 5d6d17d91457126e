"""The number of images in each published dataset, with which `check` compares (METHOD.md section 6)."""

import dataclasses
from collections.abc import Mapping

from smir.data.published import Protocol


@dataclasses.dataclass(frozen=True)
class Expected:
    """Counts of a dataset under a protocol: images of the pool and of each split.

    Attributes:
        files: Images below each folder, which is relative to the root and may contain `*`.
        overlaps: Images that two lists share, such as `("pool", "test"): 152`. Pool and train or val are left out,
            because they share the training images by intent.
    """

    files: Mapping[str, int]
    pool: int
    train: int
    val: int
    test: int
    overlaps: Mapping[tuple[str, str], int] = dataclasses.field(default_factory=dict)


_VOC_FILES = {"pascal/VOCtrainvaltest/VOCdevkit/VOC2012/JPEGImages": 17_125}
# train_extra is missing: its archive has more cities, and the authors moved all others there as well.
_CITYSCAPES_FILES = {
    "cityscapes/leftImg8bit_trainvaltest/leftImg8bit/train": 2_975,
    "cityscapes/leftImg8bit_trainvaltest/leftImg8bit/val": 500,
    "cityscapes/leftImg8bit_trainvaltest/leftImg8bit/test": 1_525,
}
_NASSAR_FILES = {
    "nassar/ortho_tiles": 40_710,
    "nassar/tiled_dataset/train/data": 1_784 + 168 + 266,
    "nassar/tiled_dataset/train/mask": 1_784 + 168 + 266,
}
_SUGAR_BEETS_FILES = {"sugarbeets/ijrr_sugarbeets_2016_annotations/CKA_*/images/rgb": 12_330}

EXPECTED: dict[tuple[str, Protocol], Expected] = {
    ("PascalVOC", "paper"): Expected(
        _VOC_FILES, 17_125, 1_464, 1_449, 210, {("pool", "test"): 210, ("train", "test"): 106, ("val", "test"): 104}
    ),
    ("PascalVOC", "clean"): Expected(_VOC_FILES, 17_125 - 210, 1_464 - 106, 1_449 - 104, 210),
    # The pool is that of the authors' list; the folders hold as many frames besides the black one.
    ("Cityscapes", "paper"): Expected(_CITYSCAPES_FILES, 24_997, 2_380, 595, 500, {("pool", "test"): 500}),
    ("Cityscapes", "clean"): Expected(_CITYSCAPES_FILES, 24_997 - 500 - 1_525, 2_380, 595, 500),
    # The low-budget setting, the first fifth of the lists.
    ("Nassar", "paper"): Expected(_NASSAR_FILES, 40_710, 1_784 // 5, 168 // 5, 266),
    ("Nassar", "clean"): Expected(_NASSAR_FILES, 40_710, 1_784 // 5, 168 // 5, 266),
    ("SugarBeets", "paper"): Expected(_SUGAR_BEETS_FILES, 12_330, 529, 76, 152, {("pool", "test"): 152}),
    ("SugarBeets", "clean"): Expected(_SUGAR_BEETS_FILES, 12_330 - 152, 529, 76, 152),
}


def expected_counts(dataset: str, protocol: Protocol, label_budget: bool = False) -> Expected | None:
    """Looks up the counts of a dataset of the paper; with a label budget Nassar's splits are whole lists."""
    found = EXPECTED.get((dataset, protocol))
    if found is not None and dataset == "Nassar" and label_budget:
        return dataclasses.replace(found, train=1_784, val=168)
    return found
