"""The LightningCLI behind `python -m smir fit | validate | test | predict`."""

import logging
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import torch
from jsonargparse import Namespace
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.cli import ArgsType, LightningArgumentParser
from lightning.pytorch.utilities import rank_zero_info

import smir.data
import smir.training.selective_masking  # registers the callback for its short name
from smir.cli import training_run
from smir.cli.evaluation import find_weights, keep_predictions, keep_test, normalise_as
from smir.cli.hints import figures
from smir.cli.identity import identity_of, origin_of, refuse_other_run
from smir.cli.library_errors import as_config_error
from smir.cli.precision import SmirTrainer, native_precision, refuse_replaced_precision
from smir.cli.settings import Parser, RunOptions, add_options, as_list, check_settings, refuse_moved_field
from smir.errors import ConfigError
from smir.predict.polygons.options import PolygonOptions
from smir.runs.checkpoint_record import Checkpoint
from smir.runs.finished import check_weights, list_results_again, write_done
from smir.runs.launch import AlreadyDone, check_start
from smir.runs.lightning_doors import (
    ParsingCLI,
    SettingsCLI,
    keep_own_signal_handlers,
    load_only_what_is_given,
    share_gradient_memory,
)
from smir.runs.recipe import in_force
from smir.runs.run_folder import Identity, Run, run_of_checkpoint
from smir.runs.wandb_logging import Job, in_sweep, log_to_wandb
from smir.terminal import columns
from smir.training.from_checkpoint import check_fits
from smir.training.pictures import FinalPictures
from smir.training.run_record import all_callbacks
from smir.training.segmentation import SegmentationModule
from smir.training.task import SmirModule

# Lightning advertises its packages at every start, looks for TPUs, and names a checkpoint before and after it reads it.
_LOG = logging.getLogger("lightning.pytorch.utilities.rank_zero")
_NOISE = re.compile(r"installing \[lit|^TPU available: False|^Restoring states")
_NO_DEVICE = re.compile("No supported gpu backend found|can not run on your system")
_LOG.addFilter(lambda record: not _NOISE.search(str(record.msg)))


