"""Finds copies and versions of a photograph: with one in training and one in the test, figures are flattered."""

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from smir.files.digest import file_digest
from smir.prepare.labels.matching import before_roboflow

_OF_SPLITS = ("train", "valid", "test")
"""Roboflow's folders, between which versions of a photograph may lie."""
_PLACE, _SOME = 1 << 16, 1 << 10
"""Some bytes before this place are compared first: uncompressed images may all have one size, and are long to read."""


def originals(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Returns, for every file that is a copy of an earlier one, the first of its kind."""
    alike: dict[tuple[int, bytes], list[str]] = {}
    for name in names:
        path = folder / name
        with path.open("rb") as file:
            alike.setdefault((path.stat().st_size, file.read(_PLACE)[-_SOME:]), []).append(name)
    found: dict[str, str] = {}
    for group in alike.values():
        first: dict[str, str] = {}
        for name in group if len(group) > 1 else ():
            if (original := first.setdefault(file_digest(folder / name, 64), name)) != name:
                found[name] = original
    return found


def versions(names: Iterable[str]) -> dict[str, str]:
    """Returns the first version of every further one: Roboflow mirrors, turns and brightens photographs."""
    first: dict[tuple[str, ...], str] = {}
    found = {}
    for name in names:
        own = before_roboflow(name)
        folders = [part for part in PurePosixPath(name).parts[:-1] if part.lower() not in _OF_SPLITS]
        if own is not None and (other := first.setdefault((*folders, own), name)) != name:
            found[name] = other
    return found


def kinds(*alike: Mapping[str, str]) -> dict[str, str]:
    """Groups photographs that are copies or versions of each other; returns the first of its group for each of them."""
    first: dict[str, str] = {}

    def root(name: str) -> str:
        while (other := first.setdefault(name, name)) != name:
            name = other
        return name

    for pairs in alike:
        for one, other in pairs.items():
            low, high = sorted((root(one), root(other)))
            first[high] = low
    return {name: root(name) for name in first}
