"""Writes the model card `README.md` beside the exported files, from `templates/card.md`."""

import contextlib
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from smir import __version__
from smir.data.reading.opening import MUCH_LARGER
from smir.errors import ConfigError
from smir.export.trained import TrainedNetwork
from smir.files.pages.html import render
from smir.files.pages.markdown import block, code, name
from smir.method.padding import PAD_MULTIPLE
from smir.models.library_weights import library_weights
from smir.models.networks import SmpNetwork
from smir.runs.recipe import in_force, with_todays_names
from smir.training.segmentation import SegmentationModule
from smir.training.task import LIBRARY

NAME = "README.md"
_METRICS = {
    "miou": "mean IoU of the classes",
    "iou_std": "standard deviation of the classes' IoU",
    "iou_min": "IoU of the worst class",
}
_ORIGIN = ("experiment", "seed", "run_hash", "commit")


@dataclasses.dataclass(frozen=True)
class ExportedFile:
    """A file on the card: its content and how to load it, how it was checked, and the program that runs it."""

    path: Path
    what: str
    check: str
    script: str | None = None

    @property
    def size(self) -> str:
        """The file size in words."""
        return f"{self.path.stat().st_size / 1e6:.1f} MB"


def card(source: TrainedNetwork, files: Sequence[ExportedFile]) -> str:
    """Returns the model card as Markdown."""
    module, origin = source.module, source.origin
    preprocessing, names = module.preprocessing, [file.path.name for file in files]
    segments = isinstance(module, SegmentationModule)
    recipe = with_todays_names(in_force(_part(origin, "recipe")))  # records keep the names of version 0.1
    values = {
        "front_matter": yaml.safe_dump(_front_matter(source), sort_keys=False),
        "name": name(origin.get("experiment") or source.path.stem),
        "field": code(source.field) if source.field else None,
        "segments": segments,
        "network": code(module.network.spec["class"]),
        "arguments": code(json.dumps(module.network.spec["arguments"])),
        "parameters": sum(value.numel() for value in module.network.parameters()),
        "version": __version__,
        "path": code(source.path.name),
        "digest": source.digest,
        "files": [[f"`{file.path.name}`", file.size, file.what, file.check] for file in files],
        "scripts": [file.script for file in files if file.script],
        "has_weights": any(name.endswith(".safetensors") for name in names),
        "programs": ", ".join(f"`{name}`" for name in names if name in ("model.onnx", "model.pt2")),
        "has_tiles": "deepness.onnx" in names,
        "view_size": preprocessing.view_size,
        "multiple": PAD_MULTIPLE,
        "usual_side": module.usual_side if isinstance(module, SegmentationModule) else None,
        "much_larger": MUCH_LARGER,
        **source.bands(),
        "mean": ", ".join(f"{value:g}" for value in preprocessing.mean),
        "std": ", ".join(f"{value:g}" for value in preprocessing.std),
        "classes": _classes(module) if isinstance(module, SegmentationModule) else [],
        "tests": [_test(folder, record) for folder, record in source.tests.items()] if segments else [],
        "origin": {key: code(origin.get(key)) for key in _ORIGIN} if origin else {},
        "counts": _counts(origin),
        "start": _start(_part(origin, "inputs", "weights"), module.network.encoder_name),
        "recipe": block(yaml.safe_dump(recipe, sort_keys=False).rstrip(), "yaml"),
        "library_weights": _library_weights(origin, module.network.encoder_name),
    }
    return render("smir.export", "card.md", **values)


def _front_matter(source: TrainedNetwork) -> dict[str, Any]:
    """Returns the metadata for model hubs, which show how to load a model with the library named."""
    library = {"library_name": "segmentation-models-pytorch"} if isinstance(source.module.network, SmpNetwork) else {}
    task = {"pipeline_tag": "image-segmentation"} if source.module.task == "segment" else {}
    return {**library, **task, "tags": ["smir"]}


def _classes(module: SegmentationModule) -> list[list[str]]:
    named = zip(module.classes.names, module.classes.colors, strict=True)
    return [
        [str(place), name(title), "#{:02x}{:02x}{:02x}".format(*color)] for place, (title, color) in enumerate(named)
    ]


def _test(folder: Path, record: dict[str, Any]) -> dict[str, Any]:
    images, metrics = _part(record, "images"), _part(record, "metrics")
    names = [metric.removeprefix("test/view/") for metric in metrics if metric.startswith("test/view/")]
    return {
        "folder": code(f"{folder.name}/"),
        "data": code(record.get("data")),
        "images": _number(images.get("number", "an unknown number of")),
        "rows": [
            [
                _METRICS.get(one) or name(f"IoU of {one.removeprefix('iou/')}"),
                *(_percent(metrics.get(f"test/{at}/{one}")) for at in ("view", "native")),
            ]
            for one in names
        ],
    }


def _percent(value: Any) -> str:
    return f"{100 * value:.1f}" if isinstance(value, int | float) else "-"


def _part(record: Any, *keys: str) -> dict[str, Any]:
    """Returns a part of a record; empty where it is missing or wrong."""
    for key in keys:
        record = record.get(key) if isinstance(record, dict) else None
    return record if isinstance(record, dict) else {}


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else name(value)


def _counts(origin: dict[str, Any]) -> str:
    """Returns how many images each split has; validation images that are trained on count in both."""
    data = _part(origin, "inputs", "data")
    trained_on = "train" in data and _part(origin, "recipe", "data", "init_args").get("train_on_val") is True
    counts = {split: _part(entry).get("images") for split, entry in data.items()}
    return ", ".join(
        f"{_number(count)} in {name(split)}{' (trained on, too)' if trained_on and split == 'val' else ''}"
        for split, count in counts.items()
        if count is not None
    )


def _start(weights: dict[str, Any], encoder: str) -> str:
    kind = weights.get("kind")
    if kind == "scratch":
        return "random weights"
    if kind in LIBRARY:
        return _named(weights, encoder)
    file = f"{code(weights.get('checkpoint'))}, SHA-256 begins with {code(weights.get('sha256'))}"
    if not weights.get("experiment"):
        return f"a file of weights ({file})"
    pool = _part(weights, "inputs", "data", "pool")
    dataset = _part(weights, "recipe", "data").get("class_path")
    on = f" on {_number(pool['images'])} images of {code(dataset)}" if "images" in pool else ""
    return f"the run {code(weights['experiment'])}, seed {name(weights.get('seed'))}, pretrained{on} ({file})"


def _named(weights: dict[str, Any], encoder: str) -> str:
    """Names weights of a library with their licence, as recorded, or as the library's current catalogue states it."""
    known, licence = weights.get("name"), weights.get("licence")
    if known is None:
        with contextlib.suppress(ConfigError):
            found = library_weights(encoder)
            known, licence = found.name, found.licence
    what = "weights of the encoder trained on ImageNet" if weights.get("kind") == "imagenet" else "encoder weights"
    terms = code(licence) if licence else "not stated by the library"
    return f"{what}{f' ({code(known)})' if known else ''}, licence {terms}"


def _library_weights(origin: dict[str, Any], encoder: str) -> str | None:
    """Names the library weights that a run, or the pretraining behind it, started from; None if there are none."""
    weights = _part(origin, "inputs", "weights")
    if weights.get("kind") in LIBRARY:
        return _named(weights, encoder)
    return _library_weights(weights, encoder) if weights else None
