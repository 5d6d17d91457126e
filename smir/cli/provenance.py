"""The origin of weights: a fingerprint of the weights a run starts from, and the record in its own checkpoints."""

from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_warn

from smir.models.weight_files import read_checkpoint
from smir.runs.checkpoint_record import CheckpointRecord
from smir.runs.environment import commit
from smir.runs.run_folder import DONE, Identity, file_digest, run_of_checkpoint
from smir.training.task import SmirModule


def origin_of(identity: Identity, variant: str | None) -> dict[str, Any]:
    """Returns the record of a run for its checkpoints, so that a run that starts from one knows its pretraining.

    Args:
        identity: The run that writes the checkpoint.
        variant: Word for what it changes of its experiment.
    """
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


def weights_fingerprint(model: SmirModule) -> dict[str, Any]:
    """Says by content what a network starts from, and warns if it is a run that has not finished."""
    weights = model.weights
    if weights is None:
        return {"kind": "scratch"}
    if str(weights) == "imagenet":
        if model.imagenet_file is None:
            return {"kind": "imagenet"}
        read_checkpoint(model.imagenet_file)
        return {"kind": "imagenet", "sha256": file_digest(model.imagenet_file)}
    path = Path(weights)
    record = CheckpointRecord.find(read_checkpoint(path), path)
    origin = {} if record is None else record.origin
    fingerprint = {**origin, "kind": "file", "checkpoint": path.name, "sha256": file_digest(path)}
    run = run_of_checkpoint(path)
    if run is not None and not (run / DONE).is_file():
        rank_zero_warn(f"{weights} is of a run that has not finished; the table will say so.")
        fingerprint["unfinished"] = True
    return fingerprint
