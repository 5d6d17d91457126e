"""How the command line becomes objects: options, links between data and model, and the callbacks of every run."""

import argparse
import logging
import re
from pathlib import Path
from typing import Any, NoReturn

from jsonargparse import Namespace
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, ProgressBar
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI
from lightning.pytorch.strategies import DDPStrategy

import smir.data
import smir.training.selective_masking  # registers the callback for its short name
from smir.cli.guarded import GuardedParser
from smir.cli.run_options import RunOptions
from smir.cli.trainer_settings import check_trainer
from smir.errors import ConfigError
from smir.runs.wandb_options import in_sweep
from smir.training.bad_numbers import FiniteNumbers
from smir.training.checkpoints import CheckpointFiles, LastCheckpoint, RunCheckpoint
from smir.training.first_failure import FirstFailure
from smir.training.health import LearningHealth
from smir.training.pictures import FinalPictures
from smir.training.progress_bar import RunProgress
from smir.training.run_record import RunRecord
from smir.training.stopping import StopTogether
from smir.training.task import SmirModule

# Lightning advertises packages of its own at every start.
_LOG = logging.getLogger("lightning.pytorch.utilities.rank_zero")
_LOG.addFilter(lambda record: "installing [lit" not in str(record.msg))

_NO_CLASS = re.compile(
    r"arguments are required: (\w+\.(data|model)(, )?)+$"
    r"|class_path 'smir\.training\.SmirModule'|smir\.data\.SmirDataModule is abstract"
)
"""What the parser says of a model or data without a class, in this order: at all, or of the base class."""


class Parser(GuardedParser, LightningArgumentParser):
    """Lightning's parser, guarded. The help of a class (`--data.help Folder`) is a parser that comes without a name."""

    def __init__(self, *args: Any, prog: str | None = "python -m smir", **kwargs: Any) -> None:
        super().__init__(*args, prog=prog, **kwargs)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Says how to name the model and the data where the settings name none.

        Raises:
            ConfigError: For such settings.
        """
        if _NO_CLASS.search(message):
            raise ConfigError(
                "The settings do not say which model and which data. Add configs that do, such as --config "
                "experiments/folder/pretrain.yaml --config field/data.yaml; or, before their options, --model "
                "ReconstructionModule (to pretrain) or --model SegmentationModule, and --data Folder, PascalVOC, "
                "Cityscapes, Nassar or SugarBeets."
            ) from ex
        super().error(message, ex)


def add_options(parser: LightningArgumentParser) -> None:
    """Adds what smir has beside trainer, model and data: `--run.*`, and links from the data to the model."""
    parser.add_argument("--run", type=RunOptions, default=RunOptions(), help="Where the run is kept.")
    # `main` has read the included files before; the key itself means nothing to the parser.
    parser.add_argument("--include", type=Any, help=argparse.SUPPRESS)
    parser.link_arguments("data.preprocessing", "model.init_args.preprocessing", apply_on="instantiate")
    parser.link_arguments("data.classes", "model.init_args.classes", apply_on="instantiate")


class ConfiguredCLI(LightningCLI):
    """Reads settings, and builds from them the objects of a run with the callbacks that keep its record."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds `--run.*`, and hands normalisation and classes from the data to the model."""
        add_options(parser)

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Refuses a seed that the generators do not take.

        Raises:
            ConfigError: For such a seed.
        """
        super().parse_arguments(parser, args)
        seed = self.config[self.config.subcommand].seed_everything
        if not 0 <= int(seed) < 1 << 32:
            raise ConfigError(f"seed_everything must lie between 0 and {(1 << 32) - 1}, got {seed}.")

    def _parse_ckpt_path(self) -> None:
        """Keeps a checkpoint's hyperparameters from overriding files and flags, as Lightning has it since 2.5.5."""

    def before_instantiate_classes(self) -> None:
        """Checks the settings of the trainer, names the run, and gives the datamodule its seed."""
        config = self.config[self.subcommand]
        check_trainer(config.trainer, trains=self.subcommand == "fit" and not config.trainer.fast_dev_run)
        task = f"{config.data.class_path.rpartition('.')[2].lower()}/{config.data.init_args.task}"
        config.run.experiment = in_sweep(config.run.experiment or task)
        given = config.trainer.callbacks or []
        config.trainer.callbacks = given if isinstance(given, list) else [given]
        _refuse_two_of_a_kind(config.trainer.callbacks)
        config.data.init_args.seed = int(config.seed_everything)  # `false` is seed 0: every draw has a seed

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Adds the callbacks that keep the record of a run."""
        config = self._get(self.config_init, "trainer")
        self.model: SmirModule
        self.datamodule: smir.data.SmirDataModule
        callbacks = list(config.callbacks)
        if self.subcommand == "fit":
            self.record = RunRecord(Path(config.default_root_dir or "."))
            self.pictures = FinalPictures()
            # The first three before those of the config: before a partition is scored, bad numbers are found.
            callbacks = [StopTogether(), FirstFailure(), FiniteNumbers(), *callbacks]
            callbacks += [LearningHealth(), self.record, self.pictures]
            if config.enable_progress_bar is not False and not any(isinstance(c, ProgressBar) for c in callbacks):
                callbacks.append(RunProgress())
            if config.enable_checkpointing is not False and not config.fast_dev_run:
                callbacks += self._checkpoints()
                given = config.plugins or []
                kwargs["plugins"] = [*(given if isinstance(given, list) else [given]), CheckpointFiles()]
        if config.accelerator == "cpu":
            kwargs["sync_batchnorm"] = False  # torch has it for GPUs alone
        try:
            trainer = super().instantiate_trainer(callbacks=callbacks, **kwargs)
        except (MisconfigurationException, TypeError, ValueError) as error:  # no such device, no such strategy
            raise ConfigError(f"Lightning's trainer refuses its settings (trainer.*): {error}") from error
        if isinstance(trainer.strategy, DDPStrategy):
            # Gradients are made where they are sent from, which spares copying them. By this door, as which strategy it
            # will be is known once the trainer is there.
            trainer.strategy._ddp_kwargs.setdefault("gradient_as_bucket_view", True)
        return trainer

    def _checkpoints(self) -> list[ModelCheckpoint]:
        """`best` before `last`, so that `last` holds what `best` knows after this epoch."""
        shared: dict[str, Any] = {"save_on_train_epoch_end": True, "enable_version_counter": False}
        best = RunCheckpoint(
            filename="best", monitor=self.model.monitor, mode=self.model.monitor_mode, save_top_k=1, **shared
        )
        seconds = self._get(self.config_init, "run").keep_seconds
        return [best, LastCheckpoint(seconds, filename="last", save_top_k=1, **shared)]

    def _experiment(self) -> str:
        options: RunOptions = self.config_init[self.subcommand].run
        return options.name()

    def _dump_config(self) -> None:
        """Leaves out `include`: the dump holds all that the included files say."""
        super()._dump_config()
        self.config_dump.pop("include", None)


def _refuse_two_of_a_kind(callbacks: list[Namespace]) -> None:
    """Says how two `SelectiveMasking` come about; Lightning would only say that it cannot save both."""
    staged = [callback for callback in callbacks if callback.class_path.endswith(".SelectiveMasking")]
    if len(staged) > 1:
        raise ConfigError(
            "The settings name SelectiveMasking twice. Where a config has it already, leave out "
            "--trainer.callbacks+=SelectiveMasking and give its options alone: --trainer.callbacks.num_stages 5"
        )
