"""The reconstruction loss |z - y| + (1 - SSIM), per image for training and per patch for scoring."""

import functools
import itertools

import torch
from torch import Tensor, nn

from smir.method.device_constants import constant
from smir.method.ms_ssim import MIN_SIDE_FIVE_SCALES, ms_ssim
from smir.method.patches import PatchGrid
from smir.method.ssim import as_planes, similarity

__all__ = ["MIN_SIDE_FIVE_SCALES", "LocalReconstructionLoss", "ReconstructionLoss", "ms_ssim", "patch_loss"]


def _full_precision(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Converts half precision to float32, because SSIM divides by small variances."""
    if prediction.shape != target.shape:
        raise ValueError(f"prediction {tuple(prediction.shape)} and target {tuple(target.shape)} differ in shape.")
    if prediction.dtype == target.dtype == torch.float64:
        return prediction, target
    return prediction.float(), target.float()


class ReconstructionLoss(nn.Module):
    """`mean|z - y| + (1 - MS_SSIM(z, y))` over the whole image, masked or not (METHOD.md section 1)."""

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Returns the mean loss of a batch, a scalar of at least 0.

        Args:
            prediction: Reconstruction z (B, C, H, W), any float type.
            target: Normalised image y (B, C, H, W).
        """
        return self.per_image(prediction, target).mean()

    def per_image(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Returns the loss of every image (B,), in float32."""
        with torch.autocast(prediction.device.type, enabled=False):
            prediction, target = _full_precision(prediction, target)
            absolute = (prediction - target).abs().mean(dim=(1, 2, 3))
            return absolute + (1 - self.similarity(prediction, target))

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


@functools.lru_cache(maxsize=128)
def _mean_matrix(edges: tuple[int, ...], window: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Returns a matrix (strips, length - window + 1) that averages the windows inside each strip."""
    matrix = torch.zeros(len(edges) - 1, edges[-1] - window + 1, dtype=torch.float64)
    for strip, (start, end) in enumerate(itertools.pairwise(edges)):
        matrix[strip, start : end - window + 1] = 1 / (end - window + 1 - start)
    return constant(matrix, device, dtype)


def _patch_means(planes: Tensor, grid: PatchGrid, window: int, batch: int) -> Tensor:
    """Averages planes (1, N, H - window + 1, W - window + 1) of `batch` images over each patch and channel: (B, P)."""
    down = _mean_matrix(tuple(grid.row_edges), window, planes.device, planes.dtype)
    across = _mean_matrix(tuple(grid.col_edges), window, planes.device, planes.dtype)
    height, width = planes.shape[-2:]
    strips = down @ planes[0].permute(1, 2, 0).reshape(height, -1)  # in one pass where planes are innermost
    patches = across @ strips.view(grid.rows, width, -1)
    return patches.view(len(grid), batch, -1).mean(dim=-1).T


def patch_loss(prediction: Tensor, target: Tensor, grid: PatchGrid) -> Tensor:
    """Scores every patch: mean |z - y| over it, plus 1 - SSIM computed inside it alone (METHOD.md section 3).

    There is one SSIM map for all patches. Each averages the window positions inside it, which gives the same numbers as
    cutting it out first.

    Args:
        prediction: Reconstruction z (B, C, H, W), any float type.
        target: Normalised image y (B, C, H, W).
        grid: The patch grid of an H x W image, P patches.

    Returns:
        Tensor (B, P) in float32; higher is harder.

    Raises:
        ValueError: If the shapes differ from each other or from the grid.
    """
    if prediction.shape[-2:] != (grid.height, grid.width):
        raise ValueError(f"The images are {tuple(prediction.shape[-2:])}, the grid is {(grid.height, grid.width)}.")
    with torch.autocast(prediction.device.type, enabled=False):
        prediction, target = _full_precision(prediction, target)
        z, y = as_planes(prediction), as_planes(target)
        absolute = _patch_means((z - y).abs_(), grid, window=1, batch=len(target))
        ssim = _patch_means(similarity(z, y, window=3), grid, window=3, batch=len(target))
        return absolute + (1 - ssim)
