"""Trained weights in validate, test and predict: the checkpoint, its normalisation, and the folders of results."""

import contextlib
import dataclasses
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.utilities import rank_zero_info

from smir.cli.training_run import record_skipped
from smir.data.base import SmirDataModule
from smir.data.reading.file_list import FileList
from smir.data.reading.jpeg_damage import damaged_jpegs, note_on_damage
from smir.data.reading.predicted import refuse_bad_headers
from smir.data.reading.screening import RECORD as SKIPPED
from smir.data.reading.stamps import content_digest
from smir.data.reading.tiff import notes_on_pages
from smir.errors import CheckpointError, ConfigError, DataError
from smir.files.digest import file_digest
from smir.files.json_record import dict_or_empty
from smir.method.preprocessing import Preprocessing
from smir.predict.likeness import Likeness
from smir.predict.polygons.options import PolygonOptions
from smir.predict.writer import AREAS, PredictionWriter
from smir.runs.checkpoint_record import Checkpoint
from smir.runs.launch import global_rank
from smir.runs.recipe import digest, recipe_of
from smir.runs.run_folder import RESULTS, read_record, result_folder, run_of_checkpoint
from smir.terminal import warn
from smir.training.run_record import all_callbacks
from smir.training.task import SmirModule
from smir.training.test_record import TestRecord


def find_weights(command: str, given: str | None, plain: Path, settings: dict[str, Any]) -> Checkpoint:
    """Reads the checkpoint of `--ckpt`.

    Args:
        command: The command that needs it, for the message.
        given: A path, or `best` or `last` for those of the run that the settings name.
        plain: Folder of that run without a hash in its name.
        settings: All settings; they choose among the folders with and without a hash by their recipe.

    Raises:
        CheckpointError: If it is not given, missing or damaged.
    """
    if given is None:
        raise CheckpointError(
            f"{command} needs trained weights: --ckpt FILE, or --ckpt best for the best checkpoint of {plain}."
        )
    if given not in ("best", "last"):
        return Checkpoint.read(given)
    recipe_hash = digest(recipe_of(settings))
    folders = [folder for folder in (plain, *sorted(plain.parent.glob(f"{plain.name}-*"))) if folder.is_dir()]
    same = [folder for folder in folders if (record := read_record(folder)) and record["recipe_hash"] == recipe_hash]
    chosen = same or folders
    if len(chosen) != 1:
        there = ", ".join(map(str, folders)) or "none"
        raise CheckpointError(
            f"--ckpt {given} means a run {plain} with the settings given; folders of that name: {there}. Give the "
            "checkpoint's path instead."
        )
    return Checkpoint.read(chosen[0] / "checkpoints" / f"{given}.ckpt")


def normalise_as(
    trained: Preprocessing, model: SmirModule, data: SmirDataModule, settings: dict[str, Any]
) -> dict[str, Any]:
    """Takes the normalisation from the checkpoint, and prints how the data differ from the training.

    View and grid stay those of the data: they belong to the test.

    Returns:
        The settings with the normalisation that is used, for the record of results.
    """
    own = model.preprocessing
    used = Preprocessing(trained.mean, trained.std, own.view_size, own.num_patches)
    model.preprocessing = data.preprocessing = used
    if trained.view_size != own.view_size:
        rank_zero_info(
            f"The checkpoint was trained at {trained.view_size} pixels, but images are seen at {own.view_size} here "
            f"(data.crop_size). For comparable figures: --data.crop_size {trained.view_size}."
        )
    if (used.mean, used.std) == (own.mean, own.std):
        return settings
    rank_zero_info(
        f"Images are normalised as in the training of the checkpoint ({_channels(trained)}); the data's own "
        f"({_channels(own)}) are not used."
    )
    arguments = {**settings["data"]["init_args"], "mean": list(used.mean), "std": list(used.std)}
    return {**settings, "data": {**settings["data"], "init_args": arguments}}


def _channels(of: Preprocessing) -> str:
    mean, std = (", ".join(f"{value:.5g}" for value in values) for values in (of.mean, of.std))
    return f"mean {mean}, std {std}"


def keep_test(
    trainer: Trainer, weights: Path, data: SmirDataModule, settings: dict[str, Any], *, ends_run: bool = False
) -> tuple[Path, str]:
    """Makes the trainer write the figures and pictures of a test into the run of its weights.

    The test that ends a run goes to its folder `test`. A test of earlier weights there is moved beside it.

    Returns:
        The folder, and a hash of everything that the results depend on.
    """
    source = _source(weights, data, data.images("pool" if data.task == "pretrain" else "test"), settings)
    if data.task == "segment":
        source["images"]["labels"] = content_digest(FileList(data.root, [pair.label for pair in data.pairs("test")]))
    run = run_of_checkpoint(weights) or weights.parent
    if ends_run and global_rank() == 0:
        _make_room(run / "test", source["hash"])
    folder = run / "test" if ends_run else result_folder(run, "test", source)
    all_callbacks(trainer).append(TestRecord(folder, source))
    rank_zero_info(f"Test results go to {folder}.")
    return folder, source["hash"]


