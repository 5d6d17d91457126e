"""The steps that the `prepare` commands of the published datasets share."""

from collections.abc import Iterable
from pathlib import Path

from smir.files.json_record import dict_or_empty, write_json
from smir.prepare.published.download import fetch
from smir.prepare.published.parts import PublishedDataset
from smir.prepare.published.unpack import unpack_all
from smir.runs.run_folder import file_digest


def fetch_missing(dataset: PublishedDataset, root: Path, archives: Path | None) -> Path | None:
    """Fetches the archives of the parts that are not in place.

    Args:
        dataset: The dataset.
        root: Data root.
        archives: Folder to fetch into; default: `archives` below the root.

    Returns:
        The folder; `archives` as it came, if nothing is missing.

    Raises:
        DataError: If a file cannot be fetched or is not what its site promises.
    """
    for part in dataset.missing(root):
        if part.download:
            archives = archives or root / "archives"
            print(f"{fetch(part.download, archives)}: fetched")
    return archives


def unpack(dataset: PublishedDataset, root: Path, archives: Path | None) -> None:
    """Unpacks what the archives hold of a dataset.

    If any was new, the list files that `prepare` wrote before are deleted, to be made of all files; those that somebody
    has changed since stay.

    Raises:
        DataError: See `unpack_all`.
    """
    if archives is None or not unpack_all(dataset, root, archives):
        return
    for name, digest in dict_or_empty(_lists(dataset, root)).items():
        path = root / name
        if path.is_file() and file_digest(path) == digest:
            path.unlink()


def finish(dataset: PublishedDataset, root: Path, lists: Iterable[Path]) -> None:
    """Records and tells which list files were written."""
    lists = list(lists)
    if written := {str(path.relative_to(root)): file_digest(path) for path in lists}:
        write_json(_lists(dataset, root), {**dict_or_empty(_lists(dataset, root)), **written})
    for path in lists:
        print(f"{path}: list written")
    print(f"{dataset.title} is ready in {root / dataset.folder}.")


def _lists(dataset: PublishedDataset, root: Path) -> Path:
    """The record of the list files that `prepare` has written."""
    return root / dataset.folder / "lists.json"
