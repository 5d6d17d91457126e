"""The options among words; finds those and class names that do not exist by the source files, before slow imports."""

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from functools import cache
from importlib.util import find_spec
from itertools import takewhile, zip_longest
from pathlib import Path

from smir.errors import ConfigError


class NoSuchOption(ConfigError):
    """An option or a class that does not exist."""


_SMIR = Path(__file__).parents[1]
_OF_PARSERS = {"config", "help", "print_config", "class_path", "init_args", "dict_kwargs"}
_TRAININGS = {"fit", "validate", "test", "predict"}
_OF_TRAINING = {"seed_everything", "include", "ckpt", "ckpt_path", "weights_only", "verbose"}
_OF_PREDICT = {"out", "return_predictions", "formats", "simplify", "min_area", "background"}
_SECTIONS = {"data": "data", "model": "training", "run": "cli/settings.py runs/wandb_logging.py"}
"""Folders and files below `smir` with the classes of each section."""
CLASS_OPTIONS = {"data", "model", "network", "mask", "policy", "scoring_mask", "loss", "score"}
"""Options that take a class of smir."""
_ELSEWHERE = {
    "device": "trainer.accelerator",
    "encoder": "model.network.encoder",
    "epochs": "trainer.max_epochs",
    "gpus": "trainer.devices",
    "images": "data.predict_images",
    "learning_rate": "model.lr",
    "mask_ratio": "data.mask.ratio",
    "patch_size": "data.num_patches",
}
"""Options of a training as other programs call them, which look unlike their names here."""
_CLASS = re.compile(r"^class (\w+)", re.MULTILINE)


def before_dashes(words: Sequence[str]) -> list[str]:
    """Returns the words before a `--`; the command of a `job` follows it."""
    return list(takewhile(lambda word: word != "--", words))


