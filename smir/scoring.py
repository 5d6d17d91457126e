"""Scoring: how badly a network reconstructs every patch of an image (METHOD.md section 3)."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from smir.losses import patch_loss
from smir.masking import MaskPolicy, RandomMask
from smir.network import padded_forward
from smir.patches import PatchGrid
from smir.seeding import generator_for

if TYPE_CHECKING:
    from smir.reconstruction import ReconstructionModule


@dataclasses.dataclass(frozen=True)
class Scored:
    """Scores of a batch of views of one size.

    Attributes:
        grid: The patch grid of the views, P patches.
        samples: Score of every patch under every random mask (S, B, P), float32.
        image: Normalised views (B, 3, h, w).
        mask: The last random mask of every view (B, 1, h, w), True = masked.
        reconstruction: The network's answer to that mask (B, 3, h, w).
    """

    grid: PatchGrid
    samples: Tensor
    image: Tensor
    mask: Tensor
    reconstruction: Tensor

    @property
    def scores(self) -> Tensor:
        """Final score of every patch (B, P): the mean over the samples."""
        return self.samples.mean(dim=0)


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

    Returns:
        The scores, and the last sample for pictures.
    """
    policy = policy or RandomMask()
    image = module.preprocessing.normalize(views)
    grid = module.preprocessing.grid(*views.shape[-2:])
    generators = [generator_for(seed, "score", stage, key) for key in keys]
    samples = []
    for _ in range(num_samples):
        patches = torch.stack([policy(grid=grid, generator=generator, stage=stage) for generator in generators])
        mask = grid.to_pixels(patches.to(views.device))[:, None]
        reconstruction = padded_forward(module.network, image * ~mask)
        samples.append(patch_loss(reconstruction, image, grid))
    return Scored(grid, torch.stack(samples), image, mask, reconstruction)
