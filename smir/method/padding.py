"""Runs a network on images of any size."""

import torch
from torch import Tensor, nn
from torch.nn import functional

PAD_MULTIPLE = 64  # METHOD.md section 1; every encoder of stride 32 or less divides it


def padded_forward(network: nn.Module, image: Tensor, multiple: int = PAD_MULTIPLE) -> Tensor:
    """Runs a network on images of any size: reflect-padded to a multiple at the bottom and right, cropped back.

    Args:
        network: Maps (B, 3, H, W) to (B, C, H, W).
        image: (B, 3, h, w), each side longer than its padding.
        multiple: Both sides are padded to a multiple of this.

    Returns:
        Tensor (B, C, h, w).
    """
    height, width = image.shape[-2:]
    padding = (0, -width % multiple, 0, -height % multiple)
    padded = functional.pad(image, padding, mode="reflect") if any(padding) else image
    output: Tensor = network(padded.contiguous(memory_format=torch.channels_last))
    return output[..., :height, :width]
