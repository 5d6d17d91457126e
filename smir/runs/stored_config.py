"""The config that a run keeps, as plain values."""

import re
from pathlib import Path
from typing import Any

import yaml

from smir.errors import RunError

_LONGEST = 1 << 20
_MOST_MERGED = 100_000
_MERGE = "tag:yaml.org,2002:merge"


class TooManyMergesError(ValueError):
    """The merges of a text copy too much."""


class FewMerges:
    """Limits how many entries `<<` may copy: every merge of a chain could double them while the text is read."""

    _merged = 0

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Copies what a mapping merges.

        Raises:
            TooManyMergesError: If the merges of the document copy too much.
        """
        merged = [value for key, value in node.value if key.tag == _MERGE]
        parts = [
            part for value in merged for part in (value.value if isinstance(value, yaml.SequenceNode) else [value])
        ]
        parts = [part for part in parts if isinstance(part, yaml.MappingNode)]
        for part in {id(part): part for part in parts}.values():
            self.flatten_mapping(part)
        self._merged += sum(len(part.value) for part in parts)
        if self._merged > _MOST_MERGED:
            raise TooManyMergesError(f"its merges (<<) copy more than {_MOST_MERGED:,} entries")
        super().flatten_mapping(node)  # type: ignore[misc]  # of the loader


class Loader(FewMerges, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """A SafeLoader; ten times as fast, if PyYAML is compiled."""


LONG_NUMBER = re.compile(r"(?::[0-5]?\d){8}")
"""YAML takes 1:30:00 for a number to the base 60. The time to read one grows with the square of its length."""


def read_sections(config: Path) -> dict[str, dict[str, Any]]:
    """Returns the sections of a run's `config.yaml` that have settings; none if there is no such file.

    Raises:
        RunError: If it is damaged or too long.
    """
    if not config.is_file():
        return {}
    try:
        if (size := config.stat().st_size) > _LONGEST:
            raise ValueError(f"it has {size:,} bytes; settings are not that long")
        text = config.read_text(encoding="utf-8")
        if LONG_NUMBER.search(text):
            raise ValueError("it has a number of the form 1:00:00:... that is too long")
        read = yaml.load(text, Loader)
        sections = {name: section for name, section in read.items() if isinstance(section, dict)}
        if not all(isinstance(section.get("init_args", {}), dict) for section in sections.values()):
            raise ValueError("its init_args are not settings")
    except (OSError, ValueError, AttributeError, RecursionError, yaml.YAMLError) as error:
        raise RunError(
            f"{config} cannot be read: {error}. Restore it from a copy, or repeat the run's `fit`."
        ) from error
    return sections
