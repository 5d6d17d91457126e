"""Options as the parser knows them, written as Markdown: the same text that `--help` prints."""

import argparse
import dataclasses
import re
from collections.abc import Iterable, Iterator

_INFO = re.compile(r"\s*\(((?:required, )?type: .*)\)$", re.DOTALL)
_NOT_SHOWN = {"help", "print_config"}


@dataclasses.dataclass(frozen=True)
class Option:
    """An option of a command or of a class.

    Attributes:
        name: As it is written on the command line, such as `--out`.
        kind: Its type; empty where the parser has none.
        default: Its default; None if it is required or has no default.
        required: True if it must be given.
        text: Its description, as Markdown.
    """

    name: str
    kind: str
    default: str | None
    required: bool
    text: str


def options(parser: argparse.ArgumentParser, actions: Iterable[argparse.Action]) -> Iterator[Option]:
    """Yields the options among the actions of a parser, but for those that only print help."""
    formatter = parser._get_formatter()  # makes the texts of `--help`
    for action in actions:
        shown = action.help not in (None, argparse.SUPPRESS) and action.option_strings
        if not shown or action.dest in _NOT_SHOWN or action.dest.endswith(".help"):
            continue
        text = formatter._expand_help(action)
        info = _INFO.search(text)
        kind, default = _kind_and_default(info[1]) if info else ("", None)
        name = next(word for word in reversed(action.option_strings) if not word.endswith("+"))
        required = action.required or bool(info and info[1].startswith("required"))
        yield Option(name, kind, None if required else default, required, plain(text[: info.start()] if info else text))


def _kind_and_default(info: str) -> tuple[str, str | None]:
    info = info.removeprefix("required, ").removeprefix("type: ").split(", known subclasses: ")[0]
    kind, comma, default = info.partition(", default: ")
    return _short(kind), _class_alone(default) if comma and default != "null" else None


def _short(kind: str) -> str:
    """A type as it is written today: `int | null`, not `Optional[int]`."""
    kind = re.sub(r"<class '([\w.]+)'>", r"\1", kind)
    if union := re.fullmatch(r"Optional\[(.*)\]", kind):
        return f"{_short(union[1])} | null"
    if union := re.fullmatch(r"Union\[(.*)\]", kind):
        return " | ".join(map(_short, _split(union[1])))
    if words := re.fullmatch(r"Literal\[(.*)\]", kind):
        return " | ".join(word.strip("'") for word in _split(words[1]))
    return " | ".join(map(_short, kind.split(" | "))) if " | " in kind else kind


def _split(text: str) -> list[str]:
    """Splits at the commas that stand in no bracket."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "[(") - (letter in "])")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def _class_alone(default: str) -> str:
    """A default that is an object, by its class and arguments: `HardestMask(ratio=0.5)`."""
    spec = re.fullmatch(r"\{'class_path': '([\w.]+)'(?:, 'init_args': \{(.*)\})?\}", default)
    if spec is None:
        return default
    arguments = re.sub(r"'(\w+)': ", r"\1=", spec[2] or "")
    return f"{spec[1].rsplit('.', 1)[-1]}({arguments})"


def plain(text: str) -> str:
    """The first paragraph of a docstring's text, with Sphinx's marks turned into Markdown's."""
    text = re.sub(r":\w+:`~?(?:[\w.]*\.)?(\w+)`", r"`\1`", text.split("\n\n")[0])
    text = re.sub(r"``(.*?)``", r"`\1`", text)
    text = re.sub(r"`([^`<]+) <(https?://[^>]+)>`_", r"[\1](\2)", text)
    text = re.sub(r"\s*Default: `?[\w.'\"=-]*`?\.$", "", text.strip())  # Lightning's; smir has other defaults
    return re.sub(r"\s+", " ", text)


def definition_list(found: Iterable[Option]) -> Iterator[str]:
    """Yields the lines of a Markdown definition list."""
    for option in found:
        facts = [f"*{_escaped(option.kind)}*" if option.kind else "", "**required**" if option.required else ""]
        facts.append("" if option.default is None else f"default `{option.default}`")
        yield " · ".join([f"`{option.name}`", *filter(None, facts)])
        yield f":   {option.text}"
        yield ""


def _escaped(text: str) -> str:
    return re.sub(r"([*_\[\]|<>`])", r"\\\1", text)
