"""Locks between processes.

The operating system releases a lock when the process that holds it ends in any way, so nothing is left to delete after
a kill or a crash.
"""

import contextlib
import os
import socket
import sys
import time
import weakref
from pathlib import Path
from typing import Any

if sys.platform == "win32":
    import msvcrt

    _POLL_SECONDS = 0.01
    _FIRST, _PLACES = 1 << 30, 64
    """Position of the locked bytes, far after all content: Windows lets no other process read locked bytes."""

    def _lock(descriptor: int, shared: bool, wait: bool) -> bool:
        """Locks all bytes, or a free one for a shared lock, which Windows' C library does not have."""
        places = [(_FIRST + place, 1) for place in range(_PLACES)] if shared else [(_FIRST, _PLACES)]
        while True:
            for start, length in places:
                os.lseek(descriptor, start, os.SEEK_SET)
                with contextlib.suppress(PermissionError):
                    msvcrt.locking(descriptor, msvcrt.LK_NBLCK, length)
                    return True
            if not wait:
                return False
            time.sleep(_POLL_SECONDS)

    def _unlock(descriptor: int) -> None:
        """Does nothing: closing the file is enough."""

else:
    try:
        import fcntl

        _has_locks = True
    except ImportError:  # a system without locks, where nothing keeps two processes apart
        _has_locks = False

    def _lock(descriptor: int, shared: bool, wait: bool) -> bool:
        if not _has_locks:
            return True
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.flock(descriptor, kind if wait else kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        """Releases the lock at once, even if a process that was just forked has the file open."""
        if _has_locks:
            fcntl.flock(descriptor, fcntl.LOCK_UN)


class FileLock:
    """A lock on a file or a folder, for one holder or for many that share it.

    A forked process does not hold it, and neither does a copy in another process, such as a loader worker.

    Args:
        path: The file; its folder must exist. Its content is free to use, see `read` and `write`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_descriptor": None}

    def __del__(self) -> None:
        self.release()

    @property
    def held(self) -> bool:
        """True while this object holds the lock."""
        return self._descriptor is not None

    def acquire(self, shared: bool = False, wait: bool = False) -> bool:
        """Takes the lock, unless this object holds it already.

        Args:
            shared: Let others share it at the same time.
            wait: Wait until it is free.

        Returns:
            True if it is held; False if another object or process holds it.

        Raises:
            OSError: If the file cannot be opened, or its file system has no locks.
        """
        while self._descriptor is None:
            flags = os.O_RDONLY if self.path.is_dir() else os.O_RDWR | os.O_CREAT
            descriptor = os.open(self.path, flags, 0o644)
            locked = False
            try:
                locked = _lock(descriptor, shared, wait)
                if not locked:
                    return False
                with contextlib.suppress(FileNotFoundError):  # its last holder may have removed it meanwhile
                    if os.path.samestat(os.fstat(descriptor), self.path.stat()):
                        self._descriptor = descriptor
                        _HELD.add(self)
            finally:
                if self._descriptor is None:
                    os.close(descriptor)
        return True

    def sign(self) -> None:
        """Writes this process into the file as the holder; on a full disk the lock holds without it."""
        with contextlib.suppress(OSError):
            self.write(f"pid {os.getpid()} on {socket.gethostname()}: {' '.join(sys.argv)}\n")

    def holder(self) -> str:
        """Returns the text that the holder wrote with `sign`."""
        with contextlib.suppress(OSError):
            return self.path.read_text(encoding="utf-8", errors="replace").strip() or "unknown"
        return "unknown"

    def read(self) -> bytes:
        """Returns the beginning of the file's content; the lock must be held."""
        os.lseek(self._held(), 0, os.SEEK_SET)
        return os.read(self._held(), 1 << 10)

    def write(self, text: str) -> None:
        """Replaces the file's content; the lock must be held."""
        os.lseek(self._held(), 0, os.SEEK_SET)
        os.ftruncate(self._held(), os.write(self._held(), text.encode(errors="surrogateescape")))

    def release(self, remove: bool = False) -> None:
        """Releases the lock if it is held, and deletes the file if `remove` is set."""
        if self._descriptor is None:
            return
        if remove:
            with contextlib.suppress(OSError):  # Windows deletes no open file
                self.path.unlink()
        _unlock(self._descriptor)
        self.forget()

    def forget(self) -> None:
        """Closes the file; in a forked process this leaves the lock to the parent."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            _HELD.discard(self)
            os.close(descriptor)

    def _held(self) -> int:
        if self._descriptor is None:
            raise ValueError(f"The lock {self.path} is not held.")
        return self._descriptor


_HELD: weakref.WeakSet[FileLock] = weakref.WeakSet()


def release_all() -> None:
    """Releases every lock of this process, for a command that failed inside another program."""
    for lock in list(_HELD):
        lock.release()


def _forget_all() -> None:
    """Closes the files of the locks in a forked process; the parent keeps the locks."""
    for lock in list(_HELD):
        lock.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
