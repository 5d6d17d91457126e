"""Cuts small pictures out of larger ones."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from smir.classes import UInt8

SIDE = 160
"""Pixels of the longer side of an enlarged picture."""


class Window(NamedTuple):
    """A part of a picture, in pixels; bottom and right are exclusive."""

    top: int
    left: int
    bottom: int
    right: int


def around(box: Sequence[int], shape: Sequence[int], side: int) -> Window:
    """Returns a square around a box, moved into a picture of the given shape and cut off only if that is smaller."""
    sides = ((box[0], box[2], shape[0]), (box[1], box[3], shape[1]))
    top, left = (max(0, min((low + high - side) // 2, length - side)) for low, high, length in sides)
    return Window(top, left, min(shape[0], top + side), min(shape[1], left + side))


def enlarged(picture: UInt8, window: Window) -> UInt8:
    """Cuts a window out of a picture (H, W, 3) and enlarges it to `SIDE` pixels."""
    part = picture[window.top : window.bottom, window.left : window.right]
    scale = SIDE / max(part.shape[:2])
    size = (max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale)))
    return np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def outlined(picture: UInt8, box: Sequence[int], window: Window) -> UInt8:
    """Enlarges a window of a picture and draws a box on it, white between black to show on any ground."""
    canvas = enlarged(picture, window)
    scale = SIDE / max(window.bottom - window.top, window.right - window.left)
    top, bottom = (round((edge - window.top) * scale) for edge in (box[0], box[2]))
    left, right = (round((edge - window.left) * scale) for edge in (box[1], box[3]))
    for shade, grown in ((0, 1), (255, 2), (255, 3), (0, 4)):
        cv2.rectangle(canvas, (left - grown, top - grown), (right + grown - 1, bottom + grown - 1), [shade] * 3, 1)
    return canvas
