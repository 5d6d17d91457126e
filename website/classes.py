"""One page of the classes that a config may name, with their options as the parser knows them."""

import dataclasses
import inspect
import re
from collections.abc import Iterator
from typing import Any

import docstring_parser
from jsonargparse import ArgumentParser

import smir.data
import smir.training.reconstruction
import smir.training.segmentation  # so that the base knows the two tasks
import smir.training.selective_masking
from smir.method.image_scores import ImageScore
from smir.method.losses import ReconstructionLoss
from smir.method.masking import MaskPolicy
from smir.models.networks import Network
from smir.training.task import SmirModule
from website.options import Option, definition_list, options

PAGE = "commands/classes.md"
_LINKED = {"preprocessing", "classes", "out_channels"}
"""Arguments of modules and networks that no config gives: they come from the data."""

_MANY = 4
"""If all classes of a kind share this many options or more, the page lists them once."""

KINDS: dict[str, tuple[type[Any], str]] = {
    "Datasets": (smir.data.SmirDataModule, "`--data CLASS`, or `data: {class_path: CLASS, init_args: {...}}`"),
    "Modules": (SmirModule, "`--model CLASS`: the task"),
    "Networks": (Network, "`--model.network CLASS`"),
    "Losses": (ReconstructionLoss, "`--model.loss CLASS`, of a `ReconstructionModule`"),
    "Mask policies": (MaskPolicy, "`--data.mask CLASS`, and `policy` and `scoring_mask` of `SelectiveMasking`"),
    "Scores without a network": (ImageScore, "`score` of `SelectiveMasking`"),
    "Callbacks": (
        smir.training.selective_masking.SelectiveMasking,
        "`--trainer.callbacks+ CLASS`; Lightning's own may be named, too",
    ),
}


def page() -> str:
    """Returns the text of the page."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield from ["# Classes of a config", ""]
    yield (
        "Where a setting takes a class, a config names it and gives its options. Short names do for the classes below; "
        "`class_path: smir.method.masking.HardestMask` always does."
    )
    yield ""
    for title, (base, where) in KINDS.items():
        yield from [f"## {title}", "", f"{where}.", ""]
        found = {kind: _options(kind, base) for kind in concrete(base)}
        shared = [option for option in next(iter(found.values())) if all(option in other for other in found.values())]
        if len(found) == 1 or len(shared) < _MANY:
            shared = []
        for kind, own in found.items():
            yield from _class(kind, [option for option in own if option not in shared])
        if shared:
            yield from [f"### Options of all {title[0].lower()}{title[1:]}", "", *definition_list(shared)]


def concrete(base: type[Any]) -> list[type[Any]]:
    """Returns the classes that a config can name, a base and those below it, in order of definition."""
    below: list[type[Any]] = [base]
    for kind in type.__subclasses__(base):
        below += concrete(kind)
    unusable = (SmirModule, Network)  # bases that inspect does not take for abstract
    # `lazy_instance`, which makes defaults, registers its own classes.
    kinds = [kind for kind in dict.fromkeys(below) if not kind.__name__.startswith("LazyInstance_")]
    return [kind for kind in kinds if not inspect.isabstract(kind) and kind not in unusable]


def _options(kind: type[Any], base: type) -> list[Option]:
    """The options of a class, but for those that no config gives."""
    parser = ArgumentParser(exit_on_error=False)
    hidden = _LINKED if base in (SmirModule, Network) else set()
    parser.add_class_arguments(kind, fail_untyped=False, skip=hidden & set(inspect.signature(kind).parameters))
    shown = [action for action in parser._actions if action.dest.partition(".")[0] not in hidden]
    return [dataclasses.replace(option, name=option.name.lstrip("-")) for option in options(parser, shown)]


def _class(kind: type[Any], own: list[Option]) -> Iterator[str]:
    text = docstring_parser.parse(inspect.getdoc(kind) or "")
    yield from [f"### {kind.__name__}", "", f"`{kind.__module__}.{kind.__qualname__}`", ""]
    yield from [text.short_description or "", "", _fenced(text.long_description or ""), "", *definition_list(own)]


def _fenced(text: str) -> str:
    """Tells the highlighter that an unmarked block of a docstring is plain text."""
    return re.sub(r"^```$(.*?)^```$", r"```text\1```", text, flags=re.DOTALL | re.MULTILINE)
