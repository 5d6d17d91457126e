"""One training step through `fit`, against a bare PyTorch loop that takes turns with it in the same process."""

import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import lightning.pytorch as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from benchmarks.datasets import pool, write_images
from benchmarks.measure import Row, Times, now, seconds
from smir.losses import ReconstructionLoss
from smir.network import SmpNetwork
from smir.reconstruction import ReconstructionModule

PRECISIONS = {"float32": "32-true", "bfloat16": "bf16-mixed"}
FIGURE = "a training step through fit in {}, images per second over those of a bare loop"
GOAL = 0.97


class TakeTurns(pl.Callback):
    """Lets a bare loop train as many batches after every `steps` of the Trainer, and times both."""

    def __init__(self, device: str, precision: str, loader: DataLoader[Any], steps: int) -> None:
        self.device, self.steps, self.loader = device, steps, loader
        self.autocast = torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16")
        self.network = SmpNetwork(3).to(device, memory_format=torch.channels_last)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=3e-3)
        self.loss = ReconstructionLoss()
        self.times: dict[str, list[float]] = {"fit": [], "bare": []}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Gets ready."""
        self.batches = iter(self.loader)
        self.preprocessing = cast(ReconstructionModule, pl_module).preprocessing
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
            self._step(next(self.batches))
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
        if device == "cuda" and not torch.cuda.is_available():
            yield Row(FIGURE.format(precision), device, None, GOAL, "at least", note="not measured here: no GPU")
            continue
        turns, steps, batch = (8, 1, 8) if device == "cpu" else (10, 20, 128)
        with tempfile.TemporaryDirectory(prefix="smir-bench-") as folder:
            images = -(-(turns + 1) * steps * batch * 10 // 9) + 1
            write_images(Path(folder, "data"), (256, 256), ".jpg", 8, -(-images // 8))
            workers = 0 if device == "cpu" else 4
            data, other = (pool(Path(folder, "data"), num_workers=workers) for _ in range(2))
            data.batch_size = other.batch_size = batch
            turn = TakeTurns(device, precision, other.train_dataloader(), steps)
            _train(folder, data, turn, device, trainer_precision, (turns + 1) * steps)
        times = Times(turn.times)
        value, spread = times.ratio("bare", "fit")
        note = f"{seconds(times.median('bare') / steps)} a bare step of batch {batch}"
        yield Row(FIGURE.format(precision), device, value, GOAL, "at least", "x", spread, note)


def _train(folder: str, data: pl.LightningDataModule, turn: TakeTurns, device: str, precision: Any, steps: int) -> None:
    module = ReconstructionModule(network=SmpNetwork, warmup_epochs=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = pl.Trainer(
            accelerator="gpu" if device == "cuda" else "cpu",
            devices=1,
            precision=precision,
            max_epochs=1,
            limit_train_batches=steps,
            limit_val_batches=0,
            callbacks=[turn],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=folder,
            use_distributed_sampler=False,
        )
        trainer.fit(module, datamodule=data)
