"""Mask policies: which patches of an image are masked. A new policy is one class here."""

import abc
import math

import torch
from torch import BoolTensor, Generator, Tensor

from smir.errors import ConfigError
from smir.method.patches import PatchGrid
from smir.seeding import generator_for


class MaskPolicy(abc.ABC):
    """Chooses `int(ratio * P)` of the P patches of a grid.

    Args:
        ratio: Share of the patches that is masked, between 0 and 1.
    """

    needs_scores = False
    """True if images must be scored before this policy can choose."""

    def __init__(self, ratio: float = 0.5) -> None:
        if not 0 < ratio < 1:
            raise ConfigError(f"The mask ratio must lie between 0 and 1, got {ratio}.")
        self.ratio = ratio

    def __repr__(self) -> str:
        return f"{type(self).__name__}(ratio={self.ratio})"

    def count(self, grid: PatchGrid) -> int:
        """Returns the number of patches of a grid that are masked."""
        return int(self.ratio * len(grid))

    @abc.abstractmethod
    def __call__(
        self, *, grid: PatchGrid, scores: Tensor | None = None, generator: Generator | None = None, stage: int = 0
    ) -> BoolTensor:
        """Chooses the masked patches.

        Args:
            grid: The patch grid of the image, P patches.
            scores: Score of each patch (..., P), for policies with `needs_scores`.
            generator: CPU generator that random policies draw from.
            stage: Stage of pretraining, from 0.

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
        return _masked(order[: self.count(grid)], torch.Size([len(grid)]))


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
        hardest = _needed(scores, self).sort(dim=-1, descending=True, stable=True).indices
        return _masked(hardest[..., : self.count(grid)], hardest.shape)


class MixedMask(MaskPolicy):
    """Masks the hardest patches and, for the rest of the count, random ones of the others.

    Args:
        ratio: Share of the patches that is masked, between 0 and 1.
        hardest: Share of the masked patches that are the hardest: 0 is `RandomMask`, 1 is `HardestMask`.
    """

    needs_scores = True

    def __init__(self, ratio: float = 0.5, hardest: float = 0.5) -> None:
        super().__init__(ratio)
        if not 0 <= hardest <= 1:
            raise ConfigError(f"hardest is a share of the masked patches, from 0 to 1, got {hardest}.")
        self.hardest = hardest

    def __call__(
        self, *, grid: PatchGrid, scores: Tensor | None = None, generator: Generator | None = None, stage: int = 0
    ) -> BoolTensor:
        """Takes the hardest of every row of `scores`, then draws; see `MaskPolicy`."""
        return _hardest_and_random(_needed(scores, self), self.count(grid), self.hardest, generator)


class RampMask(MaskPolicy):
    """Goes from random to the hardest patches over the stages, after "Hard Patches Mining" (Wang et al., CVPR 2023).

    The share of the hardest among the masked patches grows linearly over the stages, from 0 in stage 0. The others are
    drawn at random.

    Args:
        ratio: Share of the patches that is masked, between 0 and 1.
        last: First stage that masks only the hardest; 9 is the last of ten.
    """

    needs_scores = True

    def __init__(self, ratio: float = 0.5, last: int = 9) -> None:
        super().__init__(ratio)
        if last < 1:
            raise ConfigError(f"last is the stage that ends the ramp, 1 or more, got {last}.")
        self.last = last

    def __call__(
        self, *, grid: PatchGrid, scores: Tensor | None = None, generator: Generator | None = None, stage: int = 0
    ) -> BoolTensor:
        """Takes the stage's share of the hardest, then draws; see `MaskPolicy`."""
        share = min(1.0, stage / self.last)
        return _hardest_and_random(_needed(scores, self), self.count(grid), share, generator)


class ProportionalMask(MaskPolicy):
    """Draws the masked patches one by one, each with a probability proportional to its score.

    Args:
        ratio: Share of the patches that is masked, between 0 and 1.
    """

    needs_scores = True

    def __call__(
        self, *, grid: PatchGrid, scores: Tensor | None = None, generator: Generator | None = None, stage: int = 0
    ) -> BoolTensor:
        """Draws one mask for every row of `scores`; see `MaskPolicy`."""
        given = _needed(scores, self)
        weights = given.cpu().double().clamp(min=1e-12)  # not every device has float64
        # The smallest of independent exponential times with these rates (Efraimidis & Spirakis, 2006).
        drawn = torch.empty(weights.shape, dtype=torch.double).exponential_(generator=generator)
        order = (drawn / weights).argsort(dim=-1).to(given.device)
        return _masked(order[..., : self.count(grid)], order.shape)


