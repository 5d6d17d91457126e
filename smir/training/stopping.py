"""Stops all ranks at the same step once one of them was asked to."""

from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch import Callback, LightningModule, Trainer

from smir.method.all_ranks import num_ranks
from smir.runs.lightning_doors import keep_own_signal_handlers
from smir.runs.signals import REQUEUE, Stopped, asked_by, handle
from smir.training.checkpoints import LastCheckpoint

STEPS_ON_GPU = 8
"""Steps between two questions on a GPU, where each waits for the device; on CPUs one comes every step."""


class StopTogether(Callback):
    """Asks the ranks, at the beginning of steps, whether one of them was told by a signal to stop, and stops them all.

    Nothing is saved within an epoch: the run stops at once where the epoch before was kept, else after this one, which
    is a short one then. No rank is asked while a partition is scored, because the ranks may have different numbers of
    batches then.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Replaces Lightning's handlers: they talk to other ranks in the middle of a step, and requeue on their own."""
        keep_own_signal_handlers(trainer)
        handle(wait_for_step=True)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """No rank waits for another from here on."""
        handle(wait_for_step=False)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Asks."""
        self._ask(trainer, pl_module.device, batch_idx)

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Asks."""
        self._ask(trainer, pl_module.device, batch_idx)

    def on_test_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Asks."""
        self._ask(trainer, pl_module.device, batch_idx)

    def _ask(self, trainer: Trainer, device: torch.device, batch_idx: int) -> None:
        asked = asked_by() is not None
        if num_ranks() > 1:
            if device.type != "cpu" and batch_idx % STEPS_ON_GPU:
                return
            anyone = torch.tensor(int(asked), device=device)
            dist.all_reduce(anyone, op=dist.ReduceOp.MAX)
            asked = bool(anyone.item())
        if asked:
            behind = [c for c in trainer.checkpoint_callbacks if isinstance(c, LastCheckpoint) and c.behind]
            if not behind:
                raise Stopped(REQUEUE)
            for callback in behind:
                callback.wanted = True  # asked again at the next step, all is kept
