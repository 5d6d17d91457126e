"""The label budget: how many labelled training images a run may use."""

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from jsonargparse.typing import register_type

from smir.errors import ConfigError
from smir.seeding import seed_for

T = TypeVar("T")


class LabelBudget:
    """A count of the labelled training images (a whole number), or a share in (0, 1] of them (with a decimal point).

    So `1.0` is all of them and `1` is one image. Any other value raises `ConfigError`.
    """

    def __init__(self, value: "int | float | str | LabelBudget") -> None:
        value = value.value if isinstance(value, LabelBudget) else value
        if isinstance(value, str):
            value = _number(value)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not value > 0 or (isinstance(value, float) and value > 1):
            raise ConfigError(
                f"data.label_budget = {value!r}: a whole number is a count of 1 or more, a number with a decimal point "
                "is a share above 0 and at most 1.0."
            )
        self.value: int | float = value

    def __repr__(self) -> str:
        return repr(self.value)

    def take(self, items: Sequence[T], seed: int) -> list[T]:
        """Returns the first of a seeded order, sorted as in `items`; smaller budgets are subsets of larger ones.

        Raises:
            ConfigError: If the budget is less than one item, or more than there are.
        """
        count = self.value if isinstance(self.value, int) else math.floor(self.value * len(items) + 1e-9)
        if not 1 <= count <= len(items):
            raise ConfigError(
                f"data.label_budget = {self.value!r} asks for {count} of {len(items)} labelled training images."
            )
        order = np.random.default_rng(seed_for(seed, "budget")).permutation(len(items))
        return [items[place] for place in sorted(order[:count].tolist())]


def _number(text: str) -> int | float:
    try:
        return float(text) if set(text) & set(".eE") else int(text)
    except ValueError:
        raise ConfigError(f"data.label_budget is a count or a share, got {text!r}.") from None


# With a union of int and float the parser would decide whether 1 means one image or all of them.
register_type(LabelBudget, serializer=lambda budget: budget.value, deserializer=LabelBudget)
