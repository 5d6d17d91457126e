"""Runs the plain commands: typed functions, the `COMMANDS` of a module, whose options are parsed here.

The module may also say how its words are read:

- `WORDS` names the option for words without an option: `report a b` is `report --runs '[a, b]'`;
- `AFTER_DASHES` names the option for everything after `--`;
- `DATA_OF` names the option of a checkpoint: the config of its run gives the data if nothing else does;
- `DATA_BESIDE_IMAGES` is true if the data are used even if images are named.

A function with an argument `data` reads it from any config that is given with `--config`.
"""

import contextlib
import importlib
import inspect
import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import islice, zip_longest
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml
from jsonargparse import Namespace, auto_cli

from smir.cli import hints
from smir.cli.guarded import GuardedParser, scan_config
from smir.cli.options import options_in
from smir.cli.run_data import is_folder, run_of
from smir.cli.trust import yaml_text
from smir.errors import ConfigError
from smir.files.memory import no_garbage_collection

_HINTS: Mapping[str, Callable[[Any], list[str]]] = {
    "prepare": hints.after_prepare,
    "choose": hints.after_choose,
    "inspect": hints.after_inspect,
    "export": hints.after_export,
}


class DataParser(GuardedParser):
    """Reads `data` from `--config` files, and ignores their settings of model, trainer and run.

    A file that holds only the data, such as `experiments/data/nassar.yaml`, is a valid `--config` too. Several files,
    `--data FILE` and flags such as `--data.root` merge from left to right, as in training.
    """

    _names_task = False

    def parse_args(self, args: Any = None, *more: Any, **kwargs: Any) -> Namespace:  # type: ignore[override]  # fewer overloads
        """Parses words; images without labels are for pretraining, unless a file or a word names the task."""
        parsed: Namespace = super().parse_args(args, *more, **kwargs)
        data = parsed.get("data")  # of `plan`, it is a path
        named = self._names_task or any(word.startswith("--data.task") for word in args or ())
        bare = isinstance(data, Namespace) and data.get("init_args.labels", "") is None
        if bare and is_folder(data.as_dict()) and not named:
            data.init_args.task = "pretrain"
        return parsed

    def parse_string(self, content: str, *args: Any, **kwargs: Any) -> Namespace:
        """Parses `data` in the text of a config file."""
        try:
            sections = yaml.safe_load(content)
        except yaml.YAMLError:
            sections = None  # the parser itself reports the error
        if isinstance(sections, dict):
            data = sections if "class_path" in sections else sections.get("data")
            self._names_task |= isinstance(data, dict) and "task" in (data.get("init_args") or ())
            content = yaml_text({} if data is None else {"data": data})
        parsed: Namespace = super().parse_string(content, *args, **kwargs)
        return parsed


def run_plain(command: str, module_name: str, args: Sequence[str]) -> None:
    """Runs a plain command of a module with the words after its name, and prints the next command."""
    with no_garbage_collection():
        module = importlib.import_module(module_name)
    functions = module.COMMANDS
    if not callable(functions) and args and args[0] in functions:
        functions = {args[0]: functions[args[0]]}  # a parser for each of the others takes as long as a small command
    takes_data = callable(functions) and "data" in inspect.signature(functions).parameters
    result = auto_cli(
        functions,
        args=_words(module, args),
        parser_class=DataParser if takes_data else GuardedParser,
        prog=f"python -m smir {command}",
        as_positional=False,
    )
    if result is not None:
        hints.tell(lambda: _HINTS[command](result))


def _words(module: ModuleType, args: Sequence[str]) -> list[str]:
    """Returns the words of a command as the parser takes them, by the settings of its module."""
    words = list(args)
    if (option := getattr(module, "AFTER_DASHES", None)) and "--" in words:
        place = words.index("--")
        words[place:] = [f"--{option}={json.dumps(words[place + 1 :])}"]
    functions = [module.COMMANDS] if callable(module.COMMANDS) else module.COMMANDS.values()
    arguments = [argument for function in functions for argument in inspect.signature(function).parameters.values()]
    switches = {f"--{argument.name}" for argument in arguments if argument.annotation is bool}
    words = [  # `--download` means `--download true`
        f"{word}=true" if word in switches and str(following).lower() not in ("true", "false") else word
        for word, following in zip_longest(words, words[1:])
    ]
    words = _with_negative_values(words)
    if option := getattr(module, "WORDS", None):
        words = _words_as(option, words)
    if option := getattr(module, "DATA_OF", None):
        words = _with_own_config(option, words, getattr(module, "DATA_BESIDE_IMAGES", False))
    texts = {f"--{argument.name}" for argument in arguments if "list[str]" in str(argument.annotation)}
    return _as_texts(words, texts)


def _with_negative_values(words: Sequence[str]) -> list[str]:
    """Joins `--value_range -5,32` by `=`: the parser would take the value for an option."""
    joined: list[str] = []
    for word in words:
        if joined and re.match(r"-\.?\d", word) and re.fullmatch(r"--[^=]+", joined[-1]):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def _as_texts(words: Sequence[str], options: Collection[str]) -> list[str]:
    """Quotes the entries of `[no, 1e3]` after options that take texts: YAML has other values for such words."""
    texts: list[str] = []
    for before, word in zip(["", *words], words, strict=False):
        option, equals, value = word.partition("=") if word.startswith("--") else (before, "", word)
        if option in options and value.startswith("["):
            with contextlib.suppress(yaml.YAMLError):
                entries = yaml.load(value, Loader=yaml.BaseLoader)  # every scalar is a text
                if all(isinstance(entry, str) for entry in entries):
                    word = f"{option if equals else ''}{equals}{json.dumps(entries, ensure_ascii=False)}"
        texts.append(word)
    return texts


def _words_as(name: str, args: Sequence[str]) -> list[str]:
    """Collects the words without an option: `report a b --out c` becomes `report --runs=["a","b"] --out c`."""
    plain: list[str] = []
    options: list[str] = []
    words = iter(args)
    for word in words:
        if not word.startswith("-"):
            plain.append(word)
        elif "=" in word or word in ("-h", "--help"):
            options.append(word)
        else:
            options += [word, *islice(words, 1)]
    return [*([f"--{name}={json.dumps(plain)}"] if plain else []), *options]


def _with_own_config(option: str, words: list[str], beside_images: bool) -> list[str]:
    """Puts the config of the checkpoint's run first, unless the words name a config or data, or only images count."""
    given = dict(options_in(words))
    others = {"--config", "--data", "-h", "--help"} | (set() if beside_images else {"--images"})
    if f"--{option}" not in given or others & given.keys():
        return words
    checkpoint = Path(given[f"--{option}"])
    if run := run_of(checkpoint):
        scan_config(run / "config.yaml")
        return [f"--config={(run / 'config.yaml').absolute()}", *words]  # absolute: the parser expands a `~`
    if changed := next((name for name in given if name.startswith("--data.")), None):
        raise ConfigError(  # the parser would say that it knows no dataset
            f"{changed} changes the data of the checkpoint's own run, but {checkpoint.absolute()} is not in "
            f"a run folder with a config.yaml. Correct --{option}, or give the config of the data: --config FILE"
        )
    return words
