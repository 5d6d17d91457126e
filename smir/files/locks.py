"""Locks between processes.

They are the operating system's: a lock goes with the process that holds it, however that ends, so that there is nothing
to delete after a kill or a crash.
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
    """Position of the locked bytes, far behind all content: Windows lets no other process read locked bytes."""

    def _lock(descriptor: int, shared: bool, wait: bool) -> bool:
        """Locks all the bytes or, as Windows' C library knows no shared locks, one of them that is free."""
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
        """Closing it is enough."""

else:
    import fcntl

    def _lock(descriptor: int, shared: bool, wait: bool) -> bool:
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.flock(descriptor, kind if wait else kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        """Lets go at once, although a process that was just forked may have the file open."""
        fcntl.flock(descriptor, fcntl.LOCK_UN)


class FileLock:
    """A lock on a file, for one holder or for many that share it.

    Neither a forked process nor a copy sent to another one, such as a loader worker, holds it.

    Args:
        path: The file; made in a folder that must be there. Its content is free to use, see `read` and `write`.
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
            shared: Whether others may hold it at the same time, if they share it too.
            wait: Whether to wait until it is free.

        Returns:
            Whether it is held; False if another holds it, in this process or another.

        Raises:
            OSError: If the file cannot be opened, or its file system knows no locks.
        """
        while self._descriptor is None:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
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
        """Writes into the file who holds it; on a full disk the lock holds, but cannot say whose it is."""
        with contextlib.suppress(OSError):
            self.write(f"pid {os.getpid()} on {socket.gethostname()}: {' '.join(sys.argv)}\n")

    def holder(self) -> str:
        """Returns what its holder has signed with."""
        with contextlib.suppress(OSError):
            return self.path.read_text(encoding="utf-8", errors="replace").strip() or "unknown"
        return "unknown"

    def read(self) -> bytes:
        """Returns the beginning of the content of the file, which is held."""
        os.lseek(self._held(), 0, os.SEEK_SET)
        return os.read(self._held(), 1 << 10)

    def write(self, text: str) -> None:
        """Replaces the content of the file, which is held."""
        os.lseek(self._held(), 0, os.SEEK_SET)
        os.ftruncate(self._held(), os.write(self._held(), text.encode(errors="surrogateescape")))

    def release(self, remove: bool = False) -> None:
        """Lets it go, if it is held.

        Args:
            remove: Whether to delete the file.
        """
        if self._descriptor is None:
            return
        if remove:
            with contextlib.suppress(OSError):  # Windows deletes no open file
                self.path.unlink()
        _unlock(self._descriptor)
        self.forget()

    def forget(self) -> None:
        """Closes the file; in a forked process this leaves the lock to the one before it."""
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
    """Lets go of every lock of this process, as at the end of a command that has failed inside another program."""
    for lock in list(_HELD):
        lock.release()


def _forget_all() -> None:
    """Closes in a forked process what the one before it holds, which goes on holding it."""
    for lock in list(_HELD):
        lock.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
