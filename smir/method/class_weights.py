"""Weights of the classes in a loss: given ones, or those that follow from how frequent the classes are."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from smir.errors import ConfigError

LIMITS = (0.1, 10.0)
"""Smallest and largest weight by frequency: a class of a few pixels must not outweigh all others."""


def given_weights(given: Sequence[float] | Mapping[str, float], names: Sequence[str]) -> list[float]:
    """Returns the weight of every class, in the order of `names`; a class that a mapping does not name has 1.

    Raises:
        ConfigError: If a name is not a class, the number differs from that of the classes, a weight is negative or not
            finite, or all are 0.
    """
    classes = ", ".join(names)
    if isinstance(given, Mapping):
        if unknown := [name for name in given if name not in names]:
            raise ConfigError(
                f"model.class_weights names {', '.join(map(repr, unknown))}, but the classes are {classes}. Use these "
                "names."
            )
        given = [given.get(name, 1.0) for name in names]
    if len(given) != len(names):
        raise ConfigError(
            f"model.class_weights = {list(given)} has {len(given)} weights for the {len(names)} classes {classes}. "
            f"Give one for each, in this order, or by name: {{{names[-1]}: 4}}."
        )
    if not all(0 <= weight < math.inf for weight in given) or not any(given):
        raise ConfigError(
            f"model.class_weights = {list(given)} must be 0 or more and finite, and not all 0. A class of weight 0 "
            "does not count in the loss."
        )
    return list(given)


def median_frequency_weights(frequencies: npt.NDArray[np.float64]) -> list[float]:
    """Returns `median(f) / f_c` for every class, within `LIMITS`; 1 for a class that never occurs.

    Source: Eigen and Fergus, ICCV 2015.

    Args:
        frequencies: Share f (C,) of each class in the labelled pixels of the images that it occurs in.
    """
    occurs = frequencies > 0
    weights = np.ones(len(frequencies))
    if occurs.any():
        weights[occurs] = np.clip(np.median(frequencies[occurs]) / frequencies[occurs], *LIMITS)
    return [float(weight) for weight in weights]
