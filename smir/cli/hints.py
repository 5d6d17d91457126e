"""The last line of a command says the next one, ready to be run: from a folder of images to predictions and beyond.

What comes next follows from the folders that a command leaves behind: the run's config, the record of its test, and the
record of `prepare` beside the data.
"""

import shlex
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smir.cli.segment_hint import field_settings, is_folder, of_the_checkout, segmentation_words
from smir.cli.trust import read_yaml
from smir.errors import SmirError
from smir.files.json_record import dict_or_empty, read_json
from smir.report.estimates import care, rests_on

if TYPE_CHECKING:
    from smir.export.command import Exported
    from smir.inspect.command import Inspected

_BEST = Path("checkpoints") / "best.ckpt"
_PRETRAIN = "experiments/folder/pretrain.yaml"


def tell(lines: Callable[[], Sequence[str]]) -> None:
    """Prints lines, or none if they cannot be found out: a hint is not worth an error."""
    found: Sequence[str] = ()
    with suppress(Exception):
        found = lines()
    for line in found:
        print(line, flush=True)


def next_line(*words: object) -> str:
    """The line that says the next command of smir: the words after `python -m smir`, quoted for a shell."""
    return f"Next: python -m smir {shlex.join(map(str, words))}"


def after_prepare(made: Path) -> list[str]:
    """The lines after `prepare` has made a folder of your own images, or a synthetic field."""
    if (made / "synthetic.json").is_file():
        return [next_line("prepare", "nassar", "--root", made.parent)]
    config = made / "data.yaml"
    if set(field_settings(made).get("split_files", ())) != {"test"}:
        return [next_line("fit", "--config", of_the_checkout(_PRETRAIN), "--config", config)]
    run = Path("RUN")
    return [
        "These images are to test on; RUN is the folder of a trained run, such as runs/folder/segment/seed0:",
        next_line("test", "--config", run / "config.yaml", "--config", config, "--ckpt_path", run / _BEST),
    ]


def after_fit(run: Path) -> list[str]:
    """The lines after a training: the figures of its test, and the command that uses its weights."""
    data = _data_of(run)
    if data["init_args"]["task"] == "pretrain":
        return after_pretraining(run) or [_inspect(run, _photographs(data))]
    predict = ["predict", "--config", run / "config.yaml", "--ckpt_path", run / _BEST]
    images = [word for name in _source(data) for word in ("--data.predict_images", name)]
    return [*figures(run / "test"), next_line(*predict, *images)]


def after_predict(run: Path, images: Path | None) -> list[str]:
    """The lines after a prediction: a look at what was predicted, or the export where `inspect` cannot look at it.

    Args:
        run: Folder of the run whose weights have predicted.
        images: Folder or file that was predicted; None for the run's own test images.
    """
    data = _data_of(run)
    if images is None or [images.resolve()] == [Path(place).resolve() for place in _source(data)]:
        shown = _photographs(data)  # predicting needs nothing of the dataset, so it may be elsewhere
        return [_inspect(run, shown)] if all(map(_exists, shown or [data["init_args"]["root"]])) else []
    return [_inspect(run, [str(images)]) if images.is_dir() else _export(run / _BEST)]


def after_inspect(found: "Inspected") -> list[str]:
    """The lines after an inspection: label errors of the training images unless it was of these, and the next step."""
    run = _run_of(found.checkpoint)
    if found.task == "pretrain":
        return after_pretraining(run) if run else []
    errors = label_errors(found.checkpoint) if found.split != "train" else []
    return [*errors, _export(found.checkpoint)]


def after_export(made: "Exported") -> list[str]:
    """The lines after an export: a program of it on one image, or what follows the pretraining that was exported."""
    scripts = ("run_onnx.py", "run_smp.py", "run_pt2.py")  # the first needs the least
    for script in (made.folder / name for name in scripts):
        if script.is_file():
            return [f"Next: python {shlex.join([str(script), str(made.photo or 'photo.jpg'), 'labels.png'])}"]
    run = _run_of(made.checkpoint)
    return after_pretraining(run) if run and _data_of(run)["init_args"]["task"] == "pretrain" else []


