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
from smir.method.padding import PAD_MULTIPLE
from smir.models.library_weights import library_weights
from smir.models.networks import SmpNetwork
from smir.pages.html import render
from smir.runs.recipe import in_force
from smir.training.segmentation import SegmentationModule
from smir.training.task import LIBRARY

NAME = "README.md"


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
    values = {
        "front_matter": yaml.safe_dump(_front_matter(source), sort_keys=False),
        "name": origin.get("experiment") or source.path.stem,
        "segments": segments,
        "network": module.network.spec,
        "arguments": json.dumps(module.network.spec["arguments"]),
        "parameters": sum(value.numel() for value in module.network.parameters()),
        "version": __version__,
        "path": source.path,
        "digest": source.digest,
        "files": [[f"`{file.path.name}`", file.size, file.what, file.check] for file in files],
        "scripts": [file.script for file in files if file.script],
        "has_weights": any(name.endswith(".safetensors") for name in names),
        "programs": ", ".join(f"`{name}`" for name in names if not name.endswith(".safetensors")),
        "view_size": preprocessing.view_size,
        "multiple": PAD_MULTIPLE,
        "usual_side": module.usual_side if isinstance(module, SegmentationModule) else None,
        "much_larger": MUCH_LARGER,
        **source.bands(),
        "mean": ", ".join(f"{value:g}" for value in preprocessing.mean),
        "std": ", ".join(f"{value:g}" for value in preprocessing.std),
        "classes": _classes(module) if isinstance(module, SegmentationModule) else [],
        "tests": [_test(folder, record) for folder, record in source.tests.items()] if segments else [],
        "origin": {name: origin.get(name) for name in ("experiment", "seed", "run_hash", "commit")} if origin else {},
        "counts": _counts(_inputs(origin).get("data") or {}),
        "start": _start(_inputs(origin).get("weights") or {}, module.network.encoder_name),
        "recipe": yaml.safe_dump(in_force(origin.get("recipe")), sort_keys=False).rstrip() if origin else "",
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
    return [[str(place), name, "#{:02x}{:02x}{:02x}".format(*color)] for place, (name, color) in enumerate(named)]


def _test(folder: Path, record: dict[str, Any]) -> dict[str, Any]:
    images, metrics = record.get("images") or {}, record.get("metrics") or {}
    names = [name.removeprefix("test/view/") for name in metrics if name.startswith("test/view/")]
    return {
        "folder": folder.name,
        "data": record.get("data"),
        "images": images.get("number", "an unknown number of"),
        "rows": [[name, *(_percent(metrics.get(f"test/{at}/{name}")) for at in ("view", "native"))] for name in names],
    }


def _percent(value: Any) -> str:
    return f"{100 * value:.1f}" if isinstance(value, int | float) else "-"


def _inputs(origin: dict[str, Any]) -> dict[str, Any]:
    return origin.get("inputs") or {}


def _counts(data: dict[str, Any]) -> str:
    return ", ".join(f"{entry['images']:,} in {name}" for name, entry in data.items() if "images" in entry)


def _start(weights: dict[str, Any], encoder: str) -> str:
    kind = weights.get("kind")
    if kind == "scratch":
        return "random weights"
    if kind in LIBRARY:
        return _named(weights, encoder)
    file = f"`{weights.get('checkpoint')}`, SHA-256 begins with `{weights.get('sha256')}`"
    if not weights.get("experiment"):
        return f"a file of weights ({file})"
    pool = (_inputs(weights).get("data") or {}).get("pool") or {}
    dataset = ((weights.get("recipe") or {}).get("data") or {}).get("class_path")
    on = f" on {pool['images']:,} images of `{dataset}`" if "images" in pool else ""
    return f"the run `{weights['experiment']}`, seed {weights.get('seed')}, pretrained{on} ({file})"


def _named(weights: dict[str, Any], encoder: str) -> str:
    """Names weights of a library with their licence, as its catalogue of today states it."""
    name, licence = weights.get("name"), weights.get("licence")
    if name is None:
        with contextlib.suppress(ConfigError):
            found = library_weights(encoder)
            name, licence = found.name, found.licence
    what = "weights of the encoder trained on ImageNet" if weights.get("kind") == "imagenet" else "encoder weights"
    return (
        f"{what}{f' (`{name}`)' if name else ''}, licence {f'`{licence}`' if licence else 'not stated by the library'}"
    )


def _library_weights(origin: dict[str, Any], encoder: str) -> str | None:
    """Names the library weights that a run, or the pretraining behind it, started from; None if there are none."""
    weights = _inputs(origin).get("weights") or {}
    if weights.get("kind") in LIBRARY:
        return _named(weights, encoder)
    return _library_weights(weights, encoder) if weights else None
