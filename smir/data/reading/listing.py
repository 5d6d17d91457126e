"""The description of a dataset, and the lists of files that follow from it."""

import abc
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from smir.classes import Classes, UInt8
from smir.data.budget import LabelBudget
from smir.data.predict_options import PredictOptions
from smir.data.reading.cache import ImageCache
from smir.data.reading.file_list import FileList
from smir.data.reading.image_files import list_images
from smir.data.reading.label_values import class_ids
from smir.data.reading.lists import SPLITS, Split
from smir.data.reading.misplaced import photographs_among
from smir.data.reading.opening import Choice, check_readable
from smir.data.reading.pairs import Images, Labels
from smir.data.reading.predicted import ImagesToPredict
from smir.data.reading.screening import Screening
from smir.errors import DataError, counted, first_few, first_messages


class Pair(NamedTuple):
    """Paths of a labelled image and its label, relative to the root."""

    image: str
    label: str


class Listing(abc.ABC):
    """The lists of a dataset. `SmirDataModule` sets the attributes and adds the loaders."""

    root: Path
    task: Literal["pretrain", "segment"]
    min_side: int
    label_budget: LabelBudget | None
    train_on_val = False
    """True if a segmentation trains on its validation images, too."""
    split_seed: int
    budget_seed: Literal["split", "run"]
    seed: int
    predict_images: Path | None
    predict: PredictOptions
    trained_side: int | None
    """Usual shortest side of the images that the weights at hand were trained on, once it is known."""
    on_bad_image: Literal["error", "skip"]
    screening: Screening
    _lists: dict[str, FileList]

    @property
    @abc.abstractmethod
    def classes(self) -> Classes:
        """The classes, in the order of their ids."""

    def splits(self) -> tuple[Split, ...]:
        """The labelled splits; images that nothing trains on may have `test` alone."""
        return SPLITS

    @property
    def has_labels(self) -> bool:
        """True if the dataset has labels; your own images may have none."""
        return True

    @abc.abstractmethod
    def pool(self) -> list[str]:
        """Images of the pretraining pool, relative to the root, in a fixed order."""

    @abc.abstractmethod
    def pairs(self, split: Split) -> list[Pair]:
        """Labelled images of a split, in a fixed order, before any label budget."""

    def decode_label(self, stored: npt.NDArray[np.int32], path: Path) -> UInt8:
        """Turns the stored values (H, W) of a label file into class ids and void (255)."""
        return class_ids(stored, path, len(self.classes))

    def identity(self, image: str) -> str:
        """Name of what an image of a list shows; copies under other paths share it."""
        return image

    def images(self, name: Literal["pool", "train", "val", "test", "predict"]) -> FileList:
        """The image list of the pool or of a split, without those that are skipped."""
        if name not in self._lists:
            if name == "pool":
                self._lists[name] = self._usable_images(name, FileList(self.root, self.pool()))
            elif name != "predict":
                self._list_pairs(name)
            elif self.predict_images is not None:
                self._lists[name] = self._usable_images(name, _given_images(self.predict_images))
            else:
                self._lists[name] = self.images("test")
        return self._lists[name]

    def _list_pairs(self, split: Split) -> None:
        pairs = self._usable_pairs(split, self.pairs(split))
        if split == "train" and self.train_on_val:
            files = self.images("val"), self._lists["val labels"]
            pairs = list(dict.fromkeys([*pairs, *map(Pair, *files)]))
        if split == "train" and self.label_budget is not None:
            pairs = self.label_budget.take(pairs, self.seed if self.budget_seed == "run" else self.split_seed)
        if not pairs:
            alone = "" if split in self.splits() else " data.split_files names only test, so nothing can be trained."
            raise DataError(
                f"The {split} split of {type(self).__name__} in {self.root.absolute()} has no image.{alone}"
            )
        missing = [p for pair in pairs for p in pair if not (self.root / p).is_file()]
        if missing:
            raise DataError(
                f"The {split} split of {type(self).__name__} lists "
                f"{counted(len(missing), 'file that does not exist', 'files that do not exist')} below "
                f"{self.root.absolute()}: {first_few(missing)}. Add them or take them off the list."
            )
        self._lists[split] = FileList(self.root, [pair.image for pair in pairs])
        self._lists[f"{split} labels"] = FileList(self.root, [pair.label for pair in pairs])

    def _usable_images(self, name: str, files: FileList) -> FileList:
        if self.on_bad_image == "error":
            return files
        images = (ImagesToPredict if name == "predict" else Images)(files, self.min_side)

        def read(place: int) -> None:
            if name != "predict" or not self.check_predicted(files.path(place), decode=True):
                images.read(place)

        kept = self.screening.usable(name, [files], read)
        return FileList(files.root, [files[place] for place in kept])

    def _usable_pairs(self, split: Split, pairs: list[Pair]) -> list[Pair]:
        """Pairs that can be used, before any label budget; pairs of the test split are never skipped."""
        if self.on_bad_image == "error" or not pairs:
            return pairs
        images, labels = (FileList(self.root, files) for files in zip(*pairs, strict=True))
        read = Labels(Images(images, self.min_side), labels, self.decode_label).read_pair
        kept = self.screening.usable(split, [images, labels], read)
        if split == "test" and len(kept) < len(pairs):
            reasons = self.screening.verdicts["test"].skipped.values()
            raise DataError(
                f"{counted(len(pairs) - len(kept), 'test image', 'test images')} cannot be used, and results on the "
                f"others could not be compared: {first_messages(reasons)} Repair them or take them off the list."
            )
        return [pairs[place] for place in kept]

    def check_predicted(self, path: Path, decode: bool = False) -> bool:
        """Returns whether `predict` reads an image in windows; if it does, refuses what `predict` would refuse."""
        choice = self.choice()
        in_windows = choice.in_windows(path)
        if in_windows:
            check_readable(path, decode, choice.bands)
        return in_windows

    def choice(self) -> Choice:
        """Returns the rule for which images `predict` reads in windows."""
        return Choice(self.predict.view, self.trained_side, self.predict.band_choice())

    def labelled(self, split: Split, cache: ImageCache | None = None) -> Labels:
        """Reads the labelled images of a split, from its files or through a cache."""
        images = Images(self.images(split), self.min_side, cache)
        return Labels(images, self._lists[f"{split} labels"], self.decode_label)

    def trained_val_images(self) -> set[str]:
        """Returns the validation images that a segmentation also trains on: with a label budget, not all of them."""
        return set(self.images("train")) & set(self.images("val")) if self.train_on_val else set()

    def fingerprint(self) -> dict[str, dict[str, Any]]:
        """Number of images and hash of the names of every list that the task uses; part of a run's identity.

        Images that are skipped are in neither.
        """
        names: tuple[Any, ...] = ("pool",) if self.task == "pretrain" else SPLITS
        lists = {name: self.images(name) for name in names}
        return {name: {"images": len(files), "names": files.fingerprint()} for name, files in lists.items()}

    def files(self) -> dict[str, FileList]:
        """All files that the task reads: the lists of `fingerprint`, and those of their labels."""
        names = [name for split in self.fingerprint() for name in (split, f"{split} labels")]
        return {name: self._lists[name] for name in names if name in self._lists}


def _given_images(place: Path) -> FileList:
    """The photographs of a folder, or a file alone."""
    if place.is_file():
        return FileList(place.parent, [place.name])
    return FileList(place, photographs_among(place, list_images(place)))
