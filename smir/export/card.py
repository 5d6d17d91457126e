"""The model card: `README.md` beside the exported files."""

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from smir import __version__
from smir.data.reading.choice import MUCH_LARGER
from smir.export.trained import TrainedNetwork
from smir.method.padding import PAD_MULTIPLE
from smir.models.networks import SmpNetwork
from smir.runs.recipe import in_force
from smir.training.segmentation import SegmentationModule

NAME = "README.md"


@dataclasses.dataclass(frozen=True)
class ExportedFile:
    """A file as the card shows it.

    Attributes:
        path: The file.
        what: What it is, and how it is loaded.
        check: How it was checked, and with what result.
        script: The program beside it that runs it, if there is one.
    """

    path: Path
    what: str
    check: str
    script: str | None = None

    @property
    def size(self) -> str:
        """Its size in words."""
        return f"{self.path.stat().st_size / 1e6:.1f} MB"


def card(source: TrainedNetwork, files: Sequence[ExportedFile]) -> str:
    """Returns the model card as Markdown."""
    name = source.origin.get("experiment") or source.path.stem
    sections = [_front_matter(source), f"# {name}\n", *_introduction(source), _files(files), _input(source, files)]
    if isinstance(source.module, SegmentationModule):
        sections += [_classes(source.module), _metrics(source)]
    return "\n".join([*sections, _data(source), _licence(source)])


def _front_matter(source: TrainedNetwork) -> str:
    """What model hubs read; they show how to load a model with the library that is named."""
    library = {"library_name": "segmentation-models-pytorch"} if isinstance(source.module.network, SmpNetwork) else {}
    task = {"pipeline_tag": "image-segmentation"} if source.module.task == "segment" else {}
    fields = {**library, **task, "tags": ["smir"]}
    return f"---\n{yaml.safe_dump(fields, sort_keys=False)}---\n"


def _introduction(source: TrainedNetwork) -> Iterator[str]:
    network = source.module.network
    spec = json.dumps(network.spec["arguments"])
    parameters = sum(value.numel() for value in network.parameters())
    kind = {
        "segment": "A network for semantic segmentation",
        "pretrain": "A network pretrained by reconstructing masked images; it has no classes, and is fine-tuned first",
    }[source.module.task]
    yield f"{kind}: `{network.spec['class']}` with {parameters / 1e6:.2f} million parameters, `{spec}`.\n"
    yield f"Exported by smir {__version__} from `{source.path.name}` (SHA-256 begins with `{source.digest}`).\n"


def _files(files: Sequence[ExportedFile]) -> str:
    rows = [[f"`{file.path.name}`", file.size, file.what, file.check] for file in files]
    lines = ["## Files", "", *_table(["file", "size", "what it is", "checked"], rows), ""]
    if scripts := [file.script for file in files if file.script]:
        lines += ["Each of these segments a photo without smir:", "", "```sh"]
        lines += [f"python {script} photo.jpg labels.png" for script in scripts]
        lines += ["```", ""]
    return "\n".join(lines)


def _input(source: TrainedNetwork, files: Sequence[ExportedFile]) -> str:
    preprocessing = source.module.preprocessing
    mean, std = (", ".join(f"{value:g}" for value in values) for values in (preprocessing.mean, preprocessing.std))
    names = [file.path.name for file in files]
    programs = ", ".join(f"`{name}`" for name in names if not name.endswith(".safetensors"))
    lines = [
        "## Input and output",
        "",
        f"The network saw images resized to a shortest side of **{preprocessing.view_size} pixels** (bilinear, without "
        f"antialiasing), padded by reflection at the bottom and right to multiples of {PAD_MULTIPLE}; objects of "
        "another size in pixels it does not know.",
        "",
    ]
    if isinstance(source.module, SegmentationModule) and (usual := source.module.usual_side) is not None:
        lines[-1:] = [
            f"The training images had a shortest side of {usual} pixels, as a rule. A view of an image {MUCH_LARGER} "
            "times as large and more shows too little: cut it into tiles, or use `python -m smir predict`, which reads "
            "it in windows. The scripts say so.",
            "",
        ]
    if any(name.endswith(".safetensors") for name in names):
        lines.append(
            f"- `*.safetensors`: the network takes RGB in [0, 1], normalised with mean ({mean}) and standard deviation "
            f"({std}) of the channels."
        )
    if programs:
        lines.append(
            f"- {programs}: `image` is **uint8 RGB, 0 to 255, (batch, 3, height, width)**; the normalisation with mean "
            f"({mean}) and standard deviation ({std}) is inside. Batch, height and width are free, height and width "
            "multiples of 32, but for what the table says."
        )
    if source.module.task == "segment":
        lines.append(
            "- The output, `logits`, is float32 (batch, classes, height, width). The label of a pixel is the class "
            "with the highest; a softmax over the classes gives probabilities."
        )
    beside = ", `model.pt2` as `smir.json`" if "model.pt2" in names else ""
    lines.append(f"- Every file carries these settings as JSON: in its metadata under `smir`{beside}.")
    return "\n".join([*lines, ""])


