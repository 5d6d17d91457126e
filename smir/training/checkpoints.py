"""The checkpoint files of a run: the last epoch kept (`last.ckpt`), the one before it (`previous.ckpt`) and the best.

`best.ckpt` is written before `last.ckpt`, which records the choice: a run resumed from `last` or `previous` writes the
same `best` again.
"""

import io
import time
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch.serialization import get_unsafe_globals_in_checkpoint

from smir.errors import ConfigError, first_few
from smir.files.atomic import replacing
from smir.runs.run_folder import LAST, PREVIOUS
from smir.training.task import SmirModule


class RunCheckpoint(ModelCheckpoint):
    """A checkpoint file of a run; its state stays valid when the run moves to another folder."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Replaces the saved paths by those of this run, and restores the last score, which Lightning forgets."""
        self.current_score = state_dict["current_score"]
        here = str(Path(self.dirpath or ".") / f"{self.filename}.ckpt")
        scores = dict.fromkeys([here], *state_dict["best_k_models"].values()) if state_dict["best_k_models"] else {}
        paths = {"best_model_path": here, "kth_best_model_path": here} if state_dict["best_model_path"] else {}
        super().load_state_dict({**state_dict, "dirpath": self.dirpath, "best_k_models": scores, **paths})


class LastCheckpoint(RunCheckpoint):
    """Keeps the last epoch; skips short epochs, because writing may take longer than training.

    The first epoch of a process and the last one of every stage, with its chosen masks, are always kept.

    Args:
        seconds: Time from one write to the next; 0 keeps every epoch.
        options: Options of `ModelCheckpoint`.
    """

    def __init__(self, seconds: float, **options: Any) -> None:
        super().__init__(**options)
        self.seconds = seconds
        self.behind = False
        """True if the last epoch was not kept; equal on all ranks."""
        self.wanted = False
        """True if this epoch must be kept because the run is about to stop."""
        self._written: float | None = None

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keeps the epoch if rank 0 says that it is due."""
        self.behind = not trainer.strategy.broadcast(self._is_due(trainer, pl_module))
        if not self.behind:
            super().on_train_epoch_end(trainer, pl_module)
            self._written, self.wanted = time.monotonic(), False

    def _is_due(self, trainer: Trainer, module: LightningModule) -> bool:
        assert isinstance(module, SmirModule)
        ends_stage = (trainer.current_epoch + 1) % module.stage_epochs == 0
        early = self._written is not None and time.monotonic() - self._written < self.seconds
        return ends_stage or self.wanted or trainer.should_stop or not early


class CheckpointFiles(TorchCheckpointIO):
    """Writes each checkpoint to a temporary file, then renames it; keeps the one before `last.ckpt`."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Writes a checkpoint.

        Raises:
            ConfigError: If it holds objects with which no command could read it.
            RunError: If it cannot be written, as on a full disk; the old files stay as they were.
        """
        path = Path(path)
        content = io.BytesIO()  # a writer of torch that fails halfway may end the process
        torch.save(checkpoint, content)
        if kinds := _foreign_classes(content):
            raise ConfigError(
                f"A checkpoint would hold {first_few(kinds)} in {first_few(_foreign_parts(checkpoint))}, and no "
                "command could read it: checkpoints are read without executing anything in them. In what state_dict "
                "or on_save_checkpoint adds, use only numbers, texts, lists, dicts and tensors, such as str(path) or "
                "float(value)."
            )
        with replacing(path, keep=path.with_name(PREVIOUS) if path.name == LAST else None) as file:
            file.write(content.getbuffer())


def _foreign_classes(content: io.BytesIO) -> list[str]:
    """Returns the classes and functions in a saved file that `torch.load(weights_only=True)` refuses."""
    content.seek(0)
    return sorted(get_unsafe_globals_in_checkpoint(content))


def _foreign_parts(checkpoint: dict[str, Any]) -> list[str]:
    """Returns which values of a checkpoint hold such classes, those of callbacks by the callback and its key."""
    parts = {f"its {key}": value for key, value in checkpoint.items() if key != "callbacks"}
    for callback, state in checkpoint.get("callbacks", {}).items():
        values = state if isinstance(state, dict) else {"state": state}
        parts |= {f"the {key} of {callback.partition('{')[0]}": value for key, value in values.items()}
    found = []
    for name, value in parts.items():
        torch.save(value, content := io.BytesIO())
        found += [name] if _foreign_classes(content) else []
    return found
