"""Two single-thread processes (DDP) against one, on two cores: `python -m smir fit` as a user would run it."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import lightning.pytorch as pl

from benchmarks.datasets import write_images
from benchmarks.measure import Row, seconds, summary

ROUNDS, STEPS, BATCH = 2, 6, 16
FIGURE = "two single-thread processes (DDP) on two cores, images per second over those of one"


class StepTimes(pl.Callback):
    """Writes the seconds of every step but the first two to a file.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.ends = Path(path), [0.0]

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Notes the time."""
        self.ends.append(time.perf_counter())
        if trainer.is_global_zero and batch_idx + 1 == STEPS:
            steps = [end - start for start, end in zip(self.ends[2:], self.ends[3:], strict=False)]
            self.path.write_text("\n".join(map(str, steps)), encoding="ascii")


def rows() -> Iterator[Row]:
    """The figure, from the median steps of every round."""
    if len(os.sched_getaffinity(0)) < 2:
        yield Row(FIGURE, "cpu", None, 1.8, "at least", note="not measured here: one core")
        return
    with tempfile.TemporaryDirectory(prefix="smir-bench-") as folder:
        write_images(Path(folder, "data"), (256, 256), ".jpg", 8, 16)
        pairs = [(_step(folder, 1), _step(folder, 2)) for _ in range(ROUNDS)]
        apart = _apart(folder)
    value, spread = summary([one / two for one, two in pairs])
    note = (
        f"{seconds(pairs[0][0])} and {seconds(pairs[0][1])} a step of global batch {BATCH}, float32, UNetStride4; two "
        f"runs of half the batch that exchange nothing, side by side: {pairs[0][0] / apart:.3g} x"
    )
    yield Row(FIGURE, "cpu", value, 1.8, "at least", "x", spread, note)


def _apart(folder: str) -> float:
    """Returns seconds per step of the slower of two simultaneous runs of half the batch: the limit of this machine."""
    with ThreadPoolExecutor(2) as pool:
        return max(pool.map(lambda _: _step(folder, 1, BATCH // 2), range(2)))


def _step(folder: str, processes: int, batch: int = BATCH) -> float:
    own = tempfile.mkdtemp(dir=folder)
    times = Path(own, "times")
    words = f"""
        fit --allow=benchmarks --run.root={own}
        --model=ReconstructionModule --model.warmup_epochs=0
        --data=Folder --data.task=pretrain --data.root={folder}/data --data.batch_size={batch} --data.num_workers=0
        --trainer.accelerator=cpu --trainer.devices={processes} --trainer.max_epochs=1
        --trainer.limit_train_batches={STEPS} --trainer.limit_val_batches=1
        --trainer.enable_checkpointing=false --trainer.enable_progress_bar=false
        --trainer.callbacks+=benchmarks.processes.StepTimes --trainer.callbacks.path={times}
    """.split()
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-m", "smir", *words], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"fit on {processes} processes failed:\n{done.stderr[-2000:]}")
    median, _ = summary([float(line) for line in times.read_text(encoding="ascii").split()])
    return median
