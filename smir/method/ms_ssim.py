"""Multi-scale structural similarity with a finite gradient (METHOD.md section 1).

With small batches, a GPU spends its time on starting kernels. So some gradients are written out instead of left to
autograd, and all scales share one product.
"""

import functools
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from smir.errors import ConfigError
from smir.method.device_constants import constant
from smir.method.ssim import K2, as_planes, moments, similarity, spread

SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al. 2003, coarsest scale last
WINDOW = 11
MIN_SIDE_FIVE_SCALES = 161  # 11-pixel windows on an image halved four times
_LOWEST = 1e-4  # below this similarity, the gradient of its power is set to 0


def ms_ssim(prediction: Tensor, target: Tensor) -> Tensor:
    """Multi-scale structural similarity with five scales and an 11-pixel window, per image (METHOD.md section 1).

    Args:
        prediction: (B, C, H, W), float.
        target: (B, C, H, W), float; no gradient is taken to it.

    Returns:
        Tensor (B,), at most 1: the product over scales per channel, then the mean over channels.

    Raises:
        ConfigError: If the short side is under 161 pixels: the window would not fit the coarsest scale.
    """
    batch, _, height, width = prediction.shape
    if min(height, width) < MIN_SIDE_FIVE_SCALES:
        raise ConfigError(
            f"MS-SSIM with five scales needs images with a short side of {MIN_SIDE_FIVE_SCALES} pixels or more, "
            f"got {height} x {width}. Raise the crop size (data.crop_size)."
        )
    z, y = as_planes(prediction), as_planes(target.detach())
    similarities: list[Tensor] = []
    for _ in SCALE_WEIGHTS[:-1]:
        similarities.append(_MeanContrast.apply(z, y))
        padding = [side % 2 for side in z.shape[-2:]]
        z, y = avg_pool2d(z, 2, padding=padding), avg_pool2d(y, 2, padding=padding)
    similarities.append(similarity(z, y, WINDOW).mean(dim=(-2, -1)))
    return product_over_scales(torch.cat(similarities)).view(batch, -1).mean(dim=1)


def product_over_scales(similarities: Tensor) -> Tensor:
    """Returns the product (N,) of `max(similarity, 0) ** weight` over five scales (5, N), coarsest last.

    The value is exact. Below 1e-4 the gradient is 0: the true one is infinite at 0 and causes NaN (pytorch-msssim#7,
    #11).
    """
    product: Tensor = _ProductOverScales.apply(similarities)
    return product


class _ProductOverScales(torch.autograd.Function):
    """The product over scales: (5, N) to (N,)."""

    @staticmethod
    def forward(ctx: Any, similarities: Tensor) -> Tensor:
        powers: Tensor = similarities.clamp(min=0) ** _scale_weights(similarities.device, similarities.dtype)
        ctx.save_for_backward(similarities, powers)
        return powers.prod(dim=0)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        similarities, powers = ctx.saved_tensors
        weights = _scale_weights(powers.device, powers.dtype)
        slopes: Tensor = weights * similarities.clamp(min=_LOWEST) ** (weights - 1)
        slopes = slopes.masked_fill(similarities < _LOWEST, 0)
        others: Tensor = powers.expand(len(powers), *powers.shape).masked_fill(_own_scale(powers.device), 1).prod(dim=1)
        others *= slopes
        return others.mul_(gradient)


class _MeanContrast(torch.autograd.Function):
    """Contrast-structure part of SSIM, averaged over window positions: (1, N, H, W) twice to (1, N).

    c = (2 cov(z, y) + K2^2) / (var(z) + var(y) + K2^2). The gradient is written out because autograd takes twice as
    long: it blurs back four planes, of which three are needed, in a slower layout.
    """

    @staticmethod
    def forward(ctx: Any, z: Tensor, y: Tensor) -> Tensor:
        mean_z, mean_y, product, power = moments(z, y, WINDOW)
        above = torch.addcmul(product, mean_z, mean_y, value=-2)
        below = torch.addcmul(power, mean_z, mean_z, value=-1).addcmul_(mean_y, mean_y, value=-1)
        below.clamp_(min=K2**2)  # see `similarity`
        contrast = above.div_(below).clamp_(-1, 1)
        ctx.save_for_backward(z, y, mean_z, mean_y, contrast, below)
        return contrast.mean(dim=(-2, -1))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        z, y, mean_z, mean_y, contrast, below = ctx.saved_tensors
        to_product = (gradient * (2 / contrast[0, 0].numel()))[..., None, None] / below
        to_power = to_product * contrast  # times -1/2; the square's factor 2 comes with it below
        to_mean = torch.addcmul(to_power * mean_z, to_product, mean_y, value=-1)
        product, power, mean = spread(torch.cat([to_product, to_power, to_mean]), WINDOW).chunk(3)
        return torch.addcmul(mean, product, y).addcmul_(power, z, value=-1), None


@functools.lru_cache(maxsize=32)
def _scale_weights(device: torch.device, dtype: torch.dtype) -> Tensor:
    """The weights of the scales (5, 1)."""
    return constant(torch.tensor(SCALE_WEIGHTS, dtype=torch.float64)[:, None], device, dtype)


@functools.lru_cache(maxsize=32)
def _own_scale(device: torch.device) -> Tensor:
    """BoolTensor (5, 5, 1), True where both scales are the same."""
    return constant(torch.eye(len(SCALE_WEIGHTS), dtype=torch.bool)[..., None], device, torch.bool)
