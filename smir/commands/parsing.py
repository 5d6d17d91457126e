"""The parser of the commands that look at a dataset: it takes the data out of any config."""

from typing import Any

import yaml
from jsonargparse import Namespace

from smir.guarded import GuardedParser


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
