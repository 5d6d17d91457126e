"""How far a network looks: measured on the image at hand, since no formula tells it.

In theory a ResNet-34 U-Net looks 500 pixels far to each side, in fact most of that weighs nothing, how much depends on
its weights; and squeeze-excitation or global pooling looks at everything.
"""

from typing import NamedTuple

import numpy as np

from smir.classes import UInt8
from smir.data.predict_options import BLOCK
from smir.data.reading.raster import Raster, read_blocks
from smir.errors import CheckpointError
from smir.predict.sweep import Forward

TOLERANCE = 1e-3
"""By how much logits may differ from those of one pass over the whole image."""

_SIDES = (16, 24)
"""Blocks of the sample that is looked at whole; its lower right quarter is looked at alone, too. The second is looked
at if the first is too small to tell."""
_SAFETY = 4
"""A sample does not show the worst place of an image: there the difference must be so many times smaller."""


class Context(NamedTuple):
    """How far a network looks, by what cutting off its surroundings did to a sample.

    Attributes:
        differences: Largest difference of the logits beyond 1, 2, ... blocks from the cut.
    """

    differences: tuple[float, ...]

    @property
    def halo(self) -> int:
        """Blocks at a border inside the image that have not what they need of their surroundings.

        The fewest that bring the difference below the tolerance, with some safety; where none do, since the network
        looks everywhere or computes in half precision, the fewest that are about as good as the most.
        """
        enough = max(TOLERANCE / _SAFETY, 1.5 * self.differences[-1])
        return next(halo for halo, worst in enumerate(self.differences, 1) if worst <= enough)

    @property
    def is_bounded(self) -> bool:
        """Whether windows give the logits of one pass."""
        return self.differences[self.halo - 1] <= TOLERANCE


def measure_context(source: Raster, forward: Forward, unit: int, fill: UInt8) -> Context:
    """Compares the logits of a part of the image with those of the same part when its surroundings are cut off.

    Args:
        source: The image.
        forward: The network.
        unit: Pixels of the image per block.
        fill: Red, green and blue of pixels without data.

    Raises:
        CheckpointError: If the network gives no numbers.
    """
    for side in _SIDES:
        context = _compare(_sample(source, unit, fill, side), forward)
        if not np.isfinite(context.differences).all():
            raise CheckpointError("The network's logits are not finite; its weights are damaged or have diverged.")
        if context.is_bounded:
            break
    return context


def _compare(whole: UInt8, forward: Forward) -> Context:
    half = whole.shape[0] // 2
    alone = forward(whole[None, half:, half:])
    difference = (forward(whole[None])[..., half:, half:] - alone).abs().amax(dim=(0, 1)).cpu().numpy()
    return Context(tuple(float(difference[cut:, cut:].max()) for cut in range(BLOCK, half, BLOCK)))


def _sample(source: Raster, unit: int, fill: UInt8, side: int) -> UInt8:
    """The most filled of five squares of so many blocks of the image, as the network sees it."""
    free = [max(0, -(-length // unit) - side) for length in (source.height, source.width)]
    best, seen = -1.0, fill
    for share in (0.5, 0.25, 0.75, 0.125, 0.875):
        place = int(free[0] * share), int(free[1] * share)
        candidate, _, valid = read_blocks(source, unit, place, (side, side), fill)
        if (filled := float(np.mean(valid))) > best:
            best, seen = filled, candidate
        if filled == 1:
            break
    return seen
