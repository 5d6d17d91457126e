"""Runs a network on images of any size."""

import torch
from torch import Tensor, nn
from torch.nn import functional

PAD_MULTIPLE = 64  # METHOD.md section 1; every encoder of stride 32 or less divides it


def padded_forward(network: nn.Module, image: Tensor, multiple: int = PAD_MULTIPLE) -> Tensor:
    """Runs a network on images of any size: reflect-padded to a multiple at the bottom and right, cropped back.

    Args:
        network: Maps (B, 3, H, W) to (B, C, H, W).
        image: (B, 3, h, w).
        multiple: Both sides are padded to a multiple of this.

    Returns:
        Tensor (B, C, h, w).
    """
    height, width = image.shape[-2:]
    padded = reflect_padded(image, height + -height % multiple, width + -width % multiple)
    output: Tensor = network(padded.contiguous(memory_format=torch.channels_last))
    return output[..., :height, :width]


def reflect_padded(image: Tensor, height: int, width: int) -> Tensor:
    """Returns an image (B, C, h, w) of floats, padded at the bottom and right by reflection, like `numpy.pad`."""
    if 1 in image.shape[-2:]:  # a single pixel has none to reflect
        image = image.expand(
            -1, -1, *(-1 if side > 1 else to for side, to in zip(image.shape[-2:], (height, width), strict=True))
        )
    while (missing := (width - image.shape[-1], height - image.shape[-2])) != (0, 0):  # torch adds less than a side
        right, bottom = (min(more, side - 1) for more, side in zip(missing, image.shape[:-3:-1], strict=True))
        image = functional.pad(image, (0, right, 0, bottom), mode="reflect")
    return image
