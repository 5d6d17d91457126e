"""Unpacks the archives that a user has downloaded, in the layout of their dataset.

An archive is read twice. The first pass recognises it by the paths of its members, and checks them. The second pass
unpacks into a folder beside the dataset and moves the files into place. So every file is complete or absent, and a bad
archive leaves nothing behind.
"""

import errno
import filecmp
import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from smir.errors import DataError, first_few
from smir.files.atomic import placing
from smir.files.digest import DIGITS, file_digest
from smir.files.json_record import dict_or_empty, write_json
from smir.prepare.alone import alone
from smir.prepare.published.archives import BROKEN, UnsafeArchive, has_name, is_archive, left_alone, read_archive
from smir.prepare.published.download import fetch
from smir.prepare.published.parts import ArchivedDataset, Part
from smir.terminal import progress

STAGING = ".unpacking"
WriteLists = Callable[[Callable[[Path, list[str]], None]], list[Path]]
"""`write_lists` of `smir.data.PublishedDataset`."""
_DISK_BLOCK = 4096


class Plan(NamedTuple):
    """The files to unpack from an archive.

    Attributes:
        parts: Parts of the dataset that it holds; empty if the archive is to be left alone, see `reason`.
        targets: Path below the data root of every needed member, by the member's name.
        size: Total size of these members in bytes.
        disk: Disk space that they take in bytes.
        others: Number of other members.
        reason: Why the archive is left alone.
    """

    parts: tuple[Part, ...]
    targets: dict[str, str]
    size: int
    disk: int
    others: int
    reason: str = ""


def fetch_missing(dataset: ArchivedDataset, root: Path, archives: Path | None) -> Path | None:
    """Fetches the archives of missing parts into `archives`, or into a folder of that name below the root.

    Returns:
        The folder; `archives` unchanged if nothing is missing.
    """
    with alone(root / dataset.folder):
        for part in dataset.missing(root):
            if part.download:
                archives = archives or root / "archives"
                print(f"{fetch(part.download, archives)} is there.")
    return archives


def unpack(dataset: ArchivedDataset, root: Path, archives: Path | None) -> None:
    """Unpacks new archives, and then deletes the list files that `prepare` wrote, so that they are made again.

    List files that somebody has changed since stay. See `unpack_all` for the errors.
    """
    if archives is not None and unpack_all(dataset, root, archives):
        _forget(_own_lists(dataset, root))


def prepare(dataset: ArchivedDataset, name: str, root: Path, archives: Path | None) -> None:
    """Unpacks new archives, and writes the list files of the dataset's class of that name in `smir.data`.

    Lists that `prepare` wrote itself are made again if images have come that were not unpacked by it.
    """
    unpack(dataset, root, archives)
    dataset.require_all(root)
    from smir import data  # importing it takes more memory than the unpacking

    made = getattr(data, name)(root)
    own = _own_lists(dataset, root)
    if root / made.list_files.get("pool", "") in own and set(made.own_list("pool")) - set(made.entries("pool")):
        _forget(own)
    finish(dataset, root, made.write_lists)


def _own_lists(dataset: ArchivedDataset, root: Path) -> list[Path]:
    """Returns the list files that `prepare` wrote and nobody has changed since."""
    written = {root / name: digest for name, digest in dict_or_empty(_lists(dataset, root)).items()}
    return [path for path, digest in written.items() if path.is_file() and file_digest(path) == digest]


def _forget(lists: list[Path]) -> None:
    for path in lists:
        path.unlink()


