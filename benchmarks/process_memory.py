"""Memory of this process, in KiB."""

from pathlib import Path


def kilobytes(field: str) -> int:
    """Returns `VmRSS`, the memory now, or `VmHWM`, the most there was.

    `getrusage` would not do: its peak is that of the parent, if that had more when it started this process.
    """
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))