class BlockMask(MaskPolicy):
    """Masks random rectangles of patches until `int(ratio * P)` are masked, after BEiT (Bao et al., ICLR 2022).

    Args:
        ratio: Share of the patches that is masked, between 0 and 1.
        smallest: Patches of the smallest rectangle; the last ones may be smaller, to complete the count.
        aspect: Height over width of the flattest rectangle; the tallest has the inverse.
    """

    def __init__(self, ratio: float = 0.5, smallest: int = 16, aspect: float = 0.3) -> None:
        super().__init__(ratio)
        if smallest < 1 or not 0 < aspect <= 1:
            raise ConfigError(
                f"A block needs 1 patch or more and an aspect above 0 and at most 1, got {smallest} and {aspect}."
            )
        self.smallest, self.aspect = smallest, aspect

    def __call__(
        self, *, grid: PatchGrid, scores: Tensor | None = None, generator: Generator | None = None, stage: int = 0
    ) -> BoolTensor:
        """Draws one mask; see `MaskPolicy`."""
        mask = torch.zeros(grid.rows, grid.cols, dtype=torch.bool)
        while left := self.count(grid) - int(mask.sum()):
            size, shape, down, right, start = torch.rand(5, generator=generator, dtype=torch.double).tolist()
            smallest = min(self.smallest, left)
            area = smallest + int(size * (left - smallest + 1))
            stretch = self.aspect ** (2 * shape - 1)
            height = min(max(1, round(math.sqrt(area * stretch))), area, grid.rows)
            width = min(area // height, grid.cols)
            # Around a visible patch, so that every rectangle masks at least one more.
            visible = (~mask).nonzero()
            row, col = visible[int(start * len(visible))].tolist()
            top = min(max(0, row - int(down * height)), grid.rows - height)
            first = min(max(0, col - int(right * width)), grid.cols - width)
            mask[top : top + height, first : first + width] = True
        return mask.flatten()  # type: ignore[return-value]  # a bool Tensor is a BoolTensor


def fixed_mask(
    policy: MaskPolicy, grid: PatchGrid, scores: Tensor | None, seed: int, stage: int, key: int
) -> BoolTensor:
    """Returns the mask (P,) of an image in a stage; what is drawn depends on seed, stage and the image's key alone.

    Raises:
        ConfigError: If the policy returns anything but a BoolTensor (P,).
    """
    mask = policy(grid=grid, scores=scores, generator=generator_for(seed, "policy", stage, key), stage=stage)
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool or mask.shape != (len(grid),):
        found = f"{mask.dtype} of shape {tuple(mask.shape)}" if isinstance(mask, Tensor) else type(mask).__name__
        raise ConfigError(
            f"{type(policy).__name__} returned {found} for one image with {len(grid)} patches. A policy returns a mask "
            f"torch.bool of shape ({len(grid)},), True = masked."
        )
    return mask


def refuse_scores(policy: MaskPolicy, setting: str) -> None:
    """Raises a ConfigError if the policy of a setting needs scores, which do not exist yet."""
    if policy.needs_scores:
        raise ConfigError(
            f"{setting} draws masks before there are patch scores, which {type(policy).__name__} needs. Use RandomMask "
            "or BlockMask here; the policy of SelectiveMasking may choose by scores."
        )


def _needed(scores: Tensor | None, policy: MaskPolicy) -> Tensor:
    if scores is None:
        name = type(policy).__name__
        raise ConfigError(f"{name} needs the patch scores of the image, which SelectiveMasking or score_views makes.")
    return scores


def _hardest_and_random(scores: Tensor, count: int, share: float, generator: Generator | None) -> BoolTensor:
    """Masks `count` patches of every row: `int(share * count)` with the highest scores, the others at random."""
    hardest = scores.sort(dim=-1, descending=True, stable=True).indices[..., : int(share * count)]
    # Their ranks take the place of the float64 numbers, which Apple's GPUs do not have.
    places = torch.rand(scores.shape, generator=generator, dtype=torch.double).argsort().argsort().to(scores.device)
    places.scatter_(-1, hardest, scores.shape[-1])  # above all ranks
    return _masked(places.argsort(dim=-1, descending=True)[..., :count], scores.shape)


def _masked(indices: Tensor, shape: torch.Size) -> BoolTensor:
    mask = torch.zeros(shape, dtype=torch.bool, device=indices.device)
    return mask.scatter_(-1, indices, True)  # type: ignore[return-value]  # a bool Tensor is a BoolTensor
