"""The LightningCLI behind `python -m smir fit | validate | test | predict`."""

import dataclasses
import tempfile
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import yaml
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import ArgsType
from lightning.pytorch.utilities import rank_zero_info

import smir.data
from smir.atomic import write_atomically
from smir.configured import ConfiguredCLI, Parser
from smir.data.files import FileList
from smir.data.screening import RECORD as SKIPPED
from smir.errors import CheckpointError, ConfigError, DataError
from smir.launch import agree_on_run, global_rank
from smir.next_step import figures
from smir.outputs import TestRecord, result_folder
from smir.predictions import PredictionWriter
from smir.provenance import checked, find_checkpoint, origin_of, weights_fingerprint
from smir.recipes import digest, in_force, recipe_of
from smir.run_options import RunOptions
from smir.runs import Identity, Run, file_digest, open_run, run_of_checkpoint
from smir.segmentation import SegmentationModule, usual_side_in
from smir.tracking import save_environment, stopped_after
from smir.trained import disagreements, normalised_as, preprocessing_in
from smir.training import SmirModule
from smir.wandb_logging import Job, log_to_wandb
from smir.weights import read_checkpoint


class SmirCLI(ConfiguredCLI):
    """Gives every run its folder, and resumes it where it was interrupted.

    Attributes:
        finished: Folder of the run that the command has finished, or whose weights have predicted.
    """

    finished: Path | None = None
    _tested: Path | None = None

    # fit

    def before_fit(self) -> None:
        """Opens the run: begins it, resumes it, or finds it done."""
        config, arguments = self.config[self.subcommand], self.config_init[self.subcommand]
        options: RunOptions = arguments.run
        self._dump_config()
        if arguments.ckpt_path is not None:
            checked(Path(arguments.ckpt_path), self.model)
        if config.trainer.fast_dev_run:
            folder, checkpoint = Path(tempfile.mkdtemp(prefix="smir-fast-dev-run-")), None
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
            arguments.ckpt_path = str(checked(checkpoint, self.model))
            first = read_checkpoint(checkpoint).get("epoch", -1) + 2  # it holds the last one done, counted from 0
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

    def _know_skipped(self, *folders: Path) -> None:
        """Takes over what was found when the images were looked at before."""
        for folder in folders:
            self.datamodule.screening.load(folder / SKIPPED, digest(recipe_of(self.config_dump)["data"]))

    def _record_skipped(self, folder: Path) -> None:
        if self.datamodule.screening.verdicts and global_rank() == 0:
            self.datamodule.screening.save(folder / SKIPPED, digest(recipe_of(self.config_dump)["data"]))

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

    def _log_to_wandb(self, folder: Path, hash_: str, phase: str) -> None:
        options: RunOptions = self.config_init[self.subcommand].run
        dataset, config = type(self.datamodule).__name__, {**self.config_dump, "origin": self.model.origin}
        log_to_wandb(self.trainer, options, Job(folder, hash_, phase, options.name(), dataset, config))

    # validate, test, predict

    def before_validate(self) -> None:
        """Needs weights."""
        self._require_weights()

    def before_test(self) -> None:
        """Needs weights; writes to the run they come from."""
        checkpoint = self._require_weights()
        if not self.config[self.subcommand].trainer.fast_dev_run:
            self._tested, hash_ = self._record_test(checkpoint)
            self._log_to_wandb(self._tested, hash_, "test")

    def after_test(self) -> None:
        """Says the figures as a training does at its end."""
        if self._tested is not None and self.trainer.is_global_zero:
            for line in figures(self._tested):
                print(line, flush=True)

    def before_predict(self) -> None:
        """Needs weights; writes to the run they come from."""
        checkpoint = self._require_weights()
        if not isinstance(self.model, SegmentationModule):
            raise ConfigError("predict needs a SegmentationModule; a ReconstructionModule has no labels to predict.")
        self.datamodule.trained_side = self._trained_side(checkpoint)
        source = self._source(checkpoint, self.datamodule.images("predict"))
        self._add_predicted(source)
        self.finished = run_of_checkpoint(checkpoint)
        folder = result_folder(self.finished or checkpoint.parent, "predict", source)
        self._record_skipped(folder)
        self.trainer.callbacks.append(PredictionWriter(folder, source))  # type: ignore[attr-defined]  # set in its constructor
        self.config_init[self.subcommand].return_predictions = False
        rank_zero_info(f"Predictions go to {folder}.")

    def _trained_side(self, checkpoint: Path) -> int | None:
        """Usual shortest side of the images that the weights were trained on, if it can be known.

        Where an old checkpoint is silent, the training images of the config tell, if they are there.
        """
        record: dict[str, Any] = read_checkpoint(checkpoint)["smir"]
        try:
            return usual_side_in(record) or self.datamodule.usual_side
        except DataError:
            return None

    def _require_weights(self) -> Path:
        """Returns the checkpoint of `--ckpt_path`; `best` and `last` are those of the run that the config names."""
        arguments = self.config_init[self.subcommand]
        self._dump_config()
        plain = arguments.run.root / self._experiment() / f"seed{int(arguments.seed_everything)}"
        given = arguments.ckpt_path
        if given is None:
            raise CheckpointError(
                f"{self.subcommand} needs trained weights: --ckpt_path FILE, or --ckpt_path best for the best "
                f"checkpoint of {plain}."
            )
        named = str(given) in ("best", "last")
        path = find_checkpoint(str(given), plain, digest(recipe_of(self.config_dump))) if named else Path(given)
        arguments.ckpt_path = str(checked(path, self.model))
        if "weights_only" in arguments:
            arguments.weights_only = True
        self._normalise_as_trained(path)
        if (run := run_of_checkpoint(path)) is not None:
            self._know_skipped(run)
        return path

    def _normalise_as_trained(self, checkpoint: Path) -> None:
        """Takes the normalisation from the checkpoint, as `inspect` and `export` do, and tells where data differ."""
        own = self.datamodule.preprocessing
        trained = preprocessing_in(read_checkpoint(checkpoint)["smir"], checkpoint)
        for line in disagreements(trained, own):
            rank_zero_info(line)
        used = normalised_as(trained, own)
        self.model.preprocessing = self.datamodule.preprocessing = used
        if (used.mean, used.std) != (own.mean, own.std):  # results record what was used
            self.config_dump["data"]["init_args"] |= {"mean": list(used.mean), "std": list(used.std)}

    def _source(self, checkpoint: Path, images: FileList) -> dict[str, Any]:
        """What results rest on; its hash tells results of other weights, images or settings apart."""
        trainer = self.config_dump["trainer"]
        source: dict[str, Any] = {
            "checkpoint": str(checkpoint),
            "weights": file_digest(checkpoint),
            "data": type(self.datamodule).__name__,
            "protocol": getattr(self.datamodule, "protocol", None),
            "images": {"number": len(images), "names": images.fingerprint(), "root": str(images.root)},
            "settings": {
                "data": recipe_of(self.config_dump)["data"],
                "precision": trainer["precision"],
                "limit_test_batches": trainer["limit_test_batches"],
            },
        }
        source["hash"] = digest([source["weights"], source["images"]["names"], source["settings"]])
        return source

    def _add_predicted(self, source: dict[str, Any]) -> None:
        """Adds how images are read; and how large they are, or one orthomosaic.tif would be taken for another."""
        files = self.datamodule.images("predict")
        source["images"]["bytes"] = digest([files.path(index).stat().st_size for index in range(len(files))])
        source["predict"] = dataclasses.asdict(self.datamodule.predict)
        source["hash"] = digest([source["hash"], source["images"]["bytes"], source["predict"]])

    def _record_test(self, checkpoint: Path) -> tuple[Path, str]:
        pretrain = self.datamodule.task == "pretrain"
        source = self._source(checkpoint, self.datamodule.images("pool" if pretrain else "test"))
        folder = result_folder(run_of_checkpoint(checkpoint) or checkpoint.parent, "test", source)
        self.trainer.callbacks.append(TestRecord(folder, source))  # type: ignore[attr-defined]  # set in its constructor
        rank_zero_info(f"Test results go to {folder}.")
        return folder, source["hash"]


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
            parser_kwargs={"prog": "python -m smir"},
            trainer_defaults={
                "logger": False,
                "use_distributed_sampler": False,
                "sync_batchnorm": torch.cuda.is_available(),  # METHOD.md section 1; nothing on a single device
            },
            args=args,
        )
    except MisconfigurationException as error:
        raise ConfigError(f"Lightning refuses its settings (trainer.*): {error}") from error
