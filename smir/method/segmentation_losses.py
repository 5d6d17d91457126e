"""The losses of segmentation: soft Jaccard (the paper's), Dice, cross-entropy, focal, and sums of them."""

import abc
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from smir.errors import ConfigError
from smir.method.all_ranks import sum_over_ranks


class SegmentationLoss(nn.Module, abc.ABC):
    """Base of the losses of segmentation.

    Void pixels count in no loss, and a batch without labelled pixels has the loss 0. All sums run over the batch of all
    processes, so a loss does not depend on the number of GPUs. With gradient accumulation, they run over each part of
    the accumulated batch separately.

    Args:
        void: Label of pixels to ignore.
    """

    def __init__(self, void: int = 255) -> None:
        super().__init__()
        self.void = void

    @abc.abstractmethod
    def forward(self, logits: Tensor, label: Tensor, weights: Tensor | None = None) -> Tensor:
        """Returns the loss of the batch, at least 0 and equal on all processes.

        Args:
            logits: (B, C, H, W), float.
            label: Class ids and void (B, H, W), integer.
            weights: Class weights (C,), 0 or more; default: 1 for every class.
        """


class OverlapLoss(SegmentationLoss):
    """One minus the overlap of prediction and label per class, averaged over the classes by their weights.

    A class that is absent from the whole batch adds 0 and stays in the mean.

    Args:
        smooth: Term that keeps the ratio defined if a class is absent.
        void: Label of pixels to ignore.

    Raises:
        ConfigError: If `smooth` is not positive.
    """

    def __init__(self, smooth: float = 1e-3, void: int = 255) -> None:
        super().__init__(void)
        if not 0 < smooth < math.inf:
            raise ConfigError(f"smooth of {type(self).__name__} must be positive and finite, got {smooth}.")
        self.smooth = smooth

    @abc.abstractmethod
    def overlap(self, intersection: Tensor, predicted: Tensor, present: Tensor) -> Tensor:
        """Returns the overlap (C,), at most 1, from sums of probabilities and numbers of pixels (C,)."""

    def forward(self, logits: Tensor, label: Tensor, weights: Tensor | None = None) -> Tensor:
        """Returns the loss of the batch, between 0 and 1; see `SegmentationLoss`."""
        ids = torch.arange(logits.shape[1], device=label.device).view(1, -1, 1, 1)
        truth = label[:, None] == ids
        shares = logits.softmax(dim=1) * (label != self.void)[:, None]
        sums = torch.stack([(shares * truth).sum((0, 2, 3)), shares.sum((0, 2, 3)), truth.sum((0, 2, 3)).to(shares)])
        intersection, predicted, present = sum_over_ranks(sums)
        loss = (1 - self.overlap(intersection, predicted, present)) * (present > 0)
        mean: Tensor = loss.mean() if weights is None else (loss * weights).sum() / weights.sum()
        return mean


class SoftJaccardLoss(OverlapLoss):
    """`1 - (intersection + s) / (union + s)` per class, the paper's loss (METHOD.md section 5)."""

    def overlap(self, intersection: Tensor, predicted: Tensor, present: Tensor) -> Tensor:
        """Returns the soft Jaccard index (C,)."""
        return (intersection + self.smooth) / (predicted + present - intersection + self.smooth)


class DiceLoss(OverlapLoss):
    """`1 - (intersection + s) / ((predicted + present) / 2 + s)` per class (Milletari et al., 3DV 2016).

    The sums are of probabilities, not of their squares, as in segmentation_models_pytorch.
    """

    def overlap(self, intersection: Tensor, predicted: Tensor, present: Tensor) -> Tensor:
        """Returns the soft Dice coefficient (C,)."""
        return (intersection + self.smooth) / ((predicted + present) / 2 + self.smooth)


class CrossEntropyLoss(SegmentationLoss):
    """`-log p` of the label's class, averaged over the labelled pixels by the weights of their classes."""

    def forward(self, logits: Tensor, label: Tensor, weights: Tensor | None = None) -> Tensor:
        """Returns the loss of the batch; see `SegmentationLoss`."""
        label = label.long()
        # Not `reduction="mean"`: that is the mean of one process, and NaN without labelled pixels.
        entropy = functional.cross_entropy(logits, label, ignore_index=self.void, reduction="none")
        counted = (label != self.void).to(entropy)
        if weights is not None:
            counted = counted * weights[label.clamp(max=len(weights) - 1)]
        total, count = sum_over_ranks(torch.stack([(counted * self.per_pixel(entropy)).sum(), counted.sum()]))
        mean: Tensor = total / count.clamp(min=torch.finfo(count.dtype).tiny)
        return mean

    def per_pixel(self, entropy: Tensor) -> Tensor:
        """Returns the loss of every pixel (B, H, W) from its `-log p`."""
        return entropy


class FocalLoss(CrossEntropyLoss):
    """`-(1 - p)^gamma log p` of the label's class, averaged as in `CrossEntropyLoss` (Lin et al., ICCV 2017).

    p comes from the softmax over all classes; segmentation_models_pytorch uses one sigmoid per class instead.

    Args:
        gamma: Exponent. A larger one lowers the weight of pixels that are already right; 0 gives the cross-entropy.
        void: Label of pixels to ignore.

    Raises:
        ConfigError: If `gamma` is negative.
    """

    def __init__(self, gamma: float = 2.0, void: int = 255) -> None:
        super().__init__(void)
        if not 0 <= gamma < math.inf:
            raise ConfigError(f"gamma of FocalLoss must be 0 or more and finite, got {gamma}. Usual is 2.")
        self.gamma = gamma

    def per_pixel(self, entropy: Tensor) -> Tensor:
        """Returns the loss of every pixel (B, H, W) from its `-log p`."""
        wrong = -torch.expm1(-entropy)
        return wrong.clamp(min=1e-6) ** self.gamma * entropy  # below 1, the power has an infinite slope at 0


class SumOfLosses(SegmentationLoss):
    """A weighted sum of losses.

    Args:
        losses: The losses.
        factors: Factor of each loss; default: 1.

    Raises:
        ConfigError: If there is no loss, or not one positive factor for each.
    """

    def __init__(self, losses: list[SegmentationLoss], factors: Sequence[float] | None = None) -> None:
        super().__init__()
        self.losses = nn.ModuleList(losses)
        self.factors = [1.0] * len(losses) if factors is None else list(factors)
        if not losses or len(self.factors) != len(losses) or not all(0 < value < math.inf for value in self.factors):
            raise ConfigError(
                "SumOfLosses needs one loss or more, and if it has factors, a positive one for each; got "
                f"{len(losses)} losses and the factors {self.factors}."
            )

    def forward(self, logits: Tensor, label: Tensor, weights: Tensor | None = None) -> Tensor:
        """Returns the sum; see `SegmentationLoss`."""
        parts = zip(self.factors, self.losses, strict=True)
        return torch.stack([factor * loss(logits, label, weights) for factor, loss in parts]).sum()
