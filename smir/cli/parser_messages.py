"""Explains messages of the parser: what is meant, and what to write instead."""

import inspect
import re
import shlex
import sys
from pathlib import Path

from smir.cli.options import closest, known_classes

_EXPECTED = re.compile(
    r"Expected (?:a )?(?:<class '(?:[\w.]+\.)?(\w+)'>|typing\.Literal\[(.+?)\]|tuple with (\d+) elem)"
)
_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "NoneType": "null",
    "list": "a list",
    "Sequence": "a list",
    "tuple": "a list",
    "dict": "pairs '{NAME: VALUE}'",
}
"""Types that the parser names, in words."""
_AROUND = re.compile(
    r"Parser key|Does not validate|Subtypes:|Errors:|Problem with given class_path|Given value|Type "
    r"|Option '\w+' is not accepted"  # by the base of all callbacks, which nobody has named
)
"""Beginnings of lines that only say where the parser has met an error."""


def explained(message: str, command: str) -> str:
    """Returns a message of the parser with a hint, or replaced if it would mislead.

    Args:
        message: What the parser says.
        command: The words before the options, such as `python -m smir fit`.
    """
    for explain in (
        _option_of_class,
        _option_without_callback,
        _missing_option,
        _missing_class,
        _word,
        _mapping,
        _list,
        _value,
        _misplaced,
    ):
        if said := explain(message):
            return said
    if " predict" in command and (found := re.match(r"unrecognized arguments: (.+)$", message)):
        return f"{message}\nImages are given with their option: --data.predict_images {shlex.quote(found[1])}"
    return message


def _option_of_class(message: str) -> str | None:
    # The parser also tries an option of a callback on the base of all callbacks, which nobody has named.
    lacks = re.search(r"class_path '(?!lightning\.Callback')([\w.]+)':\s+Option '([\w.]+)' is not accepted", message)
    return lacks and f"{lacks[1].rpartition('.')[2]} has no option {lacks[2]}.{_options_of(lacks[1])}"


def _option_without_callback(message: str) -> str | None:
    if set(re.findall(r"class_path '(.+?)'", message)) != {"lightning.Callback"}:
        return None
    return "An option of trainer.callbacks needs a callback before it: --trainer.callbacks+=CLASS"


def _missing_option(message: str) -> str | None:
    lacks = re.search(r"class_path '([\w.]+)':\s+the following arguments are required: (.+)$", message, re.MULTILINE)
    return lacks and f"{lacks[1].rpartition('.')[2]} cannot be made without its option {lacks[2]}. Give that, too."


def _missing_class(message: str) -> str | None:
    if missing := re.search(r"No module named '([\w.]+)'", message):
        hint = f"Python finds no module {missing[1]}. Install it, or add the folder that holds it to PYTHONPATH."
    elif lacks := re.search(r"module '([\w.]+)' has no attribute '(\w+)'", message):
        guess = closest(lacks[2], dir(sys.modules.get(lacks[1])))
        hint = f"The module {lacks[1]} has no class {lacks[2]}.{guess}"
    elif bare := re.search(r"Expected a dot import path string: (\w+)$", message, re.MULTILINE):
        guess = closest(bare[1], known_classes())
        hint = f"There is no class {bare[1]}.{guess} A class of your own needs its module before its name: MODULE.CLASS"
    else:
        return None
    return f"{message}\n{hint}"


def _word(message: str) -> str | None:
    read = re.search(r"Expected a <class 'str'>\. Got value: ([\w.+-]+)$", message, re.MULTILINE)
    hint = "YAML reads words such as no, yes and 12 as other values, here {}. Quote them: 'no'."
    return read and f"{message}\n{hint.format(read[1])}"


