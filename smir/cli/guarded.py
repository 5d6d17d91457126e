"""Parsers that import only from trusted packages, and accept only classes from them."""

import inspect
import os
import re
import shlex
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from jsonargparse import ArgumentParser, Namespace, set_dumper, set_parsing_settings

from smir.cli.options import closest, known_classes
from smir.cli.trust import PACKAGES, refusal, scan_file, yaml_text
from smir.errors import ConfigError
from smir.runs.recipe import accept_old_names

_allowed: set[str] = set()
"""Packages that any command of this process allowed; the parser's settings belong to the process, too."""
_trusted: list[str] = []
"""Packages that the current command trusts."""


def trust_only(packages: Sequence[str]) -> None:
    """Makes every parser of this process refuse to import by name from other packages."""
    accept_old_names()
    set_dumper("yaml", yaml_text)  # the parser also reads what it has dumped
    os.environ.pop("JSONARGPARSE_DEFAULT_ENV", None)  # it would take settings from variables that nobody has checked
    set_parsing_settings(
        import_path_denylist=["*", *sorted(_allowed - set(packages))],
        import_path_allowlist=list(packages),
        # Otherwise an argument of type Any would create an object of any class that is named there.
        instantiate_subclass_spec_in_any=False,
    )
    _allowed.update(packages)
    _trusted[:] = packages


def allowed() -> list[str]:
    """Returns the packages that the current command trusts beside the usual ones."""
    return [name for name in _trusted if name not in PACKAGES]


def import_allowed() -> None:
    """Imports what `--allow` has named, so that checkpoints can be rebuilt with networks of your own.

    Raises:
        ConfigError: If there is no such module.
    """
    for name in allowed():
        try:
            import_module(name)
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"--allow {name}: {error}. Install it, or add the folder that holds it to PYTHONPATH."
            ) from error


def scan_config(path: Path) -> None:
    """Checks a config that a command reads by itself, as `scan_words` checks the named ones."""
    scan_file(path, _trusted)


