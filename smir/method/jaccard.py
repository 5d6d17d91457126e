"""The loss of segmentation: soft Jaccard, summed over the batch of all processes (METHOD.md section 5)."""

import torch
from torch import Tensor, nn

from smir.method.all_ranks import sum_over_ranks


class SoftJaccardLoss(nn.Module):
    """`1 - (intersection + s) / (union + s)` per class, averaged over the classes.

    The sums run over all pixels of the batch except void, on all processes, so the loss does not depend on the number
    of GPUs. A class that is absent from the whole batch adds 0 and stays in the mean. With gradient accumulation, the
    sums run over each part of the accumulated batch separately.

    Args:
        smooth: The term s, which keeps the ratio defined if a class is absent.
        void: Label of pixels to ignore.
    """

    def __init__(self, smooth: float = 1e-3, void: int = 255) -> None:
        super().__init__()
        self.smooth, self.void = smooth, void

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Returns the loss of the batch, between 0 and 1 and equal on all processes.

        Args:
            logits: (B, C, H, W), float.
            label: Class ids and void (B, H, W), integer.
        """
        ids = torch.arange(logits.shape[1], device=label.device).view(1, -1, 1, 1)
        truth = label[:, None] == ids
        shares = logits.softmax(dim=1) * (label != self.void)[:, None]
        sums = torch.stack([(shares * truth).sum((0, 2, 3)), shares.sum((0, 2, 3)), truth.sum((0, 2, 3)).to(shares)])
        intersection, predicted, present = sum_over_ranks(sums)
        union = predicted + present - intersection
        loss = 1 - (intersection + self.smooth) / (union + self.smooth)
        mean: Tensor = (loss * (present > 0)).mean()
        return mean
