"""IoU where small objects count: by the size of connected regions, and at boundaries alone."""

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchmetrics import Metric

from smir.classes import VOID, UInt8

PARTS = ("boundary", "small", "medium", "large")
SIZES = (32**2 / (640 * 480), 96**2 / (640 * 480))
"""Shares of the image at which an object becomes medium and large: COCO's 32² and 96² pixels at 640 x 480."""
BOUNDARY = 0.02
"""Width of a boundary as a share of the image's diagonal, as in Cheng et al. 2021."""

Int64 = npt.NDArray[np.int64]


class ObjectIoU(Metric):
    """Intersections and unions over a split and over all ranks, by part of `PARTS` and by class.

    boundary: Boundary IoU (Cheng et al., CVPR 2021). The boundary of a class is every pixel of it that is at most
    `BOUNDARY` of the image's diagonal away, along rows, columns and diagonals, from a pixel outside the class. Void and
    what is beyond the image are outside.

    small, medium, large: Objects are connected regions (8 neighbours) of the labels, sized by their share of the image
    (`SIZES`). A pixel that is predicted right, or missed, counts for the size of its object. A pixel that is predicted
    wrongly counts for the size of the object that its connected predicted region overlaps most; for the larger one if
    two overlap equally; and for the size of the predicted region if it overlaps none. So every pixel counts once, and
    the sums over the sizes are those of the plain IoU.

    Args:
        num_classes: Number C of classes; labels are 0 to C - 1, or 255 for void, which is not counted.
        background: Class without objects, which counts for the boundary only, if there is one.
    """

    full_state_update = False
    counts: Tensor

    def __init__(self, num_classes: int, background: int | None = None) -> None:
        super().__init__()
        self.num_classes, self.background = num_classes, background
        empty = torch.zeros(2, len(PARTS), num_classes, dtype=torch.long)
        self.add_state("counts", empty, dist_reduce_fx="sum")

    def update(self, prediction: Tensor, label: Tensor, weight: Tensor) -> None:
        """Adds a batch, on the CPU.

        Args:
            prediction: Class ids (B, H, W).
            label: Class ids or void (B, H, W).
            weight: (B,), 0 for an image that only fills up a batch.
        """
        predictions = prediction.masked_fill(label == VOID, VOID).to(torch.uint8).cpu().numpy()
        for found, truth, counted in zip(predictions, label.cpu().numpy(), weight.cpu(), strict=True):
            if counted > 0:
                self.counts += torch.from_numpy(self._counts(found, truth)).to(self.counts.device)

    def compute(self) -> Tensor:
        """Returns intersections and unions (2, parts, C) of everything counted, in pixels."""
        return self.counts

    def _counts(self, found: UInt8, truth: UInt8) -> Int64:
        """Counts the pixels (2, parts, C) of an image; a prediction is void where the label is."""
        counts = np.zeros((2, len(PARTS), self.num_classes), dtype=np.int64)
        counts[:, 0] = _boundary(found, truth, self.num_classes)
        pixels = sum(np.bincount(image.ravel(), minlength=VOID + 1) for image in (found, truth))
        for number in set(np.flatnonzero(pixels).tolist()) - {VOID, self.background}:
            counts[:, 1:, number] = _by_size(found == number, truth == number)
        return counts


def _boundary(found: UInt8, truth: UInt8, num_classes: int) -> Int64:
    """Returns intersections and unions (2, C) of the boundaries."""
    distance = max(1, round(BOUNDARY * float(np.hypot(*truth.shape))))
    edges = [_edge(image, distance) for image in (found, truth)]
    one, other, both = (
        np.bincount(pixels, minlength=num_classes)[:num_classes]
        for pixels in (found[edges[0]], truth[edges[1]], truth[edges[0] & edges[1] & (found == truth)])
    )
    return np.stack([both, one + other - both])


def _edge(image: UInt8, distance: int) -> npt.NDArray[np.bool_]:
    """Pixels whose square of 2 distance + 1 pixels a side leaves their class, for all classes at once."""
    square = np.ones((2 * distance + 1,) * 2, dtype=np.uint8)
    lowest = cv2.erode(image, square)
    highest = cv2.dilate(image, square, borderType=cv2.BORDER_CONSTANT, borderValue=(VOID,))  # beyond the image: void
    return np.asarray(lowest != highest)


def _by_size(found: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_]) -> Int64:
    """Returns intersections and unions (2, sizes) of one class."""
    (regions, region_sizes, _), (objects, object_sizes, areas) = _components(found), _components(truth)
    both = found & truth
    pairs, overlaps = np.unique(regions[both].astype(np.int64) * len(areas) + objects[both], return_counts=True)
    region, touched = np.divmod(pairs, len(areas))
    order = np.lexsort((areas[touched], overlaps))
    region_sizes[region[order]] = object_sizes[touched[order]]  # the last one, which overlaps most, stays
    intersection, inside, wrong = (
        np.bincount(sizes, minlength=len(SIZES) + 1)
        for sizes in (object_sizes[objects[both]], object_sizes[objects[truth]], region_sizes[regions[found & ~truth]])
    )
    return np.stack([intersection, inside + wrong])


def _components(mask: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.int32], Int64, Int64]:
    """Returns the number of the region of each pixel (H, W), 0 outside.

    Then the size (0, 1, 2) and the area of each region, with the outside first.
    """
    _, numbers, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA].astype(np.int64)
    return np.asarray(numbers, dtype=np.int32), np.searchsorted(SIZES, areas / mask.size, side="right"), areas
