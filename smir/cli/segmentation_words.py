"""The options that segment with the network of a pretraining and its settings of the data."""

import json
from collections.abc import Iterator, Set
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from smir.cli.recipes import config_file, recipe
from smir.cli.run_data import field_settings, is_folder
from smir.cli.trust import read_yaml
from smir.cli.words import expand_includes
from smir.runs.stored_config import Loader

if TYPE_CHECKING:
    from smir.cli.settings import Parser

_OF_SEGMENTATION = {"task", "batch_size", "mask", "seed", "label_budget"}
"""Arguments of the data that a segmentation sets for itself; the seed is that of the run."""
_OF_TRAINER = {"accelerator": "auto", "devices": "auto", "precision": None}
"""Settings of the trainer that a segmentation takes over, with Lightning's defaults."""


def as_word(word: object) -> str:
    """Returns a word of a command; a path that would be taken for an option or a home begins with `./`."""
    return f"./{word}" if isinstance(word, Path) and str(word)[0] in "-~" else str(word)


def segmentation_words(settings: dict[str, Any]) -> list[object]:
    """Returns the words after `fit`, without the weights, that segment with a pretraining's network and data settings.

    They are empty if no experiment follows the pretraining.
    """
    data = settings["data"]
    group, _, name = str(settings["run"]["experiment"]).rpartition("/")
    own = "folder/few-labels-segment" if name == "few-labels-selective" else "folder/segment"
    names = [own] if is_folder(data) else [f"{group}/segment-{name}", f"{group}/segment"]
    configs = list(filter(recipe, names))[:1]
    if not configs:
        return []
    field = set[str]()
    if is_folder(data) and (given := field_settings(Path(data["init_args"]["root"]))):
        configs.append(as_word(Path(data["init_args"]["root"], "data.yaml")))
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
            becomes_it = (name, settings[section].get(name)) == ("precision", "auto")  # as in the run
            if run[section][name] != settings[section].get(name) and not becomes_it:
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
    settings: dict[str, Any] = yaml.load(text, Loader)
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
