"""Disk space for caches: one limit for all caches in a folder and all processes that write to them."""

import contextlib
import os
import re
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch.utils.data import get_worker_info

from smir.errors import ConfigError
from smir.files.atomic import TEMPORARY, unfinished
from smir.files.locks import FileLock

_HELD, _USED = "held", "used"
_CACHE, _PART, _FILE = re.compile(r"[0-9a-f]{12}-\d+"), re.compile(r"[0-9a-f]{2}"), re.compile(r"[0-9a-f]{30}")
"""Names of caches, of the folders in them, and of their files: nothing else is counted or deleted."""
_DIGITS = 20
_LEFT_BEHIND = 3600.0
"""Age in seconds at which a half-written file counts as abandoned."""


class Room:
    """The folder of one cache, beside others that share a limit.

    When the limit is reached, other caches are deleted, the longest unused first, except those that a process holds.
    If that is not enough, nothing more is stored.

    Args:
        root: Folder of all caches.
        name: Name of this one.
        limit: Bytes of all caches together. Processes that write at the same moment may exceed it by a file.
    """

    def __init__(self, root: Path, name: str, limit: int) -> None:
        self.root, self.folder, self.limit = root, root / name, limit
        self._full = False
        self.lock = FileLock(self.folder / _HELD)

    def hold(self) -> None:
        """Keeps other processes from deleting this cache while this one lives, and counts the bytes used.

        Raises:
            ConfigError: If the folder cannot be written to.
        """
        if self.lock.held:
            return
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with self._counter() as counter:  # no other process clears this cache meanwhile
                if self.folder.is_symlink():
                    raise OSError("it is a link, and what it leads to would be written to")
                self.folder.mkdir(exist_ok=True)
                self.lock.acquire(shared=True, wait=True)
                os.utime(self.folder / _HELD)
                _write(counter, self._used())
        except OSError as error:
            raise ConfigError(
                f"The image cache cannot be written to {self.folder.absolute()}: {error}. Set data.cache_folder to a "
                "folder that can be written to, or data.cache to false."
            ) from error

    def store(self, file: Path, words: npt.NDArray[np.uint64]) -> None:
        """Writes a file of this cache, if there is room for it."""
        if self._full:
            return
        try:
            if not self._take(words.nbytes - (file.stat().st_size if file.exists() else 0)):
                self._stop(f"data.cache_gb = {self.limit / 1e9:g} is used up")
                return
            if file.parent.is_symlink():
                raise OSError(f"{file.parent} is a link")
            with unfinished(file, sync=False) as temporary:
                words.tofile(temporary)
        except OSError as error:
            self._stop(str(error))

    def _stop(self, reason: str) -> None:
        self._full = True
        worker = get_worker_info()
        if worker is None or worker.id == 0:
            warnings.warn(
                f"The image cache in {self.root} takes no more images ({reason}); others are decoded at every visit.",
                stacklevel=2,
            )

    def _take(self, size: int) -> bool:
        with self._counter() as counter:
            text = counter.read()
            used = int(text) if text.isdigit() else 0
            if used + size > self.limit:
                self._clear_others(used + size - self.limit)
                used = self._used()
            if used + size > self.limit:
                return False
            _write(counter, used + size)
            return True

    def _clear_others(self, needed: int) -> None:
        """Deletes other caches that no process holds, the longest unused first."""
        others = (folder for folder in self._caches() if folder != self.folder)
        for folder in sorted(others, key=lambda folder: (folder / _HELD).stat().st_mtime):
            if needed <= 0:
                return
            lock = FileLock(folder / _HELD)
            if lock.acquire():
                needed -= _size(folder)
                for file in _files(folder):
                    file.unlink(missing_ok=True)
                lock.release(remove=True)
                for place in (*folder.glob("*"), folder):
                    with contextlib.suppress(OSError):  # files of others stay
                        place.rmdir()

    def _caches(self) -> list[Path]:
        held = self.root.glob(f"*/{_HELD}")
        return [path.parent for path in held if _CACHE.fullmatch(path.parent.name) and not path.parent.is_symlink()]

    def _used(self) -> int:
        return sum(_size(folder) for folder in self._caches())

    @contextlib.contextmanager
    def _counter(self) -> Iterator[FileLock]:
        """Locks the file with the bytes used."""
        counter = FileLock(self.root / _USED)
        counter.acquire(wait=True)
        try:
            yield counter
        finally:
            counter.release()


def _write(counter: FileLock, used: int) -> None:
    counter.write(f"{used:0{_DIGITS}d}")  # of constant length, so that a kill leaves a number


def _files(folder: Path) -> Iterator[Path]:
    """The files of a cache, also half-written ones."""
    for part in folder.glob("*"):
        if _PART.fullmatch(part.name) and not part.is_symlink():
            yield from (path for path in part.glob("*") if _FILE.fullmatch(path.name) or path.match(TEMPORARY))


def _size(folder: Path) -> int:
    """Returns the bytes of a cache; deletes abandoned half-written files."""
    total = 0
    for path in _files(folder):
        with contextlib.suppress(FileNotFoundError):  # renamed or cleared meanwhile
            status = path.lstat()
            if path.match(TEMPORARY) and time.time() - status.st_mtime > _LEFT_BEHIND:
                path.unlink()
            else:
                total += status.st_size
    return total
