"""The LightningCLI behind `python -m smir fit | validate | test | predict`."""

import dataclasses
import tempfile
from pathlib import Path
from typing import Any, Literal

import torch
import yaml
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities import rank_zero_info

import smir.data
import smir.selective  # registers the callback for its short name
from smir.errors import CheckpointError, ConfigError
from smir.health import LearningHealth
from smir.launch import agree_on_run, global_rank
from smir.outputs import FinalPictures, PredictionWriter, TestRecord, result_folder
from smir.runs import Identity, digest, file_digest, recipe_of, run_of_checkpoint, write_atomically
from smir.segmentation import SegmentationModule
from smir.tracking import RunRecord, commit, save_environment
from smir.training import SmirModule
from smir.weights import read_checkpoint


@dataclasses.dataclass
class RunOptions:
    """Where a run is kept.

    Attributes:
        experiment: Name of the experiment, such as `demo/selective`; default: the dataset and the task.
        root: Folder of all runs; this one goes to `<root>/<experiment>/seed<k>`.
        test: Whether a fit that segments ends with testing its best checkpoint.
    """

    experiment: str | None = None
    root: Path = Path("runs")
    test: bool = True


class SmirCLI(LightningCLI):
    """Gives every run its folder, checkpoints and record, and resumes it where it was interrupted."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds `--run.*`, and hands normalisation and classes from the data to the model."""
        parser.add_argument("--run", type=RunOptions, default=RunOptions(), help="Where the run is kept.")
        parser.link_arguments("data.preprocessing", "model.init_args.preprocessing", apply_on="instantiate")
        parser.link_arguments("data.classes", "model.init_args.classes", apply_on="instantiate")

    def _parse_ckpt_path(self) -> None:
        """Keeps a checkpoint's hyperparameters from overriding files and flags, as Lightning has it since 2.5.5."""

    def before_instantiate_classes(self) -> None:
        """Gives the datamodule the seed of the run."""
        config = self.config[self.subcommand]
        config.data.init_args.seed = int(config.seed_everything)  # `false` is seed 0: every draw has a seed

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Adds the callbacks that keep the record of a run."""
        config = self._get(self.config_init, "trainer")
        self.model: SmirModule
        self.datamodule: smir.data.SmirDataModule
        callbacks = list(config.callbacks or [])
        if self.subcommand == "fit":
            self.record = RunRecord(Path(config.default_root_dir or "."))
            callbacks += [LearningHealth(), self.record, FinalPictures()]
            if config.enable_checkpointing is not False and not config.fast_dev_run:
                callbacks += self._checkpoints()
        if torch.cuda.is_available() and config.accelerator in ("auto", "gpu", "cuda"):
            kwargs.setdefault("sync_batchnorm", True)  # METHOD.md section 1; without effect on a single device
        return super().instantiate_trainer(callbacks=callbacks, **kwargs)

    def _checkpoints(self) -> list[ModelCheckpoint]:
        """`best` before `last`, so that `last` holds what `best` knows after this epoch."""
        shared: dict[str, Any] = {"save_on_train_epoch_end": True, "enable_version_counter": False}
        best = ModelCheckpoint(
            filename="best", monitor=self.model.monitor, mode=self.model.monitor_mode, save_top_k=1, **shared
        )
        return [best, ModelCheckpoint(filename="last", save_top_k=1, **shared)]

    # fit

    def before_fit(self) -> None:
        """Opens the run: begins it, resumes it, or finds it done."""
        config, arguments = self.config[self.subcommand], self.config_init[self.subcommand]
        options: RunOptions = arguments.run
        identity = self._identity()
        if config.trainer.fast_dev_run:
            folder, checkpoint = Path(tempfile.mkdtemp(prefix="smir-fast-dev-run-")), None
        else:
            self._run, checkpoint = agree_on_run(self.trainer, options.root, identity)
            folder = self._run.path
        self.record.folder = folder
        for callback in self.trainer.checkpoint_callbacks:
            if isinstance(callback, ModelCheckpoint) and callback.dirpath is None:
                callback.dirpath = str(folder / "checkpoints")
        self.model.origin = {
            "experiment": identity.experiment,
            "seed": identity.seed,
            "recipe_hash": identity.recipe_hash,
            "commit": commit(),
        }
        if arguments.ckpt_path is None and checkpoint is not None:
            arguments.ckpt_path = str(checkpoint)
            rank_zero_info(f"Resuming {folder} after {checkpoint.name}.")
        if "weights_only" in arguments:
            arguments.weights_only = True
        if global_rank() == 0 and not config.trainer.fast_dev_run:
            self._write_config(folder)
            save_environment(folder)

    def after_fit(self) -> None:
        """Tests the best checkpoint of a segmentation, and marks the run as done."""
        config = self.config_init[self.subcommand]
        if config.trainer.fast_dev_run:
            return
        if self.trainer.interrupted:
            raise SystemExit(130)
        best = self.record.folder / "checkpoints" / "best.ckpt"
        if config.run.test and isinstance(self.model, SegmentationModule) and best.is_file():
            self._record_test(best)
            self.trainer.test(self.model, datamodule=self.datamodule, ckpt_path=best, weights_only=True)
        if self.trainer.is_global_zero:
            epochs = self.trainer.max_epochs or 0
            self._run.finish({"epochs": epochs, "image_visits": self.datamodule.image_visits(epochs)})
            self._run.unlock()
            rank_zero_info(f"Done: {self.record.folder}")

    def _identity(self) -> Identity:
        self._dump_config()
        config = self.config_dump
        name = config["run"]["experiment"] or f"{type(self.datamodule).__name__.lower()}/{self.datamodule.task}"
        inputs = {"data": self.datamodule.fingerprint(), "weights": _weights_fingerprint(self.model.weights)}
        return Identity(name, int(config["seed_everything"]), recipe_of(config), inputs)

    def _write_config(self, folder: Path) -> None:
        path = folder / "config.yaml"
        if not path.exists():
            write_atomically(path, yaml.safe_dump(self.config_dump, sort_keys=False))

    # validate, test, predict

    def before_validate(self) -> None:
        """Needs weights."""
        self._require_weights()

    def before_test(self) -> None:
        """Needs weights; writes to the run they come from."""
        self._record_test(self._require_weights())

    def before_predict(self) -> None:
        """Needs weights; writes to the run they come from."""
        checkpoint = self._require_weights()
        if not isinstance(self.model, SegmentationModule):
            raise ConfigError("predict needs a SegmentationModule; a ReconstructionModule has no labels to predict.")
        folder = (run_of_checkpoint(checkpoint) or checkpoint.parent) / "predict"
        self.trainer.callbacks.append(PredictionWriter(folder))  # type: ignore[attr-defined]
        self.config_init[self.subcommand].return_predictions = False
        rank_zero_info(f"Predictions go to {folder}.")

    def _require_weights(self) -> Path:
        """Returns the checkpoint of `--ckpt_path`; `best` and `last` are those of the run that the config names."""
        arguments = self.config_init[self.subcommand]
        options: RunOptions = arguments.run
        run = options.root / (options.experiment or "<experiment>") / f"seed{arguments.seed_everything}"
        given: str | Path | None = arguments.ckpt_path
        if given is None:
            raise CheckpointError(
                f"{self.subcommand} needs trained weights: --ckpt_path FILE, or --ckpt_path best for the best "
                f"checkpoint of {run}."
            )
        path = run / "checkpoints" / f"{given}.ckpt" if str(given) in ("best", "last") else Path(given)
        task = read_checkpoint(path).get("smir", {}).get("task")
        if task != self.model.task:
            raise CheckpointError(
                f"{path} is a checkpoint of the task {task!r}, the model is a {type(self.model).__name__} for "
                f"{self.model.task!r}. Pretrained weights start a model through --model.weights instead."
            )
        arguments.ckpt_path = str(path)
        if "weights_only" in arguments:
            arguments.weights_only = True
        return path

    def _record_test(self, checkpoint: Path) -> None:
        source: dict[str, Any] = {
            "checkpoint": str(checkpoint),
            "weights": file_digest(checkpoint),
            "data": type(self.datamodule).__name__,
            "protocol": getattr(self.datamodule, "protocol", None),
            "test_images": len(self.datamodule.images("pool" if self.datamodule.task == "pretrain" else "test")),
            "fingerprint": self.datamodule.fingerprint(),
        }
        source["hash"] = digest([source["weights"], source["data"], source["fingerprint"]])
        run = run_of_checkpoint(checkpoint) or checkpoint.parent
        folder = result_folder(run, source)
        self.trainer.callbacks.append(TestRecord(folder, source))  # type: ignore[attr-defined]
        rank_zero_info(f"Test results go to {folder}.")


def _weights_fingerprint(weights: Literal["imagenet"] | Path | None) -> dict[str, Any]:
    """Says by content what a network starts from."""
    if weights is None:
        return {"kind": "scratch"}
    if str(weights) == "imagenet":
        return {"kind": "imagenet"}
    origin = read_checkpoint(weights).get("smir", {}).get("origin", {})
    return {"kind": "file", "sha256": file_digest(Path(weights)), **origin}


def run_cli(args: ArgsType = None) -> None:
    """Parses and runs one of Lightning's subcommands."""
    SmirCLI(
        SmirModule,
        smir.data.SmirDataModule,
        subclass_mode_model=True,
        subclass_mode_data=True,
        save_config_callback=None,
        seed_everything_default=0,
        auto_configure_optimizers=False,
        load_from_checkpoint_support=False,
        parser_kwargs={"prog": "python -m smir"},
        trainer_defaults={"logger": False, "use_distributed_sampler": False},
        args=args,
    )
