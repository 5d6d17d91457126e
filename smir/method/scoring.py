"""Scoring: how badly a network reconstructs every patch of an image (METHOD.md section 3)."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from smir.method.losses import patch_loss
from smir.method.masking import MaskPolicy, RandomMask
from smir.method.padding import padded_forward
from smir.method.patches import PatchGrid
from smir.seeding import generator_for

if TYPE_CHECKING:
    from smir.training.reconstruction import ReconstructionModule


ScoredPatches = Literal["all", "masked"]


@dataclasses.dataclass(frozen=True)
class Scored:
    """Scores of a batch of views of one size.

    Attributes:
        grid: The patch grid of the views, P patches.
        samples: Score of every patch under every random mask (S, B, P), float32.
        masked: The random masks (S, B, P), True = masked.
        over: The patches of a sample that count.
        image: Normalised views (B, 3, h, w).
        mask: The last random mask of every view (B, 1, h, w), True = masked.
        reconstruction: The network's answer to that mask (B, 3, h, w).
    """

    grid: PatchGrid
    samples: Tensor
    masked: Tensor
    over: ScoredPatches
    image: Tensor
    mask: Tensor
    reconstruction: Tensor

    @property
    def scores(self) -> Tensor:
        """Final score of every patch (B, P): the mean over the samples, or over those that mask it.

        A patch that no sample masked falls back on all of them: with five masks of half the patches, 1 in 32.
        """
        everywhere = self.samples.mean(dim=0)
        if self.over == "all":
            return everywhere
        times = self.masked.sum(dim=0)
        where_masked = (self.samples * self.masked).sum(dim=0) / times.clamp(min=1)
        return torch.where(times > 0, where_masked, everywhere)


@torch.no_grad()
def score_views(
    module: "ReconstructionModule",
    views: Tensor,
    keys: Sequence[int],
    *,
    num_samples: int = 5,
    seed: int = 0,
    stage: int = 0,
    policy: MaskPolicy | None = None,
    over: ScoredPatches = "all",
    paired: bool = False,
) -> Scored:
    """Scores every patch, masked or visible, of a batch of whole views.

    Args:
        module: The network with its normalisation, in eval mode.
        views: (B, 3, h, w) uint8, on the device of the module.
        keys: B stable numbers of the images; an image's masks depend on (seed, stage, its key) alone.
        num_samples: Number S of random masks per image.
        seed: Seed of the run.
        stage: Stage that the scores are for.
        policy: Draws the masks; default: `RandomMask(0.5)`.
        over: Whether a sample scores all patches, the paper's way, or the masked ones alone.
        paired: Whether every second mask is the complement of the one before, so that a pair masks each patch once.

    Returns:
        The scores, and the last sample for pictures.
    """
    policy = policy or RandomMask()
    image = module.preprocessing.normalize(views)
    grid = module.preprocessing.grid(*views.shape[-2:])
    generators = [generator_for(seed, "score", stage, key) for key in keys]
    samples: list[Tensor] = []
    masked: list[Tensor] = []
    for sample in range(num_samples):
        if paired and sample % 2:
            masked.append(~masked[-1])
        else:
            drawn: list[Tensor] = [policy(grid=grid, generator=generator, stage=stage) for generator in generators]
            masked.append(torch.stack(drawn).to(views.device, non_blocking=True))
        mask = grid.to_pixels(masked[-1])[:, None]
        reconstruction = padded_forward(module.network, image * ~mask)
        samples.append(patch_loss(reconstruction, image, grid))
    return Scored(grid, torch.stack(samples), torch.stack(masked), over, image, mask, reconstruction)
