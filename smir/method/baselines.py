"""Two baselines that every reconstruction must beat: they fill masked patches without learning anything."""

import torch
from torch import Tensor
from torch.nn import functional


def mean_fill(image: Tensor, mask: Tensor) -> Tensor:
    """Keeps the visible pixels and gives masked ones the mean colour, which is 0 after normalisation.

    Args:
        image: Normalised images (B, C, H, W).
        mask: BoolTensor (B, 1, H, W), True = masked.

    Returns:
        Tensor (B, C, H, W).
    """
    return image * ~mask


def inpaint(image: Tensor, mask: Tensor) -> Tensor:
    """Keeps the visible pixels and fills masked ones by interpolation between their visible neighbours.

    Visible pixels are averaged into ever coarser images, until every pixel of one has a colour; each hole is then
    filled, from coarse to fine, with the bilinear interpolation of the next coarser image ("pull-push"). There are no
    parameters.

    Args:
        image: Normalised images (B, C, H, W).
        mask: BoolTensor (B, 1, H, W), True = masked. Of an image that is masked throughout, all pixels become 0.

    Returns:
        Tensor (B, C, H, W).
    """
    return _filled(image * ~mask, (~mask).to(image.dtype))


def _filled(sums: Tensor, weights: Tensor) -> Tensor:
    """Colours (B, C, h, w) of sums of visible pixels and their weights (B, 1, h, w), without holes."""
    colors = sums / weights.clamp(min=torch.finfo(sums.dtype).tiny)
    size = sums.shape[-2:]
    if max(size) == 1:
        return colors
    coarse = _filled(*(functional.avg_pool2d(part, 2, ceil_mode=True) for part in (sums, weights)))
    return torch.where(weights > 0, colors, functional.interpolate(coarse, size, mode="bilinear", align_corners=False))
