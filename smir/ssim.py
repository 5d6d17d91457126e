"""Structural similarity, single- and multi-scale, written so that it costs little beside a network.

All channels of all images are treated as the planes of one tensor (1, N, H, W). On a CPU the planes are innermost in
memory, so that one vector instruction serves many of them, and a blur is a depthwise convolution. On a GPU a blur is a
product with a banded matrix on each side of a plane.
"""

import functools
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d

from smir.errors import ConfigError

SIGMA = 1.5
K1, K2 = 0.01, 0.03
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al. 2003, coarsest scale last
WINDOW = 11
MIN_SIDE_FIVE_SCALES = 161  # 11-pixel windows on an image halved four times


def _planes_innermost(device: torch.device) -> bool:
    return device.type == "cpu"


def as_planes(image: Tensor) -> Tensor:
    """Lays the channels of all images (B, C, H, W) side by side: (1, B * C, H, W)."""
    batch, channels, height, width = image.shape
    if not _planes_innermost(image.device):
        return image.reshape(1, batch * channels, height, width)
    # The order matters: with a first axis of odd stride the result would not count as channels-last.
    return image.permute(2, 3, 0, 1).reshape(1, height, width, batch * channels).permute(0, 3, 1, 2)


def similarity(prediction: Tensor, target: Tensor, window: int) -> Tensor:
    """SSIM at every window position, with a data range of 1 (METHOD.md section 1).

    Args:
        prediction: Planes (1, N, H, W) in float32 or float64.
        target: Planes (1, N, H, W).
        window: Side of the Gaussian window.

    Returns:
        Tensor (1, N, H - window + 1, W - window + 1).
    """
    mean_z, mean_y, product, power = _moments(prediction, target, window)
    zy = mean_z * mean_y
    zz_yy = torch.addcmul(mean_y * mean_y, mean_z, mean_z)
    contrast = (2 * (product - zy) + K2**2) / (power - zz_yy + K2**2)
    return (2 * zy + K1**2) / (zz_yy + K1**2) * contrast


def ms_ssim(prediction: Tensor, target: Tensor) -> Tensor:
    """Multi-scale structural similarity with five scales and an 11-pixel window, per image (METHOD.md section 1).

    Args:
        prediction: (B, C, H, W), float.
        target: (B, C, H, W), float; no gradient is taken to it.

    Returns:
        Tensor (B,), at most 1: the product over scales per channel, then the mean over channels.

    Raises:
        ConfigError: If the short side is under 161 pixels, so that the window does not fit the coarsest scale.
    """
    batch, channels, height, width = prediction.shape
    if min(height, width) < MIN_SIDE_FIVE_SCALES:
        raise ConfigError(
            f"MS-SSIM with five scales needs images with a short side of {MIN_SIDE_FIVE_SCALES} pixels or more, "
            f"got {height} x {width}. Raise the crop size (data.crop_size)."
        )
    z, y = as_planes(prediction), as_planes(target.detach())
    result = torch.ones(1, batch * channels, dtype=z.dtype, device=z.device)
    for weight in SCALE_WEIGHTS[:-1]:
        contrast: Tensor = _MeanContrast.apply(z, y)
        result = result * bounded_power(contrast, weight)
        padding = [side % 2 for side in z.shape[-2:]]
        z, y = avg_pool2d(z, 2, padding=padding), avg_pool2d(y, 2, padding=padding)
    coarsest = similarity(z, y, WINDOW).mean(dim=(-2, -1))
    return (result * bounded_power(coarsest, SCALE_WEIGHTS[-1])).view(batch, -1).mean(dim=1)


def bounded_power(base: Tensor, exponent: float) -> Tensor:
    """`max(base, 0) ** exponent` with a finite gradient.

    The value is exact. The gradient is that of the base clamped at 1e-4, because the true one is infinite at 0 and
    makes NaN of everything behind it (pytorch-msssim#7, #11).
    """
    smooth = base.clamp(min=1e-4) ** exponent
    return smooth + (base.detach().clamp(min=0) ** exponent - smooth.detach())


