"""The crops of METHOD.md section 1, for training and validation. The whole view is `Preprocessing.view`."""

import os
import random
from functools import partial
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from smir.classes import UInt8
from smir.method.preprocessing import Preprocessing

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # otherwise the import looks for a newer release online
import albumentations as A

cv2.setNumThreads(0)  # loader workers are the parallelism; threads inside them only contend


class TrainTransform:
    """Random resized crop, flip and colour jitter, drawn afresh from a seed at every call.

    Args:
        crop_size: Side of the crop.
        at_rare_class: Probability that the crop is placed so that it holds a pixel of a rare class.
        frequencies: Frequency (C,) of every class, for these crops.
    """

    def __init__(
        self, crop_size: int, at_rare_class: float = 0.0, frequencies: npt.NDArray[np.float64] | None = None
    ) -> None:
        self.crop_size = crop_size
        crop = A.RandomResizedCrop if frequencies is None else partial(_CropAtRareClass, at_rare_class, frequencies)
        self._pipeline = A.Compose(
            [
                crop(
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


class _CropAtRareClass(A.RandomResizedCrop):  # type: ignore[misc]  # albumentations has no types
    """Random resized crops, a share of which are moved over a pixel of a class, so that rare classes are seen more.

    The class is drawn from those of the image, with a weight of one over its frequency. Then a pixel of the class is
    drawn, and a place of the crop that holds the pixel. Void does not count as a class.
    """

    def __init__(self, share: float, frequencies: npt.NDArray[np.float64], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.share, self.frequencies = share, frequencies

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = super().get_params_dependent_on_data(params, data)
        if self.py_random.random() >= self.share:
            return found
        label = data["mask"]
        counts = np.bincount(label.ravel(), minlength=256)[: len(self.frequencies)]
        present = np.flatnonzero(counts)
        if not len(present):
            return found
        (drawn,) = self.py_random.choices(present.tolist(), (1 / self.frequencies[present]).tolist())
        pixel = np.flatnonzero(label.ravel() == drawn)[self.py_random.randrange(counts[drawn])]
        left, top, right, bottom = found["crop_coords"]
        row, column = divmod(int(pixel), label.shape[1])
        top, bottom = self._over(row, bottom - top, label.shape[0])
        left, right = self._over(column, right - left, label.shape[1])
        return {"crop_coords": (left, top, right, bottom)}

    def _over(self, pixel: int, length: int, side: int) -> tuple[int, int]:
        start = self.py_random.randint(max(0, pixel - length + 1), min(pixel, side - length))
        return start, start + length


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
