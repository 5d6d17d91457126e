"""One training step through `fit`, against a bare PyTorch loop that takes turns with it in the same process."""

import contextlib
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, cast

import lightning.pytorch as pl
import torch
from torch import Tensor

from benchmarks.datasets import write_images
from benchmarks.measure import Row, Times, now, seconds, why_not
from smir.__main__ import main
from smir.method.losses import ReconstructionLoss
from smir.models.networks import SmpNetwork
from smir.training.reconstruction import ReconstructionModule

PRECISIONS = {"float32": "32-true", "bfloat16": "bf16-mixed"}
FIGURE = "a training step through fit in {}, images per second over those of a bare loop"
GOAL = 0.97


class TakeTurns(pl.Callback):
    """Lets a bare loop train as many batches after every `steps` of the Trainer, and times both.

    Args:
        device: `cpu` or `cuda`.
        precision: `float32` or `bfloat16`.
        steps: Steps of a turn.
    """

    times: ClassVar[dict[str, list[float]]]
    """Seconds of the turns of the last training, kept here because the command line does not return the object."""

    def __init__(self, device: str, precision: str, steps: int) -> None:
        self.device, self.steps = device, steps
        self.autocast = torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16")
        self.network = SmpNetwork(3).to(device, memory_format=torch.channels_last)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=3e-3)
        self.loss = ReconstructionLoss()
        TakeTurns.times = {"fit": [], "bare": []}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Gets ready."""
        module = cast(ReconstructionModule, pl_module)
        self.batches, self.preprocessing = iter(module.data.train_dataloader()), module.preprocessing
        self.network.train()
        self.start = now(self.device)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Takes the turn."""
        if (batch_idx + 1) % self.steps:
            return
        middle = now(self.device)
        for _ in range(self.steps):
            self._step(cast(dict[str, Tensor], next(self.batches)))
        end = now(self.device)
        if batch_idx >= self.steps:  # the first turn warms up
            self.times["fit"].append(middle - self.start)
            self.times["bare"].append(end - middle)
        self.start = now(self.device)

    def _step(self, batch: dict[str, Tensor]) -> None:
        image = self.preprocessing.normalize(batch["image"].to(self.device, non_blocking=True))
        mask = batch["mask"].to(self.device, non_blocking=True)
        with self.autocast:
            loss = self.loss(self.network(image * ~mask), image)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


def rows(device: str) -> Iterator[Row]:
    """The figures of training steps on a device."""
    for precision, trainer_precision in PRECISIONS.items():
        if reason := why_not(device, precision):
            yield Row(FIGURE.format(precision), device, None, GOAL, "at least", note=reason)
            continue
        turns, steps, batch, workers = (24, 1, 8, 0) if device == "cpu" else (10, 20, 128, 4)
        with tempfile.TemporaryDirectory(prefix="smir-bench-") as folder:
            images = (turns + 1) * steps * batch * 10 // 9 + 2
            write_images(Path(folder, "data"), (256, 256), ".jpg", 8, -(-images // 8))
            words = f"""
                fit --allow=benchmarks --run.root={folder}/runs
                --model=ReconstructionModule --model.network=SmpNetwork --model.warmup_epochs=0
                --data=Folder --data.task=pretrain --data.root={folder}/data --data.batch_size={batch}
                --data.num_workers={workers} --trainer.accelerator={device} --trainer.devices=1
                --trainer.precision={trainer_precision} --trainer.max_epochs=1
                --trainer.limit_train_batches={(turns + 1) * steps} --trainer.limit_val_batches=1
                --trainer.enable_checkpointing=false --trainer.enable_progress_bar=false
                --trainer.callbacks+=benchmarks.fit.TakeTurns --trainer.callbacks.device={device}
                --trainer.callbacks.precision={precision} --trainer.callbacks.steps={steps}
            """
            errors = io.StringIO()
            try:
                with contextlib.redirect_stderr(errors):
                    main(words.split())
            except SystemExit as stop:
                raise RuntimeError(f"fit failed:\n{errors.getvalue()[-2000:]}") from stop
        times = Times(TakeTurns.times)
        value, spread = times.ratio("bare", "fit")
        note = f"{seconds(times.median('bare') / steps)} a bare step of batch {batch}"
        yield Row(FIGURE.format(precision), device, value, GOAL, "at least", "x", spread, note)
