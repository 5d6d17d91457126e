"""The commands that use trained weights: validate, test, predict."""

import dataclasses
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_info

from smir.cli.configured import ConfiguredCLI
from smir.cli.hints import figures
from smir.cli.provenance import checked, find_checkpoint
from smir.cli.run_options import RunOptions
from smir.data.reading.file_list import FileList
from smir.data.reading.predicted import refuse_bad_headers
from smir.data.reading.screening import RECORD as SKIPPED
from smir.errors import CheckpointError, ConfigError, DataError
from smir.method.preprocessing import Preprocessing
from smir.predict.writer import PredictionWriter
from smir.runs.checkpoint_record import disagreements, normalised_as, preprocessing_in
from smir.runs.launch import global_rank
from smir.runs.recipe import digest, in_force, recipe_of
from smir.runs.results import result_folder
from smir.runs.run_folder import file_digest, run_of_checkpoint
from smir.runs.wandb_logging import Job, log_to_wandb
from smir.training.segmentation import SegmentationModule, usual_side_in
from smir.training.test_record import TestRecord


class EvaluatingCLI(ConfiguredCLI):
    """Takes weights of a run, uses them as they were trained, and keeps the results with the run.

    Attributes:
        finished: Folder of the run that the command has finished, or whose weights have predicted.
    """

    finished: Path | None = None
    _tested: Path | None = None

    def before_validate(self) -> None:
        """Needs weights."""
        self._require_weights()

    def before_test(self) -> None:
        """Needs weights; writes to the run they come from."""
        checkpoint, _ = self._require_weights()
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
        checkpoint, record = self._require_weights()
        if not isinstance(self.model, SegmentationModule):
            raise ConfigError("predict needs a SegmentationModule; a ReconstructionModule has no labels to predict.")
        self.datamodule.trained_side = self._trained_side(record)
        images = self.datamodule.images("predict")
        if self.datamodule.on_bad_image == "error":
            refuse_bad_headers(images, self.datamodule.min_side, self.datamodule.choice())
        source = self._source(checkpoint, images)
        source["predict"] = dataclasses.asdict(self.datamodule.predict)
        source["hash"] = digest([source["hash"], source["predict"]])
        self.finished = run_of_checkpoint(checkpoint)
        folder = result_folder(self.finished or checkpoint.parent, "predict", source)
        self._record_skipped(folder)
        self.trainer.callbacks.append(PredictionWriter(folder, source))  # type: ignore[attr-defined]  # set in its constructor
        self.config_init[self.subcommand].return_predictions = False
        rank_zero_info(f"Predictions go to {folder}.")

    def _trained_side(self, record: dict[str, Any]) -> int | None:
        """Usual shortest side of the images that the weights were trained on, if it can be known.

        Where an old checkpoint is silent, the training images of the config tell, if they are there.
        """
        try:
            return usual_side_in(record) or self.datamodule.usual_side
        except DataError:
            return None

    def _require_weights(self) -> tuple[Path, dict[str, Any]]:
        """Returns the checkpoint of `--ckpt_path`, and what smir recorded in it.

        `best` and `last` are those of the run that the config names.
        """
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
        record: dict[str, Any] = checked(path, self.model)["smir"]
        arguments.ckpt_path = str(path)
        if "weights_only" in arguments:
            arguments.weights_only = True
        self._normalise_as(preprocessing_in(record, path))
        if (run := run_of_checkpoint(path)) is not None:
            self._know_skipped(run)
        return path, record

    def _normalise_as(self, trained: Preprocessing) -> None:
        """Takes the normalisation from the checkpoint, as `inspect` and `export` do, and tells where data differ."""
        own = self.datamodule.preprocessing
        for line in disagreements(trained, own):
            rank_zero_info(line)
        used = normalised_as(trained, own)
        self.model.preprocessing = self.datamodule.preprocessing = used
        if (used.mean, used.std) != (own.mean, own.std):  # results record what was used
            self.config_dump["data"]["init_args"] |= {"mean": list(used.mean), "std": list(used.std)}

    def _source(self, checkpoint: Path, images: FileList) -> dict[str, Any]:
        """What results rest on; its hash tells results of other weights, images or settings apart.

        The sizes of the files are part of it: two datasets may well call their images alike.
        """
        trainer = self.config_dump["trainer"]
        sizes = digest([images.path(index).stat().st_size for index in range(len(images))])
        source: dict[str, Any] = {
            "checkpoint": str(checkpoint),
            "weights": file_digest(checkpoint),
            "data": type(self.datamodule).__name__,
            "protocol": getattr(self.datamodule, "protocol", None),
            "images": {
                "number": len(images),
                "names": images.fingerprint(),
                "bytes": sizes,
                "root": str(images.root),
            },
            "settings": {
                "data": recipe_of(self.config_dump)["data"],
                "precision": trainer["precision"],
                "limit_test_batches": trainer["limit_test_batches"],
            },
        }
        source["hash"] = digest([source["weights"], source["images"]["names"], sizes, source["settings"]])
        return source

    def _record_test(self, checkpoint: Path) -> tuple[Path, str]:
        pretrain = self.datamodule.task == "pretrain"
        source = self._source(checkpoint, self.datamodule.images("pool" if pretrain else "test"))
        folder = result_folder(run_of_checkpoint(checkpoint) or checkpoint.parent, "test", source)
        self.trainer.callbacks.append(TestRecord(folder, source))  # type: ignore[attr-defined]  # set in its constructor
        rank_zero_info(f"Test results go to {folder}.")
        return folder, source["hash"]

    def _know_skipped(self, *folders: Path) -> None:
        """Takes over what was found when the images were looked at before."""
        for folder in folders:
            self.datamodule.screening.load(folder / SKIPPED, digest(recipe_of(self.config_dump)["data"]))

    def _record_skipped(self, folder: Path) -> None:
        if self.datamodule.screening.verdicts and global_rank() == 0:
            self.datamodule.screening.save(folder / SKIPPED, digest(recipe_of(self.config_dump)["data"]))

    def _log_to_wandb(self, folder: Path, hash_: str, phase: str) -> None:
        options: RunOptions = self.config_init[self.subcommand].run
        dataset, config = type(self.datamodule).__name__, {**in_force(self.config_dump), "origin": self.model.origin}
        log_to_wandb(self.trainer, options, Job(folder, hash_, phase, options.name(), dataset, config))
