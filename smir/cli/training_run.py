"""A training and its run: its callbacks, its folder, and the records that it writes there."""

import contextlib
from functools import cache
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, ProgressBar, TQDMProgressBar
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from smir.cli.callback_checks import check_callback
from smir.cli.identity import identity_of, refuse_other_run
from smir.cli.settings import RunOptions, as_list
from smir.cli.trust import read_yaml, yaml_text
from smir.data.base import SmirDataModule
from smir.data.published import PublishedDataset
from smir.data.reading.screening import RECORD
from smir.data.reading.stamps import RECORD as FILES
from smir.data.reading.stamps import refuse_other_files, save_stamps
from smir.errors import ConfigError, DataError, RunError, counted, first_few
from smir.files.atomic import write_atomically
from smir.runs.checkpoint_record import Checkpoint
from smir.runs.environment import save_environment
from smir.runs.launch import agree_on_run, global_rank
from smir.runs.recipe import digest, in_force, recipe_of
from smir.runs.run_folder import Identity, Run, open_run, read_record, run_of_checkpoint
from smir.training.bad_numbers import FiniteNumbers
from smir.training.checkpoints import CheckpointFiles, LastCheckpoint, RunCheckpoint
from smir.training.health import LearningHealth
from smir.training.loading_time import LoadingTime
from smir.training.pictures import FinalPictures
from smir.training.progress_bar import RunProgress
from smir.training.run_record import RunRecord, all_callbacks, stopped_after
from smir.training.selective_masking import SelectiveMasking
from smir.training.stopping import FirstFailure, StopTogether
from smir.training.task import SmirModule


def trainer_arguments(trainer: Namespace, model: SmirModule, fit: RunOptions | None) -> dict[str, Any]:
    """Returns the callbacks and plugins for the settings `trainer.*` of a command.

    `trainer` holds the settings, with the callbacks of the config. `fit` are the options of a fit; None for validate,
    test and predict.
    """
    callbacks: list[Callback] = list(trainer.callbacks)
    if fit is not None:
        for callback in callbacks:
            check_callback(callback, model, callbacks)
        # The first three precede those of the config, so that bad numbers are found before a partition is scored.
        callbacks = [StopTogether(), FirstFailure(), FiniteNumbers(), *callbacks]
        record = RunRecord(Path(trainer.default_root_dir or "."))
        callbacks += [LearningHealth(), LoadingTime(), record, FinalPictures()]
    if trainer.enable_progress_bar is not False and not any(isinstance(each, ProgressBar) for each in callbacks):
        # Without one Lightning would choose another if the package rich is installed.
        callbacks.append(TQDMProgressBar() if fit is None else RunProgress())
    if fit is None or trainer.enable_checkpointing is False or trainer.fast_dev_run:
        return {"callbacks": callbacks}
    shared: dict[str, Any] = {"save_on_train_epoch_end": True, "enable_version_counter": False, "save_top_k": 1}
    # `best` before `last`, so that `last` holds what `best` knows after this epoch.
    best = RunCheckpoint(filename="best", monitor=model.monitor, mode=model.monitor_mode, **shared)
    last = LastCheckpoint(fit.keep_seconds, filename="last", **shared)
    return {"callbacks": [*callbacks, best, last], "plugins": [*as_list(trainer.plugins), CheckpointFiles()]}


