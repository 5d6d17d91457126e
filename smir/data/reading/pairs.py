"""Datasets: one visit of an image, and of its label, to tensors. They keep no state between visits."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from smir.classes import UInt8
from smir.data.reading.cache import ImageCache
from smir.data.reading.decode import image_size, read_image, read_label
from smir.data.reading.file_list import FileList
from smir.data.reading.safe_open import MAX_ASPECT
from smir.data.reading.samplers import Visit
from smir.data.reading.transforms import Transform
from smir.errors import DataError
from smir.method.masking import MaskPolicy
from smir.method.preprocessing import Preprocessing
from smir.seeding import generator_for

Sample = dict[str, Tensor | int]

LabelDecoder = Callable[[npt.NDArray[np.int32], Path], UInt8]
"""Turns the stored values (H, W) of a label file into class ids and void; gets the path for its messages."""


class Images:
    """Reads the images of a list.

    Args:
        files: The images.
        min_side: Shortest side in pixels below which an image is refused.
        cache: Decoded images; without one every read decodes the file.
    """

    too_small = (
        "Remove it, lower data.crop_size (MS-SSIM needs more than 160), or set data.min_side lower to have small "
        "images enlarged."
    )
    """The remedy for an image that is too small."""

    def __init__(self, files: FileList, min_side: int, cache: ImageCache | None = None) -> None:
        self.files, self.min_side, self.cache = files, min_side, cache

    def read(self, index: int) -> UInt8:
        """Decodes an image to RGB (H, W, 3), or takes it from the cache.

        Raises:
            DataError: If it is unreadable, too small, or far longer than wide.
        """
        return self.read_with_size(index)[0]

    def check_header(self, index: int) -> None:
        """Refuses what `read` refuses, as far as the header of the file tells: nothing is decoded.

        Raises:
            DataError: If it is not an image, is too small, or is far longer than wide.
        """
        path = self.files.path(index)
        self._check_size(path, *image_size(path))

    def read_with_size(self, index: int) -> tuple[UInt8, tuple[int, int]]:
        """Reads like `read`, and also returns height and width in the file, which may be larger than in the cache."""
        path = self.files.path(index)
        if self.cache is None:
            image = read_image(path)
            height, width = image.shape[:2]
        else:
            image, (height, width) = self.cache.image(path, read_image)
        self._check_size(path, height, width)
        return image, (height, width)

    def _check_size(self, path: Path, height: int, width: int) -> None:
        if max(height, width) > MAX_ASPECT * min(height, width):
            raise DataError(
                f"The image {path} is {width} x {height} pixels; one side is more than {MAX_ASPECT} times the other, "
                "which makes a whole view too large. Cut it into tiles."
            )
        if min(height, width) < self.min_side:
            raise DataError(
                f"The image {path} is {width} x {height} pixels; its shortest side is below data.min_side = "
                f"{self.min_side}. {self.too_small}"
            )


class Labels:
    """Reads the labels of a list of pairs; `files` are in the order of the images."""

    def __init__(self, images: Images, files: FileList, decoder: LabelDecoder) -> None:
        self.images, self.files, self.decoder = images, files, decoder

    def read_pair(self, index: int) -> tuple[UInt8, UInt8]:
        """Decodes an image (H, W, 3) and its label (H, W), class ids and void.

        Raises:
            DataError: If either is unreadable, their sizes differ, or a value is not a class.
        """
        image, (height, width) = self.images.read_with_size(index)
        path = self.files.path(index)
        if self.images.cache is None:
            stored = read_label(path)
            size = stored.shape
        else:
            stored, size = self.images.cache.label(path, self._read_valid)
        if size != (height, width):
            raise DataError(
                f"The label {path} is {size[1]} x {size[0]} pixels, its image {self.images.files.path(index)} is "
                f"{width} x {height}. They must be equal: resize the label (nearest), or find out which of the two "
                "shows something else."
            )
        ids = self.decoder(stored.astype(np.int32, copy=False), path)
        if ids.dtype != np.uint8 or ids.shape != stored.shape:
            raise DataError(
                f"decode_label made {ids.dtype} of shape {ids.shape} of the label {path}, whose pixels have the shape "
                f"{stored.shape}. It returns class ids as uint8, in the same shape."
            )
        return image, ids

    def _read_valid(self, path: Path) -> npt.NDArray[np.int32]:
        """Stored values of a label all of which the decoder knows; in a smaller copy some may be missing."""
        stored = read_label(path)
        self.decoder(stored, path)
        return stored


class MaskedCrops(Dataset[Sample]):
    """Crops with a patch mask, for pretraining; `policy` draws the masks that a visit does not bring."""

    def __init__(self, images: Images, transform: Transform, policy: MaskPolicy, preprocessing: Preprocessing) -> None:
        self.images, self.transform, self.policy, self.preprocessing = images, transform, policy, preprocessing

    def __getitem__(self, visit: Visit) -> Sample:
        """Returns image (3, H, W) uint8, mask (1, H, W) bool with True = masked, index and weight."""
        source = self.images.read(visit.index)
        if visit.mask is None:
            crop, _ = self.transform(source, None, visit.seed)
            grid = self.preprocessing.grid(*crop.shape[:2])
            mask = grid.to_pixels(self.policy(grid=grid, generator=generator_for(visit.seed, "mask")))
        else:
            # The mask is bound to the content: it is spread over the source and then cropped with it.
            grid, patches = visit.mask.unpack()
            pixels = grid.to_pixels(patches, size=source.shape[:2]).numpy().astype(np.uint8)
            crop, cut = self.transform(source, pixels, visit.seed)
            mask = torch.from_numpy(np.ascontiguousarray(cut)).bool()  # type: ignore[assignment]  # it is a BoolTensor
        return {"image": _tensor(crop), "mask": mask[None], "index": visit.index, "weight": torch.tensor(visit.weight)}


class LabelledCrops(Dataset[Sample]):
    """Crops with their labels, for training and validating a segmentation."""

    def __init__(self, pairs: Labels, transform: Transform) -> None:
        self.pairs, self.transform = pairs, transform

    def __getitem__(self, visit: Visit) -> Sample:
        """Returns image (3, H, W) uint8, label (H, W) uint8, index and weight."""
        image, label = self.transform(*self.pairs.read_pair(visit.index), visit.seed)
        return {
            "image": _tensor(image),
            "label": torch.from_numpy(np.ascontiguousarray(label)),
            "index": visit.index,
            "weight": torch.tensor(visit.weight),
        }


class WholeViews(Dataset[Sample]):
    """Whole images at their view, for scoring, testing and predicting; with labels if they are given."""

    def __init__(self, images: Images, preprocessing: Preprocessing, labels: Labels | None = None) -> None:
        self.images, self.preprocessing, self.labels = images, preprocessing, labels

    def __getitem__(self, visit: Visit) -> Sample:
        """Returns image (3, h, w) uint8, size (2,) of the source (height, width), index and weight.

        With labels also view_label (h, w) and label (H, W), both uint8.
        """
        sample: Sample = {"index": visit.index, "weight": torch.tensor(visit.weight)}
        if self.labels is None:
            image, size = self.images.read_with_size(visit.index)
        else:
            image, label = self.labels.read_pair(visit.index)
            size = label.shape
            sample["label"] = torch.from_numpy(label)
            sample["view_label"] = torch.from_numpy(self.preprocessing.view_label(label))
        sample["size"] = torch.tensor(size)
        sample["image"] = _tensor(self.preprocessing.view(image))
        return sample


def _tensor(image: UInt8) -> Tensor:
    return torch.from_numpy(np.stack(cv2.split(image)))  # twice as fast as a transposed copy
