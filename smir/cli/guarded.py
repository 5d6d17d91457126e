"""Parsers that import only from trusted packages, and accept only classes from them."""

import inspect
import os
import re
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from jsonargparse import ArgumentParser, Namespace, set_dumper, set_parsing_settings

from smir.cli.parser_messages import explained
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
        command = self.prog.replace(" [options]", "")
        print(f"smir: error: {explained(message, command)}\n{command} --help lists the options.", file=sys.stderr)
        raise SystemExit(2) from ex


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