def after_pretraining(run: Path) -> list[str]:
    """The command that segments with the network of a pretraining and its settings of the data.

    Returns:
        Its line; how to label, where there are no labels; nothing if no experiment follows it, or its images are
        elsewhere.
    """
    settings = read_yaml(run / "config.yaml")
    data = settings["data"]
    root = Path(data["init_args"]["root"])
    if not root.is_dir():
        return []
    if is_folder(data) and not (field_settings(root).get("labels") or data["init_args"].get("labels")):
        return how_to_label(data)
    with suppress(Exception):  # a parser that does not exit raises all kinds
        if words := segmentation_words(settings):
            return [next_line("fit", *words, "--model.weights", run / _BEST)]
    return []


def label_errors(checkpoint: Path) -> list[str]:
    """The line that names the likely label errors of the images that a segmentation was trained on, if these are there.

    They may be elsewhere, and the checkpoint may lie in no run folder.
    """
    with suppress(OSError, KeyError, TypeError, SmirError):
        run = _run_of(checkpoint)
        if run and Path(_data_of(run)["init_args"]["root"]).exists():
            command = next_line("inspect", "--ckpt", checkpoint, "--split", "train", "--out", "inspect-train")
            return [f"Likely label errors of the training images: {command.removeprefix('Next: ')}"]
    return []


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
    test = read_json(folder / "metrics.json")
    if "classes" not in test:
        return []
    metrics, number = test["metrics"], test["images"]["number"]
    classes = ", ".join(f"{name} {_percent(metrics[f'test/view/iou/{name}'])}" for name in test["classes"])
    miou = _percent(metrics["test/view/miou"])
    return [f"Test on {rests_on(number)}: mIoU {miou} ({classes}), IoU in percent.{care(number)}"]


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _inspect(run: Path, images: Sequence[str]) -> str:
    return next_line("inspect", "--ckpt", run / _BEST, *images, "--out", "inspect")


def _export(checkpoint: Path) -> str:
    return next_line("export", "--ckpt", checkpoint, "--out", "exported")


def _run_of(checkpoint: Path) -> Path | None:
    run = checkpoint.parent.parent
    return run if checkpoint.parent.name == "checkpoints" and (run / "config.yaml").is_file() else None


def _data_of(run: Path) -> dict[str, Any]:
    """The data of a run's config."""
    data: dict[str, Any] = read_yaml(run / "config.yaml")["data"]
    return data


def _exists(place: str) -> bool:
    return Path(place).exists()


def _source(data: dict[str, Any]) -> list[str]:
    """Returns the images that `prepare folder` was given, before any tiling; for another `Folder`, its images.

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
    """The same, but the tiles if the source was cut."""
    if is_folder(data) and "tile" in _prepared(data).get("settings", ()):
        return [str(_images(data))]
    return _source(data)


def _images(data: dict[str, Any]) -> Path:
    return Path(data["init_args"]["root"], data["init_args"]["images"])


def _prepared(data: dict[str, Any]) -> dict[str, Any]:
    """Returns the record of `prepare folder`; empty if it is missing or unreadable."""
    return dict_or_empty(Path(data["init_args"]["root"]) / "prepared.json")


def _made_of(images: Path) -> set[str]:
    """Names, without suffix, of the images that those of a field are, or are tiles of."""
    from smir.data.reading.decode import list_images
    from smir.data.reading.lists import stem
    from smir.prepare.own.tile import TILE_PREFIX

    parts = [(name, *name.rpartition("/")) for name in list_images(images)]
    return {folder if file.startswith(TILE_PREFIX) else stem(name) for name, folder, _, file in parts}
