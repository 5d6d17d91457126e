"""Mean and deviation of the channels of many images, exact over all pixels."""

import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from smir.classes import UInt8
from smir.data.reading.decode import read_image
from smir.data.reading.parallel import in_parallel
from smir.errors import DataError


class ChannelStatistics(NamedTuple):
    """Numbers of images and pixels, and mean and (population) deviation of red, green and blue in [0, 1]."""

    images: int
    pixels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


def channel_statistics(root: Path, images: Sequence[str], threads: int | None = None) -> ChannelStatistics:
    """Computes mean and deviation over all pixels of images, named below a root, at their full size.

    The pixels are counted by value and channel, in 64-bit integers; from these counts both figures follow in whole
    numbers of any size. Nothing overflows, and no order of summing plays a part.

    Raises:
        DataError: If there is no image, or one cannot be read.
    """
    if not images:
        raise DataError(f"There is no image in {root.absolute()} to compute the mean and deviation of.")
    counts = np.zeros((3, 256), dtype=np.int64)
    for part in in_parallel(lambda name: value_counts(read_image(root / name)), images, "Mean and std", threads):
        counts += part
    pixels = int(counts[0].sum())
    moments = [_moments(channel) for channel in counts.tolist()]
    return ChannelStatistics(len(images), pixels, tuple(m for m, _ in moments), tuple(s for _, s in moments))


def value_counts(image: UInt8) -> npt.NDArray[np.int64]:
    """Counts the pixels of an image (H, W, 3) by channel and value (3, 256)."""
    # OpenCV hands its counts over as float32, which holds every whole number up to 2**24: one strip at a time.
    rows = max(1, (1 << 24) // image.shape[1])
    counts = np.zeros((3, 256), dtype=np.int64)
    for strip in (np.ascontiguousarray(image[top : top + rows]) for top in range(0, len(image), rows)):
        for channel in range(3):
            counts[channel] += cv2.calcHist([strip], [channel], None, [256], [0, 256]).ravel().astype(np.int64)
    return counts


def _moments(counts: list[int]) -> tuple[float, float]:
    """Returns mean and deviation, in [0, 1], from the pixel counts of the values 0 to 255; exact up to rounding."""
    pixels = sum(counts)
    total = sum(value * count for value, count in enumerate(counts))
    squares = sum(value * value * count for value, count in enumerate(counts))
    variance = Fraction(pixels * squares - total * total, (255 * pixels) ** 2)
    return total / (255 * pixels), math.sqrt(variance)
