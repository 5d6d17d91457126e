"""Fast structural similarity (SSIM); `smir.method.ms_ssim` combines five scales.

All channels of all images are planes of one tensor (1, N, H, W). On a CPU, planes are innermost in memory, so that one
vector instruction serves many, and a blur is a depthwise convolution. On a GPU, a blur multiplies each plane by a
banded matrix on either side.
"""

import functools

import torch
from torch import Tensor
from torch.nn.functional import conv2d

from smir.method.device_constants import constant

SIGMA = 1.5
K1, K2 = 0.01, 0.03


def _planes_innermost(device: torch.device) -> bool:
    return device.type == "cpu"


def as_planes(image: Tensor) -> Tensor:
    """Lays the channels of all images (B, C, H, W) side by side: (1, B * C, H, W)."""
    batch, channels, height, width = image.shape
    if not _planes_innermost(image.device):
        return image.reshape(1, batch * channels, height, width)
    # The order of these steps matters: otherwise torch does not treat the result as channels-last.
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
    mean_z, mean_y, product, power = moments(prediction, target, window)
    zy = mean_z * mean_y
    zz_yy = torch.addcmul(mean_y * mean_y, mean_z, mean_z)
    # The moments have K2^2 in them. Of values above 10, float32 loses small variances: they would become negative.
    contrast = torch.sub(product, zy, alpha=2) / (power - zz_yy).clamp_(min=K2**2)
    return (2 * zy + K1**2) / (zz_yy + K1**2) * contrast.clamp_(-1, 1)


def moments(z: Tensor, y: Tensor, window: int) -> tuple[Tensor, ...]:
    """Returns blurred z, y, 2 zy + K2^2 and z^2 + y^2 + K2^2; SSIM needs only the sum of the two variances."""
    constant_term = _contrast_constant(z.device, z.dtype)
    product = torch.addcmul(constant_term, z, y, value=2)
    power = torch.addcmul(torch.addcmul(constant_term, y, y), z, z)
    return _blur(torch.cat([z, y, product, power]), window).chunk(4)


def _blur(planes: Tensor, window: int) -> Tensor:
    """Blurs (K, N, H, W) by a Gaussian without padding: (K, N, H - window + 1, W - window + 1)."""
    if _planes_innermost(planes.device):
        kernel = _kernel(planes.shape[1], window, planes.dtype)
        return conv2d(conv2d(planes, kernel, groups=len(kernel)), kernel.mT, groups=len(kernel))
    down, across = (_matrix(side, window, planes.device, planes.dtype) for side in planes.shape[-2:])
    return down @ planes @ across.T


def spread(planes: Tensor, window: int) -> Tensor:
    """Applies the transpose of `_blur`; on a CPU, the same convolution of a padded plane (a Gaussian is symmetric)."""
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
    """Returns weights (planes, 1, window, 1) that blur the columns of every plane."""
    return constant(_gaussian(window).repeat(planes, 1).view(planes, 1, window, 1), torch.device("cpu"), dtype)


@functools.lru_cache(maxsize=128)
def _matrix(length: int, window: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Returns a matrix (length - window + 1, length) that blurs a column."""
    weights = _gaussian(window)
    matrix = torch.zeros(length - window + 1, length, dtype=torch.float64)
    for row in range(len(matrix)):
        matrix[row, row : row + window] = weights
    return constant(matrix, device, dtype)


@functools.lru_cache(maxsize=32)
def _contrast_constant(device: torch.device, dtype: torch.dtype) -> Tensor:
    """Returns K2^2 as a scalar tensor."""
    return constant(torch.tensor(K2**2, dtype=torch.float64), device, dtype)
