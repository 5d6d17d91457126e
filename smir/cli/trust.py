"""Config files before the parser reads them: the classes that they name are checked.

Importing a class runs its module, so a config from someone else could run anything that Python can find. Three checks
prevent that: `scan_words` reads the words and config files of a command as plain text; `smir.cli.guarded` lets the
parser import from trusted packages only; and the imported objects must be classes of the expected type.
"""

import copy
import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from smir.cli.options import CLASS_OPTIONS, before_dashes, check_class, names_config, options_in
from smir.cli.recipes import is_file
from smir.errors import ConfigError
from smir.files.shared_values import expanded_size
from smir.runs.stored_config import LONG_NUMBER, FewMerges, TooManyMergesError

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

_OF_LIGHTNING = {"trainer", "callbacks", "logger", "strategy", "plugins", "profiler", "accelerator"}
_CLASS_KEYS = CLASS_OPTIONS | _OF_LIGHTNING | {"help", "class_path"}
"""Settings whose value may be the bare name of a class, or a file of settings."""
Seen = set[tuple[Path, Path]]
"""Files that are checked already, and the folders that names in them are relative to."""
_YAML = (".yaml", ".yml", ".json")
_LONGEST = 1 << 16  # bytes of a config file: seconds of the parser
_LARGEST = 100_000  # values with all aliases written out


def take_allowed(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Takes every `--allow PACKAGE` before a `--` out of the words of a command.

    Returns:
        The other words, and the packages that a config may name.

    Raises:
        ConfigError: If the name of a package is missing or invalid.
    """
    own = before_dashes(words)
    rest, packages, given = [], [*PACKAGES], iter(own)
    for word in given:
        if word != "--allow" and not word.startswith("--allow="):
            rest.append(word)
            continue
        name = next(given, "") if word == "--allow" else word.partition("=")[2]
        if not all(part.isidentifier() for part in name.split(".")):
            raise ConfigError(f"--allow takes the name of a package that configs may name, got {name!r}.")
        packages.append(name)
    return [*rest, *words[len(own) :]], packages


def scan_words(words: Sequence[str], packages: Sequence[str]) -> None:
    """Checks that the words of a command, and the config files among them, name only classes of the packages.

    Raises:
        ConfigError: At the first class of another package, and at a file that is built to exhaust its reader.
    """
    for flag, value in options_in(words):
        key = "config" if names_config(flag) else _last(flag.lstrip("-"))
        if (key == "config" or key in _CLASS_KEYS) and is_file(Path(value)):
            scan_file(Path(value), packages)
        else:
            scan({key: value}, f"The option {flag}", packages)


def _last(name: str) -> str:
    """Returns the last part of a dotted setting."""
    return name.rstrip("+").rsplit(".", 1)[-1]


def scan_file(path: Path, packages: Sequence[str], seen: Seen | None = None) -> None:
    """Checks a config file, and the files that it names in place of settings, each once."""
    seen = set() if seen is None else seen
    place = (path.resolve(), path.parent.resolve())  # a link's names are relative to where it lies
    if place not in seen:
        seen.add(place)
        scan(read_yaml(path), str(path), packages, path.parent, seen=seen)


def read_yaml(path: Path) -> Any:
    """Reads a config file as plain values.

    Raises:
        ConfigError: If it is not YAML, has a tag that would create objects, or is built to exhaust its reader.
    """
    if (size := path.stat().st_size) > _LONGEST:
        raise ConfigError(f"The config {path} has {size:,} bytes; settings are not that long.")
    try:
        return copy.deepcopy(_plain(path.read_bytes().decode("utf-8-sig"), str(path)))
    except (OSError, ValueError, yaml.YAMLError) as error:  # a ValueError is an impossible date, or not text
        raise ConfigError(f"The config {path} cannot be read as YAML: {error}") from error


class _Quoting(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]  # not all PyYAMLs are compiled
    """Quotes texts such as `1e-3` and `77950e8`: YAML takes them for texts, and the parser for numbers."""


_Quoting.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9.][0-9_.]*[eE][-+]?[0-9]+"), list("-+0123456789.")
)


def yaml_text(settings: Any) -> str:
    """Returns plain values as YAML that the parser reads as the same values."""
    return yaml.dump(settings, Dumper=_Quoting, sort_keys=False)


class _TwiceError(Exception):
    """A mapping has a key twice."""


class _Once(FewMerges, yaml.SafeLoader):
    """Refuses a key that one mapping has twice; the parser would forget the first."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        keys = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<")
        if twice := [key for key, count in keys.items() if count > 1]:
            raise _TwiceError(f"the mapping at line {node.start_mark.line + 1} has the key {twice[0]!r} twice")
        return node


