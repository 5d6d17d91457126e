"""Trained weights in use: which ones a command means, how images are seen by them, and where results go."""

import dataclasses
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.utilities import rank_zero_info

from smir.cli.callbacks import all_callbacks
from smir.cli.skipped import record_skipped
from smir.data.base import SmirDataModule
from smir.data.reading.file_list import FileList
from smir.data.reading.predicted import refuse_bad_headers
from smir.errors import CheckpointError, DataError
from smir.method.preprocessing import Preprocessing
from smir.predict.writer import PredictionWriter
from smir.runs.checkpoint_record import Checkpoint
from smir.runs.recipe import digest, recipe_of
from smir.runs.results import result_folder
from smir.runs.run_folder import file_digest, read_record, run_of_checkpoint
from smir.training.task import SmirModule
from smir.training.test_record import TestRecord


def find_weights(command: str, given: str | None, plain: Path, settings: dict[str, Any]) -> Checkpoint:
    """Reads the checkpoint of `--ckpt_path`.

    Args:
        command: The command that needs it, for the message.
        given: A path, or `best` or `last` for those of the run that the settings name.
        plain: Folder of that run, should its name not carry a hash.
        settings: All settings; of several folders of that name the one with this recipe is meant.

    Raises:
        CheckpointError: If it is not given, missing or damaged.
    """
    if given is None:
        raise CheckpointError(
            f"{command} needs trained weights: --ckpt_path FILE, or --ckpt_path best for the best "
            f"checkpoint of {plain}."
        )
    named = given in ("best", "last")
    return Checkpoint.read(_checkpoint_of(plain, given, digest(recipe_of(settings))) if named else given)


def _checkpoint_of(plain: Path, name: str, recipe_hash: str) -> Path:
    folders = [folder for folder in (plain, *sorted(plain.parent.glob(f"{plain.name}-*"))) if folder.is_dir()]
    same = [folder for folder in folders if (record := read_record(folder)) and record["recipe_hash"] == recipe_hash]
    chosen = same or folders
    if len(chosen) != 1:
        there = ", ".join(map(str, folders)) or "none"
        raise CheckpointError(
            f"--ckpt_path {name} means a run {plain} with the settings given; folders of that name: {there}. Give the "
            "checkpoint's path instead."
        )
    return chosen[0] / "checkpoints" / f"{name}.ckpt"


def normalise_as(
    trained: Preprocessing, model: SmirModule, data: SmirDataModule, settings: dict[str, Any]
) -> dict[str, Any]:
    """Takes the normalisation from the checkpoint, as `inspect` and `export` do, and tells where data differ.

    View and grid stay those of the data: they belong to how a test is done.

    Returns:
        The settings with the normalisation that is used, for the record of results.
    """
    own = data.preprocessing
    for line in _disagreements(trained, own):
        rank_zero_info(line)
    used = Preprocessing(trained.mean, trained.std, own.view_size, own.num_patches)
    model.preprocessing = data.preprocessing = used
    if (used.mean, used.std) == (own.mean, own.std):
        return settings
    arguments = {**settings["data"]["init_args"], "mean": list(used.mean), "std": list(used.std)}
    return {**settings, "data": {**settings["data"], "init_args": arguments}}


def _disagreements(trained: Preprocessing, own: Preprocessing) -> list[str]:
    """Returns a line for each setting in which the data differ from the training."""
    lines = []
    if (trained.mean, trained.std) != (own.mean, own.std):
        lines.append(
            f"Images are normalised as in the training of the checkpoint ({_channels(trained)}); the data's own "
            f"({_channels(own)}) are not used."
        )
    if trained.view_size != own.view_size:
        lines.append(
            f"The checkpoint was trained at {trained.view_size} pixels, images are seen at {own.view_size} here "
            f"(data.crop_size); for figures that compare give --data.crop_size {trained.view_size}."
        )
    return lines


def _channels(of: Preprocessing) -> str:
    mean, std = (", ".join(f"{value:.5g}" for value in values) for values in (of.mean, of.std))
    return f"mean {mean}, std {std}"


def keep_test(trainer: Trainer, weights: Path, data: SmirDataModule, settings: dict[str, Any]) -> tuple[Path, str]:
    """Has the trainer write the figures and pictures of a test into the run that its weights come from.

    Returns:
        The folder, and a hash of all that the results rest on.
    """
    source = _source(weights, data, data.images("pool" if data.task == "pretrain" else "test"), settings)
    folder = result_folder(run_of_checkpoint(weights) or weights.parent, "test", source)
    all_callbacks(trainer).append(TestRecord(folder, source))
    rank_zero_info(f"Test results go to {folder}.")
    return folder, source["hash"]


def keep_predictions(trainer: Trainer, checkpoint: Checkpoint, data: SmirDataModule, settings: dict[str, Any]) -> None:
    """Has the trainer write predicted labels into the run that its weights come from."""
    data.trained_side = _trained_side(checkpoint, data)
    images = data.images("predict")
    if data.on_bad_image == "error":
        refuse_bad_headers(images, data.min_side, data.choice())
    source = _source(checkpoint.path, data, images, settings)
    source["predict"] = dataclasses.asdict(data.predict)
    source["hash"] = digest([source["hash"], source["predict"]])
    folder = result_folder(run_of_checkpoint(checkpoint.path) or checkpoint.path.parent, "predict", source)
    record_skipped(data, settings, folder)
    all_callbacks(trainer).append(PredictionWriter(folder, source))
    rank_zero_info(f"Predictions go to {folder}.")


def _trained_side(checkpoint: Checkpoint, data: SmirDataModule) -> int | None:
    """Usual shortest side of the images that the weights were trained on, if it can be known.

    Where an old checkpoint is silent, the training images of the config tell, if they are there.
    """
    try:
        return checkpoint.record.usual_side or data.usual_side
    except DataError:
        return None


def _source(weights: Path, data: SmirDataModule, images: FileList, settings: dict[str, Any]) -> dict[str, Any]:
    """Describes the inputs of a result; the hash tells results of other weights, images or settings apart.

    The sizes of the files are part of it: two datasets may well call their images alike.
    """
    trainer = settings["trainer"]
    sizes = digest([images.path(index).stat().st_size for index in range(len(images))])
    source: dict[str, Any] = {
        "checkpoint": str(weights),
        "weights": file_digest(weights),
        "data": type(data).__name__,
        "protocol": getattr(data, "protocol", None),
        "images": {
            "number": len(images),
            "names": images.fingerprint(),
            "bytes": sizes,
            "root": str(images.root),
        },
        "settings": {
            "data": recipe_of(settings)["data"],
            "precision": trainer["precision"],
            "limit_test_batches": trainer["limit_test_batches"],
        },
    }
    source["hash"] = digest([source["weights"], source["images"]["names"], sizes, source["settings"]])
    return source
