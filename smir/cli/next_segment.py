"""The segmentation after a pretraining as a command, from the run folder alone: nobody knows the words it had."""

import json
from collections.abc import Iterator, Set
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from smir.cli.guarded import scan_config
from smir.cli.includes import expand_includes
from smir.cli.next_step import SEGMENT, how_to_label, is_folder, next_line, of_the_checkout
from smir.cli.trust import read_yaml

_TRAINER = ("accelerator", "devices", "precision")
_NOT_ITS_OWN = {"task", "batch_size", "mask", "seed"}
"""Arguments of the data that a segmentation has values of its own for; the seed is that of the run."""


def after_pretraining(checkpoint: Path) -> list[str]:
    """The lines after a look at a pretraining on a folder of images.

    Args:
        checkpoint: Its checkpoint.

    Returns:
        The command that segments with its network and its settings of the data; how to label, where there are no
        labels; nothing if it does not lie in the run folder of such a pretraining, or its images are elsewhere.
    """
    if checkpoint.parent.name != "checkpoints":
        return []
    with suppress(Exception):  # a hint is not worth an error, and a parser that does not exit raises all kinds
        return _lines(checkpoint, read_yaml(checkpoint.parent.parent / "config.yaml"))
    return []


def _lines(checkpoint: Path, run: dict[str, Any]) -> list[str]:
    data = run["data"]
    if not is_folder(data) or not Path(data["init_args"]["root"]).is_dir():
        return []
    configs = [of_the_checkout(SEGMENT)]
    file = Path(data["init_args"]["root"], "data.yaml")
    field = _field(file)
    if field:
        configs.append(file)
    if not (field.get("labels") or data["init_args"].get("labels")):  # they may have come after the pretraining
        return how_to_label(data)
    words = [word for config in configs for word in ("--config", str(config))]
    for name, value in _changes(run, configs, set(field) - {"root"}):
        words += [name, value if isinstance(value, str) else json.dumps(value)]
    return [next_line("fit", *words, "--model.weights", checkpoint)]


def _field(file: Path) -> dict[str, Any]:
    """What `data.yaml` of a field says; nothing if there is none, or one that says more than the data."""
    settings = read_yaml(file) if file.is_file() else {}
    return dict(settings["data"]["init_args"]) if set(settings) == {"data"} else {}


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
    if run["seed_everything"] != settings["seed_everything"]:
        yield "--seed_everything", run["seed_everything"]


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
