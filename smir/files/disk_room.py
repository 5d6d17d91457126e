"""Room on disk for caches: one limit for all that lie in a folder, whoever writes to them."""

import contextlib
import fcntl
import os
import shutil
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from torch.utils.data import get_worker_info

from smir.errors import ConfigError

_HELD, _USED = "held", "used"
_DIGITS = 20
_LEFT_BEHIND = 3600.0
"""Age in seconds at which a half-written file has no writer any more."""


class Room:
    """The folder of one cache, beside others that share a limit.

    When the limit is reached, the other caches make room, the one that was not used for longest first, but for those
    that a process holds. If that is not enough, nothing more is kept.

    Args:
        root: Folder of all caches.
        name: Name of this one.
        limit: Bytes that all of them may take together. Processes that write at the same moment may pass it by a file.
    """

    def __init__(self, root: Path, name: str, limit: int) -> None:
        self.root, self.folder, self.limit = root, root / name, limit
        self._full = False
        self._lock: IO[str] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """A loader worker writes to the room, but the process that started it holds it."""
        return self.__dict__ | {"_lock": None}

    def hold(self) -> None:
        """Keeps other processes from clearing this cache while this one lives, and counts what is there.

        Raises:
            ConfigError: If nothing can be written there.
        """
        if self._lock is not None:
            return
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with self._counter() as counter:  # while we have it, nobody clears this cache
                self.folder.mkdir(exist_ok=True)
                self._lock = (self.folder / _HELD).open("a", encoding="utf-8")
                fcntl.flock(self._lock, fcntl.LOCK_SH)
                os.utime(self.folder / _HELD)
                _write(counter, sum(_size(folder) for folder in self._caches()))
        except OSError as error:
            raise ConfigError(
                f"The image cache cannot be kept in {self.folder.absolute()}: {error}. Set data.cache_folder to a "
                "folder that can be written to, or data.cache to false."
            ) from error

    def store(self, file: Path, words: npt.NDArray[np.uint64]) -> None:
        """Keeps a file of this cache, if there is room for it."""
        if self._full:
            return
        temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
        try:
            if not self._take(words.nbytes - (file.stat().st_size if file.exists() else 0)):
                self._stop(f"data.cache_gb = {self.limit / 1e9:g} is used up")
                return
            file.parent.mkdir(parents=True, exist_ok=True)
            words.tofile(temporary)
            temporary.replace(file)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            self._stop(str(error))

    def _stop(self, reason: str) -> None:
        self._full = True
        worker = get_worker_info()
        if worker is None or worker.id == 0:
            warnings.warn(
                f"The image cache in {self.root} takes no more images ({reason}); they are decoded at every visit.",
                stacklevel=2,
            )

    def _take(self, size: int) -> bool:
        with self._counter() as counter:
            used = _read(counter)
            if used + size > self.limit:
                self._clear_others(used + size - self.limit)
                used = sum(_size(folder) for folder in self._caches())
            if used + size > self.limit:
                return False
            _write(counter, used + size)
            return True

    def _clear_others(self, needed: int) -> None:
        """Removes other caches that no process holds, the longest unused first."""
        others = (folder for folder in self._caches() if folder != self.folder)
        for folder in sorted(others, key=lambda folder: (folder / _HELD).stat().st_mtime):
            if needed <= 0:
                return
            with (folder / _HELD).open("a", encoding="utf-8") as lock, contextlib.suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                needed -= _size(folder)
                shutil.rmtree(folder)

    def _caches(self) -> list[Path]:
        return [path.parent for path in self.root.glob(f"*/{_HELD}")]

    @contextlib.contextmanager
    def _counter(self) -> Iterator[int]:
        """The file with the bytes used, locked: its descriptor."""
        counter = os.open(self.root / _USED, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(counter, fcntl.LOCK_EX)
            yield counter
        finally:
            os.close(counter)


def _read(counter: int) -> int:
    text = os.pread(counter, _DIGITS, 0)
    return int(text) if text.isdigit() else 0


def _write(counter: int, used: int) -> None:
    os.pwrite(counter, b"%0*d" % (_DIGITS, used), 0)


def _size(folder: Path) -> int:
    """Bytes of a cache; what a kill has left half-written is removed."""
    total = 0
    for base, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # renamed or cleared meanwhile
                path = Path(base, name)
                status = path.stat()
                if name.endswith(".tmp") and time.time() - status.st_mtime > _LEFT_BEHIND:
                    path.unlink()
                else:
                    total += status.st_size
    return total
