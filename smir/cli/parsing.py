"""How plain commands read their words: the data out of any config, and words without an option."""

import json
import sys
from collections.abc import Sequence
from typing import Any

import yaml
from jsonargparse import Namespace

from smir.cli.guarded import GuardedParser


class DataParser(GuardedParser):
    """Reads `data` from `--config` files and passes over what they say about model, trainer and run.

    A file that holds the data alone, such as `experiments/data/nassar.yaml`, serves with `--config` too. Several files,
    `--data FILE` and flags such as `--data.root` merge from left to right, as in training.
    """

    def parse_string(self, content: str, *args: Any, **kwargs: Any) -> Namespace:
        """Parses the text of a config file, of which only `data` is kept."""
        try:
            sections = yaml.safe_load(content)
        except yaml.YAMLError:
            sections = None  # the parser itself says what is wrong with it
        if isinstance(sections, dict):
            data = sections if "class_path" in sections else sections.get("data")
            content = yaml.safe_dump({} if data is None else {"data": data})
        parsed: Namespace = super().parse_string(content, *args, **kwargs)
        return parsed


def words_as(name: str, args: Sequence[str] | None) -> list[str]:
    """Turns words without an option into a list for one: `report a b --out c` into `report --runs=["a","b"] --out c`.

    Args:
        name: The option.
        args: The words; default: those of this process.
    """
    plain: list[str] = []
    options: list[str] = []
    words = iter(sys.argv[1:] if args is None else args)
    for word in words:
        if not word.startswith("-"):
            plain.append(word)
        elif "=" in word or word in ("-h", "--help"):
            options.append(word)
        else:
            options += [word, *(value for value in [next(words, None)] if value is not None)]
    return [*([f"--{name}={json.dumps(plain)}"] if plain else []), *options]
