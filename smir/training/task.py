"""The base of both tasks: optimiser, schedule, seeds, and the record in a checkpoint."""

import abc
import contextlib
import math
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from torch import Tensor, nn
from torch.optim import Adam, Optimizer
from typing_extensions import Self

from smir.errors import CheckpointError, ConfigError, counted, first_few
from smir.files.imagenet_weights import packaged_file
from smir.method.all_ranks import num_ranks
from smir.method.preprocessing import Preprocessing
from smir.method.schedule import warmup_cosine
from smir.models.library_weights import LibraryWeights, library_weights
from smir.models.networks import Network, UNetStride4, check_spec
from smir.models.room import RoomFor
from smir.models.weight_files import check_format, check_paths
from smir.models.weights import LoadReport, load_from_library, load_pretrained
from smir.runs.checkpoint_record import Checkpoint, CheckpointRecord, Task
from smir.runs.ranks import sync_buffers
from smir.seeding import seed_for

if TYPE_CHECKING:
    from smir.data.base import SmirDataModule

NetworkBuilder = Callable[[int], Network]
"""Builds a network for a number of output channels: a network class, or one with some arguments filled in."""


LIBRARY = ("imagenet", "pretrained")
"""Values of `weights` that stand for weights of the encoder's library."""


def _refuse_misspelt(weights: str) -> None:
    """Refuses a word that was meant to name library weights, and would be taken for a file."""
    if weights in LIBRARY or not weights.isalnum() or Path(weights).exists():
        return
    if near := get_close_matches(weights.lower(), LIBRARY, 1):
        raise ConfigError(f"There is no checkpoint {weights}. Did you mean --model.weights {near[0]}?")