class GuardedParser(ArgumentParser):
    """Refuses functions in place of classes, and says how to allow a package."""

    _kept: tuple[list[int], Namespace] | None = None

    def parse_args(self, *args: Any, **kwargs: Any) -> Namespace:  # type: ignore[override]  # the overloads of argparse
        """Parses words; see `require_classes`."""
        parsed: Namespace = super().parse_args(*args, **kwargs)
        for name, value in list(parsed.items()):
            if isinstance(value, Path) and value.parts[:1] == ("~",) and not value.exists():  # from a config
                parsed[name] = value.expanduser()
        require_classes(parsed.as_dict())
        return parsed

    def get_defaults(self, *args: Any, **kwargs: Any) -> Namespace:
        """Returns the defaults. They are computed once: a parser asks for them seventy times a command."""
        given = [id(action.default) for action in self._actions]
        if self._kept is None or self._kept[0] != given:
            self._kept = given, super().get_defaults(*args, **kwargs)
        return self._kept[1].clone()

    def format_help(self, *args: Any) -> str:
        """Returns the help, without the backspace that the library prints after `--print_config`."""
        return super().format_help(*args).replace(" \b", "")

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Reports an error; if a name was not imported, the message says how to allow it.

        Raises:
            ConfigError: For such a name.
        """
        if denied := re.search(r"Importing '([\w.]+)' is not allowed, denied by", message):
            raise refusal(denied[1], "A setting") from ex
        if not self.exit_on_error:
            super().error(message, ex)
        # The parser also tries an option of a callback on the base of all callbacks, which nobody has named.
        if lacks := re.search(r"class_path '(?!lightning\.Callback')([\w.]+)':\s+Option '([\w.]+)' is not ac", message):
            message = f"{lacks[1].rpartition('.')[2]} has no option {lacks[2]}.{_options_of(lacks[1])}"
        elif set(re.findall(r"class_path '(.+?)'", message)) == {"lightning.Callback"}:
            message = "An option of trainer.callbacks needs a callback before it: --trainer.callbacks+=CLASS"
        elif hint := _missing_class(message):
            message += f"\n{hint}"
        elif read := re.search(r"Expected a <class 'str'>\. Got value: ([\w.+-]+)$", message, re.MULTILINE):
            message += f"\nYAML reads words such as no, yes and 12 as other values, here {read[1]}. Quote them: 'no'."
        elif "Expected a <class 'list'>" in message and (read := re.search(r"Given value: (.+)$", message)):
            key, entries = re.search(r'Parser key "(.+?)"', message), re.split(r"\s*,\s*", read[1])
            example = ", ".join(entries if len(entries) > 1 else [*entries, "..."])
            nothing_else = re.search(r"Subtypes: \[list\[\w+\], <class 'NoneType'>\]", message)
            if key and nothing_else:
                message = f"--{key[1]} takes a list, not {read[1]}."
            message += f"\nA list is written in brackets: '[{example}]'."
        elif found := re.match(r"argument subcommand: invalid choice: '(.+?)'", message):
            message += f"\nIf {found[1]} holds images of your own: python -m smir prepare folder --images {found[1]}"
        elif (found := re.match(r"unrecognized arguments: (\S+\.ya?ml)$", message)) and Path(found[1]).is_file():
            message += f"\nA config is given with its option: --config {found[1]}"
        elif "predict" in self.prog and (found := re.match(r"unrecognized arguments: (.+)$", message)):
            message += f"\nImages are given with their option: --data.predict_images {shlex.quote(found[1])}"
        command = self.prog.replace(" [options]", "")
        print(f"smir: error: {message}\n{command} --help lists the options.", file=sys.stderr)
        raise SystemExit(2) from ex


def _missing_class(message: str) -> str:
    """Returns what to do about a class that the parser did not find; nothing if it complains of something else."""
    if missing := re.search(r"No module named '([\w.]+)'", message):
        return f"Python finds no module {missing[1]}. Install it, or add the folder that holds it to PYTHONPATH."
    if lacks := re.search(r"module '([\w.]+)' has no attribute '(\w+)'", message):
        guess = closest(lacks[2], dir(sys.modules.get(lacks[1])))
        return f"The module {lacks[1]} has no class {lacks[2]}.{guess}"
    if bare := re.search(r"Expected a dot import path string: (\w+)$", message, re.MULTILINE):
        guess = closest(bare[1], known_classes())
        return f"There is no class {bare[1]}.{guess} A class of your own needs its module before its name: MODULE.CLASS"
    return ""


def _options_of(class_path: str) -> str:
    """Returns a sentence with the options of a class that the parser has imported."""
    module, _, name = class_path.rpartition(".")
    kind = getattr(sys.modules.get(module), name, None)
    if not inspect.isclass(kind):
        return ""
    options = _arguments_of(kind)
    if "preprocessing" in options:  # a model: the command fills these in
        options = [name for name in options if name not in ("preprocessing", "classes", "out_channels")]
    return f" Its options are: {', '.join(options)}." if options else " It has none."


def _arguments_of(kind: type) -> list[str]:
    """Returns the names of a constructor's arguments, with those that it hands to its base as `**kwargs`."""
    names: dict[str, None] = {}
    for owner in kind.__mro__:
        if (constructor := vars(owner).get("__init__")) is not None:
            found = list(inspect.signature(constructor).parameters.values())[1:]
            names |= {each.name: None for each in found if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)}
            if all(each.kind is not each.VAR_KEYWORD for each in found):
                break
    return list(names)


def require_classes(node: Any, key: str = "") -> None:
    """Checks parsed settings before any object is made: the parser would call a function that returns the right type.

    Raises:
        ConfigError: If a function or another object is named where a class is expected.
    """
    if isinstance(node, dict):
        for name, value in node.items():
            require_classes(value, f"{key}.{name}".lstrip("."))
    elif isinstance(node, list | tuple):
        for value in node:
            require_classes(value, key)
    elif inspect.isroutine(node):
        raise ConfigError(f"{key} names the function {node.__qualname__} of {node.__module__}; only classes are taken.")
    elif key.endswith("class_path") and isinstance(node, str):
        module, _, name = node.rpartition(".")
        # A name without a module was not resolved, so no object will be made of it.
        if module and not inspect.isclass(getattr(import_module(module), name, None)):
            raise ConfigError(f"{key} names {node}, which is not a class.")
