"""The splits that `--splits` names: three lists, or three folders of images."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from smir.data.reading.image_files import list_images
from smir.data.reading.lists import SPLITS, Split, read_list

_FOLDERS: Mapping[Split, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
"""Usual names of the folders of a split."""
SPLIT_FOLDERS = {word for words in _FOLDERS.values() for word in words}


def folders_of_splits(names: Iterable[str]) -> dict[Split, str]:
    """Returns which of the folders holds each split; empty unless there is one for each."""
    by_word = {name.lower(): name for name in names}
    found = {split: by_word[word] for split, words in _FOLDERS.items() for word in words if word in by_word}
    return found if len(found) == len(SPLITS) else {}


def files_of_splits(where: Path) -> list[str]:
    """Returns the lists, or else the images in the folders, relative to `where`; empty if it holds neither."""
    lists = [f"{split}.txt" for split in SPLITS]
    if all((where / name).is_file() for name in lists):
        return lists
    return [name for split in SPLITS for name in _images_of(where, split)]


def listed(where: Path, split: Split) -> list[str]:
    """Returns the images of a split, as its list names them or relative to `where`."""
    file = where / f"{split}.txt"
    return read_list(file) if file.is_file() else _images_of(where, split)


def _images_of(where: Path, split: Split) -> list[str]:
    folders = folders_of_splits(place.name for place in where.iterdir() if place.is_dir())
    return [f"{folders[split]}/{name}" for name in list_images(where / folders[split])] if folders else []
