"""Memory of long lists: `python -m benchmarks.memory N` lists N images and says what main process and worker hold."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import Row, summary

FEW, MANY, ROUNDS = 1_000, 1_000_000, 3


def rows() -> Iterator[Row]:
    """Growth from a thousand to a million images, in processes of their own."""
    main, worker = [], []
    for _ in range(ROUNDS):
        few, many = (_probe(number) for number in (FEW, MANY))
        main.append((many[0] - few[0]) / (MANY - FEW))
        worker.append((many[1] - few[1]) / (MANY - FEW))
    note = "resident set of the main process while a loader runs; names of 90 characters"
    value, spread = summary(main)
    yield Row("memory of the main process, an image listed", "any", value, 300, "at most", "bytes", spread, note)
    value, spread = summary(worker)
    note = "what a worker shares with nobody; a copy of the list would take 98"
    yield Row(
        "memory of a loader worker of its own, an image listed", "any", value, 8, "at most", "bytes", spread, note
    )


def _probe(images: int) -> tuple[int, int]:
    words = [sys.executable, "-m", "benchmarks.memory", str(images)]
    output = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    main, worker = output.split()[-2:]
    return int(main), int(worker)


def _kilobytes(process: int, *fields: str) -> int:
    lines = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.split(":")[0] in fields)


def _main(number: int) -> None:
    import numpy as np

    from smir.allocator import keep_freed_memory

    keep_freed_memory()
    from smir.data import Folder
    from smir.data.pairs import Images
    from smir.preprocessing import UInt8

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
    own = _kilobytes(worker, "Private_Dirty", "Private_Clean") * 1024
    print(_kilobytes(os.getpid(), "Rss") * 1024, own)


if __name__ == "__main__":
    _main(int(sys.argv[1]))