def finish(dataset: ArchivedDataset, root: Path, write_lists: WriteLists | None = None) -> None:
    """Writes and prints missing list files; records each before it is written, so that a kill forgets none."""

    def record(path: Path, entries: list[str]) -> None:
        digest = hashlib.sha256("".join(f"{entry}\n" for entry in entries).encode()).hexdigest()
        written = {str(path.relative_to(root)): digest[:DIGITS]}
        write_json(_lists(dataset, root), {**dict_or_empty(_lists(dataset, root)), **written})

    for path in write_lists(record) if write_lists else ():
        print(f"{path}: list written")
    place = root / dataset.folder
    made = "An artificial field in the layout of " if (place / "synthetic.json").is_file() else ""
    print(f"{made}{dataset.title} is ready in {place}.")


def _lists(dataset: ArchivedDataset, root: Path) -> Path:
    """Returns the record of the list files that `prepare` has written."""
    return root / dataset.folder / "lists.json"


def unpack_all(dataset: ArchivedDataset, root: Path, archives: Path) -> bool:
    """Unpacks the archives of a dataset, given as one file or a folder; skips those that were unpacked before.

    Returns:
        True if any archive was new.

    Raises:
        DataError: If no archive was found, or one is damaged, unsafe, too large for the disk, or conflicts with an
            existing file. Files from other archives stay.
    """
    if not archives.exists():
        raise DataError(f"There is no folder {archives.absolute()}; --archives names the folder of the downloads.")
    try:
        files = sorted(archives.iterdir() if archives.is_dir() else [archives])
        found = [path for path in files if is_archive(path)]
        unread = left_alone(sorted({*files} - {*found}))
        with _staging(root / dataset.folder) as staging:
            before = dataset.read_record(root)
            left = {path: reason for path in found if (reason := _unpack_one(path, dataset, root, staging))}
    except OSError as error:
        raise DataError(f"{archives.absolute()} could not be unpacked into {root.absolute()}: {error}.") from error
    if len(left) == len(found):
        wanted = "\n".join(f"  {part.name}: holds .../{part.like}" for part in dataset.parts)
        there = "\n".join(f"  {path.name}: {reason}" for path, reason in (left | unread).items())
        raise DataError(
            f"No archive of {dataset.title} in {archives.absolute()} (subfolders are not searched). Looked for:\n"
            f"{wanted}\nFound {len(found)} archives (tar, tar.gz, tar.bz2, tar.xz, zip):\n{there or '  none'}\n"
            f"Get it from {dataset.site}"
        )
    return dataset.read_record(root) != before


@contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """Locks a dataset's folder; yields a path in it for temporary files, which is deleted at the end."""
    staging = folder / STAGING
    with alone(folder):
        shutil.rmtree(staging, ignore_errors=True)  # left there by a process that was killed
        try:
            yield staging
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def _unpack_one(path: Path, dataset: ArchivedDataset, root: Path, staging: Path) -> str:
    """Unpacks an archive unless that was done before; returns the reason if it is not part of the dataset."""
    stat, record = path.stat(), dataset.read_record(root)
    identity = {"bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    if _is_done(identity, record.get(path.name, {}), dataset, root):
        print(f"{path.name}: {', '.join(record[path.name]['parts'])}; unpacked before")
        return ""
    plan = examine(path, dataset)
    if not plan.parts:
        print(f"{path.name}: left alone, {plan.reason}")
        return plan.reason
    names = [part.name for part in plan.parts]
    print(f"{path.name}: {', '.join(names)}; {len(plan.targets)} files, {plan.others} others are not needed")
    try:
        _stage(path, plan, staging)
    except BROKEN as error:
        raise damaged(path, error) from error
    new = _missing_files(path, plan, staging, root)
    entry = {**identity, "parts": names, "files": len(plan.targets)}
    write_json(dataset.record(root), dict(sorted({**record, path.name: {**entry, "unfinished": True}}.items())))
    for target in new:
        _move(staging / target, root / target)
    shutil.rmtree(staging)
    write_json(dataset.record(root), dict(sorted({**record, path.name: entry}.items())))
    return ""


def _is_done(identity: dict[str, int], before: dict[str, Any], dataset: ArchivedDataset, root: Path) -> bool:
    """Returns whether this archive was unpacked before, and its files are still there."""
    parts = [part for part in dataset.parts if part.name in before.get("parts", ())]
    whole = bool(parts) and all(part.is_there(root) for part in parts)
    return whole and identity.items() <= before.items() and "unfinished" not in before


def _stage(path: Path, plan: Plan, staging: Path) -> None:
    if plan.disk > (free := shutil.disk_usage(staging.parent).free):
        raise DataError(
            f"{path.absolute()} needs {plan.disk:,} bytes unpacked; {staging.parent.absolute()} has {free:,} left. "
            "Nothing was unpacked from it."
        )
    with closing(read_archive(path)) as members, progress(None, path.name, plan.size, unit="B", unit_scale=True) as bar:
        for member in members:
            if member.name not in plan.targets:
                continue
            file = staging / plan.targets[member.name]
            file.parent.mkdir(parents=True, exist_ok=True)
            with member.open() as stream, file.open("xb") as out:
                shutil.copyfileobj(stream, out)
            bar.update(member.size)


def _missing_files(path: Path, plan: Plan, staging: Path, root: Path) -> list[str]:
    """Returns the files that are not in place yet; checks that existing files are identical."""
    new = []
    for target in plan.targets.values():
        there = root / target
        if not (there.exists() or there.is_symlink()):
            new.append(target)
        elif not filecmp.cmp(staging / target, there, shallow=False):
            raise DataError(
                f"{there.absolute()} is there already and differs from the file in {path.absolute()}. Nothing was "
                "unpacked from it. Move your file away, or unpack into another root."
            )
    return new


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        source.replace(target)
    except OSError:  # a folder of the layout may be a link to another disk
        with placing(target, sync=False) as temporary:
            shutil.copyfile(source, temporary)


def examine(path: Path, dataset: ArchivedDataset) -> Plan:
    """Recognises an archive by the paths of its members, and checks all of them.

    Raises:
        DataError: If it is part of the dataset but damaged, unsafe, or holds two files for one place.
    """
    marked: set[Part] = set()
    wanted: list[tuple[str, int, dict[Part, str]]] = []  # name, bytes, and the path below the root for each part
    nested: list[str] = []
    count, problem = 0, None
    try:
        with closing(read_archive(path)) as reading:
            for member in progress(reading, f"Reading {path.name}", unit=" files", leave=False):
                count += 1
                if member.name.startswith("__MACOSX/") or member.name.rsplit("/", 1)[-1].startswith("._"):
                    continue
                if has_name(member.name):
                    nested.append(member.name)
                marked.update(part for part in dataset.parts if part.mark.match(member.name))
                matches = ((part, part.takes.match(member.name)) for part in dataset.parts)
                if places := {part: f"{part.target}/{match[1]}" for part, match in matches if match}:
                    wanted.append((member.name, member.size, places))
    except (UnsafeArchive, OSError, *BROKEN) as error:
        # EINVAL comes from a damaged size. Else the file may be whole, and a dataset without it would lack a part.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        problem = error
    if not marked:
        inner = f"; it holds archives, unpack it first: {first_few(nested)}" if nested else ""
        reason = f"cannot be read: {problem}" if problem else f"not recognised as a part of {dataset.title}{inner}"
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
                "pack it again with one of them."
            )
        members[place] = name
        size += bytes_of_member
        disk += -(-bytes_of_member // _DISK_BLOCK) * _DISK_BLOCK
    parts = tuple(part for part in dataset.parts if part in marked)
    return Plan(parts, {name: place for place, name in members.items()}, size, disk, count - len(members))


def damaged(path: Path, error: Exception) -> DataError:
    """Returns the error for an archive that cannot be read to its end."""
    return DataError(
        f"{path.absolute()} ({path.stat().st_size:,} bytes) is damaged or cut short: {error or type(error).__name__}. "
        "Fetch it again. Nothing was unpacked from it."
    )
