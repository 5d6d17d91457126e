"""Finds out which of the images that a user names have labels in a dataset."""

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from smir.data import Folder, SmirDataModule
from smir.data.reading.image_files import list_images
from smir.data.reading.lists import stem
from smir.files.digest import file_digest
from smir.files.json_record import dict_or_empty
from smir.prepare.own.options import RECORD
from smir.prepare.own.tile import TILE_PREFIX


def labelled_names(data: SmirDataModule) -> set[str]:
    """Returns the images of a dataset that have labels, of all its splits, relative to its root.

    Raises:
        DataError: If files are missing.
    """
    bare = isinstance(data, Folder) and data.label_folder is None
    return set() if bare else {pair.image for split in data.splits() for pair in data.pairs(split)}


def labelled_photographs(data: SmirDataModule) -> set[Path]:
    """Returns the files of these images, or the photographs that `prepare folder` made them from.

    Raises:
        DataError: If files are missing.
    """
    names, record = labelled_names(data), dict_or_empty(data.root / RECORD)
    source, settings = Path(str(record.get("source", ""))), record.get("settings", ())
    if not (isinstance(data, Folder) and {"tile", "bands"} & set(settings) and source.is_dir()):
        return {data.root / name for name in names}  # linked by prepare, or never changed
    photographs = {stem(name): source / name for name in list_images(source)}
    made_of = {_photograph(PurePosixPath(name).relative_to(data.image_folder)) for name in names}
    return {photographs[name] for name in made_of & photographs.keys()}


def _photograph(image: PurePosixPath) -> str:
    """Returns the name without suffix of the photograph behind an image; tiles lie in a folder of its name."""
    return image.parent.as_posix() if image.name.startswith(TILE_PREFIX) else stem(image.as_posix())


def same_files(images: Iterable[Path], others: Iterable[Path]) -> Iterator[bool]:
    """Yields for every image whether the others hold the same content; names say nothing, as `1.jpg` is in any folder.

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
