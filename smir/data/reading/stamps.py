"""Size, time and a sampled hash of every file of the data, so that a resumed run finds the files it began with."""

import contextlib
import hashlib
import stat
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from smir.data.reading.file_list import FileList
from smir.errors import CheckpointError, DataError, RunError, first_few
from smir.runs.mask_files import load_arrays, save_arrays

RECORD = "files.npz"
_SAMPLE = 4096
"""Bytes of each sample: from the beginning, the middle and the end of a file."""
_Stamps = npt.NDArray[np.uint64]


def save_stamps(path: Path, lists: Mapping[str, FileList]) -> None:
    """Writes the stamps of all files, 24 bytes for each.

    Raises:
        DataError: If a file cannot be read.
    """
    save_arrays(path, **{name: _stamps(files) for name, files in lists.items()})


def refuse_other_files(path: Path, lists: Mapping[str, FileList]) -> None:
    """Compares the files of the data with those that a run began with.

    The samples are compared only for files with another time, such as copies.

    Raises:
        RunError: If some have changed; the message names them.
        DataError: If a file cannot be read.
    """
    try:
        before = load_arrays(path, tuple(lists))
        if any(before[name].shape != (len(files), 3) for name, files in lists.items()):
            raise CheckpointError(f"{path} is damaged: it lists another number of files.")
    except CheckpointError as error:
        raise RunError(f"{error} Delete it to continue without comparing the files of the data.") from error
    found = []
    for name, files in lists.items():
        old, now = before[name], _stamps(files, before[name])
        different = np.flatnonzero((old[:, ::2] != now[:, ::2]).any(axis=1)).tolist()
        if changed := [files[place] for place in different]:
            found.append(f"{len(changed)} of {len(files)} files of the list {name!r} ({first_few(changed)})")
    if found:
        root = next(iter(lists.values())).root.absolute()
        raise RunError(
            f"{', '.join(found)} below {root} have changed since this run began. Put the old ones back, or move "
            f"{path.parent.absolute()} away to train on the new ones."
        )


def content_digest(files: FileList) -> str:
    """Returns a hash of the sampled contents of files, in their order; reading reports missing files."""
    hashes: list[int | None] = []
    for place in range(len(files)):
        path, content = files.path(place), None
        with contextlib.suppress(OSError):
            content = _sampled_hash(path, path.stat().st_size) if path.is_file() else None
        hashes.append(content)
    return hashlib.blake2b(repr(hashes).encode(), digest_size=6).hexdigest()


def _stamps(files: FileList, known: _Stamps | None = None) -> _Stamps:
    """Returns size, time and hash of every file (N, 3); where size and time are those of `known`, so is the hash."""

    def stamp(place: int) -> tuple[int, int, int]:
        path = files.path(place)
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever; reading reports it
                return 0, 0, 0
            size, time = status.st_size, status.st_mtime_ns % 2**64  # some archives hold files from before 1970
            if known is not None and (known[place, :2] == (size, time)).all():
                return size, time, int(known[place, 2])
            return size, time, _sampled_hash(path, size)
        except FileNotFoundError:  # reading reports it
            return 0, 0, 0
        except OSError as error:
            raise DataError(f"{path.absolute()} cannot be read: {error.strerror}.") from error

    with ThreadPoolExecutor() as threads:  # waiting for the disk most of the time
        return np.array(list(threads.map(stamp, range(len(files)))), dtype=np.uint64).reshape(-1, 3)


def _sampled_hash(path: Path, size: int) -> int:
    digest = hashlib.blake2b(digest_size=8)
    with path.open("rb", buffering=0) as file:
        for start in sorted({0, max(0, size // 2 - _SAMPLE // 2), max(0, size - _SAMPLE)}):
            file.seek(start)
            digest.update(file.read(_SAMPLE))
    return int.from_bytes(digest.digest(), "little")
