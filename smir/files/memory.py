"""Keeps glibc from handing large tensors back to the kernel after every use."""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3


def keep_freed_memory() -> None:
    """Raises glibc's mmap and trim thresholds for this process; elsewhere it does nothing.

    With the defaults every large CPU tensor is mapped afresh, and on virtual machines the page faults cost more than
    the arithmetic: 1.2 to 1.5 times the time of a whole training step here, and more on others.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return  # another C library, which has its own ways
    mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
    mallopt(_M_TOP_PAD, 64 << 20)
    # Older versions refuse more than 32 MiB, and have lost their own way of raising it by the first of these calls.
    if not mallopt(_M_MMAP_THRESHOLD, 1 << 30):
        mallopt(_M_MMAP_THRESHOLD, 32 << 20)
