"""IoU over a whole split, from one confusion matrix (METHOD.md section 5)."""

import dataclasses

import torch
from torch import Tensor
from torchmetrics import Metric

from smir.classes import VOID


@dataclasses.dataclass(frozen=True)
class IoU:
    """Intersection over union of C classes, in [0, 1].

    Tensors are on the CPU, in float64.

    Attributes:
        per_class: (C,), NaN for a class that occurs neither in the labels nor in the predictions.
        mean: Mean over the classes that are not NaN.
        std: Their sample deviation (n - 1), NaN where there are fewer than two.
        lowest: The lowest of them.
    """

    per_class: Tensor
    mean: Tensor
    std: Tensor
    lowest: Tensor


def iou_from_confusion(confusion: Tensor) -> IoU:
    """Computes the IoU from a confusion matrix (C, C), rows = labels, columns = predictions.

    A class that is only predicted counts as 0, one that occurs nowhere is left out.
    """
    intersection = confusion.diag()
    return iou_from_counts(intersection, confusion.sum(dim=0) + confusion.sum(dim=1) - intersection)


def iou_from_counts(intersection: Tensor, union: Tensor) -> IoU:
    """Computes the IoU from intersections and unions (C,) in pixels; a class without a union is left out."""
    per_class = intersection.cpu().double() / union.cpu().double()  # not every device has float64
    known = per_class[~per_class.isnan()]
    nan = per_class.new_tensor(float("nan"))
    std = known.std() if len(known) > 1 else nan
    return IoU(per_class, known.mean(), std, known.min() if len(known) else nan)


class ConfusionMatrix(Metric):
    """Counts of (label, prediction) pairs over a split and over all ranks.

    Args:
        num_classes: Number C of classes; labels are 0 to C - 1, or 255 for void, which is not counted.
    """

    full_state_update = False
    counts: Tensor

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.add_state("counts", torch.zeros(num_classes, num_classes, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, prediction: Tensor, label: Tensor, weight: Tensor) -> None:
        """Adds a batch.

        Args:
            prediction: Class ids (B, H, W).
            label: Class ids or void (B, H, W).
            weight: (B,), 0 for an image that only fills up a batch.
        """
        counted = (label != VOID) & (weight > 0)[:, None, None]
        pairs = label[counted].long() * self.num_classes + prediction[counted].long()
        self.counts += torch.bincount(pairs, minlength=self.num_classes**2).view_as(self.counts)

    def compute(self) -> Tensor:
        """Returns the matrix (C, C) of everything counted, rows = labels, columns = predictions."""
        return self.counts
