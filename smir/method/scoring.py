"""Scoring: how badly a network reconstructs every patch of an image (METHOD.md section 3)."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from smir.method.losses import patch_loss
from smir.method.masking import MaskPolicy, RandomMask
from smir.method.padding import padded_forward
from smir.method.patches import PatchGrid
from smir.seeding import generator_for

ScoredPatches = Literal["all", "masked"]


@dataclasses.dataclass(frozen=True)
class Scored:
    """Scores of a batch of views of one size.

    Attributes:
        grid: The patch grid of the views, P patches.
        samples: Score of every patch under every random mask (S, B, P), float32.
        masked: The random masks (S, B, P), True = masked.
        over: Which samples of a patch count.
        image: Normalised views (B, 3, h, w).
        mask: The last random mask of every view (B, 1, h, w), True = masked.
        reconstruction: The reconstruction under that mask (B, 3, h, w).
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
        """Final score of every patch (B, P): the mean over all samples, or over those that mask it.

        A patch that no sample masks takes the mean over all: 1 in 32 with five masks of half the patches.
        """
        everywhere = self.samples.mean(dim=0)
        if self.over == "all":
            return everywhere
        times = self.masked.sum(dim=0)
        where_masked = (self.samples * self.masked).sum(dim=0) / times.clamp(min=1)
        return torch.where(times > 0, where_masked, everywhere)


@contextlib.contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Puts a network into eval mode for a block, then restores the mode of every submodule."""
    training = [part for part in network.modules() if part.training]
    network.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True


@torch.no_grad()
def score_views(
    network: nn.Module,
    images: Tensor,
    keys: Sequence[int] | None = None,
    *,
    grid: PatchGrid | None = None,
    num_samples: int = 5,
    seed: int = 0,
    stage: int = 0,
    policy: MaskPolicy | None = None,
    over: ScoredPatches = "all",
    paired: bool = False,
) -> Scored:
    """Scores every patch of a batch of images by how badly a network reconstructs it (METHOD.md section 3).

    The network is in eval mode meanwhile.

    Args:
        network: Maps (B, 3, H, W) to (B, 3, H, W) for sides that are multiples of 64, on the device of the images.
        images: Normalised images (B, 3, h, w), float; 0 is the colour of a masked pixel.
        keys: B stable numbers of the images; an image's masks depend only on seed, stage and key. Default: 0 to B - 1.
        grid: The patch grid of an h x w image. Default: one of about 512 patches.
        num_samples: Number S of random masks per image.
        seed: Seed of the masks.
        stage: Stage that the scores are for.
        policy: Draws the masks. Default: `RandomMask(0.5)`.
        over: Average a patch over all samples, as the paper does, or only over those that mask it.
        paired: Make every second mask the complement of the one before, so that a pair masks each patch once.

    Returns:
        The scores, and the last sample for pictures.

    Raises:
        ValueError: If there are not as many keys as images, or the grid is of another size.
    """
    policy = policy or RandomMask()
    keys = range(len(images)) if keys is None else keys
    grid = grid or PatchGrid.cached(*images.shape[-2:], num_patches=512)
    if len(keys) != len(images) or (grid.height, grid.width) != images.shape[-2:]:
        raise ValueError(
            f"Images {tuple(images.shape)} have {len(keys)} keys and a grid of {grid.height} x {grid.width} pixels."
        )
    generators = [generator_for(seed, "score", stage, key) for key in keys]
    samples: list[Tensor] = []
    masked: list[Tensor] = []
    with evaluating(network):
        for sample in range(num_samples):
            if paired and sample % 2:
                masked.append(~masked[-1])
            else:
                drawn: list[Tensor] = [policy(grid=grid, generator=generator, stage=stage) for generator in generators]
                masked.append(torch.stack(drawn).to(images.device, non_blocking=True))
            mask = grid.to_pixels(masked[-1])[:, None]
            reconstruction = padded_forward(network, images * ~mask)
            samples.append(patch_loss(reconstruction, images, grid))
    return Scored(grid, torch.stack(samples), torch.stack(masked), over, images, mask, reconstruction)