class _MeanContrast(torch.autograd.Function):
    """Contrast-structure part of SSIM, averaged over window positions: (1, N, H, W) twice to (1, N).

    c = (2 cov(z, y) + K2^2) / (var(z) + var(y) + K2^2). Its gradient is written out because what autograd makes of the
    forward pass takes twice as long: it blurs back four planes, of which three are needed, in a slower layout.
    """

    @staticmethod
    def forward(ctx: Any, z: Tensor, y: Tensor) -> Tensor:
        mean_z, mean_y, product, power = _moments(z, y, WINDOW)
        above = torch.addcmul(product, mean_z, mean_y, value=-1).mul_(2).add_(K2**2)
        below = torch.addcmul(power, mean_z, mean_z, value=-1).addcmul_(mean_y, mean_y, value=-1).add_(K2**2)
        contrast = above.div_(below)
        ctx.save_for_backward(z, y, mean_z, mean_y, contrast, below)
        return contrast.mean(dim=(-2, -1))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        z, y, mean_z, mean_y, contrast, below = ctx.saved_tensors
        to_product = (2 * gradient / contrast[0, 0].numel())[..., None, None] / below
        to_power = to_product * contrast  # times -1/2; the square's factor 2 comes with it below
        to_mean = torch.addcmul(to_power * mean_z, to_product, mean_y, value=-1)
        product, power, mean = _spread(torch.cat([to_product, to_power, to_mean]), WINDOW).chunk(3)
        return torch.addcmul(mean, product, y).addcmul_(power, z, value=-1), None


def _moments(z: Tensor, y: Tensor, window: int) -> tuple[Tensor, ...]:
    """Blurred z, y, zy and z^2 + y^2: the two variances of SSIM occur only as their sum."""
    powers = torch.addcmul(y * y, z, z)
    return _blur(torch.cat([z, y, z * y, powers]), window).chunk(4)


def _blur(planes: Tensor, window: int) -> Tensor:
    """Blurs (K, N, H, W) by a Gaussian without padding: (K, N, H - window + 1, W - window + 1)."""
    if _planes_innermost(planes.device):
        kernel = _kernel(planes.shape[1], window, planes.dtype)
        return conv2d(conv2d(planes, kernel, groups=len(kernel)), kernel.mT, groups=len(kernel))
    down, across = (_matrix(side, window, planes.device, planes.dtype) for side in planes.shape[-2:])
    return down @ planes @ across.T


def _spread(planes: Tensor, window: int) -> Tensor:
    """The transpose of `_blur`; a Gaussian is symmetric, so on a CPU it is the same convolution of a padded plane."""
    if _planes_innermost(planes.device):
        kernel, margin = _kernel(planes.shape[1], window, planes.dtype), window - 1
        down = conv2d(planes, kernel, groups=len(kernel), padding=(margin, 0))
        return conv2d(down, kernel.mT, groups=len(kernel), padding=(0, margin))
    down, across = (_matrix(side + window - 1, window, planes.device, planes.dtype) for side in planes.shape[-2:])
    return down.T @ planes @ across


def _gaussian(window: int) -> Tensor:
    offsets = torch.arange(window, dtype=torch.float64) - (window - 1) / 2
    weights = torch.exp(-(offsets**2) / (2 * SIGMA**2))
    return weights / weights.sum()


@functools.lru_cache(maxsize=32)
def _kernel(planes: int, window: int, dtype: torch.dtype) -> Tensor:
    """Weights (planes, 1, window, 1) that blur the columns of every plane."""
    return constant(_gaussian(window).repeat(planes, 1).view(planes, 1, window, 1), torch.device("cpu"), dtype)


@functools.lru_cache(maxsize=128)
def _matrix(length: int, window: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Matrix (length - window + 1, length) whose product with a column blurs it."""
    weights = _gaussian(window)
    matrix = torch.zeros(length - window + 1, length, dtype=torch.float64)
    for row in range(len(matrix)):
        matrix[row, row : row + window] = weights
    return constant(matrix, device, dtype)


def constant(values: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Copies values that may have been made under `inference_mode`, whose tensors a later training cannot use."""
    with torch.inference_mode(False):
        return torch.tensor(values.numpy()).to(device, dtype)
