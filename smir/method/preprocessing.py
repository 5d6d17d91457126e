"""Turns an image into the input of a network: whole view, normalisation, patch grid."""

import functools
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from smir.errors import ConfigError
from smir.method.device_constants import constant
from smir.method.patches import PatchGrid

LARGEST_VIEW = 1 << 14
"""Most pixels of a view's shortest side, and most patches: more than an image that is read whole can have."""

MOST_IN_VIEW = 1 << 25
"""Most pixels of a whole view, for which a U-Net takes several gigabytes."""


class Preprocessing:
    """Normalisation, the whole view of an image, and its patch grid (METHOD.md sections 1 and 2).

    Args:
        mean: Mean of the red, green and blue channel, of values in [0, 1]. A masked pixel has this colour.
        std: Standard deviation of the channels, likewise.
        view_size: Shortest side of the whole view, in pixels.
        num_patches: Number of patches of the grid, about.
    """

    def __init__(
        self,
        mean: Sequence[float] = (0.485, 0.456, 0.406),
        std: Sequence[float] = (0.229, 0.224, 0.225),
        view_size: int = 256,
        num_patches: int = 512,
    ) -> None:
        if len(mean) != 3 or len(std) != 3 or not (all(0 <= m <= 1 for m in mean) and all(0 < s <= 1 for s in std)):
            raise ConfigError(
                "data.mean and data.std are three numbers each, of channel values between 0 and 1, and no deviation is "
                f"0; got {list(mean)} and {list(std)}. Divide those of values up to 255 by 255; `python -m smir stats` "
                "computes both."
            )
        if not all(isinstance(value, int) and 1 <= value <= LARGEST_VIEW for value in (view_size, num_patches)):
            raise ConfigError(
                f"The size of a view and its number of patches are whole numbers from 1 to {LARGEST_VIEW:,}, got "
                f"{view_size} and {num_patches}."
            )
        self.mean, self.std = tuple(mean), tuple(std)
        self.view_size, self.num_patches = view_size, num_patches

    def normalize(self, image: Tensor) -> Tensor:
        """Turns (B, 3, H, W) uint8 into float32 of about zero mean and unit deviation, channels last."""
        mean, scale = self._channels(image)
        normalized: Tensor = (image.float() - mean) / scale
        return normalized.contiguous(memory_format=torch.channels_last)

    def denormalize(self, image: Tensor) -> Tensor:
        """Turns a normalised (B, 3, H, W) back into uint8, clipped to [0, 255]."""
        mean, scale = self._channels(image)
        return (image.float() * scale + mean).round().clamp(0, 255).to(torch.uint8)

    def unit_range(self, image: Tensor) -> Tensor:
        """Turns a normalised (B, 3, H, W) back into values in [0, 1], or beyond if a network leaves that range."""
        mean, scale = self._channels(image)
        return (image * scale + mean) / 255

    def _channels(self, image: Tensor) -> tuple[Tensor, Tensor]:
        return _of_bytes(self.mean, image.device), _of_bytes(self.std, image.device)

    def view_shape(self, height: int, width: int) -> tuple[int, int]:
        """Returns height and width of the whole view: the shortest side is `view_size`, the aspect is kept.

        Raises:
            ConfigError: If a network would need too much memory for such a view.
        """
        scale = self.view_size / min(height, width)
        shape = max(self.view_size, round(height * scale)), max(self.view_size, round(width * scale))
        if shape[0] * shape[1] > MOST_IN_VIEW:
            raise ConfigError(
                f"An image of {width} x {height} pixels would be seen at {shape[1]:,} x {shape[0]:,}, for a view size "
                f"of {self.view_size:,} (data.crop_size); a view has at most {MOST_IN_VIEW:,} pixels."
            )
        return shape

    def view(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Resizes an RGB image (H, W, 3) to its whole view, bilinear."""
        height, width = self.view_shape(*image.shape[:2])
        if (height, width) == image.shape[:2]:
            return image
        return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)

    def view_label(self, label: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Resizes a label (H, W) to the whole view, nearest."""
        height, width = self.view_shape(*label.shape)
        if (height, width) == label.shape:
            return label
        return np.asarray(cv2.resize(label, (width, height), interpolation=cv2.INTER_NEAREST_EXACT), dtype=np.uint8)

    def grid(self, height: int, width: int) -> PatchGrid:
        """Returns the patch grid of a view or crop of that size."""
        return PatchGrid.cached(height, width, self.num_patches)


@functools.lru_cache(maxsize=64)
def _of_bytes(channels: tuple[float, ...], device: torch.device) -> Tensor:
    """Returns three values in [0, 1] as (1, 3, 1, 1), scaled to the range of uint8."""
    return constant(torch.tensor(channels).view(1, 3, 1, 1) * 255, device, torch.float32)