def start_run(
    trainer: Trainer, options: RunOptions, model: SmirModule, data: SmirDataModule, settings: dict[str, Any]
) -> tuple[Run, Identity, Checkpoint | None]:
    """Opens the run of these settings: begins it or resumes it.

    Returns:
        Its folder, which rank 0 holds, its identity, and the checkpoint to resume from if an epoch was kept.

    Raises:
        AlreadyDone: If it has finished before.
        RunError: If its folder is in use, damaged or taken.
    """
    # Looking at the images takes long: rank 0 does it once, the others read its findings from the run folder.
    identify = cache(lambda: identity_of(options, model, data, settings))

    def opens() -> Run:
        run = open_run(options.root, identify(), options.if_taken)
        stamps = run.path / FILES
        if run.done and stamps.is_file():
            with contextlib.suppress(DataError):  # its files may be gone
                _warn_of_other_files(stamps, data)
        if not run.done:
            record_skipped(data, settings, run.path)  # before the other ranks look for it
            if run.has_checkpoint and stamps.is_file():  # version 0.1 wrote none
                refuse_other_files(stamps, data.files())
            else:
                save_stamps(stamps, data.files())
        return run

    plain = options.folder(int(settings["seed_everything"]))
    for folder in (plain, *plain.parent.glob(f"{plain.name}-*")):
        load_skipped(data, settings, folder)
    run, checkpoint = agree_on_run(trainer, opens)
    load_skipped(data, settings, run.path)
    if checkpoint is not None:
        refuse_other_run(checkpoint, identify())
    if run.path != plain and checkpoint is None:
        _say_what_differs(plain, run.path, identify())
    return run, identify(), checkpoint


def _warn_of_other_files(stamps: Path, data: SmirDataModule) -> None:
    """Says that the figures of a finished run are those of files that have changed since, such as corrected labels."""
    try:
        refuse_other_files(stamps, data.files())
    except RunError as error:
        if error.__cause__ is None:  # else their record is damaged, which does not matter to a finished run
            rank_zero_warn(str(error))


def _say_what_differs(first: Path, own: Path, identity: Identity) -> None:
    """Says that a run begins beside another of that name, and how to start from the weights of the other."""
    if (record := read_record(first)) is not None:
        rank_zero_info(
            f"{first} holds a run of other settings: {identity.differences_from(record)}. This one is a "
            f"new training, in {own}. To start from the weights of that one: "
            f"--model.weights {first / 'checkpoints' / 'best.ckpt'}"
        )


def load_skipped(data: SmirDataModule, settings: dict[str, Any], run: Path) -> None:
    """Reads from a run which images cannot be used, so that they are not examined again."""
    data.screening.load(run / RECORD, digest(recipe_of(settings)["data"]))


def record_skipped(data: SmirDataModule, settings: dict[str, Any], folder: Path) -> None:
    """Writes on rank 0 which images cannot be used."""
    if data.screening.verdicts and global_rank() == 0:
        data.screening.save(folder / RECORD, digest(recipe_of(settings)["data"]))


def write_to(trainer: Trainer, folder: Path) -> None:
    """Gives the callbacks of a training its run folder."""
    for callback in all_callbacks(trainer):
        if isinstance(callback, RunRecord):
            callback.folder = folder
        elif isinstance(callback, ModelCheckpoint) and callback.dirpath is None:
            callback.dirpath = str(folder / "checkpoints")


def split_into_stages(trainer: Trainer, data: SmirDataModule) -> None:
    """Splits the images as `SelectiveMasking` will, so that `describe_run` knows how long an epoch is."""
    for callback in all_callbacks(trainer):
        if isinstance(callback, SelectiveMasking):
            data.use_stages(callback.num_stages)


def describe_run(
    folder: Path,
    model: SmirModule,
    data: SmirDataModule,
    settings: dict[str, Any],
    resumed: Checkpoint | None,
    processes: int,
) -> None:
    """Prints the folder of the run, its network and length, or where it resumes; writes its config and environment."""
    parameters = sum(values.numel() for values in model.network.parameters())
    rank_zero_info(f"The network has {parameters / 1e6:.2f} million parameters.")
    if resumed is None:
        trainer = settings["trainer"]
        length = data.length(trainer["max_epochs"], trainer["limit_train_batches"], trainer["accumulate_grad_batches"])
        rank_zero_info(f"This run is kept in {folder}.\nIt takes {length}.")
    else:
        epoch, last = resumed.epoch + 2, settings["trainer"]["max_epochs"]  # it holds the last finished one, from 0
        rank_zero_info(f"Resuming {folder} from epoch {epoch} of {last} ({resumed.path.name}).")
    say_if_val_is_trained_on(data)
    warn_if_test_is_trained_on(data)
    if global_rank() == 0:
        if not (path := folder / "config.yaml").exists():
            write_atomically(path, yaml_text(in_force(settings)))
        save_environment(folder, processes, resumed is not None)


