"""Checks the sums at the ends of Deflate blocks in TIFFs.

libtiff stops as soon as a block is full of pixels, and then checks no sum: one in eight damaged bytes changed pixels
without an error. Inflating a block again takes longer than reading it, so a process does it only once.
"""

import functools
import zlib
from collections.abc import Iterable
from pathlib import Path

_PART = 1 << 20


def check_sums(path: Path, blocks: Iterable[tuple[int, int]]) -> None:
    """Inflates blocks of a file, given as start and length in bytes, unless it has done so before.

    Raises:
        zlib.error: If a block is damaged, or ends too early.
        OSError: If the file cannot be read.
    """
    status = path.stat()
    sound = _sound(path, status.st_size, status.st_mtime_ns)
    with path.open("rb") as file:
        for start, length in (block for block in blocks if block not in sound):
            file.seek(start)
            stream, rest = zlib.decompressobj(), file.read(length)
            while not stream.eof:
                if not stream.decompress(rest, _PART) and not rest:
                    raise zlib.error("a block ends too early")
                rest = stream.unconsumed_tail
            sound.add((start, length))


@functools.lru_cache(maxsize=1 << 14)
def _sound(path: Path, size: int, mtime_ns: int) -> set[tuple[int, int]]:
    """Returns the blocks of a file in this state that are known to be sound."""
    return set()
