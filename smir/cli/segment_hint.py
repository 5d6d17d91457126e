"""The segmentation after a pretraining as the words of a command, from all settings of the pretraining."""

import json
from collections.abc import Iterator, Set
from pathlib import Path
from typing import Any

import yaml

from smir.cli.trust import expand_includes, read_yaml

_SEGMENT = "experiments/folder/segment.yaml"
_TRAINER = ("accelerator", "devices", "precision")
_NOT_ITS_OWN = {"task", "batch_size", "mask", "seed", "label_budget"}
"""Arguments of the data that a segmentation has values of its own for; the seed is that of the run."""


def segmentation_words(settings: dict[str, Any]) -> list[str]:
    """The words of the command that segments with the network of a pretraining and its settings of the data.

    Args:
        settings: The config of the pretraining: all settings in force.

    Returns:
        The words after `python -m smir fit`, without the weights; nothing if no experiment follows the pretraining.
    """
    data = settings["data"]
    config = _experiment(settings)
    if config is None:
        return []
    configs, field = [config], set[str]()
    if is_folder(data) and (given := field_settings(Path(data["init_args"]["root"]))):
        configs.append(Path(data["init_args"]["root"], "data.yaml"))
        field = set(given) - {"root"}
    words = [word for file in configs for word in ("--config", str(file))]
    for name, value in _changes(settings, configs, field):
        words += [name, value if isinstance(value, str) else json.dumps(value)]
    return words


def is_folder(data: dict[str, Any]) -> bool:
    """Returns whether the data of a config are a folder of images."""
    return str(data["class_path"]).rpartition(".")[2] == "Folder"


def field_settings(root: Path) -> dict[str, Any]:
    """Returns the settings in `data.yaml` of a field; empty if the file is missing or has other sections too."""
    file = root / "data.yaml"
    settings = read_yaml(file) if file.is_file() else {}
    return dict(settings["data"]["init_args"]) if set(settings) == {"data"} else {}


def of_the_checkout(name: str) -> Path:
    """A file of the checkout, by the path that it has from here."""
    beside = Path(__file__).parents[2] / name
    return beside if beside.is_file() and not Path(name).is_file() else Path(name)


def _experiment(settings: dict[str, Any]) -> Path | None:
    """The config of the segmentation: that of folders, or the one that belongs to the pretraining by its name."""
    group, _, name = str(settings["run"]["experiment"]).rpartition("/")
    names = [f"experiments/{group}/segment-{name}.yaml", f"experiments/{group}/segment.yaml"]
    found = map(of_the_checkout, [_SEGMENT] if is_folder(settings["data"]) else names)
    return next((file for file in found if file.is_file()), None)


def _changes(run: dict[str, Any], configs: list[Path], field: set[str]) -> Iterator[tuple[str, Any]]:
    """Options, with their values, that a segmentation needs to have the settings of the run.

    Args:
        run: The run's config: all settings in force.
        configs: Files that the segmentation reads.
        field: Arguments of the data that are the field's to say.
    """
    network = run["model"]["init_args"]["network"]
    settings = _settings(configs, [])
    if network["class_path"] != settings["model"]["init_args"]["network"]["class_path"]:
        yield "--model.network", network["class_path"]
        settings = _settings(configs, [f"--model.network={network['class_path']}"])
    yield from _unlike(network, settings["model"]["init_args"]["network"], "--model.network")
    yield from _unlike(run["data"], settings["data"], "--data", _NOT_ITS_OWN | field)
    for section, names in (("run", ("root",)), ("trainer", _TRAINER)):
        for name in names:
            if run[section][name] != settings[section].get(name):
                yield f"--{section}.{name}", run[section][name]
    if run["seed_everything"] not in (settings["seed_everything"], _seed_of_experiment(run)):
        yield "--seed_everything", run["seed_everything"]


def _seed_of_experiment(run: dict[str, Any]) -> int | None:
    """The seed that the experiment itself gives a pretraining: it is not one that its segmentation should take over."""
    config = of_the_checkout(f"experiments/{run['run']['experiment']}.yaml")
    files = expand_includes([f"--config={config}"])[1::2] if config.is_file() else []
    seeds = [read_yaml(Path(file)).get("seed_everything") for file in files]
    return next((seed for seed in reversed(seeds) if seed is not None), None)


def _unlike(
    own: dict[str, Any], other: dict[str, Any], option: str, without: Set[str] = frozenset()
) -> Iterator[tuple[str, Any]]:
    theirs = other["init_args"]
    for name, value in own["init_args"].items():
        if name not in without and value != theirs.get(name):
            yield f"{option}.{name}", value


def _settings(configs: list[Path], words: list[str]) -> dict[str, Any]:
    """All settings that `fit` would have in force, read as it reads them."""
    from lightning.pytorch import Trainer

    from smir.cli.guarded import scan_config
    from smir.cli.settings import Parser, add_options
    from smir.data import SmirDataModule
    from smir.training.task import SmirModule

    for config in configs:
        scan_config(config)
    parser = Parser(exit_on_error=False)
    parser.add_argument("--config", action="config")
    parser.add_argument("--seed_everything", type=int, default=0)
    parser.add_lightning_class_args(Trainer, "trainer")
    parser.add_lightning_class_args(SmirModule, "model", subclass_mode=True)
    parser.add_lightning_class_args(SmirDataModule, "data", subclass_mode=True)
    add_options(parser)
    files = expand_includes([f"--config={config}" for config in configs])
    return dict(yaml.safe_load(parser.dump(parser.parse_args([*files, *words]), skip_unset=False)))
