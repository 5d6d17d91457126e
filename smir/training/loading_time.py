"""Suggests the image cache if a training waits for its images."""

import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from smir.terminal import say
from smir.training.task import SmirModule

LEAST = 20.0
"""Seconds of training after which the waiting is judged."""


class LoadingTime(Callback):
    """Measures once how long a training waits for images, without the first batch of an epoch, which starts workers."""

    def __init__(self) -> None:
        self._waited = self._worked = 0.0
        self._since: float | None = None
        self._told = False

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forgets the time between epochs."""
        self._since = None

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Counts the time since the last step as waiting."""
        now = time.perf_counter()
        self._waited += 0 if self._since is None else now - self._since
        self._since = now

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Counts the time of the step."""
        now = time.perf_counter()
        self._worked += now - (self._since or now)
        self._since = now

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Suggests the cache if most of the time went by waiting."""
        assert isinstance(pl_module, SmirModule)
        both = self._waited + self._worked
        if self._told or both < LEAST:
            return
        self._told = True
        if self._waited > self._worked and pl_module.data.cache is None:
            say(
                f"The training waits for its images {self._waited / both:.0%} of the time. A higher --data.num_workers "
                "reads more of them at once; --data.cache true keeps them decoded on the disk, in a new run."
            )
