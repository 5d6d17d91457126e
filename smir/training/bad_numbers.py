"""Stops a training whose loss or gradients become NaN or infinite, and keeps the batch that caused it."""

import io
import itertools
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from smir.errors import CheckpointError, RunError, first_few
from smir.files.atomic import replacing
from smir.method.all_ranks import num_ranks
from smir.models.weight_files import read_checkpoint
from smir.runs.checkpoint_record import CheckpointRecord
from smir.runs.ranks import gather
from smir.seeding import seed_for
from smir.training.from_checkpoint import module_class
from smir.training.run_record import run_folder
from smir.training.task import SmirModule

FOLDER = "bad-numbers"
STEPS_ON_GPU = 50
"""Steps between two reads on a GPU, where each waits for the device."""
_NEVER = 1 << 62


class FiniteNumbers(Callback):
    """Stops when the loss or a gradient is NaN or infinite, with the step, the stage and the files of the batch.

    The device notes the first bad step. Reading the note makes a GPU wait, so a GPU reads it every 50 steps and at the
    end of the epoch. A CPU reads it at every step, before the weights change. So does a GPU if the run folder already
    holds bad numbers: then the weights of that step are kept as well. Seed, epoch and place reproduce a batch, so only
    its step is remembered.
    """

    def __init__(self) -> None:
        self._first: Tensor  # the first bad batch of this epoch, on the device
        self._steps: dict[int, int] = {}  # by the place of the batch in the epoch
        self._current = 0
        self._every = 1

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Clears the note."""
        self._first = torch.tensor(_NEVER, device=pl_module.device)
        self._steps = {}
        slow = pl_module.device.type != "cpu" and not (run_folder(trainer) / FOLDER).is_dir()
        self._every = STEPS_ON_GPU if slow else 1

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Remembers the step of the batch."""
        self._current = batch_idx
        self._steps[batch_idx] = trainer.global_step

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """Checks the loss."""
        self._note(loss.detach())

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Checks the gradients, which all ranks share, and reads the note when it is time."""
        if getattr(trainer.precision_plugin, "scaler", None) is None:  # float16's scaler expects infinite ones
            self._note(get_total_norm([p.grad for p in pl_module.parameters() if p.grad is not None]))
        if (self._current + 1) % self._every == 0:
            self._look(trainer, pl_module, before_step=True)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Reads the note before the epoch is kept."""
        self._look(trainer, pl_module, before_step=False)

    def _note(self, value: Tensor) -> None:
        self._first = torch.where(value.isfinite(), self._first, self._first.clamp(max=self._current))

    def _look(self, trainer: Trainer, module: LightningModule, before_step: bool) -> None:
        first = self._first.clone()
        if num_ranks() > 1:
            dist.all_reduce(first, op=dist.ReduceOp.MIN)
        place = int(first)
        if place == _NEVER:
            self._steps = {}
            return
        assert isinstance(module, SmirModule)
        own = int(self._first) == place  # a loss is bad on one rank, a gradient on all of them
        exact = before_step and place == self._current
        told = gather(_keep(trainer, module, place, self._steps[place], exact) if own else "")
        stage, kept = module.data.stages.current + 1, " ".join(filter(None, told))
        raise RunError(
            f"The loss or a gradient is not a finite number: step {self._steps[place] + 1}, epoch "
            f"{trainer.current_epoch + 1}, batch {place + 1} of it, stage {stage}. {kept} The checkpoints "
            "are as they were. Lower model.lr, or replay the batch (robustness.md of the documentation)"
            f"{'.' if exact else '; the same command again also keeps the weights of that step.'}"
        )


def _keep(trainer: Trainer, module: SmirModule, place: int, step: int, exact: bool) -> str:
    """Rebuilds a batch and writes it, with the weights if they are unchanged; returns a message that names the file."""
    data, epoch = module.data, trainer.current_epoch
    loader: Any = trainer.train_dataloader
    visits = list(itertools.islice(loader.sampler, place * loader.batch_size, (place + 1) * loader.batch_size))
    names = data.images("pool" if module.task == "pretrain" else "train")
    files = [str(names.path(visit.index)) for visit in visits]
    content: dict[str, Any] = {
        "batch": loader.collate_fn([loader.dataset[visit] for visit in visits]),
        "seed": seed_for(data.seed, "batch", epoch, place, trainer.global_rank),
        "files": files,
        **({"state_dict": module.state_dict()} if exact else {}),
    }
    module.on_save_checkpoint(content)
    path = run_folder(trainer) / FOLDER / f"step-{step + 1}-rank-{trainer.global_rank}.pt"
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with replacing(path) as file:
        file.write(buffer.getbuffer())
    return f"Rank {trainer.global_rank} had {first_few(files)}; the batch is in {path.absolute()}."


def replay(path: Path, weights: Path | None = None) -> tuple[SmirModule, Tensor]:
    """Computes the default loss and its gradients of a kept batch again, on the CPU.

    For another `model.loss`, set `module.loss` of the returned module and call its `training_step`.

    Args:
        path: A file written by `FiniteNumbers`.
        weights: A checkpoint; needed if the file has no weights.

    Raises:
        CheckpointError: If a file cannot be read.
    """
    content = read_checkpoint(path)
    record = CheckpointRecord.find(content, path)
    if record is None or "batch" not in content or ("state_dict" not in content and weights is None):
        raise CheckpointError(
            f"{path} holds no batch with weights; name a checkpoint with weights=, such as last.ckpt."
        )
    module = module_class(record.task).from_checkpoint(weights or path).train()
    module.network.to(memory_format=torch.channels_last)  # as in training, for the same kernels
    torch.manual_seed(content["seed"])
    loss = module.training_step(content["batch"], 0)
    torch.autograd.backward(loss)
    return module, loss
