"""Lists the images to choose from, and those that have labels already."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

from smir.choose.labelled import labelled_names, labelled_photographs, same_files
from smir.data import Folder, SmirDataModule
from smir.data.reading.file_list import FileList
from smir.data.reading.lists import can_be_listed, read_list, stem
from smir.data.reading.pairs import Images
from smir.errors import ConfigError, DataError, first_few
from smir.inspect.images import ImagesToInspect, from_paths
from smir.prepare.labels.matching import ImageNames


@dataclasses.dataclass(frozen=True)
class Pool:
    """Images, named relative to their folder as a list of a split names them, and the places of those with labels."""

    images: ImagesToInspect
    labelled: frozenset[int]

    @property
    def names(self) -> list[str]:
        """Names of all images."""
        return list(self.images.files)

    @property
    def folder(self) -> Path:
        """Folder of the images."""
        return self.images.files.root

    def with_labels_of(self, data: SmirDataModule) -> "Pool":
        """Counts images as labelled if they, or copies of them, have labels in a dataset.

        Raises:
            DataError: If files of the dataset are missing.
        """
        files = (self.images.files.path(place) for place in range(len(self.images)))
        labelled = same_files(files, labelled_photographs(data))
        places = {place for place, is_labelled in enumerate(labelled) if is_labelled}
        return dataclasses.replace(self, labelled=self.labelled | places)

    def with_labels(self, place: Path) -> "Pool":
        """Counts images as labelled if a list names them, or a folder holds a file of the same name.

        Raises:
            DataError: If none of the names is that of an image.
        """
        if place.is_dir():
            named = [file.relative_to(place).with_suffix("").as_posix() for file in place.rglob("*") if file.is_file()]
        else:
            named = read_list(place)
        images = ImageNames(self.names, self.folder)
        found = {image for name in sorted(set(named)) if (image := images.find(name)) is not None}
        if not found:
            raise DataError(
                f"--labelled {place} names none of the {len(self.names):,} images in {self.folder.absolute()}: it "
                f"holds {first_few(named) or 'nothing'}. Give a list of image names, or a folder of label files named "
                "like the images."
            )
        places = {index for index, name in enumerate(self.names) if name in found}
        return dataclasses.replace(self, labelled=self.labelled | places)


def of_paths(paths: Sequence[Path]) -> Pool:
    """Lists images and the images of folders, relative to the folder that holds all.

    Raises:
        DataError: If one does not exist, or two differ only in their suffix.
    """
    if not paths:
        raise ConfigError("--images names no image. Name images or folders.")
    given = from_paths(paths)
    folders = [path if path.is_dir() else path.parent for path in paths]
    root = os.path.commonpath(map(_absolute, folders))
    names = {Path(os.path.relpath(_absolute(Path(name)), root)).as_posix() for name in given.files}
    shown = folders[0] if len(folders) == 1 else Path(os.path.relpath(root))
    return _pool(given.title, shown, sorted(names), set(), min_side=1)


def of_data(data: SmirDataModule) -> Pool:
    """Lists the pool of a dataset and its labelled images.

    Raises:
        DataError: If files are missing, or two differ only in their suffix.
    """
    labelled = labelled_names(data)
    names = sorted({*data.images("pool"), *labelled})
    folder = f"{data.image_folder}/" if isinstance(data, Folder) else ""
    title = f"{type(data).__name__} in {data.root}"
    own = [name.removeprefix(folder) for name in names]
    return _pool(title, data.root / folder, own, {name.removeprefix(folder) for name in labelled}, data.min_side)


def _absolute(path: Path) -> str:
    return os.path.normpath(path.absolute())  # links stay: their names are those of the images


def _pool(title: str, root: Path, names: list[str], labelled: set[str], min_side: int) -> Pool:
    if bad := [name for name in names if not can_be_listed(name)]:
        raise DataError(f"A list cannot hold {first_few(map(repr, bad))}: a line is one name, in UTF-8. Rename them.")
    seen: dict[str, str] = {}
    for name in names:
        if (other := seen.setdefault(stem(name), name)) != name:
            raise DataError(
                f"{root.absolute()} holds both {other} and {name}: their labels would have the same name. Rename one."
            )
    images = ImagesToInspect(title, Images(FileList(root, names), min_side))
    return Pool(images, frozenset(place for place, name in enumerate(names) if name in labelled))
