"""Recognises archives by the paths of their members, whatever the archives are called."""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from smir.errors import DataError
from smir.prepare.published.archives import BROKEN, UnsafeArchive, read_archive
from smir.prepare.published.parts import Part, PublishedDataset
from smir.terminal import progress

_DISK_BLOCK = 4096


@dataclass(frozen=True)
class Plan:
    """What is to be done with an archive.

    Attributes:
        parts: Parts of the dataset that it holds; if there are none, it is left alone, for the `reason`.
        targets: Place below the data root of every member that the layout needs.
        size: Their size in bytes.
        disk: What they take on a disk, in bytes.
        others: Number of other members.
        reason: For messages.
    """

    parts: tuple[Part, ...]
    targets: dict[str, str]
    size: int
    disk: int
    others: int
    reason: str = ""


def examine(path: Path, dataset: PublishedDataset) -> Plan:
    """Recognises an archive, and checks all of its members.

    Raises:
        DataError: If it is a part of the dataset, and damaged, unsafe, or with two files for one place.
    """
    marked: set[Part] = set()
    wanted: list[tuple[str, int, dict[Part, str]]] = []  # with the place below the root, by the part it would be of
    count, problem = 0, None
    try:
        with closing(read_archive(path)) as reading:
            for member in progress(reading, f"Reading {path.name}", unit=" files", leave=False):
                count += 1
                if _is_of_macos(member.name):
                    continue
                marked.update(part for part in dataset.parts if part.mark.match(member.name))
                matches = ((part, part.takes.match(member.name)) for part in dataset.parts)
                if places := {part: f"{part.target}/{match[1]}" for part, match in matches if match}:
                    wanted.append((member.name, member.size, places))
    except (UnsafeArchive, OSError, *BROKEN) as error:
        problem = error
    if not marked:
        reason = f"cannot be read: {problem}" if problem else f"not recognised as a part of {dataset.title}"
        return Plan((), {}, 0, 0, count, str(problem) if isinstance(problem, UnsafeArchive) else reason)
    if problem:
        raise problem if isinstance(problem, UnsafeArchive) else damaged(path, problem) from problem
    members: dict[str, str] = {}
    size = disk = 0
    for name, bytes_of_member, places in wanted:
        place = next((place for part, place in places.items() if part in marked), None)
        if place is None:
            continue
        if other := members.get(place):
            raise DataError(
                f"{path.absolute()} holds two files for {place}: {other!r} and {name!r}. Nothing was unpacked from it; "
                "pack it anew with one of them."
            )
        members[place] = name
        size += bytes_of_member
        disk += -(-bytes_of_member // _DISK_BLOCK) * _DISK_BLOCK
    parts = tuple(part for part in dataset.parts if part in marked)
    return Plan(parts, {name: place for place, name in members.items()}, size, disk, count - len(members))


def damaged(path: Path, error: Exception) -> DataError:
    """Returns the error to raise for an archive that cannot be read to its end."""
    return DataError(
        f"{path.absolute()} ({path.stat().st_size:,} bytes) is damaged or cut short: {error or type(error).__name__}. "
        "Fetch it again. Nothing was unpacked from it."
    )


def _is_of_macos(name: str) -> bool:
    return name.startswith("__MACOSX/") or name.rsplit("/", 1)[-1].startswith("._")
