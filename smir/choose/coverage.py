"""Chooses the images that stand for all others: greedy facility location.

Each step takes the image that brings all images nearest to a chosen one. So typical images come before unusual ones,
images that look alike are never both among the first, and a short list is the beginning of a longer one.

Source: facility location for active learning, Wei, Iyer and Bilmes (2015), *Submodularity in Data Subset Selection and
Active Learning*; its lazy evaluation, Minoux (1978).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
_FARTHEST = 4.0
"""The largest squared distance of two vectors of length 1."""
_ROUNDING = 1e-5
_BLOCK = 64
_TIED = 1e-4
"""Gains count as equal if they differ by less than this share: rounding depends on the batch size."""


class Nearest(NamedTuple):
    """For every image (N,), the place of the nearest chosen one in their list, and the distance to it, from 0 to 2."""

    place: npt.NDArray[np.int64]
    distance: Floats


def unit(features: Floats) -> Floats:
    """Returns features (N, D) scaled to length 1; zeros stay."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.maximum(lengths, 1e-12), dtype=np.float32)


def representatives(features: Floats, count: int, weights: Floats, start: Floats) -> list[int]:
    """Chooses images one after the other, so that every image has a chosen one near it.

    Each step takes the image that most reduces the sum, over all images, of weight times squared distance to the
    nearest chosen image. Of equal ones the first in the list is chosen.

    Args:
        features: Of the images to choose from, (N, D), of length 1.
        count: Images to choose; at most N.
        weights: Weight of the distance between each image and the nearest chosen one (N,), not negative.
        start: Features of images that count as chosen (M, D), of length 1.

    Returns:
        Places of the chosen images, the best first.
    """
    distance = np.full(len(features), _FARTHEST, dtype=np.float32)
    for begin in range(0, len(start), _BLOCK):
        distance = np.minimum(distance, _squared(features, start[begin : begin + _BLOCK]).min(axis=1))
    bounds = np.full(len(features), np.inf)  # a gain never grows, so an old one is a bound
    chosen: list[int] = []
    for _ in range(min(count, len(features))):
        order, highest = np.argsort(-bounds, kind="stable"), -np.inf
        for begin in range(0, len(order), _BLOCK):
            block = order[begin : begin + _BLOCK]
            if bounds[block[0]] < highest * (1 - _TIED):
                break
            lowered = np.maximum(distance[:, None] - _squared(features, features[block]), 0)
            bounds[block] = np.minimum(bounds[block], weights @ lowered)
            highest = max(highest, float(bounds[block].max()))
        chosen.append(int(np.flatnonzero(bounds >= highest * (1 - _TIED))[0]))
        bounds[chosen[-1]] = -np.inf
        distance = np.minimum(distance, _squared(features, features[chosen[-1:]])[:, 0])
    return chosen


def nearest(features: Floats, chosen: Floats) -> Nearest:
    """Finds the nearest of the chosen images (K, D) for every image (N, D), all of length 1."""
    blocks = [_squared(features[begin : begin + 4096], chosen) for begin in range(0, len(features), 4096)]
    place = np.concatenate([block.argmin(axis=1) for block in blocks])
    return Nearest(place, np.sqrt(np.concatenate([block.min(axis=1) for block in blocks])))


def most(values: Floats, count: int) -> Sequence[int]:
    """Returns the places of the highest values, in the order of the list; of equal ones, to four digits, the first."""
    highest: list[int] = np.sort(np.argsort(-values.round(4), kind="stable")[:count]).tolist()
    return highest


def _squared(features: Floats, others: Floats) -> Floats:
    found = 2 - 2 * (features @ others.T)
    return np.asarray(np.where(found < _ROUNDING, 0, found), dtype=np.float32)
