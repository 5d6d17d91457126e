"""Devices for jobs that run beside each other on one machine: each claims free ones, the others wait."""

import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from smir.errors import ConfigError
from smir.files.locks import FileLock

VISIBLE = "CUDA_VISIBLE_DEVICES"
POLL_SECONDS = 2.0
_DRIVERS = ("nvidia[0-9]*", "kfd", "dxg")
"""Files of the GPU drivers: importing torch takes seconds, which a machine without a GPU is spared."""


def visible_devices() -> list[str]:
    """Names of the GPUs that this process may use: those of CUDA_VISIBLE_DEVICES, else all by number."""
    if VISIBLE in os.environ:
        return [name.strip() for name in os.environ[VISIBLE].split(",") if name.strip()]
    if not any(any(Path("/dev").glob(name)) for name in _DRIVERS):
        return []
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


@contextlib.contextmanager
def claim(devices: Sequence[str], count: int, folder: Path, on_wait: Callable[[], None]) -> Iterator[list[str]]:
    """Holds some of the devices while the block runs; waits until enough are free.

    Args:
        devices: Names to choose from.
        count: How many to hold.
        folder: Where the lock files lie; jobs that share devices share it.
        on_wait: Called once, before waiting.

    Yields:
        The names of the devices that are held.

    Raises:
        ConfigError: If there are not that many.
    """
    if count > len(devices):
        raise ConfigError(f"A job wants {count} devices; this machine offers {len(devices)}: {', '.join(devices)}.")
    folder.mkdir(parents=True, exist_ok=True)
    held = _try(devices, count, folder)
    if not held:
        on_wait()
    while not held:
        time.sleep(POLL_SECONDS)
        held = _try(devices, count, folder)
    try:
        yield list(held)
    finally:
        for lock in held.values():
            lock.release()


def lock_folder() -> Path:
    """Folder of the device locks: one for all jobs of a user on this machine."""
    user = os.getuid() if hasattr(os, "getuid") else "user"  # Windows has a folder for temporary files for every user
    return Path(tempfile.gettempdir()) / f"smir-devices-{user}"


def _try(devices: Sequence[str], count: int, folder: Path) -> dict[str, FileLock]:
    """Locks this number of free devices, or none at all, so that two jobs never wait for each other."""
    held: dict[str, FileLock] = {}
    for name in devices:
        if len(held) == count:
            break
        lock = FileLock(folder / name.replace("/", "_"))
        if lock.acquire():
            lock.sign()
            held[name] = lock
    if len(held) == count:
        return held
    for lock in held.values():
        lock.release()
    return {}
