"""The recipe of a run: everything in its config that changes the result."""

import hashlib
import json
from typing import Any, cast

from smir.runs.moved_names import in_recipes

# What is skipped counts by the lists that remain.
_DATA_NOT_RECIPE = (
    "root",
    "lists",
    "split_files",
    "cache_folder",
    "cache_gb",
    "num_workers",
    "predict_images",
    "predict",
    "seed",
    "on_bad_image",
    "max_bad_share",
)
_MODEL_NOT_RECIPE = ("weights", "imagenet_file")
_LINKED = ("preprocessing", "classes")  # see smir.cli.settings.add_options
_CALLBACKS_NOT_RECIPE = ("batch_size",)  # of scoring: it changes the speed alone
_TRAINER_RECIPE = (
    "max_epochs",
    "max_steps",
    "precision",
    "limit_train_batches",
    "limit_val_batches",
    "overfit_batches",
    "check_val_every_n_epoch",
    "accumulate_grad_batches",
    "gradient_clip_val",
    "gradient_clip_algorithm",
)
_NOT_RECIPE_CALLBACKS = ("ProgressBar", "Summary", "Monitor", "Timer")
# Arguments of models, data, callbacks and policies that 0.1.0 did not have, with their defaults. A recipe holds them
# only where they differ, so that the runs of 0.1.0 keep their recipe hash.
_ADDED: dict[str, Any] = {
    "weights_part": "whole",
    "encoder_lr_factor": 1.0,
    "freeze_encoder_epochs": 0,
    "reestimate_batch_norm": False,
}


def recipe_of(config: dict[str, Any]) -> dict[str, Any]:
    """Takes out of a full config what changes the result: neither paths nor devices, workers or loggers."""

    def without(section: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
        arguments = {k: v for k, v in (section.get("init_args") or {}).items() if k not in names}
        return {"class_path": section["class_path"], "init_args": arguments}

    trainer = config["trainer"]
    callbacks = [
        without(callback, _CALLBACKS_NOT_RECIPE)
        for callback in trainer.get("callbacks") or []
        if not callback["class_path"].endswith(_NOT_RECIPE_CALLBACKS)
    ]
    recipe = {
        "model": without(config["model"], _MODEL_NOT_RECIPE),
        "data": without(config["data"], _DATA_NOT_RECIPE),
        "trainer": {name: trainer.get(name) for name in _TRAINER_RECIPE},
        "callbacks": callbacks,
    }
    return cast("dict[str, Any]", in_recipes(without_new_defaults(recipe)))


def without_new_defaults(value: Any, added: dict[str, Any] = _ADDED) -> Any:
    """Returns plain values without the arguments in `added` that hold their default."""
    if isinstance(value, list):
        return [without_new_defaults(item, added) for item in value]
    if isinstance(value, dict):
        kept = {name: item for name, item in value.items() if name not in added or item != added[name]}
        return {name: without_new_defaults(item, added) for name, item in kept.items()}
    return value


def in_force(settings: Any) -> Any:
    """A config or recipe without the arguments of the model that it takes from the data, such as its normalisation.

    They stand in there as defaults, which mean nothing, and would be there again if it were read.
    """
    if not isinstance(settings, dict) or not isinstance(settings.get("model"), dict):
        return settings  # of a foreign checkpoint
    arguments = {k: v for k, v in (settings["model"].get("init_args") or {}).items() if k not in _LINKED}
    return {**settings, "model": {**settings["model"], "init_args": arguments}}


def digest(value: Any) -> str:
    """Hash of plain values, 12 hexadecimal digits."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def differences(theirs: Any, own: Any, name: str = "") -> list[str]:
    """Says where two recipes differ.

    Args:
        theirs: Plain values, such as the recipe of a run on disk.
        own: Plain values to compare with.
        name: Dotted name of what is compared.

    Returns:
        Texts such as `data.init_args.batch_size: 64, not 128`, the value of `theirs` first.
    """
    if isinstance(theirs, dict) and isinstance(own, dict):
        keys = [*theirs, *(key for key in own if key not in theirs)]
        found = [differences(theirs.get(key), own.get(key), f"{name}.{key}".lstrip(".")) for key in keys]
        return [text for texts in found for text in texts]
    if isinstance(theirs, list) and isinstance(own, list) and len(theirs) == len(own):
        numbered = enumerate(zip(theirs, own, strict=True))
        return [text for number, pair in numbered for text in differences(*pair, f"{name}[{number}]")]
    return [] if theirs == own else [f"{name}: {theirs}, not {own}"]
