"""Mask policies: which patches of an image are hidden. A new policy is one class here.

Every policy is called by keyword with `grid`, `scores`, `generator` and `stage`, and uses what it needs.
"""

import abc

import torch
from torch import BoolTensor, Generator, Tensor

from smir.errors import ConfigError
from smir.patches import PatchGrid


class MaskPolicy(abc.ABC):
    """Chooses `int(ratio * P)` of the P patches of a grid.

    Args:
        ratio: Share of the patches that is masked, between 0 and 1.

    Raises:
        ConfigError: If `ratio` is not between 0 and 1.
    """

    needs_scores = False
    """Whether the images have to be scored before this policy can choose."""

    def __init__(self, ratio: float = 0.5) -> None:
        if not 0 < ratio < 1:
            raise ConfigError(f"The mask ratio must lie between 0 and 1, got {ratio}.")
        self.ratio = ratio

    def __repr__(self) -> str:
        return f"{type(self).__name__}(ratio={self.ratio})"

    @abc.abstractmethod
    def __call__(
        self, *, grid: PatchGrid, scores: Tensor | None = None, generator: Generator | None = None, stage: int = 0
    ) -> BoolTensor:
        """Chooses the masked patches.

        Args:
            grid: The patch grid of the image, P patches.
            scores: Reconstruction loss of each patch (..., P), for policies with `needs_scores`.
            generator: CPU generator that random policies draw from.
            stage: Stage of pretraining that the mask is for, from 0.

        Returns:
            BoolTensor (..., P), True = masked; the leading dimensions are those of `scores`.
        """


class RandomMask(MaskPolicy):
    """Masks `int(ratio * P)` distinct patches, drawn uniformly (METHOD.md section 2).

    Args:
        ratio: Share of the patches that is masked, between 0 and 1.
    """

    def __call__(
        self, *, grid: PatchGrid, scores: Tensor | None = None, generator: Generator | None = None, stage: int = 0
    ) -> BoolTensor:
        """Draws one mask; see `MaskPolicy`."""
        order = torch.randperm(len(grid), generator=generator)
        return _masked(order[: int(self.ratio * len(grid))], torch.Size([len(grid)]))


class HardestMask(MaskPolicy):
    """Masks the `int(ratio * P)` patches with the highest score; of equal ones the lowest index first (section 2).

    Args:
        ratio: Share of the patches that is masked, between 0 and 1.
    """

    needs_scores = True

    def __call__(
        self, *, grid: PatchGrid, scores: Tensor | None = None, generator: Generator | None = None, stage: int = 0
    ) -> BoolTensor:
        """Takes the hardest patches of every row of `scores`; see `MaskPolicy`."""
        if scores is None:
            raise ConfigError("HardestMask needs the patch scores of the image, which only SelectiveMasking makes.")
        hardest = scores.sort(dim=-1, descending=True, stable=True).indices
        return _masked(hardest[..., : int(self.ratio * len(grid))], scores.shape)


def _masked(indices: Tensor, shape: torch.Size) -> BoolTensor:
    mask = torch.zeros(shape, dtype=torch.bool, device=indices.device)
    return mask.scatter_(-1, indices, True)  # type: ignore[return-value]  # a bool Tensor is a BoolTensor
