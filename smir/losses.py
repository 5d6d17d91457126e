"""The reconstruction loss: one formula, |z - y| + (1 - SSIM), seen over an image (training) and per patch (scoring).

Both views share `_similarity`. Blurring is a product with a banded matrix on each side of the image: for the
small planes of this method that is faster than a depthwise convolution on CPUs and GPUs alike, and it is exact.
"""

import functools
import itertools

import torch
from torch import Tensor, nn

from smir.errors import ConfigError
from smir.patches import PatchGrid

SIGMA = 1.5
K1, K2 = 0.01, 0.03
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al. 2003, coarsest scale last
MIN_SIDE_FIVE_SCALES = 161  # 11-pixel windows on an image halved four times


@functools.lru_cache(maxsize=128)
def _blur_matrix(length: int, window: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Matrix (length - window + 1, length) whose product with a column blurs it by a Gaussian, without padding."""
    offsets = torch.arange(window, dtype=torch.float64) - (window - 1) / 2
    weights = torch.exp(-(offsets**2) / (2 * SIGMA**2))
    weights /= weights.sum()
    matrix = torch.zeros(length - window + 1, length, dtype=torch.float64)
    for row in range(len(matrix)):
        matrix[row, row : row + window] = weights
    return _normal(matrix, device, dtype)


def _normal(matrix: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Copies a matrix that may have been made under `inference_mode`, whose tensors a later training cannot use."""
    with torch.inference_mode(False):
        return torch.tensor(matrix.numpy()).to(device, dtype)


def _similarity(prediction: Tensor, target: Tensor, window: int) -> tuple[Tensor, Tensor]:
    """SSIM and its contrast-structure part at every window position, both (B, C, H - window + 1, W - window + 1).

    The data range is 1 (METHOD.md section 1).
    """
    down = _blur_matrix(prediction.shape[-2], window, prediction.device, prediction.dtype)
    across = _blur_matrix(prediction.shape[-1], window, prediction.device, prediction.dtype).T
    planes = torch.stack([prediction, target, prediction * prediction, target * target, prediction * target])
    mean_z, mean_y, square_z, square_y, product = down @ planes @ across
    zz, yy, zy = mean_z * mean_z, mean_y * mean_y, mean_z * mean_y
    contrast = (2 * (product - zy) + K2**2) / (square_z - zz + square_y - yy + K2**2)
    return (2 * zy + K1**2) / (zz + yy + K1**2) * contrast, contrast


def _bounded_power(base: Tensor, exponent: float) -> Tensor:
    """`max(base, 0) ** exponent` with a finite gradient.

    The value is exact. The gradient is that of the base clamped at 1e-4, because the true one is infinite at 0 and
    makes NaN of everything behind it (pytorch-msssim#7, #11).
    """
    smooth = base.clamp(min=1e-4) ** exponent
    return smooth + (base.detach().clamp(min=0) ** exponent - smooth.detach())


def ms_ssim(prediction: Tensor, target: Tensor) -> Tensor:
    """Multi-scale structural similarity with five scales and an 11-pixel window, per image (METHOD.md section 1).

    Args:
        prediction: (B, C, H, W), float.
        target: (B, C, H, W), float.

    Returns:
        Tensor (B,), at most 1: the product over scales per channel, then the mean over channels.

    Raises:
        ConfigError: If the short side is under 161 pixels, so that the window does not fit the coarsest scale.
    """
    height, width = prediction.shape[-2:]
    if min(height, width) < MIN_SIDE_FIVE_SCALES:
        raise ConfigError(
            f"MS-SSIM with five scales needs images with a short side of {MIN_SIDE_FIVE_SCALES} pixels or more, "
            f"got {height} x {width}. Raise the crop size (data.crop_size)."
        )
    result = torch.ones(prediction.shape[:2], dtype=prediction.dtype, device=prediction.device)
    for scale, weight in enumerate(SCALE_WEIGHTS):
        ssim, contrast = _similarity(prediction, target, window=11)
        last = scale == len(SCALE_WEIGHTS) - 1
        result = result * _bounded_power((ssim if last else contrast).mean(dim=(-2, -1)), weight)
        if not last:
            padding = [side % 2 for side in prediction.shape[-2:]]
            prediction = nn.functional.avg_pool2d(prediction, 2, padding=padding)
            target = nn.functional.avg_pool2d(target, 2, padding=padding)
    return result.mean(dim=1)


def _full_precision(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Half precision loses the small variances that SSIM divides by, so those inputs are taken as float32."""
    if prediction.shape != target.shape:
        raise ValueError(f"prediction {tuple(prediction.shape)} and target {tuple(target.shape)} differ in shape.")
    if prediction.dtype == target.dtype == torch.float64:
        return prediction, target
    return prediction.float(), target.float()


class ReconstructionLoss(nn.Module):
    """`mean|z - y| + (1 - MS_SSIM(z, y))` over the whole image, masked or not (METHOD.md section 1)."""

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Returns the mean loss of a batch.

        Args:
            prediction: Reconstruction z (B, C, H, W), any float type.
            target: Normalised image y (B, C, H, W).

        Returns:
            Scalar, at least 0.
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

    The authors' published selective module trains with it, though the paper states MS-SSIM: an ablation (METHOD.md
    section 7).
    """

    def similarity(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Returns SSIM of every image (B,), averaged over window positions and channels."""
        return _similarity(prediction, target, window=3)[0].mean(dim=(1, 2, 3))


@functools.lru_cache(maxsize=128)
def _mean_matrix(edges: tuple[int, ...], window: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Matrix (strips, length - window + 1) that averages, per strip, the windows lying wholly inside it."""
    matrix = torch.zeros(len(edges) - 1, edges[-1] - window + 1, dtype=torch.float64)
    for strip, (start, end) in enumerate(itertools.pairwise(edges)):
        matrix[strip, start : end - window + 1] = 1 / (end - window + 1 - start)
    return _normal(matrix, device, dtype)


def _patch_means(values: Tensor, grid: PatchGrid, window: int) -> Tensor:
    """Averages a map (B, H - window + 1, W - window + 1) over each patch: (B, P)."""
    down = _mean_matrix(tuple(grid.row_edges), window, values.device, values.dtype)
    across = _mean_matrix(tuple(grid.col_edges), window, values.device, values.dtype).T
    return (down @ values @ across).flatten(1)


def patch_loss(prediction: Tensor, target: Tensor, grid: PatchGrid) -> Tensor:
    """Scores every patch: mean |z - y| over it, plus 1 - SSIM computed inside it alone (METHOD.md section 3).

    One SSIM map serves all patches: a patch averages the window positions that lie wholly inside it, which gives
    the same numbers as cutting it out first.

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
        absolute = (prediction - target).abs().mean(dim=1)
        ssim = _similarity(prediction, target, window=3)[0].mean(dim=1)
        return _patch_means(absolute, grid, window=1) + (1 - _patch_means(ssim, grid, window=3))
