"""Two baselines that fill masked patches without learning; every reconstruction must beat them."""

import torch
from torch import Tensor
from torch.nn import functional


def mean_fill(image: Tensor, mask: Tensor) -> Tensor:
    """Keeps visible pixels of normalised images (B, C, H, W) and gives masked ones the mean colour, 0."""
    return image * ~mask


def inpaint(image: Tensor, mask: Tensor) -> Tensor:
    """Keeps visible pixels and interpolates masked ones from their visible neighbours ("pull-push").

    Visible pixels are averaged into ever coarser images. Each hole is then filled, from coarse to fine, by bilinear
    interpolation of the next coarser image.

    Args:
        image: Normalised images (B, C, H, W).
        mask: BoolTensor (B, 1, H, W), True = masked. An image without visible pixels becomes 0.

    Returns:
        Tensor (B, C, H, W).
    """
    return _filled(image * ~mask, (~mask).to(image.dtype))


def _filled(sums: Tensor, weights: Tensor) -> Tensor:
    """Returns colours (B, C, h, w) without holes, from sums of visible pixels and their weights (B, 1, h, w)."""
    colors = sums / weights.clamp(min=torch.finfo(sums.dtype).tiny)
    size = sums.shape[-2:]
    if max(size) == 1:
        return colors
    coarse = _filled(*(functional.avg_pool2d(part, 2, ceil_mode=True) for part in (sums, weights)))
    return torch.where(weights > 0, colors, functional.interpolate(coarse, size, mode="bilinear", align_corners=False))