def options_in(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yields options with their values, for `--option value` and `--option=value`; what follows a switch counts."""
    for word, following in zip_longest(words, words[1:], fillvalue=""):
        if word.startswith("-"):
            flag, equals, value = word.partition("=")
            yield flag, value if equals else following


def names_config(flag: str) -> bool:
    """Returns whether an option is `--config`, of which argparse takes beginnings."""
    return flag == "-c" or (len(flag) > 3 and "--config".startswith(flag))


def check_options(words: Sequence[str], module: str | None, any_class: bool) -> None:
    """Checks the options of a command before its parser is built.

    `module` is that of a plain command; None for a training. `any_class`: classes of other packages may have further
    options.

    Raises:
        NoSuchOption: At the first option or class that does not exist; the message names the closest one.
    """
    training = _OF_TRAINING | {"trainer", *_SECTIONS} | (_OF_PREDICT if words[0] == "predict" else set())
    tops = training if module is None else _arguments_of_command(module, words)
    for flag, value in options_in(before_dashes(words)):
        if not flag.startswith("--"):
            continue
        parts = [part for part in flag[2:].rstrip("+").split(".") if part != "init_args"]
        _check_name(flag, parts, 0, _OF_PARSERS | tops, words[0])
        if parts[0] in tops and len(parts) > 1 and "help" not in parts:
            _check_parts(flag, parts, words[0], any_class)
        # The `--data` of `plan` is a folder, which need not exist.
        named = value.isidentifier() and value != "null" and not any_class and words[0] != "plan"
        if named and parts[-1] in CLASS_OPTIONS and not Path(value).exists():
            check_class(value, flag)


def closest(name: str, known: Iterable[str]) -> str:
    """Returns `Did you mean NAME?` for the most similar of the known names, or nothing."""
    return f" Did you mean {found[0]}?" if (found := get_close_matches(name, sorted(known), 1)) else ""


def check_class(name: str, where: str) -> None:
    """Raises NoSuchOption if smir has no class of that name, with or without a module; `where` says what names it."""
    if (last := name.rpartition(".")[2]) not in known_classes():
        raise NoSuchOption(f"{where} names {name}, but smir has no such class.{closest(last, known_classes())}")


def _check_parts(flag: str, parts: list[str], command: str, any_class: bool) -> None:
    if parts[0] == "trainer" or parts[0] == "run" or (parts[0] in _SECTIONS and not any_class):
        _check_argument(flag, parts, 1, _files_of(parts[0]), command)
        if parts[0] != "trainer" and len(parts) > 2 and "options" not in parts and "dict_kwargs" not in parts:
            _check_argument(flag, parts, len(parts) - 1, _files("."), command)


def _check_argument(flag: str, parts: list[str], at: int, files: Iterable[Path], command: str) -> None:
    files = list(files)
    with_the_word = [file for file in files if parts[at] in _text(file)]  # to parse all files takes seconds
    if parts[at] not in _OF_PARSERS | _arguments(*with_the_word):
        _check_name(flag, parts, at, _OF_PARSERS | _arguments(*files), command)


def _check_name(flag: str, parts: list[str], at: int, known: set[str], command: str) -> None:
    # argparse accepts the beginning of an option.
    begins_one = at == 0 and any(name.startswith(parts[0]) for name in known)
    if parts[at] in known or begins_one:
        return
    own = known - _OF_PARSERS - {"ckpt_path"} | ({"config"} if at == 0 else set())
    # Only this part counts: with its section, any two options would be alike.
    near = get_close_matches(parts[at].lower(), sorted(own), 1)
    guess = f" Did you mean --{'.'.join([*parts[:at], *near, *parts[at + 1 :]])}?" if near else ""
    if at == 0 and "trainer" in known:  # a training: the section may have been left out
        sections = [each for each in ("trainer", *_SECTIONS) if parts[0] in _arguments(*_files_of(each))]
        guess = f" Did you mean --{sections[0]}.{flag[2:]}?" if sections else guess
    if command in _TRAININGS and parts[at] in _ELSEWHERE:
        guess = f" Did you mean --{_ELSEWHERE[parts[at]]}?"
    raise NoSuchOption(f"There is no option {flag}.{guess}\npython -m smir {command} --help lists the options.")


@cache
def known_classes() -> set[str]:
    """Returns the names of all classes of smir."""
    return {name for file in _files(".") for name in _CLASS.findall(_text(file))}


def _files_of(section: str) -> list[Path]:
    """Returns the files with the classes of a section of the settings."""
    if section != "trainer":
        return list(_files(_SECTIONS[section]))
    spec = find_spec("lightning")
    places = (spec and spec.submodule_search_locations) or []
    return [Path(place, "pytorch/trainer/trainer.py") for place in places]


def _files(places: str) -> Iterator[Path]:
    for place in (_SMIR / name for name in places.split()):
        yield from place.rglob("*.py") if place.is_dir() else [place]


@cache
def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8")


@cache
def _tree(file: Path) -> list[ast.stmt]:
    return ast.parse(_text(file)).body


@cache
def _arguments(*files: Path) -> set[str]:
    """Returns the arguments of all constructors, and the fields of all data classes, in files."""
    names: set[str] = set()
    for node in (part for file in files for top in _tree(file) if isinstance(top, ast.ClassDef) for part in top.body):
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            names |= _parameters(node)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return names


def _parameters(function: ast.FunctionDef) -> set[str]:
    return {argument.arg for argument in (*function.args.args, *function.args.kwonlyargs)} - {"self"}


def _arguments_of_command(module: str, words: Sequence[str]) -> set[str]:
    """Returns the arguments of the function of a plain command, or of all its functions if it has several."""
    file = _SMIR.parent / f"{module.replace('.', '/')}.py"
    functions = [node for node in _tree(file) if isinstance(node, ast.FunctionDef) and node.name[0] != "_"]
    own = [node for node in functions if node.name in words[:2]] or functions
    return set().union(*map(_parameters, own))
