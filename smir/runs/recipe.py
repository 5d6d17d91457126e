"""The recipe of a run: everything in its config that changes the result.

A recipe names classes as version 0.1 did, so that finished runs keep their hashes when code moves. Configs of that
version keep working, too. Classes that came later keep their own names.
"""

import hashlib
import importlib
import json
import re
import sys
from types import ModuleType
from typing import Any, cast

_MOVED = {
    "smir.losses.LocalReconstructionLoss": "smir.method.LocalReconstructionLoss",
    "smir.losses.ReconstructionLoss": "smir.method.ReconstructionLoss",
    "smir.masking.BlockMask": "smir.method.BlockMask",
    "smir.masking.HardestMask": "smir.method.HardestMask",
    "smir.masking.MixedMask": "smir.method.MixedMask",
    "smir.masking.ProportionalMask": "smir.method.ProportionalMask",
    "smir.masking.RampMask": "smir.method.RampMask",
    "smir.masking.RandomMask": "smir.method.RandomMask",
    "smir.network.SmpNetwork": "smir.models.SmpNetwork",
    "smir.network.UNetStride4": "smir.models.UNetStride4",
    "smir.preprocessing.Classes": "smir.classes.Classes",
    "smir.preprocessing.Preprocessing": "smir.method.Preprocessing",
    "smir.reconstruction.ReconstructionModule": "smir.training.ReconstructionModule",
    "smir.segmentation.SegmentationModule": "smir.training.SegmentationModule",
    "smir.selective.SelectiveMasking": "smir.training.SelectiveMasking",
}
"""Names of version 0.1, with those of today."""
_OLD_NAMES = {new: old for old, new in _MOVED.items()}

# The settings for bad images are not part of a recipe either: the images that remain count as an input.
_DATA_NOT_RECIPE = (
    "root",
    "lists",
    "split_files",
    "left_out",
    "cache_folder",
    "cache_gb",
    "num_workers",
    "predict_images",
    "predict",
    "colors",
    "seed",
    "on_bad_image",
    "max_bad_share",
)
_MODEL_NOT_RECIPE = ("weights", "imagenet_file")
_LINKED = ("preprocessing", "classes")  # see smir.cli.settings.add_options
_CALLBACKS_NOT_RECIPE = ("batch_size",)  # of scoring: it changes only the speed
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
# A user's own callback may be called Monitor and do more.
_NOT_RECIPE_CALLBACKS = re.compile(r"(lightning|pytorch_lightning|smir)\..*(ProgressBar|Summary|Monitor|Timer)")
# Arguments of models, data, callbacks and policies that 0.1.0 did not have, with their defaults. A recipe holds them
# only where they differ, so that the runs of 0.1.0 keep their recipe hash.
_ADDED: dict[str, Any] = {
    "score": None,
    "ssim_unit_range": False,
    "weights_part": "whole",
    "encoder_lr_factor": 1.0,
    "freeze_encoder_epochs": 0,
    "reestimate_batch_norm": False,
    "normalisation": "data",
    "budget_seed": "split",
    "train_on_val": False,
    "fill_batches": False,
    "split_by": "frame",
    "loss": {"class_path": "smir.method.SoftJaccardLoss", "init_args": {"smooth": 1e-3, "void": 255}},
    "class_weights": None,
    "rare_class_crops": 0.0,
}


class _OldModule(ModuleType):
    """A module of version 0.1 that has only the classes in `_MOVED`."""

    def __getattr__(self, name: str) -> Any:
        module, _, attribute = _MOVED.get(f"{self.__name__}.{name}", "").rpartition(".")
        if not module:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(module), attribute)


def accept_old_names() -> None:
    """Lets the parser find a class by its name of version 0.1."""
    for module in {name.rpartition(".")[0] for name in _MOVED}:
        sys.modules.setdefault(module, _OldModule(module, "The classes of version 0.1 that have moved."))


