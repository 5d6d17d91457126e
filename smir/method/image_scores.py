"""Patch scores that need no network: controls that tell whether a trained one selects better."""

import abc
from collections.abc import Callable

from torch import Tensor
from torch.nn import functional

from smir.errors import ConfigError
from smir.method.losses import patch_loss, patch_means
from smir.method.patches import PatchGrid
from smir.method.ssim import as_planes

PatchLoss = Callable[[Tensor, Tensor, PatchGrid], Tensor]
"""Maps reconstructions and images (B, C, H, W) to the loss of every patch (B, P), as `patch_loss` does."""
STRIDE = 4


class ImageScore(abc.ABC):
    """Scores the patches of an image from its pixels alone."""

    @abc.abstractmethod
    def __call__(self, image: Tensor, grid: PatchGrid, loss: PatchLoss = patch_loss) -> tuple[Tensor, Tensor]:
        """Scores every patch.

        Args:
            image: Normalised images (B, C, H, W), float32, on the device of the training.
            grid: The patch grid of an H x W image, P patches.
            loss: Compares an approximation with the image, for scores that make one.

        Returns:
            Scores (B, P), higher is harder; and the approximation (B, C, H, W) that they measure the error of.
        """


class VarianceScore(ImageScore):
    """Scores a patch by the variance of its pixels, averaged over the channels."""

    def __call__(self, image: Tensor, grid: PatchGrid, loss: PatchLoss = patch_loss) -> tuple[Tensor, Tensor]:
        """Returns the variances and the image of patch means; see `ImageScore`."""
        batch, channels = image.shape[:2]
        means = grid.to_pixels(patch_means(as_planes(image), grid, 1, batch * channels).view(batch, channels, -1))
        return patch_means(as_planes((image - means) ** 2), grid, 1, batch), means


class InterpolationScore(ImageScore):
    """Scores a patch by the loss of the image reduced to a quarter of its sides and enlarged again.

    It is reduced by averaging and enlarged bilinearly. No visible neighbours and no training are involved: a patch is
    hard if it has fine structure.
    """

    def __call__(self, image: Tensor, grid: PatchGrid, loss: PatchLoss = patch_loss) -> tuple[Tensor, Tensor]:
        """Returns the patch losses and the enlarged image; see `ImageScore`."""
        height, width = image.shape[-2:]
        coarse = functional.interpolate(image, (-(-height // STRIDE), -(-width // STRIDE)), mode="area")
        enlarged = functional.interpolate(coarse, (height, width), mode="bilinear", align_corners=False)
        return loss(enlarged, image, grid), enlarged


def image_scores(score: ImageScore, image: Tensor, grid: PatchGrid, loss: PatchLoss = patch_loss) -> tuple[Tensor, ...]:
    """Returns scores (B, P), float32, and the approximation (B, C, H, W); see `ImageScore`.

    Raises:
        ConfigError: If the score returns anything else.
    """
    result = score(image, grid, loss)
    shapes = [tuple(getattr(part, "shape", ())) for part in result] if isinstance(result, tuple) else []
    if shapes != [(len(image), len(grid)), tuple(image.shape)]:
        found = " and ".join(map(str, shapes)) if shapes else type(result).__name__
        raise ConfigError(
            f"{type(score).__name__} returned {found} for images of shape {tuple(image.shape)} with {len(grid)} "
            f"patches. A score returns two tensors: scores ({len(image)}, {len(grid)}), and an approximation of the "
            "shape of the images."
        )
    return result[0].float(), result[1]
