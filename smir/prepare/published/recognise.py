"""Recognises archives by the paths of their members, whatever the archives are called."""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from smir.errors import DataError
from smir.prepare.published.archives import BROKEN, UnsafeArchive, read_archive
from smir.prepare.published.parts import Part, Source
from smir.terminal import progress


@dataclass(frozen=True)
class Plan:
    """What is to be done with an archive.

    Attributes:
        parts: Parts of the dataset that it holds; none: it is left alone, for the `reason`.
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


@dataclass(frozen=True)
class _Candidate:
    """A member that the layout needs, if the archive is of one of these parts; with its place below the root."""

    name: str
    size: int
    places: tuple[tuple[Part, str], ...]


def examine(path: Path, source: Source) -> Plan:
    """Recognises an archive, and checks all of its members.

    Raises:
        DataError: If it is a part of the dataset, and damaged, unsafe, or with two files for one place.
    """
    parts: set[Part] = set()
    candidates: list[_Candidate] = []
    count, problem = 0, None
    try:
        with closing(read_archive(path)) as reading:
            for member in progress(reading, f"Reading {path.name}", unit=" files", leave=False):
                count += 1
                if _is_of_macos(member.name):
                    continue
                parts.update(part for part in source.parts if part.mark.match(member.name))
                matches = [(part, match[1]) for part in source.parts if (match := part.takes.match(member.name))]
                if matches:
                    places = tuple((part, f"{part.target}/{below}") for part, below in matches)
                    candidates.append(_Candidate(member.name, member.size, places))
    except (UnsafeArchive, OSError, *BROKEN) as error:
        problem = error
    if not parts:
        reason = f"cannot be read: {problem}" if problem else f"not recognised as a part of {source.title}"
        return Plan((), {}, 0, 0, count, str(problem) if isinstance(problem, UnsafeArchive) else reason)
    if isinstance(problem, UnsafeArchive):
        raise problem
    if problem:
        raise damaged(path, problem) from problem
    return _plan(path, tuple(part for part in source.parts if part in parts), candidates, count)


def damaged(path: Path, error: Exception) -> DataError:
    """Returns the error to raise for an archive that cannot be read to its end."""
    return DataError(
        f"{path.absolute()} ({path.stat().st_size:,} bytes) is damaged or cut short: {error or type(error).__name__}. "
        "Fetch it again. Nothing was unpacked from it."
    )


def _is_of_macos(name: str) -> bool:
    return name.startswith("__MACOSX/") or name.rsplit("/", 1)[-1].startswith("._")


def _plan(path: Path, parts: tuple[Part, ...], candidates: list[_Candidate], count: int) -> Plan:
    """Gives every candidate its place."""
    members: dict[str, str] = {}
    size = disk = 0
    for candidate in candidates:
        place = next((place for part, place in candidate.places if part in parts), None)
        if place is None:
            continue
        if other := members.get(place):
            raise DataError(
                f"{path.absolute()} holds two files for {place}: {other!r} and {candidate.name!r}. Nothing was "
                "unpacked from it; pack it anew with one of them."
            )
        members[place] = candidate.name
        size += candidate.size
        disk += -(-candidate.size // 4096) * 4096
    return Plan(parts, {name: place for place, name in members.items()}, size, disk, count - len(members))