def _make_room(folder: Path, hash_: str) -> None:
    """Moves the test of other weights, data or settings in a folder to where `result_folder` would have put it."""
    earlier = dict_or_empty(folder / RESULTS["test"]).get("hash", hash_)
    beside = folder.with_name(f"{folder.name}-{earlier}")
    if earlier != hash_ and not beside.exists():
        folder.rename(beside)
        rank_zero_info(f"A test that was made before the end of the run is now in {beside}.")


def keep_predictions(
    trainer: Trainer,
    checkpoint: Checkpoint,
    data: SmirDataModule,
    settings: dict[str, Any],
    out: Path | None,
    polygons: PolygonOptions,
) -> None:
    """Makes the trainer write predicted labels, and polygons, into a folder; default: one in the run of its weights."""
    with contextlib.suppress(DataError):  # an old checkpoint does not record the size; its training images may be gone
        data.trained_side = checkpoint.record.usual_side or data.usual_side
    images = data.images("predict")
    if data.on_bad_image == "error":
        refuse_bad_headers(images, data.min_side, data.choice())
    if global_rank() == 0:
        paths = [images.path(place) for place in range(len(images))]
        damaged = damaged_jpegs(paths)
        for note in [*notes_on_pages(paths), *([note_on_damage(damaged)] if damaged else [])]:
            warn(note)
    source = _with_options(_source(checkpoint.path, data, images, settings), data, polygons)
    others = ""
    if out is None:
        run = run_of_checkpoint(checkpoint.path) or checkpoint.path.parent
        folder = result_folder(run, "predict", source)
        if folder.name != "predict":
            others = f" {run / 'predict'} holds those of other images, weights or settings."
    else:
        folder = out
        if global_rank() == 0:
            _refuse_others(out, data.predict_images, source)
    record_skipped(data, settings, folder)
    all_callbacks(trainer).append(PredictionWriter(folder, source, polygons, Likeness(checkpoint.record)))
    if (folder / AREAS).exists():
        others += f" {folder} holds the same predictions already: they are made again, and files of other formats stay."
    rank_zero_info(f"Predictions go to {folder}.{others}")


def _with_options(source: dict[str, Any], data: SmirDataModule, polygons: PolygonOptions) -> dict[str, Any]:
    """Adds the options of a prediction to the record of its inputs and, if they change the result, to its hash."""
    options = {"predict": dataclasses.asdict(data.predict)}
    parts = [source["hash"], options["predict"]]
    if polygons != PolygonOptions():
        options["polygons"] = dataclasses.asdict(polygons)
    if (shape := dataclasses.replace(polygons, formats="")) != PolygonOptions():  # a format only adds files
        parts.append(dataclasses.asdict(shape))
    return {**source, **options, "hash": digest(parts)}


def _refuse_others(out: Path, images: Path | None, source: dict[str, Any]) -> None:
    """Refuses a folder for predictions that holds other files, or lies among the images and would be read with them.

    Raises:
        ConfigError: If it does.
    """
    if images is not None and images.is_dir() and out.resolve().is_relative_to(images.resolve()):
        raise ConfigError(f"--out {out} lies in the folder of the images, {images}. Give a folder elsewhere.")
    # A start that failed may have left the record of bad images.
    if out.exists() and (not out.is_dir() or any(each.name != SKIPPED for each in out.iterdir())):
        record = dict_or_empty(out / RESULTS["predict"])
        if record.get("hash") != source["hash"]:
            held = "predictions of other images, weights or settings" if record else "other files"
            raise ConfigError(f"--out {out.absolute()} holds {held}. Give a new folder, or delete that one.")


def _source(weights: Path, data: SmirDataModule, images: FileList, settings: dict[str, Any]) -> dict[str, Any]:
    """Describes the inputs of a result; the hash distinguishes results of other weights, images or settings.

    It covers the sizes of the files, because two datasets may use the same image names.
    """
    trainer = settings["trainer"]
    sizes = digest([images.path(index).stat().st_size for index in range(len(images))])
    names = images.fingerprint()
    source: dict[str, Any] = {
        "checkpoint": str(weights),
        "weights": file_digest(weights),
        "data": type(data).__name__,
        "protocol": getattr(data, "protocol", None),
        "images": {"number": len(images), "names": names, "bytes": sizes, "root": str(images.root)},
        "settings": {
            "data": recipe_of(settings)["data"],
            "precision": trainer["precision"],
            "limit_test_batches": trainer["limit_test_batches"],
        },
    }
    source["hash"] = digest([source["weights"], names, sizes, source["settings"]])
    return source
