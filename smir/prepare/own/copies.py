"""Finds photographs of equal content: a copy among the test images of one that is trained on flatters the figures."""

from collections.abc import Iterable
from pathlib import Path

from smir.files.digest import file_digest

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
