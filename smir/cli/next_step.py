"""The last line of a command says the next one, ready to be run: from a folder of images to predictions and beyond."""

import json
import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from smir.cli.trust import read_yaml
from smir.errors import SmirError
from smir.report.estimates import care, rests_on

_KEPT = (
    "--data",
    "--model.network",
    "--run.root",
    "--seed_everything",
    "--trainer.accelerator",
    "--trainer.devices",
    "--trainer.precision",
)
"""Options of a pretraining that its segmentation needs too, by how they begin."""
_OF_PRETRAINING = ("--data.task", "--data.batch_size", "--data.mask")
_BEST = Path("checkpoints") / "best.ckpt"
SEGMENT = "experiments/folder/segment.yaml"
"""Segmentation of a folder of images."""


def after_prepare(root: Path) -> str:
    """The line after `prepare folder`."""
    config = of_the_checkout("experiments/folder/pretrain.yaml")
    return next_line("fit", "--config", config, "--config", root / "data.yaml")


def of_the_checkout(name: str) -> Path:
    """A file of the checkout, by the path that it has from here."""
    beside = Path(__file__).parent.parent / name
    return beside if beside.is_file() and not Path(name).is_file() else Path(name)


def to_test(root: Path) -> list[str]:
    """The lines after `prepare folder` of images that nothing trains on."""
    run, checkpoint = Path("RUN"), Path("RUN") / _BEST
    return [
        "These images are to test on; RUN is the folder of a trained run, such as runs/folder/segment/seed0:",
        next_line("test", "--config", run / "config.yaml", "--config", root / "data.yaml", "--ckpt_path", checkpoint),
    ]


def tell(words: Sequence[str], run: Path) -> None:
    """Prints what a finished run came to, and the next command, unless `make` calls it by itself.

    Args:
        words: The words after `python -m smir` of this command, as they were given.
        run: The run's folder.
    """
    if "MAKELEVEL" in os.environ:
        return
    with suppress(OSError, ValueError, KeyError, TypeError, yaml.YAMLError, SmirError):  # a hint is not worth an error
        for line in closing(words, run):
            print(line, flush=True)


def closing(words: Sequence[str], run: Path) -> list[str]:
    """The lines of `tell`."""
    data = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))["data"]
    inspect = next_line("inspect", "--ckpt", run / _BEST, *_photographs(data), "--out", "inspect")
    if words[0] == "predict":
        return _after_predict(words, run, data, inspect)
    if data["init_args"]["task"] == "segment":
        predict = ["predict", "--config", run / "config.yaml", "--ckpt_path", run / _BEST]
        images = [word for name in _source(data) for word in ("--data.predict_images", name)]
        return [*figures(run / "test"), next_line(*predict, *images)]
    if is_folder(data) and data["init_args"].get("labels") is None:
        return how_to_label(data)
    configs, left_out = _segment_configs(words)
    if not configs:
        return [inspect]
    if left_out and str(of_the_checkout(SEGMENT)) in configs:
        from smir.cli.next_segment import after_pretraining

        if lines := after_pretraining(run / _BEST):  # what the other files say is in force in the run, if in no option
            return lines
    return [next_line("fit", *configs, *_kept_options(words), "--model.weights", run / _BEST)]


def _after_predict(words: Sequence[str], run: Path, data: dict[str, Any], inspect: str) -> list[str]:
    """A look at what was predicted; of a map that is not the run's own, which `inspect` has no windows for, none."""
    given = [words[-1].removeprefix(f"{name}=") for name, words in _options(words) if name == "--data.predict_images"]
    if not given or [Path(given[-1]).resolve()] == [Path(place).resolve() for place in _source(data)]:
        return [inspect] if _is_there(data) else []  # predicting needs nothing of the dataset, so it may be elsewhere
    if Path(given[-1]).is_dir():
        return [next_line("inspect", "--ckpt", run / _BEST, given[-1], "--out", "inspect")]
    return [next_line("export", "--ckpt", run / _BEST, "--out", "exported")]


