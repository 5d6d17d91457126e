"""Unpacks archives that the user has downloaded into the layout of their dataset.

An archive is read twice: first all names, by which it is recognised and judged; then its files go into a folder beside
the dataset, and from there into place. So a file is either whole or not there, and a bad archive leaves nothing behind.
"""

import filecmp
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from smir.errors import DataError
from smir.files.atomic import placing
from smir.files.json_record import write_json
from smir.files.locks import FileLock
from smir.prepare.published.archives import BROKEN, is_archive, read_archive
from smir.prepare.published.parts import PublishedDataset
from smir.prepare.published.recognise import Plan, damaged, examine
from smir.terminal import progress

STAGING = ".unpacking"


def unpack_all(dataset: PublishedDataset, root: Path, archives: Path) -> bool:
    """Unpacks what a folder of downloads holds of a dataset; archives unpacked before are passed over.

    Args:
        dataset: The dataset.
        root: Data root.
        archives: Folder of the downloads, or one archive.

    Returns:
        Whether any was unpacked now.

    Raises:
        DataError: If there is none, or one is damaged, unsafe, too large for the disk or in conflict with a file that
            is there. What was unpacked from others before stays.
    """
    if not archives.exists():
        raise DataError(f"There is no folder {archives.absolute()}; --archives is where the downloads lie.")
    try:
        found = sorted(path for path in (archives.iterdir() if archives.is_dir() else [archives]) if is_archive(path))
        with _alone(root / dataset.folder) as staging:
            before = dataset.read_record(root)
            left = {path: reason for path in found if (reason := _unpack_one(path, dataset, root, staging))}
    except OSError as error:
        raise DataError(f"{archives.absolute()} could not be unpacked into {root.absolute()}: {error}.") from error
    if len(left) == len(found):
        wanted = "\n".join(f"  {part.name}: holds .../{part.like}" for part in dataset.parts)
        there = "\n".join(f"  {path.name}: {reason}" for path, reason in left.items())
        raise DataError(
            f"No archive of {dataset.title} in {archives.absolute()} (folders in it are not searched). Looked for:\n"
            f"{wanted}\nFound {len(found)} archives (tar, tar.gz, tar.bz2, tar.xz, zip):\n{there or '  none'}\n"
            f"Get it from {dataset.site}"
        )
    return dataset.read_record(root) != before


@contextmanager
def _alone(folder: Path) -> Iterator[Path]:
    """Keeps other processes out of a dataset's folder; yields the name of a folder in it that is emptied in the end."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    lock, staging = FileLock(folder / f"{STAGING}.lock"), folder / STAGING
    try:
        if not lock.acquire():
            raise DataError(f"Another `prepare` works in {folder.absolute()}; wait until it is done.")
        shutil.rmtree(staging, ignore_errors=True)  # left there by a process that was killed
        try:
            yield staging
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    finally:
        lock.release(remove=True)
        for path in made:
            with suppress(OSError):  # raised where it is not empty
                path.rmdir()


def _unpack_one(path: Path, dataset: PublishedDataset, root: Path, staging: Path) -> str:
    """Unpacks an archive unless that was done before, and returns why it was left alone, if it was."""
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
    new = _without_those_there(path, plan, staging, root)
    entry = {**identity, "parts": names, "files": len(plan.targets)}
    write_json(dataset.record(root), {**record, path.name: {**entry, "unfinished": True}})
    for target in new:
        _move(staging / target, root / target)
    shutil.rmtree(staging)
    write_json(dataset.record(root), {**record, path.name: entry})
    return ""


def _is_done(identity: dict[str, int], before: dict[str, Any], dataset: PublishedDataset, root: Path) -> bool:
    """Returns whether a record is of this archive, and its files were not deleted since."""
    parts = [part for part in dataset.parts if part.name in before.get("parts", ())]
    whole = bool(parts) and all(part.is_there(root) for part in parts)
    return whole and identity.items() <= before.items() and "unfinished" not in before


def _stage(path: Path, plan: Plan, staging: Path) -> None:
    """Unpacks into a folder of its own."""
    if plan.disk > (free := shutil.disk_usage(staging.parent).free):
        raise DataError(
            f"{path.absolute()} needs {plan.disk:,} bytes unpacked; {staging.parent.absolute()} has {free:,} left. "
            "Nothing was unpacked from it."
        )
    with (
        closing(read_archive(path)) as members,
        progress(None, path.name, plan.size, unit="B", unit_scale=True) as bar,
    ):
        for member in members:
            if member.name not in plan.targets:
                continue
            file = staging / plan.targets[member.name]
            file.parent.mkdir(parents=True, exist_ok=True)
            with member.open() as stream, file.open("xb") as out:
                shutil.copyfileobj(stream, out)
            bar.update(member.size)


def _without_those_there(path: Path, plan: Plan, staging: Path, root: Path) -> list[str]:
    """Returns the files that are not in place yet; those that are must be the same."""
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