class SmirCLI(SettingsCLI):
    """Builds the objects of a command from its settings, and gives runs and results their folders.

    Attributes:
        finished: Folder of the run that the command finished, or whose weights predicted.
    """

    model: SmirModule
    datamodule: smir.data.SmirDataModule
    finished: Path | None = None
    _run: Run
    _identity: Identity
    _begun_from: str | None
    _resumed: bool
    _tested: Path | None = None
    _tested_run: Path | None = None

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds `--run.*`, and hands normalisation and classes from the data to the model."""
        add_options(parser)
        if list(self.subcommands()) == ["predict"]:
            parser.add_argument("--out", type=Path | None, help="Folder for the predictions; default: one in the run.")
            parser.add_class_arguments(PolygonOptions)

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parses the words, and refuses seeds that random generators do not accept."""
        super().parse_arguments(parser, args)
        seed = self.config[self.config.subcommand].seed_everything
        if isinstance(seed, bool):
            raise ConfigError(f"seed_everything must be a whole number, 0 or more, got {str(seed).lower()}.")
        if not 0 <= int(seed) < 1 << 32:
            raise ConfigError(f"seed_everything must lie between 0 and {(1 << 32) - 1}, got {seed}.")

    def before_instantiate_classes(self) -> None:
        """Checks the settings, names the run, and gives the datamodule its seed."""
        config = self.config[self.subcommand]
        if config.trainer.precision == "auto":
            config.trainer.precision = native_precision(config.trainer.accelerator)
        if self.subcommand != "predict":  # which needs nothing of the dataset
            refuse_moved_field(config)
        check_settings(config, trains=self.subcommand == "fit" and not config.trainer.fast_dev_run)
        task = f"{config.data.class_path.rpartition('.')[2].lower()}/{config.data.init_args.task}"
        experiment = config.run.experiment or task
        if config.run.field:
            experiment = re.sub("^folder/", lambda _: f"{config.run.field}/", experiment)
        config.run.experiment = in_sweep(experiment)
        config.trainer.callbacks = as_list(config.trainer.callbacks)
        config.data.init_args.seed = int(config.seed_everything)  # `false` is seed 0: every draw has a seed

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Adds the callbacks that keep the record of a run."""
        config, fit = self._arguments.trainer, self._options if self.subcommand == "fit" else None
        kwargs |= training_run.trainer_arguments(config, self.model, fit)
        if config.accelerator == "cpu":
            kwargs["sync_batchnorm"] = False  # torch has it only for GPUs
        try:
            trainer = super().instantiate_trainer(**kwargs)
        except (MisconfigurationException, TypeError, ValueError, RuntimeError) as error:  # no such device, twins
            lacks = _NO_DEVICE.search(str(error))
            remedy = " `--trainer.accelerator auto` takes what this machine has." if lacks else ""
            raise ConfigError(f"Lightning's trainer refuses its settings (trainer.*): {error}{remedy}") from error
        check_start(trainer)
        keep_own_signal_handlers(trainer)
        share_gradient_memory(trainer.strategy)
        load_only_what_is_given(trainer)
        return trainer

    def before_fit(self) -> None:
        """Opens the run: begins it, resumes it, or finds it done."""
        refuse_replaced_precision(self.trainer, self._arguments.trainer.precision)
        self._begun_from = given = self._arguments.ckpt_path
        what = (self._options, self.model, self.datamodule, self.settings)
        if given is not None:
            begun_from = Checkpoint.read(given)
            self._load(begun_from)
            if not self._is_trial and begun_from.epoch + 1 >= (self.trainer.max_epochs or 0):
                training_run.refuse_at_end(begun_from, identity_of(*what), self.trainer.max_epochs or 0)
        if self._is_trial:
            self._trial = tempfile.TemporaryDirectory(prefix="smir-fast-dev-run-")
            self._run, identity, checkpoint = Run(Path(self._trial.name)), identity_of(*what), None
        else:
            try:
                self._run, identity, checkpoint = training_run.start_run(self.trainer, *what)
            except AlreadyDone as done:
                training_run.say_what_it_began_from(Path(str(done)), given)
                raise
        training_run.write_to(self.trainer, self._run.path)
        self._identity, self._resumed = identity, checkpoint is not None
        self.model.origin = origin_of(identity, self._options.variant)
        if given is not None and training_run.is_of(self._run, given):
            checkpoint = None  # the user has chosen one of its own
        if checkpoint is not None:  # also if the run began from the given one, and was interrupted
            self._load(checkpoint)
        if not self._is_trial:
            processes = self.trainer.world_size
            training_run.split_into_stages(self.trainer, self.datamodule)
            training_run.describe_run(self._run.path, self.model, self.datamodule, self.settings, checkpoint, processes)
            self._log_to_wandb(self._run.path, identity.hash, self.model.task, self.settings)

    def after_fit(self) -> None:
        """Tests the best checkpoint of a segmentation, and marks the run as done."""
        run, trainer = self._run, self.trainer
        if self._is_trial:
            self._trial.cleanup()
            return
        epochs = training_run.finished_epochs(trainer)  # before the test, which takes the state of `best`
        if epochs is None:
            ended = f"stopped after epoch {trainer.current_epoch} of {trainer.max_epochs}"
            rank_zero_info(f"{run.path} {ended}; the same command resumes it.")
            return
        every = all_callbacks(trainer)
        pictures = next(each for each in every if isinstance(each, FinalPictures))
        if not pictures.written:  # the run was killed after its last epoch
            pictures.on_train_end(trainer, self.model)
        best = training_run.best_checkpoint(trainer, run, self._begun_from)
        if best is not None and self._resumed:  # another run's file may have taken its place while this one was down
            refuse_other_run(Checkpoint.read(best), self._identity)
        if self._options.test and isinstance(self.model, SegmentationModule) and best is not None:
            # `best` holds the averaged weights; this callback would test those that they are an average of.
            every[:] = [each for each in every if not isinstance(each, WeightAveraging)]
            keep_test(trainer, best, self.datamodule, self.settings, ends_run=True)
            trainer.test(self.model, datamodule=self.datamodule, ckpt_path=best, weights_only=True, verbose=False)
            if trainer.is_global_zero and "MAKELEVEL" in os.environ:  # `main` then prints neither figures nor a hint
                print(*figures(run.path / "test"), sep="\n", flush=True)
        if trainer.is_global_zero:
            weights = {key: value for key, value in self.model.origin.items() if key == "class_weights"}
            visits = self.datamodule.image_visits(epochs, trainer.limit_train_batches)
            write_done(run.path, {"epochs": epochs, "image_visits": visits, **weights})
            run.unlock()
            rank_zero_info(f"Done: {run.path}")
            self.finished = run.path

    def before_validate(self) -> None:
        """Loads trained weights."""
        self._use_weights()
        training_run.say_if_val_is_trained_on(self.datamodule)

    def before_test(self) -> None:
        """Loads trained weights; the results go to the run that they come from."""
        checkpoint, settings = self._use_weights()
        if not self._is_trial:
            self._tested_run = run_of_checkpoint(checkpoint.path)
            self._tested, hash_ = keep_test(self.trainer, checkpoint.path, self.datamodule, settings)
            self._log_to_wandb(self._tested, hash_, "test", settings)

    def after_test(self) -> None:
        """Prints the figures as a training does at its end."""
        if self._tested_run is not None and self.trainer.is_global_zero:
            list_results_again(self._tested_run)
        self._say()

    def _say(self) -> None:
        """Prints the figures of a segmentation's test, else the metrics; Lightning would print 16 digits."""
        if self.trainer.is_global_zero:
            rows = [[name, f"{float(value):.4f}"] for name, value in self.trainer.callback_metrics.items()]
            print(*((figures(self._tested) if self._tested else []) or columns(rows)), sep="\n", flush=True)

    after_validate = _say

    def before_predict(self) -> None:
        """Loads trained weights; the results go to the run that they come from."""
        given = self._arguments
        polygons = PolygonOptions(given.formats, given.simplify, given.min_area, given.background)
        polygons.refuse_useless()
        checkpoint, settings = self._use_weights()
        if not isinstance(self.model, SegmentationModule):
            raise ConfigError("predict needs a SegmentationModule; a ReconstructionModule has no labels to predict.")
        polygons.background_of(self.model.classes)
        keep_predictions(self.trainer, checkpoint, self.datamodule, settings, given.get("out"), polygons)
        self.finished = run_of_checkpoint(checkpoint.path)
        self._arguments.return_predictions = False

    @property
    def _arguments(self) -> Namespace:
        """Arguments of the subcommand; those that name classes are the objects built from them."""
        arguments: Namespace = self.config_init[self.subcommand]
        return arguments

    @property
    def _options(self) -> RunOptions:
        options: RunOptions = self._arguments.run
        return options

    @property
    def _is_trial(self) -> bool:
        return bool(self._arguments.trainer.fast_dev_run)

    def _load(self, checkpoint: Checkpoint) -> None:
        """Makes the trainer load a checkpoint, if it fits the model."""
        check_fits(checkpoint, self.model)
        self.model.resumes = True
        self._arguments.ckpt_path = str(checkpoint.path)
        if "weights_only" in self._arguments:
            self._arguments.weights_only = True

    def _use_weights(self) -> tuple[Checkpoint, dict[str, Any]]:
        """Loads trained weights, and returns them with the settings that they are used with."""
        given, folder = self._arguments.ckpt_path, self._options.folder(int(self._arguments.seed_everything))
        checkpoint = find_weights(str(self.subcommand), given, folder, self.settings)
        self._load(checkpoint)
        if "verbose" in self._arguments:
            self._arguments.verbose = False
        settings = normalise_as(checkpoint.record.preprocessing, self.model, self.datamodule, self.settings)
        if (run := run_of_checkpoint(checkpoint.path)) is not None:
            check_weights(run, checkpoint.path)
            training_run.load_skipped(self.datamodule, settings, run)
        return checkpoint, settings

    def _log_to_wandb(self, folder: Path, hash_: str, phase: str, settings: dict[str, Any]) -> None:
        name, dataset = self._options.name(), type(self.datamodule).__name__
        config = {**in_force(settings), "origin": self.model.origin}
        log_to_wandb(self.trainer, self._options, Job(folder, hash_, phase, name, dataset, config))