def label_errors(checkpoint: Path) -> str | None:
    """The line after an inspection of other images than those a segmentation was trained on, if these are there."""
    config = checkpoint.parent.parent / "config.yaml"
    with suppress(OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        data = yaml.safe_load(config.read_text(encoding="utf-8"))["data"]
        if checkpoint.parent.name == "checkpoints" and Path(data["init_args"]["root"]).exists():
            command = next_line("inspect", "--ckpt", checkpoint, "--split", "train", "--out", "inspect-train")
            return f"Likely label errors of the training images: {command.removeprefix('Next: ')}"
    return None


def next_line(*words: object) -> str:
    """The line that says the next command of smir: the words after `python -m smir`, quoted for a shell."""
    return f"Next: python -m smir {shlex.join(map(str, words))}"


def _is_there(data: dict[str, Any]) -> bool:
    """Whether the images that `inspect` would look at are at hand."""
    return all(Path(place).exists() for place in _photographs(data) or [data["init_args"]["root"]])


def is_folder(data: dict[str, Any]) -> bool:
    """Whether the data of a config are a folder of images."""
    return str(data["class_path"]).rpartition(".")[2] == "Folder"


def _source(data: dict[str, Any]) -> list[str]:
    """What `prepare folder` was given, whole if it was cut into tiles; of another `Folder` its images.

    A folder that holds other pictures too, such as labels, is not what the next command should read.
    """
    if not is_folder(data):
        return []
    from smir.data.reading.decode import list_images
    from smir.data.reading.lists import stem

    images = _images(data)
    with suppress(OSError, KeyError, SmirError):
        source = Path(_prepared(data)["source"])
        if source.is_file() or (source.is_dir() and set(map(stem, list_images(source))) == _made_of(images)):
            return [str(source)]
    return [str(images)]


def _photographs(data: dict[str, Any]) -> list[str]:
    """The same, but tiles where it was cut."""
    if is_folder(data) and "tile" in _prepared(data).get("settings", ()):
        return [str(_images(data))]
    return _source(data)


def _images(data: dict[str, Any]) -> Path:
    return Path(data["init_args"]["root"], data["init_args"]["images"])


def _prepared(data: dict[str, Any]) -> dict[str, Any]:
    """The record of `prepare folder`; empty where there is none that can be read."""
    with suppress(OSError, ValueError):
        record = json.loads((Path(data["init_args"]["root"]) / "prepared.json").read_text(encoding="utf-8"))
        return record if isinstance(record, dict) else {}
    return {}


def _made_of(images: Path) -> set[str]:
    """Names, without suffix, of the images that those of a field are, or are tiles of."""
    from smir.data.reading.decode import list_images
    from smir.data.reading.lists import stem
    from smir.prepare.own.images import TILE_PREFIX

    parts = [(name, *name.rpartition("/")) for name in list_images(images)]
    return {folder if file.startswith(TILE_PREFIX) else stem(name) for name, folder, _, file in parts}


def how_to_label(data: dict[str, Any]) -> list[str]:
    """The lines after a pretraining on images that have no labels yet."""
    root = Path(data["init_args"]["root"])
    images = _source(data)[0]
    target = root if (root / "prepared.json").is_file() else root.with_name(f"{root.name}-labelled")
    settings = _prepared(data).get("settings", {})
    cut = [word for name in ("tile", "min_valid") if name in settings for word in (f"--{name}", settings[name])]
    return [
        "There are no labels yet. Label 20 images or more (docs/your-data.md); LABELS is what the tool exports:",
        next_line("prepare", "folder", "--images", images, "--labels", "LABELS", "--root", target, *cut),
    ]


def figures(folder: Path) -> list[str]:
    """Figures of the test in a folder in one line; none where there is no test, or one of a pretraining."""
    if not (folder / "metrics.json").is_file():
        return []
    test = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    if "classes" not in test:
        return []
    metrics, number = test["metrics"], test["images"]["number"]
    classes = ", ".join(f"{name} {_percent(metrics[f'test/view/iou/{name}'])}" for name in test["classes"])
    miou = _percent(metrics["test/view/miou"])
    return [f"Test on {rests_on(number)}: mIoU {miou} ({classes}), IoU in percent.{care(number)}"]


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _options(words: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """The name of every option and the words that it is made of."""
    rest = iter(words[1:])
    for word in rest:
        name, equals, _ = word.partition("=")
        yield name, [word] if equals else [word, *(value for value in [next(rest, None)] if value is not None)]


def _kept_options(words: Sequence[str]) -> list[str]:
    kept = [given for name, given in _options(words) if name.startswith(_KEPT) and not name.startswith(_OF_PRETRAINING)]
    return [word for given in kept for word in given]


def _segment_configs(words: Sequence[str]) -> tuple[list[str], bool]:
    """The configs of the segmentation after a pretraining: what lies beside its own, and the files of data.

    Returns:
        Words; none if nothing lies there. And whether others of its configs, such as one's own, are left out.
    """
    found: dict[str, bool] = {}
    left_out = False
    for name, given in _options(words):
        if name not in ("--config", "-c"):
            continue
        path = Path(given[-1].removeprefix(f"{name}="))
        beside = [path.with_name(f"segment-{path.stem}.yaml"), path.with_name("segment.yaml")]
        if set(read_yaml(path)) <= {"data", "include"}:
            found.setdefault(str(path), False)
        elif config := next((other for other in beside if other.is_file()), None):
            found.setdefault(str(config), True)
        else:
            left_out = True
    return [word for path in found for word in ("--config", path)] if any(found.values()) else [], left_out
