"""The identity of a training: its recipe, and the content of its data and weights."""

from typing import Any

from lightning.pytorch.utilities import rank_zero_warn

from smir.cli.settings import RunOptions
from smir.data.base import SmirDataModule
from smir.errors import RunError
from smir.files.digest import file_digest
from smir.models.weight_files import read_checkpoint
from smir.runs.checkpoint_record import Checkpoint, CheckpointRecord
from smir.runs.environment import commit
from smir.runs.finished import check_weights
from smir.runs.recipe import recipe_of
from smir.runs.run_folder import Identity, Run, run_of_checkpoint
from smir.training.task import LIBRARY, SmirModule


def identity_of(options: RunOptions, model: SmirModule, data: SmirDataModule, settings: dict[str, Any]) -> Identity:
    """Returns the identity of the run of these settings."""
    inputs = {"data": data.fingerprint(), "weights": weights_fingerprint(model)}
    return Identity(options.name(), int(settings["seed_everything"]), recipe_of(settings), inputs)


def origin_of(identity: Identity, variant: str | None) -> dict[str, Any]:
    """Returns the record of a run for its checkpoints, so that a run that starts from one knows its pretraining."""
    return {
        "experiment": identity.experiment,
        "variant": variant,
        "seed": identity.seed,
        "recipe_hash": identity.recipe_hash,
        "run_hash": identity.hash,
        "commit": commit(),
        "recipe": identity.recipe,
        "inputs": identity.inputs,
    }


def refuse_other_run(checkpoint: Checkpoint, identity: Identity) -> None:
    """Refuses a checkpoint that lies in the folder of a run but was written by another run.

    Raises:
        RunError: If its record names another recipe, other inputs or another seed.
    """
    origin, own = checkpoint.record.origin, {"run_hash": identity.hash, "seed": identity.seed}
    if any(origin.get(name, value) != value for name, value in own.items()):
        raise RunError(
            f"{checkpoint.path.absolute()} was written by another run: {origin.get('experiment')}, seed "
            f"{origin.get('seed')}, with the hash {origin.get('run_hash')}. This one is {identity.experiment}, seed "
            f"{identity.seed}, with the hash {identity.hash}. Put its own checkpoint there, from a copy, or move the "
            "run folder away to train again."
        )


def weights_fingerprint(model: SmirModule) -> dict[str, Any]:
    """Identifies by content the weights that a network starts from; warns if their run has not finished."""
    weights, path = model.weights, model.weights_file
    if weights is None:
        return {"kind": "scratch"}
    if str(weights) in LIBRARY:
        return {"kind": str(weights), **_library_facts(model)}
    assert path is not None
    record = CheckpointRecord.find(read_checkpoint(path), path)
    origin = {} if record is None else record.origin
    fingerprint = {**origin, "kind": "file", "checkpoint": path.name, "sha256": file_digest(path)}
    if (run := run_of_checkpoint(path)) is not None:
        check_weights(run, path)
        if not Run(run).done:
            rank_zero_warn(f"{weights} is of a run that has not finished; the table will say so.")
            fingerprint["unfinished"] = True
    return fingerprint


def _library_facts(model: SmirModule) -> dict[str, Any]:
    """Returns name and licence of library weights, and the digest of their file; ImageNet's are named by the recipe."""
    facts: dict[str, Any] = {}
    if str(model.weights) == "pretrained" and (weights := model.library_weights) is not None:
        facts = {"name": weights.name, "licence": weights.licence}
    if (path := model.weights_file) is not None:
        read_checkpoint(path)
        facts["sha256"] = file_digest(path)
    return facts