@lru_cache(maxsize=64)  # `expand_includes` and `scan_words` read the same files
def _plain(text: str, source: str) -> Any:
    if len(text) > _LONGEST or LONG_NUMBER.search(text):
        raise ConfigError(f"{source}, or a number of the form 1:00:00:... in it, is too long.")
    try:
        return yaml.load(text, _Once)  # a SafeLoader
    except yaml.constructor.ConstructorError as error:
        raise ConfigError(f"{source} holds more than plain values: {error.problem}. Nothing of it was run.") from error
    except _TwiceError as error:
        raise ConfigError(f"{source}: {error}, and only one would be used. Remove the other.") from None
    except TooManyMergesError as error:
        raise ConfigError(f"{source} cannot be read: {error}.") from None
    except RecursionError:
        raise ConfigError(f"{source} is nested too deeply to be read.") from None


def scan(
    config: Any,
    source: str,
    packages: Sequence[str],
    folder: Path | None = None,
    key: str = "",
    seen: Seen | None = None,
) -> None:
    """Checks settings as they were read from YAML.

    Args:
        config: Mappings, lists and plain values.
        source: Their file or option, for messages.
        packages: The allowed packages.
        folder: Folder that the names of further config files in them are relative to.
        key: Name of the setting that `config` is the value of.
        seen: Files that are checked already.

    Raises:
        ConfigError: At the first class of another package; if aliases blow the settings up or make a circle.
    """
    if expanded_size(config) > _LARGEST:
        raise ConfigError(
            f"{source} holds more than {_LARGEST:,} values (or four times as many letters) once its aliases are "
            "written out, or is nested too deeply or in a circle."
        )
    _scan(config, key, source, packages, folder, seen)


def _scan(node: Any, key: str, source: str, packages: Sequence[str], folder: Path | None, seen: Seen | None) -> None:
    if isinstance(node, dict):
        for name, value in node.items():
            _scan(value, _last(str(name)), source, packages, folder, seen)
    elif isinstance(node, list):
        for value in node:
            _scan(value, key, source, packages, folder, seen)
    elif isinstance(node, str):
        if folder is not None and node.endswith(_YAML) and is_file(folder / node):
            scan_file(folder / node, packages, seen)
        elif re.search(r"class_path|!!|[\[{]", node):  # settings within a text; the parser reads them, too
            try:
                inner = _plain(node, source)
            except (ValueError, yaml.YAMLError):
                return  # not settings; the parser takes it for a text as well
            if not isinstance(inner, str):
                scan(inner, source, packages, folder, key, seen)
        elif key in _CLASS_KEYS:
            is_file((folder or Path()) / node)  # the parser would open a pipe
            _check_name(node, key, source, packages)


def _check_name(name: str, key: str, source: str, packages: Sequence[str]) -> None:
    parts = name.split(".")
    if len(parts) < 2 or name.endswith(_YAML) or not all(part.isidentifier() for part in parts):
        return  # the name of a known class, of a file, or of something else that is not imported
    if not any(name.startswith(f"{package}.") for package in packages) or any(part[:2] == "__" for part in parts):
        raise refusal(name, f"{source}: {key}")
    if parts[0] == "smir" and parts[-1][0].isupper():
        check_class(name, f"{source}: {key}")


def refusal(name: str, where: str) -> ConfigError:
    """Returns the error for a class that may not be named."""
    return ConfigError(
        f"{where} names {name}, which was not imported: a config may only name classes of {', '.join(PACKAGES)}. If "
        f"you trust that code, allow its package: --allow {name.split('.')[0]}"
    )
