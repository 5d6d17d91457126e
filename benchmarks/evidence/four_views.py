"""Validation on more views of the same few images, which may choose a better checkpoint."""

from torch import Tensor

from smir.training import SegmentationModule

FLIPS = ((), (-1,), (-2,), (-2, -1))
"""Dimensions that each view reverses."""


class FourViews(SegmentationModule):
    """Segmentation whose validation counts every crop as it is, mirrored, upside down, and both."""

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Counts the pixels of the four views of centre crops."""
        for dims in FLIPS:
            flipped = {name: batch[name].flip(dims) for name in ("image", "label")}
            super().validation_step({**batch, **flipped}, batch_idx)