class SmirModule(pl.LightningModule):
    """Base of the two tasks.

    Args:
        out_channels: Output channels of the network.
        network: The network, by class: `UNetStride4` (the paper's) or `SmpNetwork` with their arguments.
        preprocessing: Normalisation and views; the CLI takes it from the data.
        lr: Peak learning rate of Adam.
        warmup_epochs: Epochs of linear warm-up at the start of every stage. If a stage on your own images is no longer
            than that, the warm-up takes a tenth of the stage.
        weights: Initial weights. Default: random. `imagenet`: the library's ImageNet weights of the encoder.
            `pretrained`: its weights of any training; the tag of a timm encoder selects them. Or the path of a
            checkpoint or plain state dict. To resume or test a run, use `--ckpt` instead.
        imagenet_file: File of those weights, for `imagenet` or `pretrained` without a download.
        weights_part: Part of the network that `weights` fills: `whole`, or `encoder`; the decoder is new then.
        encoder_lr_factor: Factor of the encoder's learning rate; below 1 it keeps more of the weights it starts from.
        freeze_encoder_epochs: Epochs at the start in which the encoder and its batch-norm statistics stay as they are;
            -1: all epochs.

    Raises:
        ConfigError: If the learning rate or its factor is not positive, the warm-up or the number of frozen epochs is
            not possible, `imagenet_file` or `weights_part` has no use, or the library has no such weights.
    """

    task: ClassVar[Task]
    monitor: ClassVar[str]
    """Validation metric that chooses the best checkpoint."""
    monitor_mode: ClassVar[Literal["min", "max"]]

    def __init__(
        self,
        out_channels: int,
        network: NetworkBuilder = UNetStride4,
        preprocessing: Preprocessing = Preprocessing(),
        lr: float = 3e-3,
        warmup_epochs: int = 10,
        weights: Literal["imagenet", "pretrained"] | Path | None = None,
        imagenet_file: Path | None = None,
        weights_part: Literal["whole", "encoder"] = "whole",
        encoder_lr_factor: float = 1.0,
        freeze_encoder_epochs: int = 0,
    ) -> None:
        super().__init__()
        if not 0 < lr < math.inf:
            raise ConfigError(f"model.lr must be positive and finite, got {lr}.")
        if warmup_epochs < 0:
            raise ConfigError(f"model.warmup_epochs must be 0 or more, got {warmup_epochs}.")
        _refuse_misspelt(str(weights))
        if imagenet_file is not None and str(weights) not in LIBRARY:
            raise ConfigError(
                f"model.imagenet_file = {imagenet_file} is only read if model.weights is imagenet or pretrained, but "
                f"it is {weights}. Set --model.weights imagenet, or leave the file out."
            )
        if weights_part == "encoder" and weights is None:
            raise ConfigError(
                "model.weights_part = encoder has no use without model.weights. Set them, or leave the part out."
            )
        if not 0 < encoder_lr_factor < math.inf:
            raise ConfigError(
                f"model.encoder_lr_factor must be positive and finite, got {encoder_lr_factor}. To keep the encoder as "
                "it is, set model.freeze_encoder_epochs to -1."
            )
        if freeze_encoder_epochs < -1:
            raise ConfigError(
                f"model.freeze_encoder_epochs must be 0 or more, or -1 for all, got {freeze_encoder_epochs}."
            )
        self.resumes = False
        """True if a checkpoint will fill the network, so that `weights` are not needed; Lightning says so too late."""
        self.network = network(out_channels)
        if str(weights) in LIBRARY:
            self._check_library_weights(str(weights), imagenet_file)
        self.out_channels = out_channels
        self.preprocessing = preprocessing
        self.lr = lr
        self.warmup_epochs = warmup_epochs
        self.weights = weights
        self.imagenet_file = imagenet_file
        self.weights_part = weights_part
        self.encoder_lr_factor = encoder_lr_factor
        self.freeze_encoder_epochs = freeze_encoder_epochs
        self.origin: dict[str, Any] = {}
        """The run that a checkpoint comes from; the CLI fills it in."""

    @property
    def data(self) -> "SmirDataModule":
        """The datamodule of the running trainer."""
        data: SmirDataModule = self.trainer.datamodule  # type: ignore[attr-defined]  # set by Trainer.fit
        return data

    @property
    def logged(self) -> list[str]:
        """Names of the values that a training logs, which callbacks can watch."""
        return ["train/loss", "lr", *(["lr/encoder"] if self.encoder_lr_factor != 1 else []), "stage"]

    @property
    def stage_epochs(self) -> int:
        """Epochs of a stage."""
        if not self.trainer.max_epochs or self.trainer.max_epochs < 1:
            raise ConfigError("trainer.max_epochs must be 1 or more: the learning-rate schedule spans it.")
        return self.trainer.max_epochs // self.data.stages.num_stages

    def lr_share(self, epoch: int) -> float:
        """Returns the learning rate of an epoch, from 0, as a share of `lr`; a subclass may have another schedule."""
        warmup_epochs = 0 if self.trainer.fast_dev_run else self.warmup_epochs  # type: ignore[attr-defined]
        return warmup_cosine(epoch % self.stage_epochs, self.stage_epochs, warmup_epochs)

    def setup(self, stage: str) -> None:
        """Checks that model and data fit together, and loads `weights` unless a run is being resumed."""
        if self.data.task != self.task:
            raise ConfigError(f"{type(self).__name__} needs data.task: {self.task}, got {self.data.task}.")
        self.network.to(memory_format=torch.channels_last)
        if stage != "fit":
            return
        check_spec(self.network)
        epochs = self.stage_epochs
        if self.data.shortens_warmup and self.warmup_epochs >= epochs:
            given, self.warmup_epochs = self.warmup_epochs, epochs // 10
            whole = "a training" if self.data.stages.num_stages == 1 else "stages"
            rank_zero_info(
                f"model.warmup_epochs = {given} is too long for {whole} of {counted(epochs, 'epoch', 'epochs')}; the "
                f"warm-up takes {counted(self.warmup_epochs, 'epoch', 'epochs')}."
            )
        self.lr_share(0)  # refuses a warm-up that is too long
        if self.weights is not None and not self.resumes:
            report = self._load_weights()
            rank_zero_info(f"Weights from {report}")
            if report.left_random:
                rank_zero_warn(
                    f"{report.source} does not fit {len(report.left_random)} tensors of the network, which begin at "
                    f"random: {first_few(report.left_random)}. Was it trained with another encoder "
                    "or other decoder_channels?"
                )

    def _check_library_weights(self, kind: str, file: Path | None) -> None:
        """Refuses weights that the library does not have, or that `imagenet` would name wrongly."""
        if file is not None and kind == "pretrained":
            return
        try:
            weights = library_weights(self.network.encoder_name)
        except ConfigError:
            if file is None:
                raise
            return
        if kind == "imagenet" and not weights.of_imagenet:
            raise ConfigError(
                f"The weights {weights.name} are not those of a training on ImageNet's labels. Use --model.weights "
                "pretrained, or an encoder with another tag."
            )

    @property
    def weights_file(self) -> Path | None:
        """The file that the initial weights are read from; None if they are random or downloaded."""
        if str(self.weights) in LIBRARY:
            return self.imagenet_file or packaged_file(self.network.encoder_name)
        return None if self.weights is None else Path(self.weights)

    def _load_weights(self) -> LoadReport:
        self._tell_normalisation()
        if (path := self.weights_file) is None:
            return load_from_library(self.network)
        return load_pretrained(self.network, path, head=self.task == "pretrain", part=self.weights_part)

    @property
    def library_weights(self) -> LibraryWeights | None:
        """The library's weights that the training starts from; None for others."""
        if str(self.weights) not in LIBRARY:
            return None
        with contextlib.suppress(ConfigError):  # a file for an encoder that the library has no weights for
            return library_weights(self.network.encoder_name)
        return None

    def _tell_normalisation(self) -> None:
        weights, mean, std = self.library_weights, self.preprocessing.mean, self.preprocessing.std
        if weights is not None and weights.normalised_differently(mean, std):
            way = "--model.normalisation weights" if self.task == "segment" else "--data.mean and --data.std"
            rank_zero_info(
                f"Images are normalised with the data's mean {mean} and deviation {std}. The weights {weights.name} "
                f"were trained with mean {weights.mean} and deviation {weights.std}; {way} would use those. In our "
                "study it made no difference."
            )

    @property
    def encoder(self) -> nn.Module:
        """The network's encoder."""
        return cast(nn.Module, self.network.encoder)

    def configure_optimizers(self) -> Optimizer:
        """Adam without weight decay; `on_train_epoch_start` sets its learning rates by `lr_share`."""
        if self.encoder_lr_factor == 1:
            return Adam(self.network.parameters(), lr=self.lr)
        encoder = set(self.encoder.parameters())
        others = [parameter for parameter in self.network.parameters() if parameter not in encoder]
        groups: list[dict[str, Any]] = [
            {"params": others},
            {"params": list(self.encoder.parameters()), "factor": self.encoder_lr_factor},
        ]
        return Adam(groups, lr=self.lr)

    def encoder_is_frozen(self) -> bool:
        """Returns whether the encoder stays as it is in the current epoch."""
        return self.freeze_encoder_epochs == -1 or self.current_epoch < self.freeze_encoder_epochs

    def on_train_epoch_start(self) -> None:
        """Sets the learning rates, which depend only on the epoch, and freezes or unfreezes the encoder.

        Raises:
            ConfigError: If `configure_optimizers` of a subclass has made a scheduler, which would be set aside.
        """
        own = type(self).configure_optimizers is not SmirModule.configure_optimizers
        if own and self.trainer.lr_scheduler_configs:  # else a callback of Lightning has made it, such as for SWA
            raise ConfigError(
                f"configure_optimizers of {type(self).__name__} returns a learning-rate scheduler, but the rate of an "
                "epoch is set by `lr_share`. Override that method instead, and return the optimiser alone."
            )
        lr = self.lr * self.lr_share(self.current_epoch)
        values = {"lr": lr, "stage": float(self.data.stages.current)}
        for group in self.optimizers().param_groups:  # type: ignore[union-attr]  # one optimiser, not a list
            group["lr"] = lr
            if "factor" in group:
                group["factor"] = self.encoder_lr_factor  # a checkpoint may hold that of another run
                group["lr"] = values["lr/encoder"] = lr * self.encoder_lr_factor
        self.log_dict(values, sync_dist=True)
        if self.freeze_encoder_epochs:
            self.encoder.train(not self.encoder_is_frozen())

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Clears the gradients of a frozen encoder after the ranks have exchanged them, so that Adam skips it.

        DistributedDataParallel decides once, at the start, which parameters it exchanges; `requires_grad` must not
        change later.
        """
        if self.freeze_encoder_epochs and self.encoder_is_frozen():
            self.encoder.zero_grad(set_to_none=True)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seeds the global generator (dropout) at every batch, because loaders draw from it, too."""
        torch.manual_seed(seed_for(self.data.seed, "batch", self.current_epoch, batch_idx, self.global_rank))

    def log_loss(self, loss: Tensor, images: int) -> None:
        """Logs the loss of a batch of all ranks, of which this rank has that many images."""
        self.log("loss", loss.detach(), prog_bar=True, logger=False)
        # Lightning rounds the mean of the ranks' sizes down to a whole number; that of multiples of the ranks is whole.
        size = images * num_ranks()
        self.log("train/loss", loss.detach(), on_step=False, on_epoch=True, sync_dist=True, batch_size=size)

    def on_validation_start(self) -> None:
        """Makes batch-norm statistics equal over the ranks before they are used."""
        sync_buffers(self)

    def on_train_epoch_end(self) -> None:
        """Makes batch-norm statistics equal over the ranks before they are saved."""
        sync_buffers(self)

    def checkpoint_record(self) -> CheckpointRecord:
        """Returns the record that rebuilds the network and names the origin of its weights."""
        visits = self.data.image_visits(self.trainer.max_epochs or 0, self.trainer.limit_train_batches)
        return CheckpointRecord(
            task=self.task,
            network=self.network.spec,
            out_channels=self.out_channels,
            preprocessing=self.preprocessing,
            usual_side=self.data.usual_side,
            origin={**self.origin, "image_visits": visits},
        )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the record."""
        self.checkpoint_record().write(checkpoint)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Raises a CheckpointError if the checkpoint has another format, or its callbacks name files elsewhere."""
        path = self.trainer.ckpt_path or "the checkpoint"
        check_format(checkpoint, path)
        check_paths(checkpoint, path)
        if self.trainer.training:
            self._check_groups(checkpoint, path)
            _refuse_within_an_epoch(checkpoint, path)

    def _check_groups(self, checkpoint: dict[str, Any], path: str | Path) -> None:
        own = 1 if self.encoder_lr_factor == 1 else 2
        states = checkpoint.get("optimizer_states")
        groups = states[0].get("param_groups") if isinstance(states, list) and states else None
        if isinstance(groups, list) and len(groups) != own:
            theirs = "1" if own == 2 else "below or above 1"
            raise CheckpointError(
                f"{path} was trained with a model.encoder_lr_factor of {theirs}, and this run has "
                f"{self.encoder_lr_factor:g}: such a training cannot be continued. Keep the factor, or start from the "
                "weights alone: --model.weights FILE."
            )

    @classmethod
    def require_task(cls, checkpoint: Checkpoint) -> None:
        """Raises a CheckpointError if a checkpoint is of the other task."""
        if checkpoint.record.task != cls.task:
            raise CheckpointError(
                f"{checkpoint.path} is a checkpoint of the task {checkpoint.record.task!r}, the model is a "
                f"{cls.__name__} for {cls.task!r}. Pretrained weights start a model through --model.weights instead."
            )

    @classmethod
    def from_checkpoint(cls, path: str | Path) -> Self:
        """Rebuilds the trained module of a checkpoint file, in eval mode on the CPU; see `rebuild`."""
        return cls.rebuild(Checkpoint.read(path))

    @classmethod
    def rebuild(cls, checkpoint: Checkpoint) -> Self:
        """Rebuilds the trained module of a checkpoint that was read.

        Raises:
            CheckpointError: If it is of the other task, or its record does not describe a network that its weights fit.
        """
        cls.require_task(checkpoint)
        try:
            with RoomFor(checkpoint.state):
                module = cls.from_record(checkpoint.record)
            module.load_state_dict(checkpoint.state)
        except (CheckpointError, ConfigError, LookupError, TypeError, ValueError, RuntimeError) as error:
            raise CheckpointError(
                f"{checkpoint.path} does not describe a network that its weights fit: {error}"
            ) from error
        return module.eval()

    @classmethod
    @abc.abstractmethod
    def from_record(cls, record: CheckpointRecord) -> Self:
        """Builds the module that a checkpoint's record describes."""


def _refuse_within_an_epoch(checkpoint: dict[str, Any], path: str | Path) -> None:
    """Refuses a checkpoint that a callback wrote at a step: learning rate and stages are set where epochs begin."""
    with contextlib.suppress(LookupError, TypeError):  # other loops than Lightning's of today
        epochs = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]
        if epochs["processed"] < epochs["ready"]:
            raise CheckpointError(
                f"{path} was written within epoch {epochs['ready']}, and trainings continue only from the end of an "
                "epoch. Take last.ckpt of the run, or start from the weights alone: --model.weights FILE."
            )