def _mapping(message: str) -> str | None:
    """Names the equals sign for classes that are given as a mapping: `{crop: 1}`, `[crop: 1]` or `{1: crop}`."""
    read = re.search(r'Parser key "classes".*Given value: (.*\{.+\}.*)$', message, re.DOTALL)
    pairs = re.findall(r"'?([^'{}\[\],:]+)'?: '?([^'{},\]]+)'?", read[1]) if read else []
    entries = ", ".join(
        f"{b}={a}" if a.strip().isdigit() else f"{a}={b}" for a, b in (map(str.strip, p) for p in pairs)
    )
    return f"--classes takes a list with equals signs: '[{entries}]'." if pairs else None


def _list(message: str) -> str | None:
    if "Expected a <class 'list'>" not in message or (given := _given(message)) is None:
        return None
    name, value = given
    if value.startswith(("{", "Namespace(")):  # a mapping or a class
        return None
    only_lists = re.search(r"Subtypes: \[list\[\w+\], <class 'NoneType'>\]", message)
    said = f"--{name} takes a list, not {value}." if only_lists else _value(message) or message
    entries = re.split(r"\s*,\s*", value)
    example = ", ".join(entries if len(entries) > 1 else [*entries, "..."])
    return f"{said}\nA list is written in brackets: '[{example}]'."


def _value(message: str) -> str | None:
    """Says what an option takes, in place of a tree of all types that the parser has tried."""
    if (given := _given(message)) is None:
        return None
    name, value = given
    # Of an option of a class, the parser also says that the whole section could be null.
    own = [line for line in message.splitlines()[1:] if "NestedArg" not in message or line.startswith(" " * 6)]
    errors = [line for line in (line.lstrip(" -") for line in own) if not _AROUND.match(line)]
    found = [_EXPECTED.search(line) for line in errors if "Expected" in line]
    said = [line for line in errors if "Expected" not in line]  # of smir itself
    if not found or not all(found) or not all(line.endswith(".") for line in said) or "class_path" in value:
        return None
    inner = [each for each in found if each and value[:1] in ("[", "{") and _is_within(each)]
    expected = list(dict.fromkeys(word for each in inner or found if each for word in _in_words(*each.groups())))
    if "" in expected:
        return None
    if _KINDS["float"] in expected:
        expected = [word for word in expected if word != _KINDS["int"]]  # a whole number is one, too
    if said:
        return " ".join([*said, *["To leave it unset: null."] * ("null" in expected)])
    words = " or ".join(filter(None, (", ".join(expected[:-1]), expected[-1])))
    if inner:
        return f"Each value of --{name} must be {words}; got {value}."
    return f"--{name} takes {words}, not {value or 'nothing'}."


def _is_within(expected: re.Match[str]) -> bool:
    """Returns whether an error is about a single value of a list or mapping."""
    return re.search(r"Got value: (?![\[{])", expected.string) is not None


def _in_words(kind: str | None, choices: str | None, number: str | None) -> list[str]:
    """Returns what the parser expects in words; an empty one for other types."""
    if choices:
        return choices.replace("'", "").split(", ")
    return [f"a list of {number} values" if number else _KINDS.get(kind or "", "")]


def _given(message: str) -> tuple[str, str] | None:
    """Returns the option that a message is about, and its value, if it is about one."""
    key, value = re.match(r'Parser key "([\w.]+)":\n', message), re.search(r"(?:Given|Got) value: (.*)$", message)
    if key is None or value is None:
        return None
    if nested := re.match(r"NestedArg\(key='([\w.]+)', val=(.*)\)$", value[1]):
        return f"{key[1]}.{nested[1]}", nested[2].strip("'")
    return key[1], value[1]


def _misplaced(message: str) -> str | None:
    if found := re.match(r"argument subcommand: invalid choice: '(.+?)'", message):
        return f"{message}\nIf {found[1]} holds images of your own: python -m smir prepare folder --images {found[1]}"
    if (found := re.match(r"unrecognized arguments: (\S+\.ya?ml)$", message)) and Path(found[1]).is_file():
        return f"{message}\nA config is given with its option: --config {found[1]}"
    return None


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
