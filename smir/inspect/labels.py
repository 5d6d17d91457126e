"""Collects the predictions of a segmentation, compares them with labels, and keeps pictures of the worst."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from smir.classes import VOID, UInt8
from smir.files.pages.html import data_uri
from smir.files.pages.overlays import blend, heat_map
from smir.inspect.batches import View, require_finite, stacked
from smir.inspect.crops import around, enlarged, outlined
from smir.inspect.ranking import Top
from smir.inspect.regions import Region, disagreements
from smir.models.iou import iou_from_confusion
from smir.training.segmentation import SegmentationModule

REGION_COLUMNS = ("image", "label", "prediction", "pixels", "confidence", "weight", "top", "left", "bottom", "right")
REGIONS_OF_AN_IMAGE = 3
"""Regions of one image among those shown, at most: else one badly labelled image would fill the page."""
SMALLEST = 48
"""Smallest side in pixels of the picture around a region."""
SURE, UNSURE = (215.0, 0.0, 50.0), (255.0, 220.0, 90.0)
"""Colours of wrong pixels, by how sure the network was."""


@dataclasses.dataclass(frozen=True)
class ImageResult:
    """The prediction for an image in a few numbers.

    Attributes:
        index: Its place in the list.
        name: Its name.
        confidence: Mean probability of the predicted class.
        shares: Share of the pixels predicted as each class (C,).
        counted: Pixels whose label is not void; 0 without labels.
        iou: IoU per class (C,), NaN for a class that is neither in the label nor predicted.
        miou: Mean IoU over the classes that have one; NaN if nothing is counted.
        errors: Share of the counted pixels that are wrong; NaN if nothing is counted.
    """

    index: int
    name: str
    confidence: float
    shares: list[float]
    counted: int
    iou: list[float]
    miou: float
    errors: float


@dataclasses.dataclass(frozen=True)
class ShownResult:
    """An image with its pictures: captions and data URIs."""

    result: ImageResult
    pictures: dict[str, str]


@dataclasses.dataclass(frozen=True)
class ShownRegion:
    """A region with pictures of its surroundings: captions and data URIs."""

    index: int
    name: str
    region: Region
    pictures: dict[str, str]


class Predictions:
    """Collects batches of views: a few numbers for every image, and pictures of the worst.

    Everything is counted at the view, like the paper's test figure.

    Args:
        module: The trained network, in eval mode.
        confidence: Lowest probability at which the network counts as sure of a pixel.
        worst: Ranks images by the lowest mean IoU or the highest share of wrong pixels; without labels, by the lowest
            confidence.
        limit: Number of images and of regions to show.
    """

    def __init__(
        self, module: SegmentationModule, confidence: float, worst: Literal["iou", "errors"], limit: int
    ) -> None:
        self.module, self.confidence, self.worst = module, confidence, worst
        self.images: list[ImageResult] = []
        self.confusion = torch.zeros(len(module.classes), len(module.classes), dtype=torch.long)
        self.shown: Top[ShownResult] = Top(limit)
        self.regions: Top[ShownRegion] = Top(limit)

    @torch.no_grad()
    def add(self, views: Sequence[View]) -> Iterator[Sequence[object]]:
        """Segments a batch; yields a row of `REGION_COLUMNS` for every region, boxes in pixels of the file."""
        module = self.module
        logits = module(module.preprocessing.normalize(stacked(views, module.device)))
        for view, probabilities in zip(views, logits.softmax(dim=1).cpu(), strict=True):
            require_finite(probabilities, f"The prediction of {view.name} is")
            result = self._result(view, probabilities)
            self.images.append(result)
            badness = badness_of(result, self.worst)
            if self.shown.takes(badness, view.place):
                self.shown.add(ShownResult(result, self._pictures(view, probabilities)), badness, view.place)
            if view.label is not None:
                yield from self._regions(view, view.label, probabilities.numpy())

    def _result(self, view: View, probabilities: Tensor) -> ImageResult:
        highest, predicted = probabilities.max(dim=0)
        count = len(self.module.classes)
        shares = (predicted.flatten().bincount(minlength=count) / predicted.numel()).tolist()
        counts = torch.zeros(count, count, dtype=torch.long)
        if view.label is not None:
            label = torch.from_numpy(np.ascontiguousarray(view.label)).long()
            pairs = (label * count + predicted)[label != VOID]
            counts = pairs.bincount(minlength=count**2).view(count, count)
        self.confusion += counts
        counted, iou = int(counts.sum()), iou_from_confusion(counts)
        errors = 1 - float(counts.diag().sum()) / counted if counted else float("nan")
        confidence, per_class, miou = float(highest.mean()), iou.per_class.tolist(), float(iou.mean)
        return ImageResult(view.place, view.name, confidence, shares, counted, per_class, miou, errors)

    def _pictures(self, view: View, probabilities: Tensor) -> dict[str, str]:
        highest, predicted = (part.numpy() for part in probabilities.max(dim=0))
        classes = self.module.classes
        chance = 1 / len(classes)
        pictures = {"image": view.image}
        if view.label is not None:
            pictures["label"] = blend(view.image, view.label, classes)
        pictures["prediction"] = blend(view.image, predicted.astype(np.uint8), classes)
        if view.label is not None:
            pictures["errors"] = error_map(view.image, view.label, predicted, highest, chance)
        else:
            pictures["confidence"] = heat_map(highest, chance, 1.0)
        return {name: data_uri(picture) for name, picture in pictures.items()}

    def _regions(self, view: View, label: UInt8, probabilities: npt.NDArray[np.float32]) -> Iterator[Sequence[object]]:
        names = self.module.classes.names
        scales = [full / side for full, side in zip(view.size, view.image.shape[:2], strict=True)] * 2
        regions = sorted(disagreements(label, probabilities, self.confidence), key=lambda region: -region.weight)
        for rank, region in enumerate(regions):
            place = (view.place, *region.box)
            if rank < REGIONS_OF_AN_IMAGE and self.regions.takes(region.weight, *place):
                pictures = self._close_up(view, label, probabilities, region)
                self.regions.add(ShownRegion(view.place, view.name, region, pictures), region.weight, *place)
            edges = [round(edge * scale) for edge, scale in zip(region.box, scales, strict=True)]
            sizes = (region.area, f"{region.confidence:.4f}", f"{region.weight:.2f}")
            yield view.name, names[region.label], names[region.predicted], *sizes, *edges

    def _close_up(
        self, view: View, label: UInt8, probabilities: npt.NDArray[np.float32], region: Region
    ) -> dict[str, str]:
        top, left, bottom, right = region.box
        window = around(region.box, label.shape, max(SMALLEST, 2 * (bottom - top), 2 * (right - left)))
        classes = self.module.classes
        predicted = probabilities.argmax(axis=0).astype(np.uint8)
        return {
            "image": data_uri(outlined(view.image, region.box, window)),
            "label": data_uri(enlarged(blend(view.image, label, classes), window)),
            "prediction": data_uri(enlarged(blend(view.image, predicted, classes), window)),
        }


def badness_of(result: ImageResult, worst: Literal["iou", "errors"]) -> float:
    """Returns the value to rank images by, the worst highest; without labelled pixels, the lack of confidence."""
    if not result.counted:
        return -1 - result.confidence
    return result.errors if worst == "errors" else 1 - result.miou


def error_map(
    image: UInt8, label: UInt8, predicted: npt.NDArray[np.int64], highest: npt.NDArray[np.float32], chance: float
) -> UInt8:
    """Shows wrong pixels over a faint image: yellow where the network was unsure, red where sure; void is white.

    `highest` is the probability of the predicted class, `chance` its lowest possible value, 1 / C.
    """
    faint = image.mean(axis=-1, keepdims=True).repeat(3, axis=-1) * 0.5
    faint[label == VOID] = 255
    sure = np.clip((highest - chance) / max(1 - chance, 1e-6), 0, 1)[..., None]
    shade = sure * np.asarray(SURE) + (1 - sure) * np.asarray(UNSURE)
    wrong = (label != VOID) & (label != predicted)
    return np.asarray(np.where(wrong[..., None], shade, faint).round(), dtype=np.uint8)
