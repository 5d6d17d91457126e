"""The reconstruction loss |z - y| + (1 - SSIM), per image for training and per patch for scoring."""

import functools
import itertools
from collections.abc import Callable

import torch
from torch import Tensor, nn

from smir.method.device_constants import constant
from smir.method.ms_ssim import MIN_SIDE_FIVE_SCALES, ms_ssim
from smir.method.patches import PatchGrid
from smir.method.ssim import as_planes, similarity

__all__ = [
    "MIN_SIDE_FIVE_SCALES",
    "LocalReconstructionLoss",
    "MaskedReconstructionLoss",
    "ReconstructionLoss",
    "ms_ssim",
    "patch_loss",
]

SsimInput = Callable[[Tensor], Tensor] | None
"""Converts normalised images before SSIM; `Preprocessing.unit_range` gives it values of about [0, 1]."""


def _full_precision(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Converts half precision to float32, because SSIM divides by small variances."""
    if prediction.shape != target.shape:
        raise ValueError(f"prediction {tuple(prediction.shape)} and target {tuple(target.shape)} differ in shape.")
    if prediction.dtype == target.dtype == torch.float64:
        return prediction, target
    return prediction.float(), target.float()


class ReconstructionLoss(nn.Module):
    """`mean|z - y| + (1 - MS_SSIM(z, y))` over the whole image, masked or not (METHOD.md section 1).

    Training calls `per_image`. A loss of your own overrides it, or only `absolute` or `similarity`, but not `forward`.
    """

    def forward(self, prediction: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        """Returns the mean of `per_image` over a batch, a scalar of at least 0."""
        return self.per_image(prediction, target, mask).mean()

    def per_image(
        self, prediction: Tensor, target: Tensor, mask: Tensor | None = None, ssim_input: SsimInput = None
    ) -> Tensor:
        """Returns the loss of every image (B,), in float32, or float64 if both are.

        Args:
            prediction: Reconstruction z (B, C, H, W), any float type.
            target: Normalised image y (B, C, H, W).
            mask: BoolTensor (B, 1, H, W), True = masked, for losses that depend on it.
            ssim_input: Converts z and y for SSIM; |z - y| is always of normalised images.
        """
        with torch.autocast(prediction.device.type, enabled=False):
            prediction, target = _full_precision(prediction, target)
            absolute = self.absolute(prediction, target, mask)
            if ssim_input is not None:
                prediction, target = ssim_input(prediction), ssim_input(target)
            return absolute + (1 - self.similarity(prediction, target))

    def absolute(self, prediction: Tensor, target: Tensor, mask: Tensor | None) -> Tensor:
        """Returns the mean absolute difference of every image (B,)."""
        return (prediction - target).abs().mean(dim=(1, 2, 3))

    def similarity(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Returns the structural similarity of every image (B,), at most 1."""
        return ms_ssim(prediction, target)


class LocalReconstructionLoss(ReconstructionLoss):
    """`mean|z - y| + (1 - SSIM(z, y))` with SSIM's window 3 x 3, as in scoring.

    The authors' published selective module trains with it, although the paper states MS-SSIM (METHOD.md section 7).
    """

    def similarity(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Returns SSIM of every image (B,), averaged over window positions and channels."""
        ssim = similarity(as_planes(prediction), as_planes(target), window=3)
        return ssim.mean(dim=(-2, -1)).view(prediction.shape[:2]).mean(dim=1)


class MaskedReconstructionLoss(ReconstructionLoss):
    """`mean|z - y| + (1 - MS_SSIM(z, y))` over masked pixels alone.

    |z - y| is averaged over the masked pixels. For MS-SSIM, the visible pixels of z are replaced by those of y: they
    cost nothing and get no gradient.
    """

    def per_image(
        self, prediction: Tensor, target: Tensor, mask: Tensor | None = None, ssim_input: SsimInput = None
    ) -> Tensor:
        """Returns the loss of every image (B,); see `ReconstructionLoss`.

        Raises:
            ValueError: If there is no mask.
        """
        if mask is None:
            raise ValueError("MaskedReconstructionLoss needs the mask of the images.")
        return super().per_image(torch.where(mask, prediction, target.to(prediction)), target, mask, ssim_input)

    def absolute(self, prediction: Tensor, target: Tensor, mask: Tensor | None) -> Tensor:
        """Returns the mean absolute difference of the masked pixels of every image (B,); 0 without any."""
        assert mask is not None
        total = (prediction - target).abs().mean(dim=1, keepdim=True).mul(mask).sum(dim=(1, 2, 3))
        return total / mask.sum(dim=(1, 2, 3)).clamp(min=1)


@functools.lru_cache(maxsize=128)
def _mean_matrix(edges: tuple[int, ...], window: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Returns a matrix (strips, length - window + 1) that averages the windows inside each strip."""
    matrix = torch.zeros(len(edges) - 1, edges[-1] - window + 1, dtype=torch.float64)
    for strip, (start, end) in enumerate(itertools.pairwise(edges)):
        matrix[strip, start : end - window + 1] = 1 / (end - window + 1 - start)
    return constant(matrix, device, dtype)


def patch_means(planes: Tensor, grid: PatchGrid, window: int, batch: int) -> Tensor:
    """Averages planes (1, N, H - window + 1, W - window + 1) of `batch` images over each patch and channel: (B, P)."""
    down = _mean_matrix(tuple(grid.row_edges), window, planes.device, planes.dtype)
    across = _mean_matrix(tuple(grid.col_edges), window, planes.device, planes.dtype)
    height, width = planes.shape[-2:]
    strips = down @ planes[0].permute(1, 2, 0).reshape(height, -1)  # in one pass where planes are innermost
    patches = across @ strips.view(grid.rows, width, -1)
    return patches.view(len(grid), batch, -1).mean(dim=-1).T


def patch_loss(prediction: Tensor, target: Tensor, grid: PatchGrid, ssim_input: SsimInput = None) -> Tensor:
    """Scores every patch: mean |z - y| over it, plus 1 - SSIM computed inside it alone (METHOD.md section 3).

    There is one SSIM map for all patches. Each averages the window positions inside it, which gives the same numbers as
    cutting it out first.

    Args:
        prediction: Reconstruction z (B, C, H, W), any float type.
        target: Normalised image y (B, C, H, W).
        grid: The patch grid of an H x W image, P patches.
        ssim_input: Converts z and y for SSIM; |z - y| is always of normalised images.

    Returns:
        Tensor (B, P) in float32, or float64 if both are; higher is harder.

    Raises:
        ValueError: If the shapes differ from each other or from the grid.
    """
    if prediction.shape[-2:] != (grid.height, grid.width):
        raise ValueError(f"The images are {tuple(prediction.shape[-2:])}, the grid is {(grid.height, grid.width)}.")
    with torch.autocast(prediction.device.type, enabled=False):
        prediction, target = _full_precision(prediction, target)
        z, y = as_planes(prediction), as_planes(target)
        absolute = patch_means((z - y).abs_(), grid, window=1, batch=len(target))
        if ssim_input is not None:
            z, y = as_planes(ssim_input(prediction)), as_planes(ssim_input(target))
        ssim = patch_means(similarity(z, y, window=3), grid, window=3, batch=len(target))
        return absolute + (1 - ssim)
