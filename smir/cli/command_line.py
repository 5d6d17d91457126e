"""The LightningCLI behind `python -m smir fit | validate | test | predict`."""

import tempfile
from functools import cached_property
from pathlib import Path

import torch
import yaml
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import ArgsType
from lightning.pytorch.utilities import rank_zero_info

import smir.data
from smir.cli.configured import Parser
from smir.cli.evaluating import EvaluatingCLI
from smir.cli.provenance import checked, origin_of, weights_fingerprint
from smir.cli.run_options import RunOptions
from smir.errors import ConfigError
from smir.files.atomic import write_atomically
from smir.runs.environment import save_environment
from smir.runs.launch import agree_on_run, global_rank
from smir.runs.recipe import in_force, recipe_of
from smir.runs.run_folder import Identity, Run, open_run
from smir.training.run_record import stopped_after
from smir.training.segmentation import SegmentationModule
from smir.training.task import SmirModule


class SmirCLI(EvaluatingCLI):
    """Gives every run its folder, and resumes it where it was interrupted."""

    def before_fit(self) -> None:
        """Opens the run: begins it, resumes it, or finds it done."""
        config, arguments = self.config[self.subcommand], self.config_init[self.subcommand]
        options: RunOptions = arguments.run
        self._dump_config()
        if arguments.ckpt_path is not None:
            checked(Path(arguments.ckpt_path), self.model)
        if config.trainer.fast_dev_run:
            self._trial = tempfile.TemporaryDirectory(prefix="smir-fast-dev-run-")
            folder, checkpoint = Path(self._trial.name), None
        else:
            plain = options.root / self._experiment() / f"seed{int(arguments.seed_everything)}"
            self._know_skipped(plain, *plain.parent.glob(f"{plain.name}-*"))
            self._run, checkpoint = agree_on_run(self.trainer, self._open)
            folder = self._run.path
            self._know_skipped(folder)  # by which the other ranks skip what the first one does
        identity = self._identity
        self.record.folder = folder
        for callback in self.trainer.checkpoint_callbacks:
            if isinstance(callback, ModelCheckpoint) and callback.dirpath is None:
                callback.dirpath = str(folder / "checkpoints")
        self.model.origin = origin_of(identity, options.variant)
        if arguments.ckpt_path is None and checkpoint is not None:
            arguments.ckpt_path = str(checkpoint)
            first = checked(checkpoint, self.model).get("epoch", -1) + 2  # it holds the last one done, counted from 0
            rank_zero_info(f"Resuming {folder} from epoch {first} of {config.trainer.max_epochs} ({checkpoint.name}).")
        elif not config.trainer.fast_dev_run:
            rank_zero_info(f"This run is kept in {folder}.")
        if "weights_only" in arguments:
            arguments.weights_only = True
        if global_rank() == 0 and not config.trainer.fast_dev_run:
            if not (path := folder / "config.yaml").exists():
                write_atomically(path, yaml.safe_dump(in_force(self.config_dump), sort_keys=False))
            save_environment(folder)
        self._log_to_wandb(folder, identity.hash, self.model.task)

    def after_fit(self) -> None:
        """Tests the best checkpoint of a segmentation, and marks the run as done."""
        config = self.config_init[self.subcommand]
        if config.trainer.fast_dev_run:
            self._trial.cleanup()
            return
        if not self._is_complete():
            rank_zero_info(
                f"{self.record.folder} stopped after epoch {self.trainer.current_epoch} of {self.trainer.max_epochs}; "
                "the same command goes on."
            )
            return
        epochs = stopped_after(self.trainer) or self.trainer.current_epoch  # the test takes the state of `best`
        if not self.pictures.written:  # the run was killed after its last epoch
            self.pictures.on_train_end(self.trainer, self.model)
        best = self.record.folder / "checkpoints" / "best.ckpt"
        if config.run.test and isinstance(self.model, SegmentationModule) and best.is_file():
            self._record_test(best)
            self.trainer.test(self.model, datamodule=self.datamodule, ckpt_path=best, weights_only=True)
        if self.trainer.is_global_zero:
            self._run.finish({"epochs": epochs, "image_visits": self.datamodule.image_visits(epochs)})
            self._run.unlock()
            rank_zero_info(f"Done: {self.record.folder}")
            self.finished = self.record.folder

    def _is_complete(self) -> bool:
        """Whether training came to its own end, not to that of its time."""
        return stopped_after(self.trainer) is not None or self.trainer.current_epoch >= (self.trainer.max_epochs or 0)

    def _open(self) -> Run:
        options: RunOptions = self.config_init[self.subcommand].run
        run = open_run(options.root, self._identity, options.if_taken)
        if not run.done:
            self._record_skipped(run.path)  # before the other ranks are told of the folder
        return run

    @cached_property
    def _identity(self) -> Identity:
        inputs = {"data": self.datamodule.fingerprint(), "weights": weights_fingerprint(self.model)}
        seed = int(self.config_dump["seed_everything"])
        return Identity(self._experiment(), seed, recipe_of(self.config_dump), inputs)


def run_cli(args: ArgsType = None, cli: type[SmirCLI] = SmirCLI) -> SmirCLI:
    """Parses and runs one of Lightning's subcommands.

    Raises:
        ConfigError: If Lightning finds, once it knows the data, that its settings do not fit.
    """
    try:
        return cli(
            SmirModule,
            smir.data.SmirDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            save_config_callback=None,
            seed_everything_default=0,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            parser_class=Parser,
            trainer_defaults={
                "logger": False,
                "use_distributed_sampler": False,
                "sync_batchnorm": torch.cuda.is_available(),  # METHOD.md section 1; nothing on a single device
            },
            args=args,
        )
    except MisconfigurationException as error:
        raise ConfigError(f"Lightning refuses its settings (trainer.*): {error}") from error
