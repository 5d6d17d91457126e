"""Keeps two commands of `prepare` from writing into one folder."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from smir.errors import DataError
from smir.files.locks import FileLock


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Locks a folder, which is made; if it is empty at the end, it is deleted again.

    Raises:
        DataError: If another command holds the lock.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".prepare.lock")
    try:
        free = True
        with contextlib.suppress(OSError):  # a file system without locks keeps nobody out
            free = lock.acquire()
        if not free:
            raise DataError(f"Another `prepare` is working in {folder.absolute()}; wait until it is done.")
        yield
    finally:
        lock.release(remove=True)
        for path in made:
            with contextlib.suppress(OSError):  # it is not empty
                path.rmdir()
