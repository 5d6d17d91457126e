"""Finds out which of the images that a user names have labels in a dataset."""

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from smir.data import Folder, SmirDataModule
from smir.data.reading.image_files import list_images
from smir.data.reading.lists import stem
from smir.errors import DataError
from smir.files.digest import file_digest
from smir.files.json_record import dict_or_empty
from smir.prepare.own.options import RECORD


def labelled_names(data: SmirDataModule) -> set[str]:
    """Returns the images of a dataset that have labels, of all its splits, relative to its root.

    Raises:
        DataError: If files are missing.
    """
    return {pair.image for split in data.splits() for pair in data.pairs(split)} if data.has_labels else set()


def labelled_photographs(data: SmirDataModule) -> set[Path]:
    """Returns the files of the labelled images, or the photographs that `prepare folder` made them from.

    Raises:
        DataError: If files are missing.
    """
    names, record = labelled_names(data), dict_or_empty(data.root / RECORD)
    source, settings = Path(str(record.get("source", ""))), record.get("settings", ())
    of_photographs = "files" in settings and {"tile", "bands"} & set(settings)
    if not (isinstance(data, Folder) and of_photographs):
        return {data.root / name for name in names}  # linked by prepare, never changed, or tiles of an orthomosaic
    if not source.is_dir():
        raise DataError(
            f"there is no folder {source.absolute()} of the photographs that {data.root} was made from. Run the "
            "command in the folder where prepare folder ran."
        )
    photographs = {stem(name): source / name for name in list_images(source)}
    found = set()
    for name in names:
        image = PurePosixPath(name).relative_to(data.image_folder)
        own, folder = stem(image.as_posix()), image.parent.as_posix()  # of tiles, the folder has the photograph's name
        found.add(photographs.get(own) or photographs.get(folder))
    return {path for path in found if path is not None}


def same_files(images: Iterable[Path], others: Iterable[Path]) -> Iterator[bool]:
    """Yields, for every image, whether one of the others has the same content. Names do not count.

    Files are read only if another has the same size.
    """
    by_size: dict[int, list[Path]] = {}
    for other in others:
        if other.is_file():
            by_size.setdefault(other.stat().st_size, []).append(other)
    digests: dict[int, set[str]] = {}
    for image in images:
        size = image.stat().st_size if image.is_file() else -1  # what cannot be read is named later
        alike = by_size.get(size, [])
        if alike and size not in digests:
            digests[size] = {file_digest(other) for other in alike}
        yield bool(alike) and file_digest(image) in digests[size]
