"""Your own images: a folder of images and, for segmentation, a parallel folder of labels."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from smir.classes import Classes, UInt8
from smir.data.base import SmirDataModule
from smir.data.reading.image_files import list_images
from smir.data.reading.label_values import class_ids
from smir.data.reading.listing import Pair
from smir.data.reading.lists import SPLITS, Split, check_fractions, read_list, stem
from smir.errors import ConfigError, DataError, counted, first_few
from smir.seeding import seed_for


class Folder(SmirDataModule):
    """A directory of images; optionally a parallel directory of labels.

    ```
    root/images/**/<name>.jpg      any depth; jpg, png, tif, bmp or webp
    root/labels/**/<name>.png      one channel of class ids, 255 = void (not counted)
    ```

    Splits come from list files, or from seeded fractions of the labelled images.

    Args:
        root: Folder that holds the folders below.
        images: Folder of the images, relative to the root.
        labels: Folder of the labels, relative to the root; needed to segment.
        classes: Class names by id: the first is the name of id 0. Needed to segment.
        colors: Red, green and blue (0 to 255) of classes by name, for pictures. Default: black for the class called
            background, or else for the first, and hues for the others.
        label_map: Stored label value to class id (or 255 for void), for files that are not numbered 0, 1, 2, ...
        split_files: List files of the splits, relative to the root: `{train: train.txt, val: val.txt, test: test.txt}`.
            An entry is an image's path relative to `images`, with or without its suffix. Images that are only tested on
            just need `test`.
        fractions: Shares of train, val and test if there are no list files.
        train_on_val: Train a segmentation on the validation images, too. With few labels, each is worth more
            in training than in choosing a checkpoint. Validation figures then tell nothing about other images, and the
            best checkpoint is the one that fits the validation images best. Test images are never trained on. A label
            budget draws from both lists.
        partial_labels: Accept images without a label; they are only used for pretraining.
        hold_out: Leave the images of val and test out of the pretraining pool.
        left_out: List file of further images to leave out of the pool, relative to the root: those that show the same
            as val and test images, such as copies. `prepare folder` writes it.
        kwargs: Arguments of every dataset.
    """

    shortens_warmup: ClassVar[bool] = True

    def __init__(
        self,
        root: Path,
        images: str = "images",
        labels: str | None = None,
        classes: list[str] | None = None,
        colors: dict[str, tuple[int, int, int]] | None = None,
        label_map: dict[int, int] | None = None,
        split_files: dict[Split, str] | None = None,
        fractions: tuple[float, float, float] = (0.7, 0.1, 0.2),
        train_on_val: bool = False,
        partial_labels: bool = False,
        hold_out: bool = True,
        left_out: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(root, **kwargs)
        self.image_folder, self.label_folder = images, labels
        self.class_names, self.class_colors, self.label_map = classes, colors, label_map
        self.split_files, self.fractions = split_files, fractions
        self.train_on_val = train_on_val and self.task == "segment"
        self.partial_labels, self.hold_out, self.left_out = partial_labels, hold_out, left_out
        if split_files is not None and set(split_files) not in ({*SPLITS}, {"test"}):
            raise ConfigError(
                "data.split_files must name train, val and test, or just test for images that are only tested on; got "
                f"{sorted(split_files)}."
            )
        check_fractions(fractions)
        if not all(name.strip() for name in classes or ()):
            raise ConfigError(f"data.classes holds a class without a name: {classes}.")
        if unknown := sorted(set(colors or ()) - set(classes or ())):
            known = ", ".join(classes or ()) or "none"
            raise ConfigError(f"data.colors names {first_few(unknown)}, but data.classes are {known}.")
        if self.task == "segment" and (labels is None or not classes):
            if _holds_labels(root / "data.yaml"):
                raise ConfigError(
                    f"To segment, Folder needs data.labels and data.classes, which {root / 'data.yaml'} holds: add "
                    f"--config {root / 'data.yaml'}."
                )
            raise ConfigError(
                "To segment, Folder needs data.labels (the folder of label images, relative to data.root) and "
                f"data.classes (class names by id). {self._siblings()} Images without labels are for pretraining: "
                "--data.task pretrain, as --config folder/pretrain has it."
            )

    @property
    def classes(self) -> Classes:
        """The classes named by the user, in the user's colours where there are any."""
        return Classes.named(self.class_names or [], self.class_colors)

    @property
    def has_labels(self) -> bool:
        """True if `data.labels` is set."""
        return self.label_folder is not None

    def splits(self) -> tuple[Split, ...]:
        """Returns all three splits, or just `test`."""
        return super().splits() if self.split_files is None or len(self.split_files) > 1 else ("test",)

    def pool(self) -> list[str]:
        """Returns all images; with `hold_out`, without those of the validation and test split and of `left_out`."""
        names = self._image_names()
        if self.hold_out and (self.split_files is not None or self.has_labels):
            held_out = {*self._split("val"), *self._split("test")}
            if self.left_out is not None:
                held_out.update(read_list(self.root / self.left_out))  # some may be gone
            names = [name for name in names if name not in held_out]
        return [f"{self.image_folder}/{name}" for name in names]

    def pairs(self, split: Split) -> list[Pair]:
        """Returns the images of a split with their labels."""
        if not self.has_labels:
            raise DataError("data.labels is not set, so there is no split of labelled images.")
        labels = self._labels()
        names = self._split(split)
        without = [name for name in names if stem(name) not in labels]
        if without:
            raise DataError(
                f"The {split} split has {counted(len(without), 'image', 'images')} without a label in "
                f"{self._folder(self.label_folder)}: "
                f"{first_few(without)}. Add the labels, or take the images off the list."
            )
        return [Pair(f"{self.image_folder}/{n}", f"{self.label_folder}/{labels[stem(n)]}") for n in names]

    def decode_label(self, stored: npt.NDArray[np.int32], path: Path) -> UInt8:
        """Translates by `label_map` and refuses values outside the classes."""
        return class_ids(stored, path, len(self.classes), self.label_map)

    def _folder(self, name: str | None) -> Path:
        return (self.root / (name or "")).absolute()

    def _siblings(self) -> str:
        folders = sorted(p.name for p in self.root.iterdir() if p.is_dir()) if self.root.is_dir() else []
        return f"Folders in {self.root.absolute()}: {', '.join(folders) or 'none'}."

    def _image_names(self) -> list[str]:
        names = self._listed_images(self.image_folder)
        _by_stem(names, self._folder(self.image_folder))
        return names

    def _labels(self) -> dict[str, str]:
        """Returns the label file of every stem."""
        return _by_stem(self._listed_images(self.label_folder), self._folder(self.label_folder))

    def _listed_images(self, name: str | None) -> list[str]:
        try:
            return list_images(self._folder(name))
        except DataError as error:
            if self.root.is_dir():
                raise
            raise DataError(f"{error} If the images were moved, name their new place: --data.root FOLDER") from error

    def _split(self, split: Split) -> list[str]:
        if split not in self.splits():
            return []
        names = self._image_names()
        if self.split_files is not None:
            return self._listed(names, self.root / self.split_files[split])
        if self.has_labels:
            names = self._labelled_names(names)
        order = np.random.default_rng(seed_for(self.split_seed, "split")).permutation(len(names))
        ends = np.round(np.cumsum([0, *self.fractions]) * len(names)).astype(int)
        place = SPLITS.index(split)
        return [names[i] for i in sorted(order[ends[place] : ends[place + 1]].tolist())]

    def _listed(self, names: list[str], path: Path) -> list[str]:
        known = {stem(name): name for name in names} | {name: name for name in names}
        entries = read_list(path)
        unknown = [entry for entry in entries if entry not in known]
        if unknown:
            raise DataError(
                f"{path.absolute()} lists {len(unknown)} names that are not among the {len(names)} images of "
                f"{self._folder(self.image_folder)}: {first_few(unknown)}. Names there look like: {first_few(names)}."
            )
        return list(dict.fromkeys(known[entry] for entry in entries))  # one may be listed with and without suffix

    def _labelled_names(self, names: list[str]) -> list[str]:
        labels = self._labels()
        labelled = [name for name in names if stem(name) in labels]
        without = sorted(set(names) - set(labelled))
        if without and not self.partial_labels:
            raise DataError(
                f"{len(without)} of {len(names)} images in {self._folder(self.image_folder)} have no label in "
                f"{self._folder(self.label_folder)}: {first_few(without)}. Add the labels, name the labelled images in "
                "data.split_files, or set data.partial_labels: true to use the others only for pretraining."
            )
        return labelled


def _holds_labels(config: Path) -> bool:
    """Returns whether a `data.yaml` of `prepare folder` names labels."""
    return config.is_file() and "\n    labels: " in config.read_text(encoding="utf-8", errors="replace")


def _by_stem(names: list[str], folder: Path) -> dict[str, str]:
    by_stem: dict[str, str] = {}
    for name in names:
        other = by_stem.setdefault(stem(name), name)
        if other != name:
            raise DataError(f"{folder} holds both {other} and {name}; names without suffix must be unique.")
    return by_stem
