"""The callbacks of every training: they keep its record, watch over it, and write its checkpoints."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from jsonargparse import Namespace
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, ProgressBar, TQDMProgressBar

from smir.cli.settings import as_list
from smir.training.bad_numbers import FiniteNumbers
from smir.training.checkpoints import CheckpointFiles, LastCheckpoint, RunCheckpoint
from smir.training.health import LearningHealth
from smir.training.pictures import FinalPictures
from smir.training.progress_bar import RunProgress
from smir.training.run_record import RunRecord
from smir.training.stopping import FirstFailure, StopTogether
from smir.training.task import SmirModule

AnyCallback = TypeVar("AnyCallback", bound=Callback)


def training_arguments(trainer: Namespace, model: SmirModule, keep_seconds: float) -> dict[str, Any]:
    """Returns the callbacks and plugins with which the trainer of a fit is built.

    Args:
        trainer: The settings `trainer.*`, with the callbacks of the config.
        model: What is trained.
        keep_seconds: Seconds between two writes of `last.ckpt`.
    """
    # The first three before those of the config: before a partition is scored, bad numbers are found.
    callbacks: list[Callback] = [StopTogether(), FirstFailure(), FiniteNumbers(), *trainer.callbacks]
    callbacks += [LearningHealth(), RunRecord(Path(trainer.default_root_dir or ".")), FinalPictures()]
    callbacks = _with_bar(trainer, callbacks, RunProgress)
    if trainer.enable_checkpointing is False or trainer.fast_dev_run:
        return {"callbacks": callbacks}
    plugins = [*as_list(trainer.plugins), CheckpointFiles()]
    return {"callbacks": [*callbacks, *_checkpoints(model, keep_seconds)], "plugins": plugins}


def evaluation_arguments(trainer: Namespace) -> dict[str, Any]:
    """Returns the callbacks with which the trainer of a validate, test or predict is built."""
    return {"callbacks": _with_bar(trainer, list(trainer.callbacks), TQDMProgressBar)}


def _with_bar(trainer: Namespace, callbacks: list[Callback], bar: Callable[[], ProgressBar]) -> list[Callback]:
    """Adds a progress bar; Lightning would choose another one if the package rich is installed."""
    if trainer.enable_progress_bar is False or any(isinstance(callback, ProgressBar) for callback in callbacks):
        return callbacks
    return [*callbacks, bar()]


def _checkpoints(model: SmirModule, keep_seconds: float) -> list[ModelCheckpoint]:
    """`best` before `last`, so that `last` holds what `best` knows after this epoch."""
    shared: dict[str, Any] = {"save_on_train_epoch_end": True, "enable_version_counter": False, "save_top_k": 1}
    best = RunCheckpoint(filename="best", monitor=model.monitor, mode=model.monitor_mode, **shared)
    return [best, LastCheckpoint(keep_seconds, filename="last", **shared)]


def write_to(trainer: Trainer, folder: Path) -> None:
    """Gives the callbacks of a training its run folder."""
    callback_of(trainer, RunRecord).folder = folder
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, ModelCheckpoint) and callback.dirpath is None:
            callback.dirpath = str(folder / "checkpoints")


def callback_of(trainer: Trainer, kind: type[AnyCallback]) -> AnyCallback:
    """Returns the trainer's first callback of a kind; it must have one."""
    return next(callback for callback in all_callbacks(trainer) if isinstance(callback, kind))


def all_callbacks(trainer: Trainer) -> list[Callback]:
    """Returns the trainer's own list of callbacks, which can be appended to."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set by the trainer's connector
    return callbacks
