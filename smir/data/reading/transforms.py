"""The crops of METHOD.md section 1, for training and validation. The whole view is `Preprocessing.view`."""

import os
import random

import cv2
import numpy as np

from smir.classes import UInt8
from smir.method.preprocessing import Preprocessing

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # otherwise the import looks for a newer release online
import albumentations as A

cv2.setNumThreads(0)  # loader workers are the parallelism; threads inside them only contend


class TrainTransform:
    """Random resized crop, flip and colour jitter, drawn afresh from a seed at every call."""

    def __init__(self, crop_size: int) -> None:
        self.crop_size = crop_size
        self._pipeline = A.Compose(
            [
                A.RandomResizedCrop(
                    (crop_size, crop_size),
                    scale=(0.25, 1.0),
                    ratio=(3 / 4, 4 / 3),
                    interpolation=cv2.INTER_LINEAR,
                    mask_interpolation=cv2.INTER_NEAREST_EXACT,
                    p=1.0,
                ),
                A.HorizontalFlip(p=0.5),
                # The defaults of albumentations 1.3.1, which the authors used; those of 2.x differ.
                A.ColorJitter(
                    brightness=(0.8, 1.2), contrast=(0.8, 1.2), saturation=(0.8, 1.2), hue=(-0.2, 0.2), p=0.5
                ),
            ]
        )

    def __call__(self, image: UInt8, mask: UInt8 | None, seed: int) -> tuple[UInt8, UInt8 | None]:
        """Transforms an image (H, W, 3) together with its label or mask (H, W)."""
        # One stream for all: `set_random_seed` would give each transform the same seed, and flip only jittered images.
        self._pipeline.set_random_state(np.random.default_rng(seed), random.Random(seed))
        if mask is None:
            return self._pipeline(image=image)["image"], None
        result = self._pipeline(image=image, mask=mask)
        return result["image"], result["mask"]


class CropTransform:
    """Shortest side to the view size, then the centre crop. Nothing in it is random."""

    def __init__(self, crop_size: int, preprocessing: Preprocessing) -> None:
        self.crop_size, self.preprocessing = crop_size, preprocessing

    def __call__(self, image: UInt8, mask: UInt8 | None, seed: int) -> tuple[UInt8, UInt8 | None]:
        """Crops an image (H, W, 3) together with its label or mask (H, W); `seed` is not used."""
        image = self.preprocessing.view(image)
        top, left = ((side - self.crop_size) // 2 for side in image.shape[:2])
        window = np.s_[top : top + self.crop_size, left : left + self.crop_size]
        return image[window], None if mask is None else self.preprocessing.view_label(mask)[window]


Transform = TrainTransform | CropTransform
