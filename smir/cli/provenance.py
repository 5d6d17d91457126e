"""Where weights come from: the checkpoint that a command means, and what a run starts from, by content."""

from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from smir.errors import CheckpointError, first_few
from smir.models.weight_files import read_checkpoint
from smir.runs.checkpoint_record import same_classes
from smir.runs.environment import commit
from smir.runs.run_folder import DONE, Identity, file_digest, read_record, run_of_checkpoint
from smir.training.segmentation import SegmentationModule
from smir.training.task import SmirModule


def checked(path: Path, model: SmirModule) -> dict[str, Any]:
    """Reads a checkpoint that must be of the model's task, and hold weights that are those of the model.

    Raises:
        CheckpointError: If it is missing, damaged, or of another format, task or network.
        ConfigError: If it was trained on other classes, or on the same ones in another order.
    """
    content = read_checkpoint(path)
    record = content.get("smir", {})
    task = record.get("task")
    if task != model.task:
        raise CheckpointError(
            f"{path} is a checkpoint of the task {task!r}, the model is a {type(model).__name__} for {model.task!r}. "
            "Pretrained weights start a model through --model.weights instead."
        )
    if isinstance(model, SegmentationModule):
        same_classes(_class_names(record, path), model.classes.names, "the data")
    found, own = _shapes(content.get("state_dict")), _shapes(model.state_dict())
    if differ := sorted(str(name) for name, _ in found.items() ^ own.items()):
        raise CheckpointError(
            f"{path} does not fit the model: {len(set(differ))} of its {len(own)} tensors are missing, unknown or of "
            f"another shape, such as {first_few(dict.fromkeys(differ))}. Was it trained with another network or number "
            "of classes? Its run's config.yaml says so."
        )
    return content


def _class_names(record: dict[str, Any], path: Path) -> list[str]:
    try:
        return [str(name) for name in record["classes"]["names"]]
    except (LookupError, TypeError) as error:
        raise CheckpointError(f"{path} does not say which classes its network tells apart.") from error


def _shapes(state: Any) -> dict[Any, tuple[int, ...] | None]:
    if not isinstance(state, dict):
        return {}
    return {name: tuple(value.shape) if isinstance(value, Tensor) else None for name, value in state.items()}


def find_checkpoint(name: str, plain: Path, recipe_hash: str) -> Path:
    """Finds the `best` or `last` checkpoint of the run that a config names.

    Args:
        name: `best` or `last`.
        plain: The run's folder, should its name not carry a hash.
        recipe_hash: Hash of the config's recipe; of several folders of that name the one with this recipe is meant.

    Raises:
        CheckpointError: If no folder fits, or several do and none has the recipe.
    """
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


def origin_of(identity: Identity, variant: str | None) -> dict[str, Any]:
    """What a checkpoint tells of its run: a run that starts from it keeps the whole recipe of its pretraining.

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
    origin = read_checkpoint(weights).get("smir", {}).get("origin", {})
    plain = {str(key): value for key, value in origin.items() if _is_plain(value)}
    fingerprint = {**plain, "kind": "file", "checkpoint": Path(weights).name, "sha256": file_digest(Path(weights))}
    run = run_of_checkpoint(Path(weights))
    if run is not None and not (run / DONE).is_file():
        rank_zero_warn(f"{weights} is of a run that has not finished; the table will say so.")
        fingerprint["unfinished"] = True
    return fingerprint


def _is_plain(value: Any, depth: int = 16) -> bool:
    """Whether a value of a checkpoint, which may be anyone's, can be written to a record as it is."""
    if isinstance(value, dict | list):
        inside = value.values() if isinstance(value, dict) else value
        names = list(value) if isinstance(value, dict) else []
        return depth > 0 and all(isinstance(n, str) for n in names) and all(_is_plain(v, depth - 1) for v in inside)
    return value is None or isinstance(value, str | int | float)
