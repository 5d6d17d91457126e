"""Lists of files that stay small in memory and are shared, not copied, by loader workers."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np


class FileList(Sequence[str]):
    """Paths relative to a root, held in one array.

    A list of a million Python strings takes 100 bytes a string more, and every worker that touches one copies its page
    (the reference count is written to); an array has neither trouble.

    Args:
        root: Folder that the paths are relative to.
        names: Relative paths with forward slashes.
    """

    def __init__(self, root: Path, names: Iterable[str]) -> None:
        self.root = root
        encoded = [os.fsencode(name) for name in names]
        self._bytes = np.frombuffer(b"".join(encoded), dtype=np.uint8)
        self._ends = np.cumsum([len(name) for name in encoded], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, index: int) -> str:  # type: ignore[override]  # no slices are needed
        if not 0 <= index < len(self):
            raise IndexError(index)
        start = int(self._ends[index - 1]) if index else 0
        return os.fsdecode(self._bytes[start : int(self._ends[index])].tobytes())

    def __iter__(self) -> Iterator[str]:
        return (self[index] for index in range(len(self)))

    def path(self, index: int) -> Path:
        """The file's path."""
        return self.root / self[index]

    def fingerprint(self) -> str:
        """A hash of the relative names and their order."""
        return hashlib.sha256(self._bytes.tobytes() + self._ends.tobytes()).hexdigest()[:16]