class ParsedCLI(ParsingCLI, SmirCLI):
    """Parses a command of smir without building or running anything."""


def run_cli(args: ArgsType = None, cli: type[SmirCLI] = SmirCLI) -> SmirCLI:
    """Parses and runs one of Lightning's subcommands.

    Raises:
        ConfigError: If Lightning or torch find, once they know the data, that the settings do not fit.
    """
    if cli is SmirCLI and isinstance(args, list) and args and args[0] in (commands := cli.subcommands()):
        # Lightning would build the parsers of all four commands, which takes four times as long.
        only = {args[0]: commands[args[0]]}
        cli = type(cli.__name__, (cli,), {"subcommands": staticmethod(lambda: only)})
    try:
        return cli(
            SmirModule,
            smir.data.SmirDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            trainer_class=SmirTrainer,
            save_config_callback=None,
            seed_everything_default=0,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            parser_class=Parser,
            trainer_defaults={
                "logger": False,
                "enable_model_summary": False,  # its FLOPs are 0; `describe_run` says how large the network is
                "use_distributed_sampler": False,
                "sync_batchnorm": torch.cuda.is_available(),  # METHOD.md section 1; nothing on a single device
            },
            args=args,
        )
    except (MisconfigurationException, ValueError, RuntimeError, AssertionError) as error:
        if (refusal := as_config_error(error)) is None:
            raise
        raise refusal from error
