"""Images to read: of the sizes of Cityscapes and Pascal VOC, with the grain that makes photographs slow to decode."""

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from smir.data import Folder

CITYSCAPES, VOC = (1024, 2048), (375, 500)


def photograph(size: tuple[int, int], seed: int) -> npt.NDArray[np.uint8]:
    """A smooth picture with noise (H, W, 3)."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (size[0] // 16, size[1] // 16, 3), dtype=np.uint8)
    smooth = cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC).astype(np.float32)
    return np.asarray((smooth + generator.normal(0, 2, smooth.shape)).clip(0, 255), dtype=np.uint8)


def write_images(root: Path, size: tuple[int, int], suffix: str, different: int, copies: int) -> None:
    """Writes `different` images, each under `copies` names, because a cache counts every name."""
    folder = root / "images"
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(different):
        first = folder / f"{number:03d}-000{suffix}"
        Image.fromarray(photograph(size, number)).save(first, **({"quality": 95} if suffix == ".jpg" else {}))
        for copy in range(1, copies):
            os.link(first, folder / f"{number:03d}-{copy:03d}{suffix}")


def pool(root: Path, batch_size: int = 8, **more: Any) -> Folder:
    """The datamodule that pretrains on these images."""
    return Folder(root, task="pretrain", batch_size=batch_size, **more)
