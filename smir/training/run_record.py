"""The metrics file of a run, one row per epoch."""

import time
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.utilities import rank_zero_warn

from smir.files.atomic import write_atomically
from smir.files.pages.csv_text import csv_text
from smir.runs.run_folder import METRICS, read_metrics


class RunRecord(Callback):
    """Keeps `metrics.csv`: one row per epoch, cut back to the checkpoint on a resume.

    The row of an epoch is written before its checkpoint, so every checkpoint has its row.

    Args:
        folder: The run folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._rows: list[dict[str, str]] = []
        self._started = time.perf_counter()

    @property
    def path(self) -> Path:
        """The metrics file."""
        return self.folder / METRICS

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stops at once if early stopping has already ended the training."""
        if stopped_after(trainer):
            trainer.should_stop = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Reads the rows of earlier epochs."""
        goes_on = trainer.is_global_zero and trainer.current_epoch > 0
        rows = read_metrics(self.folder) if goes_on else []
        self._rows = [row for row in rows if int(row["epoch"]) < trainer.current_epoch]
        first = int(self._rows[0]["epoch"]) if self._rows else 0  # more than 0 if the run began from another one
        lost = trainer.current_epoch - first - len(self._rows)
        if lost and trainer.ckpt_path and Path(trainer.ckpt_path).parent.parent == self.folder:
            rank_zero_warn(f"{self.path.absolute()} has lost the rows of {lost} epochs; they are not made again.")

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts the clock."""
        self._started = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes the row of this epoch."""
        metrics = sorted(trainer.callback_metrics.items())  # a collective: it reduces over all ranks
        if not trainer.is_global_zero:
            return
        row = {"epoch": str(trainer.current_epoch), "step": str(trainer.global_step)}
        every = trainer.check_val_every_n_epoch or 1
        validated = (trainer.current_epoch + 1) % every == 0  # else Lightning still holds figures of an earlier epoch
        row |= {
            name: repr(float(value))
            for name, value in metrics
            if name != "loss" and (validated or not name.startswith("val/"))
        }
        row["seconds"] = f"{time.perf_counter() - self._started:.2f}"
        self._rows.append(row)
        columns = [*dict.fromkeys(name for row in self._rows for name in row if name != "seconds"), "seconds"]
        table = ([row.get(name, "") for name in columns] for row in self._rows)
        write_atomically(self.path, csv_text([columns, *table]))


def stopped_after(trainer: Trainer) -> int | None:
    """Returns the number of epochs after which `EarlyStopping` ended the training, if it did.

    With `trainer.min_epochs` the training goes on for a while after the callback has decided.
    """
    epochs = [c.stopped_epoch for c in trainer.early_stopping_callbacks if isinstance(c, EarlyStopping)]
    if epochs and trainer.should_stop and trainer.current_epoch <= 1 and not any(epochs):
        return 1  # the callback itself then says 0, as if it had not stopped
    decided = next((epoch + 1 for epoch in epochs if epoch), None)
    return decided if decided is None else max(decided, min(trainer.min_epochs or 0, trainer.max_epochs or decided))


def all_callbacks(trainer: Trainer) -> list[Callback]:
    """Returns the trainer's own list of callbacks, which can be appended to."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set by the trainer's connector
    return callbacks


def run_folder(trainer: Trainer) -> Path:
    """Returns the folder of the `RunRecord`, else the trainer's default root."""
    folders = (callback.folder for callback in all_callbacks(trainer) if isinstance(callback, RunRecord))
    return next(folders, Path(trainer.default_root_dir))
