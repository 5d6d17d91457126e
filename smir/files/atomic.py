"""Atomic writes: a file is written beside its place, synced to the disk, then renamed."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from smir.errors import RunError

TEMPORARY = ".*.[0-9]*.tmp"
"""Pattern of the name of a file that is being written; a kill may leave such a file behind."""

LONGEST_NAME = 255 - len("..1234567.tmp")
"""Most bytes of the name of a file, which is longer while it is written."""


@contextlib.contextmanager
def unfinished(path: Path, keep: Path | None = None, sync: bool = True) -> Iterator[Path]:
    """Yields the name of a temporary file, which replaces `path` when the block ends.

    All other writers use this one. A reader, a kill or a power cut sees the old content or the new one, never a part.
    If the block fails, nothing has changed.

    Args:
        path: The file; its folder is made.
        keep: New place of the old content. A kill between the two renames leaves it only there.
        sync: Wait for the disk. Without it a power cut (but no kill) may leave a part of the file. Turn it
            off for thousands of small files that can be made again.

    Yields:
        The name, beside `path`. The file must exist and be closed when the block ends.

    Raises:
        OSError: If it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)  # a planted link would lead elsewhere
        yield temporary
        if sync:
            with temporary.open("r+b") as file:
                os.fsync(file.fileno())
        if keep is not None and path.is_file():
            path.replace(keep)
        temporary.replace(path)
        if sync:
            with contextlib.suppress(OSError):  # Windows and some network file systems cannot sync a folder
                descriptor = os.open(path.parent, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def placing(path: Path, keep: Path | None = None, sync: bool = True) -> Iterator[Path]:
    """Does the same as `unfinished` with an error for the user; for a library that writes to a named file.

    Raises:
        RunError: If it cannot be written, as on a full disk.
    """
    try:
        with unfinished(path, keep, sync) as temporary:
            yield temporary
    except OSError as error:
        raise RunError(
            f"{path.absolute()} could not be written: {error.strerror or error}. Existing files are unchanged. "
            "Free some space or repair the disk, then repeat the command; a training resumes after its last kept epoch."
        ) from error


@contextlib.contextmanager
def replacing(path: Path, keep: Path | None = None, sync: bool = True) -> Iterator[IO[bytes]]:
    """Does the same as `placing`, but yields the open file."""
    with placing(path, keep, sync) as temporary, temporary.open("wb") as file:
        yield file


def write_atomically(path: Path, content: str | bytes, sync: bool = True) -> None:
    """Writes a file with `replacing`; text as UTF-8, where bytes of file names that are not text are escaped."""
    with replacing(path, sync=sync) as file:
        file.write(content.encode(errors="backslashreplace") if isinstance(content, str) else content)


def remove_unfinished(
    folder: Path, pattern: str = TEMPORARY, but: str = "", locked: bool = False, deep: bool = True
) -> None:
    """Removes half-written files that a kill left in a folder, but none of a process that is alive on this machine.

    Args:
        folder: The folder.
        pattern: Pattern of the files' names.
        but: Prefix of folders in it that stay as they are, because others write to them.
        locked: True if a lock keeps others out, so that no living process can have written them.
        deep: Look through all folders in it, too.
    """
    for temporary in folder.rglob(pattern) if deep else folder.glob(pattern):
        excepted = but and temporary.relative_to(folder).parts[0].startswith(but)
        if not excepted and (locked or not is_alive(temporary.name.split(".")[-2])):
            temporary.unlink(missing_ok=True)


def refuse_unwritable(folder: Path) -> None:
    """Checks, before long work, that the folder of `--out` can be written to. It need not exist; no trace is left.

    Raises:
        RunError: If it cannot.
    """
    new = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = error.strerror or error
        raise RunError(
            f"Nothing can be written to {folder.absolute()}: {reason}. Give another folder: --out FOLDER"
        ) from error
    finally:
        for place in new:
            with contextlib.suppress(OSError):
                place.rmdir()


def is_alive(pid: str) -> bool:
    """Returns whether another process has that number. Always False on Windows, which never deletes an open file."""
    if os.name == "nt" or not pid.isdecimal() or int(pid) in (0, os.getpid()):
        return False
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True