def recipe_of(config: dict[str, Any]) -> dict[str, Any]:
    """Returns the settings of a full config that change the result: no paths, devices, workers or loggers."""

    def without(section: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
        arguments = {k: v for k, v in (section.get("init_args") or {}).items() if k not in names}
        return {"class_path": section["class_path"], "init_args": arguments}

    trainer = config["trainer"]
    callbacks = [
        without(callback, _CALLBACKS_NOT_RECIPE)
        for callback in trainer.get("callbacks") or []
        if not _NOT_RECIPE_CALLBACKS.fullmatch(callback["class_path"])
    ]
    recipe = {
        "model": without(config["model"], _MODEL_NOT_RECIPE),
        "data": without(config["data"], _DATA_NOT_RECIPE),
        "trainer": {name: trainer.get(name) for name in _TRAINER_RECIPE}
        | ({"min_epochs": trainer["min_epochs"]} if trainer.get("min_epochs") else {}),
        "callbacks": callbacks,
    }
    return cast("dict[str, Any]", _renamed(without_new_defaults(recipe), _OLD_NAMES))


def with_todays_names(settings: Any) -> Any:
    """Returns plain settings with every class path as it is today, to show them."""
    return _renamed(settings, _MOVED)


def _renamed(settings: Any, names: dict[str, str]) -> Any:
    if isinstance(settings, dict):
        return {key: _renamed(value, names) for key, value in settings.items()}
    if isinstance(settings, list):
        return [_renamed(value, names) for value in settings]
    return names.get(settings, settings) if isinstance(settings, str) else settings


def without_new_defaults(value: Any, added: dict[str, Any] = _ADDED) -> Any:
    """Returns plain values without the arguments in `added` that hold their default."""
    if isinstance(value, list):
        return [without_new_defaults(item, added) for item in value]
    if isinstance(value, dict):
        kept = {name: item for name, item in value.items() if name not in added or item != added[name]}
        return {name: without_new_defaults(item, added) for name, item in kept.items()}
    return value


def in_force(settings: Any) -> Any:
    """Returns a config or recipe without the arguments that a model takes from the data, such as its normalisation.

    The parser writes meaningless defaults for them.
    """
    if not isinstance(settings, dict) or not isinstance(settings.get("model"), dict):
        return settings  # of a foreign checkpoint
    arguments = {k: v for k, v in (settings["model"].get("init_args") or {}).items() if k not in _LINKED}
    return {**settings, "model": {**settings["model"], "init_args": arguments}}


def digest(value: Any) -> str:
    """Returns a hash of plain values, 12 hexadecimal digits."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def differences(theirs: Any, own: Any, name: str = "") -> list[str]:
    """Lists where two recipes or records differ, as `--data.batch_size: 64, not 128`.

    The value of `theirs` comes first, and settings have the names that users type.

    Args:
        theirs: A recipe, a record with it, or a value in one.
        own: Another of the same kind.
        name: The dotted path of the compared values.
    """
    if isinstance(theirs, dict) and isinstance(own, dict):
        classes = [side.get("class_path") for side in (theirs, own)]
        if None not in classes and classes[0] != classes[1]:  # the arguments of two classes do not compare
            return [_differ(name, *classes)]
        keys = [*theirs, *(key for key in own if key not in theirs)]
        values = ((key, *(side.get(key, _ADDED.get(key)) for side in (theirs, own))) for key in keys)
        pairs = [(left, right, f"{name}.{key}".lstrip(".")) for key, left, right in values]
    elif isinstance(theirs, list) and isinstance(own, list) and len(theirs) == len(own):
        pairs = [(*pair, f"{name}[{number}]") for number, pair in enumerate(zip(theirs, own, strict=True))]
    else:
        return [] if theirs == own else [_differ(name, theirs, own)]
    return [text for pair in pairs for text in differences(*pair)]


def _differ(path: str, theirs: Any, own: Any) -> str:
    return f"{_typed(path)}: {with_todays_names(theirs)}, not {with_todays_names(own)}"


def _typed(path: str) -> str:
    """Returns the name that users know for a place in a record: `--model.lr` for `recipe.model.init_args.lr`."""
    behind = re.match(r"(?:(?:inputs\.)?weights\.)+(?=recipe|inputs)", path)
    if behind is not None:
        return f"the pretraining's {_typed(path[behind.end() :])}"
    if re.fullmatch(r"(?:inputs\.)?weights\.kind", path):
        return "--model.weights"
    if files := re.fullmatch(r"(?:inputs\.)?data\.(?!init_args)(\w+)(?:\.(\w+))?", path):
        return f"{files[2] or 'images'} of {files[1]}"  # the names or number of images of a split
    setting = re.sub(r"\.init_args|\[\d+\]", "", path.removeprefix("recipe."))
    if setting.partition(".")[0] in ("model", "data", "trainer"):
        return f"--{setting}"
    return f"--trainer.{setting}" if setting.startswith("callbacks") else setting
