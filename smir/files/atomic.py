"""Files that are never half there: written beside their place, brought to the disk, then renamed."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from smir.errors import RunError

TEMPORARY = ".*.tmp"
"""What a file is called while it is written, as a pattern; a kill may leave it behind."""


@contextlib.contextmanager
def replacing(path: Path, keep: Path | None = None) -> Iterator[IO[bytes]]:
    """Opens a file that takes the place of `path` when the block ends.

    A reader, a kill or a power cut sees the old content or the new one, never a part. If the block fails, nothing has
    changed.

    Args:
        path: The file; its folder is made.
        keep: Where the old content goes. A kill between the two renames leaves it there alone.

    Yields:
        The file to write to.

    Raises:
        RunError: If it cannot be written, as on a full disk.
    """
    with placing(path, keep) as temporary, temporary.open("wb") as file:
        yield file


@contextlib.contextmanager
def placing(path: Path, keep: Path | None = None) -> Iterator[Path]:
    """As `replacing`, for what is written by a library that wants a name: gives that of the file to write.

    Args:
        path: The file; its folder is made.
        keep: Where the old content goes. A kill between the two renames leaves it there alone.

    Yields:
        The name, beside `path`. The file must be there, and closed, when the block ends.

    Raises:
        RunError: If it cannot be written, as on a full disk.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())
        if keep is not None and path.is_file():
            path.replace(keep)
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise RunError(
            f"{path.absolute()} could not be written: {error.strerror or error}. What was there before is unchanged. "
            "Make room or mend the disk and give the same command again; a training goes on after the last epoch that "
            "was kept."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Brings a rename to the disk; a network file system may have no such thing."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, text: str) -> None:
    """Writes a text file with `replacing`."""
    with replacing(path) as file:
        file.write(text.encode())


def remove_unfinished(folder: Path) -> None:
    """Removes what a kill has left half written in a folder that nobody else writes to."""
    for temporary in folder.rglob(TEMPORARY):
        temporary.unlink(missing_ok=True)
