"""The progress bar of a training: epoch, stage and time left."""

import time
from collections import deque
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar

from smir.terminal import Pulse
from smir.training.task import SmirModule

RECENT = 10
"""Epochs whose mean time is the pace: the first ones may be slow, and stages may differ."""


class RunProgress(TQDMProgressBar):
    """Lightning's bar with `Epoch 30/100, stage 1 of 2, 12 min left`, counted from 1.

    The estimate uses the epochs of this process. Epochs that end a stage also score, so they have a separate mean.
    """

    def __init__(self) -> None:
        super().__init__()
        self._pace = Pace()
        self._pulse = Pulse()

    def _should_update(self, current: int, total: int) -> bool:
        """Updates the bar at intervals: each update waits for the GPU, and adds a line to a log file."""
        return super()._should_update(current, total) and (current == total or self._pulse.due())

    def on_train_start(self, trainer: Trainer, *args: Any) -> None:
        """Forgets the pace of an earlier training."""
        super().on_train_start(trainer, *args)
        self._pace = Pace()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Describes the epoch; replaces Lightning's hook, which would show `Epoch 29` first."""
        assert isinstance(pl_module, SmirModule)
        stages, each = pl_module.data.stages, pl_module.stage_epochs
        self._pace.begin(ends_stage=(trainer.current_epoch + 1) % each == 0)
        words = [f"Epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"]
        if stages.num_stages > 1:
            words.append(f"stage {stages.current + 1} of {stages.num_stages}")
        epochs = (trainer.max_epochs or 0) - trainer.current_epoch
        left = self._pace.left(epochs, scorings=(epochs - 1) // each)
        if left is not None:
            words.append(f"{duration(left)} left")
        self.train_progress_bar.set_description(", ".join(words), refresh=False)
        self.train_progress_bar.reset(total=int(self.total_train_batches))


class Pace:
    """Measures the time from the start of one epoch to the start of the next."""

    def __init__(self) -> None:
        self._plain: deque[float] = deque(maxlen=RECENT)
        self._ending: deque[float] = deque(maxlen=RECENT)
        self._begun: tuple[float, bool] | None = None

    def begin(self, ends_stage: bool) -> None:
        """Notes the start of an epoch, and whether it ends its stage."""
        now = time.monotonic()
        if self._begun is not None:
            then, ended_stage = self._begun
            (self._ending if ended_stage else self._plain).append(now - then)
        self._begun = now, ends_stage

    def left(self, epochs: int, scorings: int) -> float | None:
        """Estimates the seconds of a number of epochs, `scorings` of which end a stage; None at first."""
        plain, ending = self._plain or self._ending, self._ending or self._plain
        if not plain:
            return None
        return (epochs - scorings) * sum(plain) / len(plain) + scorings * sum(ending) / len(ending)


def duration(seconds: float) -> str:
    """Returns a time in its largest units: `under 1 min`, `12 min`, `3 h 20 min`, `2 days 5 h`."""
    minutes = round(seconds / 60)
    hours = round(seconds / 3600)
    if minutes < 1:
        return "under 1 min"
    if minutes < 60:
        return f"{minutes} min"
    if hours < 48:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{hours // 24} days {hours % 24} h"