def say_what_it_began_from(run: Path, given: str | None) -> None:
    """Says that a finished run began from another checkpoint than `--ckpt` names, which is no setting of a run."""
    config = read_yaml(run / "config.yaml") if (run / "config.yaml").is_file() else None
    began = config.get("ckpt_path") if isinstance(config, dict) else None
    own = given is not None and Path(given).absolute().is_relative_to(run.absolute())
    same = [None if path is None else Path(path).absolute() for path in (began, given)]
    if not own and same[0] != same[1]:
        rank_zero_warn(
            f"{run} began from {began or 'no checkpoint'}, not from {given or 'none'}: --ckpt does not tell runs "
            "apart. To train this one, give it a name: --run.variant NAME."
        )


def say_if_val_is_trained_on(data: SmirDataModule) -> None:
    """Says that validation figures are not those of new images."""
    if number := len(data.trained_val_images()):
        images = counted(number, "validation image is", "validation images are")
        rank_zero_info(
            f"{images} trained on, too (data.train_on_val), so validation figures tell nothing about other images."
        )


def warn_if_test_is_trained_on(data: SmirDataModule) -> None:
    """Warns of test images on the list of training images; the protocol of a published dataset says which it shares."""
    if data.task != "segment" or isinstance(data, PublishedDataset):
        return
    trained = set(data.images("train"))
    if shared := [image for image in data.images("test") if image in trained]:
        images = counted(len(shared), "test image is", "test images are")
        rank_zero_warn(
            f"{images} trained on, too ({first_few(shared)}), so the figures of the test tell nothing about other "
            "images. Take them off one of the lists, as `python -m smir check` shows them."
        )


def refuse_at_end(checkpoint: Checkpoint, identity: Identity, epochs: int) -> None:
    """Refuses to begin from a checkpoint that leaves no epoch to train, unless it is this run's own.

    Raises:
        ConfigError: If another run has written it.
    """
    run = run_of_checkpoint(checkpoint.path)
    record = None if run is None else read_record(run)
    if record is None or record["hash"] != identity.hash:
        raise ConfigError(
            f"{checkpoint.path} has finished epoch {checkpoint.epoch + 1}, and trainer.max_epochs is {epochs}, so "
            "nothing is left to train. Set more epochs in all, or start from its weights: "
            f"--model.weights {checkpoint.path}"
        )


def is_of(run: Run, checkpoint: str | Path) -> bool:
    """Returns whether a checkpoint lies in the folder of a run."""
    return Path(checkpoint).parent.absolute() == run.checkpoints.absolute()


def best_checkpoint(trainer: Trainer, run: Run, begun_from: str | None) -> Path | None:
    """Returns the best checkpoint of a run that ends, if any; `begun_from` is the checkpoint that it was given.

    Raises:
        RunError: If a file is missing that a finished run has.
    """
    best = run.checkpoints / "best.ckpt"
    exists = any(getattr(each, "best_model_path", "").endswith(best.name) for each in trainer.checkpoint_callbacks)
    if begun_from is not None and not is_of(run, begun_from):
        exists, known = best.is_file(), exists  # otherwise the best one may be in the run that this one continues
        if known and not exists:
            rank_zero_warn(
                f"{run.path} has no best checkpoint to test or use: no epoch was better than the best one before "
                f"{begun_from}. To use its last one: --ckpt {run.checkpoints / 'last.ckpt'}"
            )
    needed = [run.path / "metrics.csv", *([best] if exists else [])]
    if gone := [path.absolute() for path in needed if not path.is_file()]:
        raise RunError(
            f"The run cannot end without {first_few(gone)}. Restore what is missing from a copy, or move "
            f"{run.path} away to train again."
        )
    return best if exists else None


def finished_epochs(trainer: Trainer) -> int | None:
    """Returns how many epochs a complete training took, or None if it only ran out of time."""
    if (epochs := stopped_after(trainer)) is not None:
        return epochs
    return trainer.current_epoch if trainer.current_epoch >= (trainer.max_epochs or 0) else None
