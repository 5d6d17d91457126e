"""Finds regions where a network is sure of another class than the label: often the label is wrong."""

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from smir.classes import VOID, UInt8

THINNEST = 3
"""Width in pixels below which a region is only a seam along a border."""


class Region(NamedTuple):
    """A connected part of an image that the label gives one class and the network another.

    Attributes:
        label: Class id that the label gives.
        predicted: Class id that the network gives.
        area: Its pixels.
        confidence: Mean probability of the predicted class.
        weight: Sum over its pixels of the probability of the predicted class minus that of the label's, by which
            regions are ranked: large where the region is large and the network sure.
        box: Top, left, bottom, right, in pixels.
    """

    label: int
    predicted: int
    area: int
    confidence: float
    weight: float
    box: tuple[int, int, int, int]


def disagreements(label: UInt8, probabilities: npt.NDArray[np.float32], confidence: float) -> Iterator[Region]:
    """Yields the regions where label (h, w) and probabilities (C, h, w) disagree and the network is sure.

    The label holds class ids and void, and the probabilities of a pixel add up to 1. The network counts as sure if the
    probability of the predicted class is at least `confidence`.
    """
    predicted = probabilities.argmax(axis=0)
    highest = probabilities.max(axis=0)
    known = np.where(label == VOID, 0, label).astype(np.int64)
    margin = highest - np.take_along_axis(probabilities, known[None], axis=0)[0]
    wrong = (label != VOID) & (label != predicted) & (highest >= confidence)
    pairs = np.unique(known[wrong] * len(probabilities) + predicted[wrong])
    for given, found in (divmod(int(pair), len(probabilities)) for pair in pairs):
        where = (wrong & (label == given) & (predicted == found)).astype(np.uint8)
        thick = cv2.morphologyEx(where, cv2.MORPH_OPEN, np.ones((THINNEST, THINNEST), np.uint8))
        count, parts, stats, _ = cv2.connectedComponentsWithStats(thick, connectivity=8)
        weights = np.bincount(parts.ravel(), margin.ravel(), minlength=count)
        sure = np.bincount(parts.ravel(), highest.ravel(), minlength=count)
        for part in range(1, count):  # 0 is what surrounds them
            left, top, width, height, area = map(int, stats[part])
            box = (top, left, top + height, left + width)
            yield Region(given, found, area, float(sure[part]) / area, float(weights[part]), box)
