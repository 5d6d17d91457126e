"""Memory of this process, in KiB."""

from pathlib import Path


def kilobytes(field: str) -> int:
    """Returns the memory now (`VmRSS`), or its peak so far (`VmHWM`).

    `getrusage` does not work here: its peak is that of the parent if the parent had more when it started this process.
    """
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))
