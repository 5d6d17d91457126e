"""Chooses the images to inspect: files and folders, or a split of a dataset, with its labels if it has them."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from smir.classes import Classes, UInt8
from smir.data import SmirDataModule
from smir.data.reading.file_list import FileList
from smir.data.reading.image_files import list_images
from smir.data.reading.misplaced import photographs_among
from smir.data.reading.pairs import Images, Labels
from smir.errors import ConfigError, DataError
from smir.runs.checkpoint_record import same_classes

Split = Literal["pool", "train", "val", "test"]


@dataclasses.dataclass(frozen=True)
class ImagesToInspect:
    """Images to inspect, with a title in words, and their labels if there are any."""

    title: str
    images: Images
    labels: Labels | None = None

    def __len__(self) -> int:
        return len(self.files)

    @property
    def files(self) -> FileList:
        """The file names."""
        return self.images.files

    def read(self, index: int) -> tuple[UInt8, UInt8 | None]:
        """Decodes an image (H, W, 3), and its label (H, W) if any; raises DataError if either cannot be used."""
        return (self.images.read(index), None) if self.labels is None else self.labels.read_pair(index)


def from_paths(paths: Sequence[Path]) -> ImagesToInspect:
    """Lists files, and the photographs of folders by name, each once; raises DataError if one does not exist."""
    names: list[str] = []
    in_folders: list[str] = []
    for path in paths:
        if path.is_dir():
            found = [str(path / name) for name in list_images(path)]
            in_folders += found
            names += found
        elif path.exists() or path.is_symlink():
            names.append(str(path))
        else:
            raise DataError(f"There is no image or folder {path.absolute()}. Give files, folders, or both.")
    labels = set(in_folders) - set(photographs_among(Path(), in_folders))
    files = FileList(Path(), [name for name in dict.fromkeys(names) if name not in labels])
    title = ", ".join(map(str, paths[:3])) + (" ..." if len(paths) > 3 else "")
    return ImagesToInspect(title, Images(files, min_side=1))


def pool_or_split(data: SmirDataModule, split: Split | None) -> ImagesToInspect:
    """Takes the pool of a dataset, or the images of a split, for a pretraining."""
    name: Split = split or "pool"
    return ImagesToInspect(_title(data, name), Images(data.images(name), data.min_side))


def labelled_split(data: SmirDataModule, split: Split, classes: Classes) -> ImagesToInspect:
    """Takes the labelled images of a split.

    Raises:
        ConfigError: If the pool is asked for, which has no labels, or the dataset has other classes than the network.
    """
    if split == "pool":
        raise ConfigError("--split pool has no labels: take train, val or test, or name the images.")
    same_classes(classes.names, data.classes.names, f"{type(data).__name__} in {data.root.absolute()}")
    labels = data.labelled(split)
    return ImagesToInspect(_title(data, split), labels.images, labels)


def _title(data: SmirDataModule, name: str) -> str:
    trained = len(data.trained_val_images()) if name == "val" else 0
    note = f", {trained} of them trained on" if trained else ""
    return f"{name} of {type(data).__name__} in {data.root}{note}"
