"""A training opens its run folder, or finds it done, and says there what it is and when it has finished."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch import Trainer
from lightning.pytorch.utilities import rank_zero_info

from smir.cli.provenance import weights_fingerprint
from smir.cli.run_options import RunOptions
from smir.cli.skipped import know_skipped, record_skipped
from smir.data.base import SmirDataModule
from smir.files.atomic import write_atomically
from smir.runs.checkpoint_record import Checkpoint
from smir.runs.environment import save_environment
from smir.runs.launch import agree_on_run, global_rank
from smir.runs.recipe import in_force, recipe_of
from smir.runs.run_folder import Identity, Run, open_run
from smir.training.run_record import stopped_after
from smir.training.task import SmirModule


def start_run(
    trainer: Trainer, options: RunOptions, model: SmirModule, data: SmirDataModule, settings: dict[str, Any]
) -> tuple[Run, Identity, Checkpoint | None]:
    """Opens the run of these settings: begins it or resumes it.

    Returns:
        Its folder, which rank 0 holds, what the run is, and the checkpoint to resume from if an epoch was kept.

    Raises:
        AlreadyDone: If it has finished before.
        RunError: If its folder is in use, damaged or taken.
    """
    # Looking at the images takes long: rank 0 does it once, the others read what it found in the run folder.
    identify = cache(lambda: identity_of(options, model, data, settings))

    def opens() -> Run:
        run = open_run(options.root, identify(), options.if_taken)
        if not run.done:
            record_skipped(data, settings, run.path)  # before the other ranks are told of the folder
        return run

    plain = options.folder(int(settings["seed_everything"]))
    know_skipped(data, settings, plain, *plain.parent.glob(f"{plain.name}-*"))
    run, checkpoint = agree_on_run(trainer, opens)
    know_skipped(data, settings, run.path)
    return run, identify(), checkpoint


def identity_of(options: RunOptions, model: SmirModule, data: SmirDataModule, settings: dict[str, Any]) -> Identity:
    """Returns what the run of these settings is."""
    inputs = {"data": data.fingerprint(), "weights": weights_fingerprint(model)}
    return Identity(options.name(), int(settings["seed_everything"]), recipe_of(settings), inputs)


def describe_run(folder: Path, settings: dict[str, Any], resumed: Checkpoint | None) -> None:
    """Says where the run is kept or from where it goes on, and writes its config and environment."""
    if resumed is None:
        rank_zero_info(f"This run is kept in {folder}.")
    else:
        epoch, last = resumed.epoch + 2, settings["trainer"]["max_epochs"]  # it holds the last one done, from 0
        rank_zero_info(f"Resuming {folder} from epoch {epoch} of {last} ({resumed.path.name}).")
    if global_rank() == 0:
        if not (path := folder / "config.yaml").exists():
            write_atomically(path, yaml.safe_dump(in_force(settings), sort_keys=False))
        save_environment(folder)


def finished_epochs(trainer: Trainer) -> int | None:
    """Returns how many epochs a training took to its own end, or None if it only came to the end of its time."""
    if (epochs := stopped_after(trainer)) is not None:
        return epochs
    return trainer.current_epoch if trainer.current_epoch >= (trainer.max_epochs or 0) else None
