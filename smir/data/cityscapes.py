"""Cityscapes: street scenes of 50 cities (METHOD.md section 6)."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from lightning.pytorch.utilities import rank_zero_warn

from smir.classes import VOID, Classes, UInt8
from smir.data.published import PublishedDataset
from smir.data.reading.label_values import by_table
from smir.data.reading.listing import Pair
from smir.data.reading.lists import SPLITS, Split, cut, files_by_stem, look_up, shuffled, stem
from smir.errors import ConfigError, DataError

EXTRA = "cityscapes/leftImg8bit_trainextra/leftImg8bit/train_extra"
FINE = "cityscapes/leftImg8bit_trainvaltest/leftImg8bit"
LABELS = "cityscapes/gtFine_trainvaltest/gtFine"
IMAGE_ENDING, LABEL_ENDING = "_leftImg8bit", "_gtFine_labelIds"
TEST_CITIES = ("berlin", "bielefeld", "bonn", "leverkusen", "mainz", "munich")  # of the official test set
CLASSES = {
    "road": (128, 64, 128),
    "sidewalk": (244, 35, 232),
    "building": (70, 70, 70),
    "wall": (102, 102, 156),
    "fence": (190, 153, 153),
    "pole": (153, 153, 153),
    "traffic light": (250, 170, 30),
    "traffic sign": (220, 220, 0),
    "vegetation": (107, 142, 35),
    "terrain": (152, 251, 152),
    "sky": (70, 130, 180),
    "person": (220, 20, 60),
    "rider": (255, 0, 0),
    "car": (0, 0, 142),
    "truck": (0, 0, 70),
    "bus": (0, 60, 100),
    "train": (0, 80, 100),
    "motorcycle": (0, 0, 230),
    "bicycle": (119, 11, 32),
}
TRAIN_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
# All other ids are void; more than 8 bits means that the file holds instances, not labels.
LABEL_IDS = dict.fromkeys(range(256), VOID) | {stored: class_id for class_id, stored in enumerate(TRAIN_IDS)}
BLACK_FRAME = "troisdorf/troisdorf_000000_000073"
"""The one frame of train_extra without a picture: it is black all over."""


class Cityscapes(PublishedDataset):
    """Cityscapes, street scenes with fine labels for 3,475 of them.

    ```
    cityscapes/leftImg8bit_trainextra/leftImg8bit/train_extra/<city>/<frame>_leftImg8bit.png      the pool, with
    cityscapes/leftImg8bit_trainextra/leftImg8bit/train_extra/data_list.txt                       its list
    cityscapes/leftImg8bit_trainvaltest/leftImg8bit/{train,val,test}/<city>/<frame>_leftImg8bit.png
    cityscapes/leftImg8bit_trainvaltest/leftImg8bit/{train/train.txt,val/val.txt}
    cityscapes/gtFine_trainvaltest/gtFine/{train,val}/<city>/<frame>_gtFine_labelIds.png
    ```

    Classes: the 19 train ids; every other label id is void (255). Lists hold `<city>/<frame>`: `pool`; `labelled`
    (train.txt), whose first 80 % train and whose rest validates; `test` (val.txt), as the labels of the official test
    set are not public. Without list files: the frames of the folders, sorted and shuffled by `split_seed`; the pool
    then lacks troisdorf_000000_000073, which is black all over.

    The paper's pool holds the frames of every city, including its own test frames. `protocol: clean` leaves these out,
    and the official test cities. The frames of train stay in the pool, including those that validate.

    Args:
        root: Data root, the folder that holds `cityscapes`.
        train_share: Share of the `labelled` list that trains; the rest validates.
        kwargs: Arguments of every published dataset.
    """

    list_files: ClassVar[dict[str, str]] = {
        "pool": f"{EXTRA}/data_list.txt",
        "labelled": f"{FINE}/train/train.txt",
        "test": f"{FINE}/val/val.txt",
    }

    def __init__(self, root: Path, train_share: float = 0.8, **kwargs: Any) -> None:
        super().__init__(root, **kwargs)
        if not 0 < train_share < 1:
            raise ConfigError(f"data.train_share must lie between 0 and 1, got {train_share}.")
        self.train_share = train_share

    @property
    def classes(self) -> Classes:
        """The 19 classes of the benchmark, in its colours."""
        return Classes(tuple(CLASSES), tuple(CLASSES.values()))

    def own_list(self, name: str) -> list[str]:
        """Returns the frames of the folder of a list; for the pool those of all folders, without the black one."""
        if name == "pool":
            return shuffled(self._pool_files().keys() - {BLACK_FRAME}, self.split_seed)
        folder = "train" if name == "labelled" else "val"
        return shuffled(files_by_stem(self.root, f"{FINE}/{folder}", IMAGE_ENDING), self.split_seed)

    def _pool_files(self) -> dict[str, str]:
        """Returns the image of every frame; one that lies in several folders is taken from the first."""
        files = files_by_stem(self.root, EXTRA, IMAGE_ENDING)
        for folder in (f"{FINE}/{split}" for split in SPLITS):
            if (self.root / folder).is_dir():
                files = files_by_stem(self.root, folder, IMAGE_ENDING) | files
            else:
                rank_zero_warn(f"The pool of Cityscapes lacks {folder}: there is no such folder in {self.root}.")
        return files

    def whole_pool(self) -> list[str]:
        """Returns the frames of the pool's list, found in train_extra, train, val and test."""
        return look_up(
            map(_key, self.entries("pool")), self._pool_files(), "frames of the pool's list", self.root / "cityscapes"
        )

    def pool(self) -> list[str]:
        """Returns the images of the pool by the protocol."""
        held_out = () if self.protocol == "paper" else TEST_CITIES
        return [image for image in super().pool() if Path(image).parent.name not in held_out]

    def whole_split(self, split: Split) -> list[Pair]:
        """Returns the frames of a split."""
        if split == "test":
            keys = [_key(entry) for entry in self.entries("test")]
        else:
            shares = (self.train_share, 1 - self.train_share)
            keys = [_key(entry) for entry in cut(self.entries("labelled"), shares, ("train", "val").index(split))]
        images = look_up(keys, self._labelled(FINE, IMAGE_ENDING), f"images of the {split} split", self.root / FINE)
        labels = look_up(keys, self._labelled(LABELS, LABEL_ENDING), f"labels of the {split} split", self.root / LABELS)
        return list(map(Pair, images, labels))

    def _labelled(self, folder: str, ending: str) -> dict[str, str]:
        train, val = (files_by_stem(self.root, f"{folder}/{part}", ending) for part in ("train", "val"))
        return train | val

    def identity(self, image: str) -> str:
        """Returns the frame, without its folder."""
        return _key(Path(image).name)

    def decode_label(self, stored: npt.NDArray[np.int32], path: Path) -> UInt8:
        """Turns label ids into the 19 train ids; all others are void.

        Raises:
            DataError: If the file seems to hold train ids, which are label ids of other classes, or holds instances.
        """
        if (stored == VOID).any() and 0 <= stored[stored != VOID].max(initial=-1) < len(CLASSES):  # no id is 255
            raise DataError(
                f"The label {path} seems to hold train ids: it has the value {VOID} and otherwise only values below "
                f"{len(CLASSES)}. smir reads the files *{LABEL_ENDING}.png as they are in gtFine_trainvaltest.zip."
            )
        return by_table(stored, path, LABEL_IDS, "Cityscapes")


def _key(entry: str) -> str:
    """Returns `<city>/<frame>`, for entries with and without the ending of the file."""
    return stem(entry).removesuffix(IMAGE_ENDING).lstrip("./")
