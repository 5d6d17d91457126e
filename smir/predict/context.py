"""Measures on the image itself how much context a network uses, since no formula gives it.

The theoretical receptive field of a ResNet-34 U-Net is 500 pixels to each side, but in practice the trained weights use
much less; squeeze-excitation and global pooling see everything.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from torch import Tensor

from smir.classes import UInt8
from smir.data.predict_options import BLOCK
from smir.data.reading.raster import Raster, as_seen, read_row
from smir.errors import CheckpointError
from smir.predict.sweep import Forward

TOLERANCE = 1e-3
"""Accepted difference of logits from those of one pass over the whole image."""
_SIDES = (16, 24)
"""Sides in blocks of the sample. The network sees all of it, then its lower right and its upper left quarter alone. The
second size is tried if the first is too small."""
_PLACES = (
    *((0.5, 0.5), (0.25, 0.25), (0.75, 0.75), (0.25, 0.75), (0.75, 0.25)),
    *((0.125, 0.125), (0.875, 0.875), (0.125, 0.875), (0.875, 0.125)),
)
"""Places of the sample as shares of the height and width."""
_SAFETY = 4
"""A sample may miss the worst place of an image, so its difference must be this many times smaller."""


class Context(NamedTuple):
    """The context that a network uses: the largest difference of logits beyond 1, 2, ... blocks from a cut."""

    differences: tuple[float, ...]

    @property
    def halo(self) -> int:
        """Blocks at a border inside the image that lack context.

        This is the smallest number that brings the difference below the tolerance, with some safety. If no number does,
        because the network sees everything or computes in half precision, the smallest that is about as good as the
        largest.
        """
        enough = max(TOLERANCE / _SAFETY, 1.5 * self.differences[-1])
        return next(halo for halo, worst in enumerate(self.differences, 1) if worst <= enough)

    @property
    def is_bounded(self) -> bool:
        """True if windows give the same logits as one pass."""
        return self.differences[self.halo - 1] <= TOLERANCE


def measure_context(source: Raster, forward: Forward, unit: int, fill: UInt8) -> Context:
    """Compares the logits of a part of the image with and without its surroundings.

    A block is `unit` pixels of the image; `fill` is red, green and blue of nodata pixels.

    Raises:
        CheckpointError: If a logit is not finite.
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
    logits = forward(whole[None])
    after = _worst(logits[..., half:, half:] - forward(whole[None, half:, half:]))
    before = _worst(logits[..., :half, :half] - forward(whole[None, :half, :half]))[::-1, ::-1]
    difference = np.maximum(after, before)  # encoders of TensorFlow pad more on the right and below
    return Context(tuple(float(difference[cut:, cut:].max()) for cut in range(BLOCK, half, BLOCK)))


def _worst(difference: Tensor) -> npt.NDArray[np.float32]:
    """Returns the largest difference of any class (H, W)."""
    return np.asarray(difference.abs().amax(dim=(0, 1)).cpu().numpy())


def _sample(source: Raster, unit: int, fill: UInt8, side: int) -> UInt8:
    """Returns, of some squares of the image, the one with the least nodata, as the network sees it."""
    free = [max(0, -(-length // unit) - side) for length in (source.height, source.width)]
    best, seen = -1.0, fill
    for down, right in _PLACES:
        place = int(free[0] * down), int(free[1] * right)
        rows = [read_row(source, unit, (place[0] + row, place[1]), side, fill) for row in range(side)]
        if (filled := sum(int(known.sum()) for _, known in rows) / (side * unit) ** 2) > best:
            best, seen = filled, as_seen([pixels for pixels, _ in rows], (side, side))
        if filled == 1:
            break
    return seen
