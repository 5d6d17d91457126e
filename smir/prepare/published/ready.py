"""The steps that the `prepare` commands of the published datasets share."""

from collections.abc import Iterable
from pathlib import Path

from smir.prepare.published.download import fetch
from smir.prepare.published.own_lists import forget, remember
from smir.prepare.published.parts import Source
from smir.prepare.published.unpack import unpack_all


def fetch_missing(source: Source, root: Path, archives: Path | None) -> Path | None:
    """Fetches the archives of the parts that are not in place.

    Args:
        source: The dataset.
        root: Data root.
        archives: Folder to fetch into; default: `archives` below the root.

    Returns:
        The folder; `archives` as it came, if nothing is missing.

    Raises:
        DataError: If a file cannot be fetched or is not what its site promises.
    """
    for part in source.missing(root):
        if part.download:
            archives = archives or root / "archives"
            print(f"{fetch(part.download, archives)}: fetched")
    return archives


def unpack(source: Source, root: Path, archives: Path | None) -> None:
    """Unpacks what the archives hold of a dataset; lists that an earlier run made of fewer files are deleted.

    Raises:
        DataError: See `unpack_all`.
    """
    if archives is not None and unpack_all(source, root, archives):
        forget(source, root)


def finish(source: Source, root: Path, lists: Iterable[Path]) -> None:
    """Records and tells which list files were written."""
    remember(source, root, lists := list(lists))
    for path in lists:
        print(f"{path}: list written")
    print(f"{source.title} is ready in {root / source.folder}.")
