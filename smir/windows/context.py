"""How far a network looks: measured on the image at hand, since no formula tells it.

In theory a ResNet-34 U-Net looks 500 pixels far to each side, in fact most of that weighs nothing, how much depends on
its weights; and squeeze-excitation or global pooling looks at everything.
"""

from typing import NamedTuple

import numpy as np

from smir.preprocessing import UInt8
from smir.windows.options import BLOCK
from smir.windows.sources import Bool, Source, read_blocks
from smir.windows.sweep import Forward

TOLERANCE = 1e-3
"""By how much logits may differ from those of one pass over the whole image."""

_SIDE = 16
"""Blocks of the sample that is looked at whole; its lower right quarter is looked at alone, too."""
_SAFETY = 4
"""A sample does not show the worst place of an image: there the difference must be so many times smaller."""


class Context(NamedTuple):
    """How far a network looks.

    Attributes:
        halo: Blocks at a border inside the image that have not what they need of their surroundings.
        difference: Largest difference of the logits farther inside, in the sample.
    """

    halo: int
    difference: float

    @property
    def is_bounded(self) -> bool:
        """Whether windows give the logits of one pass."""
        return self.difference <= TOLERANCE


def measure_context(source: Source, forward: Forward, unit: int, fill: UInt8) -> Context:
    """Compares the logits of a part of the image with those of the same part when its surroundings are cut off.

    Args:
        source: The image.
        forward: The network.
        unit: Pixels of the image per block.
        fill: Red, green and blue of pixels without data.

    Returns:
        The smallest halo that brings the difference below the tolerance, with some safety; where none does, since the
        network looks everywhere or computes in half precision, the smallest that is about as good as the largest.
    """
    whole = _sample(source, unit, fill)
    half = whole.shape[0] // 2
    alone = forward(whole[None, half:, half:])
    difference = (forward(whole[None])[..., half:, half:] - alone).abs().amax(dim=(0, 1)).cpu().numpy()
    halos = range(1, half // BLOCK)
    beyond = [float(difference[halo * BLOCK :, halo * BLOCK :].max()) for halo in halos]
    enough = max(TOLERANCE / _SAFETY, 1.5 * beyond[-1])
    return next(Context(halo, worst) for halo, worst in zip(halos, beyond, strict=True) if worst <= enough)


def _sample(source: Source, unit: int, fill: UInt8) -> UInt8:
    """The most filled of five places of the image, as the network sees it (1024, 1024, 3)."""
    blocks = [-(-side // unit) for side in (source.height, source.width)]
    best: tuple[float, UInt8] | None = None
    for share in (0.5, 0.25, 0.75, 0.125, 0.875):
        place = [int(max(0, side - _SIDE) * share) for side in blocks]
        seen, _, valid = read_blocks(source, unit, (place[0], place[1]), (_SIDE, _SIDE), fill)
        filled = _filled(valid)
        if best is None or filled > best[0]:
            best = filled, seen
        if filled == 1:
            break
    assert best is not None
    return best[1]


def _filled(valid: Bool) -> float:
    return float(np.mean(valid))
