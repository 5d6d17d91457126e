"""The plain way: how the authors' program does it, in our own words. Baselines of the figures, oracles of the tests."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytorch_msssim
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import conv2d

from smir.method.patches import PatchGrid

library_ssim = pytorch_msssim.SSIM(data_range=1, channel=3, win_size=3)
"""SSIM of two patches (1, 3, h, w), a scalar, as in the authors' program, which also makes it once."""


def lean_ssim(prediction: Tensor, target: Tensor) -> Tensor:
    """The same, lean and without checks: 3 x 3 Gaussian of sigma 1.5, no padding, data range 1."""
    channels = prediction.shape[1]
    line = torch.exp(-(torch.tensor([-1.0, 0.0, 1.0]) ** 2) / (2 * 1.5**2))
    kernel = torch.outer(line, line) / line.sum() ** 2
    kernel = kernel.repeat(channels, 1, 1, 1)

    def blur(values: Tensor) -> Tensor:
        return conv2d(values, kernel, groups=channels)

    mean_z, mean_y = blur(prediction), blur(target)
    var_z = blur(prediction * prediction) - mean_z**2
    var_y = blur(target * target) - mean_y**2
    covariance = blur(prediction * target) - mean_z * mean_y
    above = (2 * mean_z * mean_y + 0.01**2) * (2 * covariance + 0.03**2)
    return (above / ((mean_z**2 + mean_y**2 + 0.01**2) * (var_z + var_y + 0.03**2))).mean()


def score_image(
    network: nn.Module,
    image: Tensor,
    grid: PatchGrid,
    masks: Sequence[Tensor],
    ssim: Callable[[Tensor, Tensor], Tensor] = library_ssim,
) -> Tensor:
    """Scores an image patch by patch (METHOD.md section 3).

    As in the authors' program (`selective_loop.py` and `models/reconstruction_selective.py` of
    yuw422/Selective_Masking_Image_Reconstruction, commit 0e9f7e9), every patch is a call of pytorch-msssim and of
    `item`, and gradients are recorded although nothing uses them. Under `torch.no_grad()` they are not.

    Args:
        network: Maps (1, 3, H, W) to (1, 3, H, W); in eval mode.
        image: Normalised (1, 3, H, W).
        grid: Its patches.
        masks: One BoolTensor (P,) for every sample, True = masked.
        ssim: SSIM of two patches (1, C, h, w), a scalar.

    Returns:
        Tensor (P,): mean of L1 + (1 - SSIM) over the samples.
    """
    boxes = grid.boxes.tolist()
    scores = torch.zeros(len(masks), len(boxes))
    for sample, patches in enumerate(masks):
        masked = image.clone()
        for hidden, (top, left, bottom, right) in zip(patches.tolist(), boxes, strict=True):
            if hidden:
                masked[:, :, top:bottom, left:right] = 0
        answer = network(masked)
        for patch, (top, left, bottom, right) in enumerate(boxes):
            z, y = answer[:, :, top:bottom, left:right], image[:, :, top:bottom, left:right]
            scores[sample, patch] = ((z - y).abs().mean() + 1 - ssim(z, y)).item()
    return scores.mean(dim=0)


def decode(path: Path) -> npt.NDArray[np.uint8]:
    """Decodes a whole file, as at every visit of every epoch: RGB (H, W, 3)."""
    with Image.open(path) as image:
        return np.array(image.convert("RGB"))


def write_masked_image(image: npt.NDArray[np.uint8], grid: PatchGrid, mask: Tensor, path: Path) -> int:
    """Writes an image (H, W, 3) without its masked patches: a file per image and stage. Returns its bytes."""
    masked = image.copy()
    for hidden, (top, left, bottom, right) in zip(mask.tolist(), grid.boxes.tolist(), strict=True):
        if hidden:
            masked[top:bottom, left:right] = 0
    Image.fromarray(masked).save(path)
    return path.stat().st_size
