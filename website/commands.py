"""A page for every command of `python -m smir`, from the parser that `--help` uses."""

import argparse
import importlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import docstring_parser
from jsonargparse import capture_parser

from smir.__main__ import MODULES, PLAIN, TRAINING, main
from website.options import definition_list, options

_TRAINING_GROUPS = {
    "run": "The run",
    "model": "The model",
    "data": "The data",
    "trainer": "The trainer (of Lightning)",
}


def pages() -> dict[str, str]:
    """Returns the text of every command's page by its path, that of the overview first."""
    made = {"commands/index.md": "\n".join(_overview())}
    for name, text in {**TRAINING, **PLAIN}.items():
        lines = _training(name) if name in TRAINING else _plain(name)
        made[f"commands/{name}.md"] = "\n".join([f"# {name}", "", _sentence(text), "", *lines])
    return made


def parser_of(command: str) -> Any:
    """Returns the parser of a command, as it is when its words are parsed."""
    parser = capture_parser(lambda: main([command]))
    return _subcommands(parser)[command] if command in TRAINING else parser


def _subcommands(parser: argparse.ArgumentParser) -> dict[str, Any]:
    action = next((a for a in parser._actions if isinstance(a, argparse._SubParsersAction)), None)
    return dict(action.choices) if action else {}


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _overview() -> Iterator[str]:
    yield from ["# Commands", "", "```sh", "python -m smir COMMAND [options]", "```", ""]
    yield from ["| command | what it does |", "|---|---|"]
    for name, text in {**TRAINING, **PLAIN}.items():
        yield f"| [`{name}`]({name}.md) | {text} |"
    yield ""
    yield (
        "Options may stand in YAML files, given with `--config`, as often as needed. Of two values of an option, the "
        "later one on the command line counts. `include:` in a file names files to read before it. `--print_config` "
        "prints the settings of a command and ends it. `--allow PACKAGE` lets a config name classes of a package that "
        "smir does not know. What a config may name is on the page [Classes of a config](classes.md)."
    )
    yield ""
    yield "These pages are made from the parsers themselves: they say what `--help` says."


def _plain(command: str) -> Iterator[str]:
    parser = parser_of(command)
    functions = importlib.import_module(MODULES[command]).COMMANDS
    if callable(functions):
        yield from _function(f"python -m smir {command}", functions, parser)
        return
    for name, subparser in _subcommands(parser).items():
        yield from [f"## {name}", ""]
        yield from _function(f"python -m smir {command} {name}", functions[name], subparser)


def _function(program: str, function: Callable[..., Any], parser: Any) -> Iterator[str]:
    text = docstring_parser.parse(inspect.getdoc(function) or "")
    yield from ["```sh", f"{program} [options]", "```", ""]
    yield from [text.short_description or "", "", text.long_description or "", ""]
    yield from definition_list(options(parser, parser._actions))
    for raised in text.raises:
        yield from [f"Ends with an error: {_lower(' '.join((raised.description or '').split()))}", ""]


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _training(command: str) -> Iterator[str]:
    parser = parser_of(command)
    by_group: dict[str, list[argparse.Action]] = {}
    for action in parser._actions:
        by_group.setdefault(action.dest.partition(".")[0], []).append(action)
    yield from ["```sh", f"python -m smir {command} --config FILE [--config FILE ...] [options]", "```", ""]
    others = [action for name, actions in by_group.items() if name not in _TRAINING_GROUPS for action in actions]
    yield from definition_list(options(parser, others))
    for name, title in _TRAINING_GROUPS.items():
        if name not in by_group:
            continue
        yield from [f"## {title}", ""]
        if name in ("model", "data"):
            kind = {"model": "modules", "data": "datasets"}[name]
            yield (
                f"`--{name}` takes the name of a class, and `--{name}.<option>` its options: see "
                f"[{kind}](classes.md#{kind}), or `python -m smir {command} --{name}.help CLASS`."
            )
            yield ""
        yield from definition_list(options(parser, by_group[name]))
