"""Files that are never half there: written beside their place, brought to the disk, then renamed."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from smir.errors import RunError

TEMPORARY = ".*.[0-9]*.tmp"
"""Pattern of the name that a file has while it is written; a kill may leave such a file behind."""


@contextlib.contextmanager
def unfinished(path: Path, keep: Path | None = None, sync: bool = True) -> Iterator[Path]:
    """Gives the name of a file to write, which takes the place of `path` when the block ends.

    All other writers rest on this one. A reader, a kill or a power cut sees the old content or the new one, never a
    part. If the block fails, nothing has changed.

    Args:
        path: The file; its folder is made.
        keep: Where the old content goes. A kill between the two renames leaves it there alone.
        sync: Whether to wait for the disk. Without it a power cut, but no kill, may leave a part of the file. For
            thousands of small files that can be made again.

    Yields:
        The name, beside `path`. The file must be there, and closed, when the block ends.

    Raises:
        OSError: If it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if sync:
            with temporary.open("r+b") as file:
                os.fsync(file.fileno())
        if keep is not None and path.is_file():
            path.replace(keep)
        temporary.replace(path)
        if sync:
            _sync_folder(path.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def placing(path: Path, keep: Path | None = None, sync: bool = True) -> Iterator[Path]:
    """As `unfinished`, with an error for the user; for a library that wants the name of the file to write.

    Raises:
        RunError: If it cannot be written, as on a full disk.
    """
    try:
        with unfinished(path, keep, sync) as temporary:
            yield temporary
    except OSError as error:
        raise RunError(
            f"{path.absolute()} could not be written: {error.strerror or error}. What was there before is unchanged. "
            "Make room or mend the disk and give the same command again; a training goes on after the last epoch that "
            "was kept."
        ) from error


@contextlib.contextmanager
def replacing(path: Path, keep: Path | None = None, sync: bool = True) -> Iterator[IO[bytes]]:
    """As `placing`, but gives the opened file to write to."""
    with placing(path, keep, sync) as temporary, temporary.open("wb") as file:
        yield file


def write_atomically(path: Path, content: str | bytes, sync: bool = True) -> None:
    """Writes a file with `replacing`; text as UTF-8."""
    with replacing(path, sync=sync) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def remove_unfinished(folder: Path) -> None:
    """Removes the half-written files that a kill left in a folder to which no other process writes."""
    for temporary in folder.rglob(TEMPORARY):
        temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Brings a rename to the disk; Windows and some network file systems have no such thing."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
