"""Nested values in which one value may occur many times: by an alias in YAML, or a reference in a checkpoint."""

import math
from typing import Any

_DEEPEST = 100


def expanded_size(value: Any, depth: int = 0, known: dict[int, float] | None = None) -> float:
    """Returns how many values there are once every shared one is written out; infinity for a circle or deep nesting.

    Four letters of a text count as another value. Each container is visited once, so that the time does not depend on
    the answer.
    """
    known = {} if known is None else known
    if not isinstance(value, dict | list | tuple | set | frozenset):
        return 1 + (len(value) // 4 if isinstance(value, str | bytes) else 0)
    if depth > _DEEPEST:
        return math.inf
    if id(value) not in known:
        known[id(value)] = math.inf  # until it is left: a circle
        below = [*value, *value.values()] if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(expanded_size(item, depth + 1, known) for item in below)
    return known[id(value)]
