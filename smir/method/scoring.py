"""Scoring: how badly a network reconstructs every patch of an image (METHOD.md section 3)."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from smir.errors import ConfigError
from smir.method.image_scores import ImageScore, PatchLoss, image_scores
from smir.method.losses import patch_loss
from smir.method.masking import MaskPolicy, RandomMask
from smir.method.padding import padded_forward
from smir.method.patches import PatchGrid
from smir.seeding import generator_for

ScoredPatches = Literal["all", "masked", "excess"]


@dataclasses.dataclass(frozen=True)
class Scored:
    """Scores of a batch of views of one size.

    Attributes:
        grid: The patch grid of the views, P patches.
        samples: Score of every patch under every random mask (S, B, P), float32.
        masked: The random masks (S, B, P), True = masked.
        over: The samples of a patch that count; see `score_views`.
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

        `excess` subtracts the mean over the samples that show it. A patch that no sample masks, or none shows, takes
        the mean over all instead: 1 in 32 with five masks of half the patches.
        """
        if self.over == "all":
            return self.samples.mean(dim=0)
        where_masked = self._mean_where(self.masked)
        return where_masked if self.over == "masked" else where_masked - self._mean_where(~self.masked)

    def _mean_where(self, chosen: Tensor) -> Tensor:
        times = chosen.sum(dim=0)
        return torch.where(times > 0, (self.samples * chosen).sum(dim=0) / times.clamp(min=1), self.samples.mean(dim=0))


def refuse_lone_samples(over: ScoredPatches, num_samples: int, paired: bool) -> None:
    """Raises a ConfigError if `excess` would lack samples in which a patch is masked, or visible."""
    if over == "excess" and not (paired and num_samples > 1):
        raise ConfigError(
            "score_patches: excess is the loss of a patch where it is masked minus the loss where it is visible, so "
            "every patch needs both. Set paired_samples: true and num_samples to 2 or more; got paired_samples: "
            f"{str(paired).lower()} and num_samples: {num_samples}."
        )


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
    loss: PatchLoss = patch_loss,
    score: ImageScore | None = None,
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
        over: Average a patch over `all` samples, as the paper does, or only over those where it is `masked`; `excess`
            subtracts the mean over those where it is visible, and needs `paired`.
        paired: Make every second mask the complement of the one before, so that a pair masks each patch once.
        loss: Compares a reconstruction with the image.
        score: Scores images without the network, which is then not used.

    Returns:
        The scores, and the last sample for pictures.

    Raises:
        ValueError: If there are not as many keys as images, the grid is of another size, or there is no such `over`.
        ConfigError: If `over` is `excess` and masks do not come in pairs, or the score returns wrong shapes.
    """
    if over not in get_args(ScoredPatches):
        raise ValueError(f"over is one of {', '.join(get_args(ScoredPatches))}; got {over!r}.")
    refuse_lone_samples(over, num_samples, paired)
    policy = policy or RandomMask()
    keys = range(len(images)) if keys is None else keys
    grid = grid or PatchGrid.cached(*images.shape[-2:], num_patches=512)
    if len(keys) != len(images) or (grid.height, grid.width) != images.shape[-2:]:
        raise ValueError(
            f"Images {tuple(images.shape)} have {len(keys)} keys and a grid of {grid.height} x {grid.width} pixels."
        )
    if score is not None:
        with torch.autocast(images.device.type, enabled=False):
            scores, approximation = image_scores(score, images.float(), grid, loss)
        visible = torch.zeros_like(scores, dtype=torch.bool)
        return Scored(grid, scores[None], visible[None], "all", images, grid.to_pixels(visible)[:, None], approximation)
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
            samples.append(loss(reconstruction, images, grid))
    return Scored(grid, torch.stack(samples), torch.stack(masked), over, images, mask, reconstruction)