def _classes(module: SegmentationModule) -> str:
    rows = [
        [str(place), name, "#" + "".join(f"{value:02x}" for value in color)]
        for place, (name, color) in enumerate(zip(module.classes.names, module.classes.colors, strict=True))
    ]
    return "\n".join(["## Classes", "", *_table(["id", "class", "colour"], rows), ""])


def _metrics(source: TrainedNetwork) -> str:
    lines = ["## Metrics", ""]
    if not source.tests:
        return "\n".join(
            [*lines, "None: the run holds no test of these weights (`python -m smir test` makes one).", ""]
        )
    for folder, record in source.tests.items():
        images, metrics = record.get("images") or {}, record.get("metrics") or {}
        names = [name.removeprefix("test/view/") for name in metrics if name.startswith("test/view/")]
        rows = [[name, *(_percent(metrics.get(f"test/{at}/{name}")) for at in ("view", "native"))] for name in names]
        lines += [
            f"On {images.get('number', 'an unknown number of')} images of `{record.get('data')}` (`{folder.name}/` of "
            "the run), in percent: at the size that the network sees, and at the size of the labels.",
            "",
            *_table(["metric", "network's size", "labels' size"], rows),
            "",
        ]
    return "\n".join(lines)


def _percent(value: Any) -> str:
    return f"{100 * value:.1f}" if isinstance(value, int | float) else "-"


def _data(source: TrainedNetwork) -> str:
    origin = source.origin
    lines = ["## Training", ""]
    if not origin:
        return "\n".join([*lines, "The checkpoint records nothing of its run.", ""])
    data = (origin.get("inputs") or {}).get("data") or {}
    counts = [f"{entry['images']:,} in {name}" for name, entry in data.items() if "images" in entry]
    lines += [
        f"- run: `{origin.get('experiment')}`, seed {origin.get('seed')}, hash `{origin.get('run_hash')}`",
        f"- code: commit `{origin.get('commit')}` of smir",
        f"- images: {', '.join(counts) or 'unknown'}",
        f"- started from: {_start((origin.get('inputs') or {}).get('weights') or {})}",
        "- everything that changes the result:",
        "",
        "```yaml",
        yaml.safe_dump(in_force(origin.get("recipe")), sort_keys=False).rstrip(),
        "```",
        "",
    ]
    return "\n".join(lines)


def _start(weights: dict[str, Any]) -> str:
    kind = weights.get("kind")
    if kind == "scratch":
        return "random weights"
    if kind == "imagenet":
        return "weights of the encoder trained on ImageNet"
    file = f"`{weights.get('checkpoint')}`, SHA-256 begins with `{weights.get('sha256')}`"
    if not weights.get("experiment"):
        return f"a file of weights ({file})"
    pool = ((weights.get("inputs") or {}).get("data") or {}).get("pool") or {}
    dataset = ((weights.get("recipe") or {}).get("data") or {}).get("class_path")
    on = f" on {pool['images']:,} images of `{dataset}`" if "images" in pool else ""
    return f"the run `{weights['experiment']}`, seed {weights.get('seed')}, pretrained{on} ({file})"


def _from_imagenet(origin: dict[str, Any]) -> bool:
    """Whether ImageNet weights are where a run began, or the pretraining that it began with."""
    weights = (origin.get("inputs") or {}).get("weights") or {}
    return weights.get("kind") == "imagenet" or (bool(weights) and _from_imagenet(weights))


def _licence(source: TrainedNetwork) -> str:
    started = _from_imagenet(source.origin)
    imagenet = " They started from ImageNet weights, whose terms apply too." if started else ""
    return "\n".join(
        [
            "## Licence",
            "",
            "smir and the scripts here are under Apache-2.0. That says nothing of the weights: they are made from your "
            f"images and labels, so see to the terms of these before you pass them on.{imagenet} Add the licence that "
            "you choose to the head of this file as `license: ...`.",
            "",
        ]
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in (head, *rows)]
    first, *rest = ["| " + " | ".join(row) + " |" for row in lines]
    return [first, "|" + "---|" * len(head), *rest]
