"""Memory of long lists: `python -m benchmarks.memory N` lists N images and prints the memory that they take."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.measure import Row, summary

FEW, MANY, ROUNDS = 1_000, 1_000_000, 3


def rows() -> Iterator[Row]:
    """Growth from a thousand to a million images, in separate processes."""
    probes = [(_probe(FEW), _probe(MANY)) for _ in range(ROUNDS)]

    def growth(place: int) -> tuple[float, tuple[float, float]]:
        return summary([(many[place] - few[place]) / (MANY - FEW) for few, many in probes])

    value, spread = growth(0)
    note = "resident set of the main process while a loader runs; names of 90 characters"
    yield Row("memory of the main process, an image listed", "any", value, 300, "at most", "bytes", spread, note)
    value, spread = growth(1)
    size, own = growth(2)[0], growth(3)[0]
    note = f"of {size:.0f}; its unshared memory grows by {own:.0f}"
    yield Row("copy of the list in a loader worker, an image", "any", value, 1, "at most", "bytes", spread, note)


def _probe(images: int) -> list[int]:
    """Returns four numbers of bytes: the main process; the worker's copy of the list; the list; the worker's own."""
    words = [sys.executable, "-m", "benchmarks.memory", str(images)]
    output = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    return [int(word) for word in output.split()[-4:]]


def _copied(process: int, array: npt.NDArray[Any]) -> int:
    """Bytes of an array that a forked process has copied."""
    page = os.sysconf("SC_PAGE_SIZE")
    first, last = array.ctypes.data // page + 1, (array.ctypes.data + array.nbytes) // page  # whole pages
    with Path(f"/proc/{process}/pagemap").open("rb", buffering=0) as file:
        file.seek(8 * first)
        entries = np.frombuffer(file.read(8 * max(0, last - first)), dtype=np.uint64)
    present, exclusive = (entries >> np.uint64(63)) & np.uint64(1), (entries >> np.uint64(56)) & np.uint64(1)
    return int((present & exclusive).sum()) * page


def _kilobytes(process: int, *fields: str) -> int:
    lines = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.split(":")[0] in fields)


def _main(number: int) -> None:
    from smir.files.memory import keep_freed_memory

    keep_freed_memory()
    from smir.classes import UInt8
    from smir.data import Folder
    from smir.data.reading.pairs import Images

    class Listed(Folder):
        def pool(self) -> list[str]:
            return [f"cityscapes/leftImg8bit/train_extra/city/{i:040d}_leftImg8bit.png" for i in range(number)]

    class Grey(Images):
        def read_with_size(self, index: int) -> tuple[UInt8, tuple[int, int]]:
            self.files.path(index)
            return np.full((256, 256, 3), 128, np.uint8), (256, 256)

    data = Listed(Path(), task="pretrain", batch_size=8, num_workers=1)
    data._pool = lambda: Grey(data.images("pool"), data.min_side)  # type: ignore[method-assign]  # files of no content
    data.fingerprint()
    batches = iter(data.train_dataloader())
    for _ in range(12):
        next(batches)
    (worker,) = (process.pid for process in batches._workers)  # type: ignore[attr-defined]  # of torch's iterator
    files = data.images("pool")
    own = _kilobytes(worker, "Private_Dirty", "Private_Clean") * 1024
    lists = (files._bytes, files._ends)
    copied, size = sum(_copied(worker, array) for array in lists), sum(array.nbytes for array in lists)
    print(_kilobytes(os.getpid(), "Rss") * 1024, copied, size, own)


if __name__ == "__main__":
    _main(int(sys.argv[1]))
