"""The classes that a config may name. A config is checked before anything that it names is imported.

Importing a class runs its module, so a config from someone else could run anything that Python can find. Three walls
stand in the way: `scan_words` reads the words and config files of a command as plain text; `smir.cli.guarded` lets the
parser import from trusted packages alone; and what it has imported must be classes, of the type that their place asks
for.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from smir.errors import ConfigError

PACKAGES = (
    "smir",
    "lightning",
    "pytorch_lightning",
    "torch",
    "torchmetrics",
    "segmentation_models_pytorch",
    "albumentations",
)
"""Packages whose classes a config may name; `--allow PACKAGE` adds one."""

_CLASS_KEYS = {
    "model",
    "data",
    "network",
    "mask",
    "policy",
    "scoring_mask",
    "callbacks",
    "logger",
    "strategy",
    "plugins",
    "profiler",
    "accelerator",
    "help",
    "class_path",
    "trainer",
}
"""Settings whose value may be the bare name of a class, or a file of settings."""
_YAML = (".yaml", ".yml", ".json")
_LONGEST = 1 << 24  # bytes of a config file
_LARGEST, _DEEPEST = 1_000_000, 100  # values with all aliases written out, and levels


def take_allowed(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Takes `--allow PACKAGE` out of the words of a command, as often as it stands there before a `--`.

    Returns:
        The other words, and the packages that a config may name.

    Raises:
        ConfigError: If the name of a package is missing or invalid.
    """
    rest: list[str] = []
    packages = [*PACKAGES]
    end = words.index("--") if "--" in words else len(words)  # what follows is the command of a job
    given = iter(words[:end])
    for word in given:
        if word != "--allow" and not word.startswith("--allow="):
            rest.append(word)
            continue
        name = next(given, "") if word == "--allow" else word.partition("=")[2]
        if not all(part.isidentifier() for part in name.split(".")):
            raise ConfigError(f"--allow takes the name of a package that configs may name, got {name!r}.")
        packages.append(name)
    return [*rest, *words[end:]], packages


def scan_words(words: Sequence[str], packages: Sequence[str]) -> None:
    """Looks through the words of a command, and the config files among them, for classes that may not be named.

    Args:
        words: The words after `python -m smir`.
        packages: What may be named.

    Raises:
        ConfigError: At the first class of another package, and at a file that is built to exhaust its reader.
    """
    for flag, value in _flags(words):
        key = flag.lstrip("-").rstrip("+").rsplit(".", 1)[-1]
        if flag == "-c" or (len(flag) > 3 and "--config".startswith(flag)):  # argparse takes beginnings
            key = "config"
        if (key == "config" or key in _CLASS_KEYS) and Path(value).is_file():
            scan_file(Path(value), packages)
        else:
            scan({key: value}, f"The option {flag}", packages)


def _flags(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Options with their values, written `--name=value` or `--name value`."""
    for place, word in enumerate(words):
        if word.startswith("-"):
            name, equals, value = word.partition("=")
            yield name, value if equals else next(iter(words[place + 1 : place + 2]), "")


def scan_file(path: Path, packages: Sequence[str]) -> None:
    """Looks through a config file, and through the files that it names in place of settings."""
    scan(read_yaml(path), str(path), packages, path.parent)


def read_yaml(path: Path) -> Any:
    """Reads a config file as plain values.

    Raises:
        ConfigError: If it is not YAML, has a tag that would create objects, or is built to exhaust its reader.
    """
    if (size := path.stat().st_size) > _LONGEST:
        raise ConfigError(f"The config {path} has {size:,} bytes; settings are not that long.")
    try:
        return _plain(path.read_bytes().decode("utf-8-sig"), str(path))
    except (OSError, ValueError, yaml.YAMLError) as error:  # a ValueError is a date that does not exist, or no text
        raise ConfigError(f"The config {path} cannot be read as YAML: {error}") from error


def _plain(text: str, source: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.constructor.ConstructorError as error:
        raise ConfigError(f"{source} holds what is no plain value: {error.problem}. Nothing of it was run.") from error
    except RecursionError:
        raise ConfigError(f"{source} is nested too deeply to be read.") from None


def scan(config: Any, source: str, packages: Sequence[str], folder: Path | None = None) -> None:
    """Looks through settings as they were read from YAML.

    Args:
        config: Mappings, lists and plain values.
        source: Where they come from, for messages.
        packages: What they may name.
        folder: Folder that the names of further config files in them are relative to.

    Raises:
        ConfigError: At the first class of another package; if aliases blow the settings up or make a circle.
    """
    _check_weight(config, source)
    _scan(config, "", source, packages, folder)


def _check_weight(config: Any, source: str) -> None:
    if _weight(config, source, {}, 0) > _LARGEST:
        raise ConfigError(f"{source} holds more than {_LARGEST:,} values once its aliases are written out.")


def _scan(node: Any, key: str, source: str, packages: Sequence[str], folder: Path | None) -> None:
    if isinstance(node, dict):
        for name, value in node.items():
            _scan(value, str(name).rstrip("+").rsplit(".", 1)[-1], source, packages, folder)
    elif isinstance(node, list):
        for value in node:
            _scan(value, key, source, packages, folder)
    elif isinstance(node, str):
        if folder is not None and node.endswith(_YAML) and (folder / node).is_file():
            scan_file(folder / node, packages)
        elif re.search(r"class_path|!!|[\[{]", node):  # settings within a text; the parser reads them, too
            try:
                inner = _plain(node, source)
            except (ValueError, yaml.YAMLError):
                return  # not settings; the parser takes it for a text as well
            if not isinstance(inner, str):
                _check_weight(inner, source)
                _scan(inner, key, source, packages, folder)
        elif key in _CLASS_KEYS:
            _check_name(node, key, source, packages)


def _check_name(name: str, key: str, source: str, packages: Sequence[str]) -> None:
    parts = name.split(".")
    if len(parts) < 2 or name.endswith(_YAML) or not all(part.isidentifier() for part in parts):
        return  # the name of a known class, of a file, or of something else that is not imported
    if not any(name.startswith(f"{package}.") for package in packages) or any(part[:2] == "__" for part in parts):
        raise refusal(name, f"{source}: {key}")


def refusal(name: str, where: str) -> ConfigError:
    """The error for a class that may not be named."""
    return ConfigError(
        f"{where} names {name}, which was not imported: a config may only name classes of {', '.join(PACKAGES)}. If "
        f"you trust that code, allow its package: --allow {name.split('.')[0]}"
    )


def _weight(node: Any, source: str, known: dict[int, int], depth: int) -> int:
    """Number of values below a node, aliases written out; each container is counted once."""
    if not isinstance(node, dict | list):
        return 1
    if depth > _DEEPEST:
        raise ConfigError(f"{source} is nested too deeply, or in a circle.")
    if id(node) not in known:
        values = node.values() if isinstance(node, dict) else node
        known[id(node)] = 1 + sum(_weight(value, source, known, depth + 1) for value in values)
    return known[id(node)]
