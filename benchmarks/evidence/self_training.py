"""The rival of a pretraining for a user with a pool of unlabelled images: self-training.

A mean teacher (Tarvainen and Valpola, 2017) labels the images of the pool; the student learns from those of its labels
that are confident, on a stronger view of the same crop (FixMatch: Sohn et al., 2020).
"""

import copy
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from smir.classes import VOID
from smir.data.reading.pairs import Images
from smir.data.reading.transforms import TrainTransform
from smir.method.padding import padded_forward
from smir.seeding import generator_for, seed_for
from smir.training import SegmentationModule

CONFIDENT = 0.95
"""Probability of the teacher's label from which a pixel counts."""


class SelfTraining(SegmentationModule):
    """Segmentation that also learns from the pool, with labels of a teacher; validates and predicts with the teacher.

    Args:
        pool_batch: Pool images of a step.
        pool_weight: Weight of their loss, reached after `warmup_epochs`.
        keep: Share of the teacher's weights that a step keeps.
        kwargs: Arguments of a segmentation.
    """

    def __init__(self, pool_batch: int = 4, pool_weight: float = 1.0, keep: float = 0.99, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pool_batch, self.pool_weight, self.keep = pool_batch, pool_weight, keep
        self.teacher = copy.deepcopy(self.network).requires_grad_(False)

    def on_fit_start(self) -> None:
        """Gives the teacher the weights that the student starts from."""
        super().on_fit_start()
        if self.global_step == 0:
            self.teacher.load_state_dict(self.network.state_dict())

    def forward(self, image: Tensor) -> Tensor:
        """Returns the teacher's logits (B, C, H, W)."""
        return padded_forward(self.teacher, image).float()

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """Loss of a batch of labelled crops, and of one of the pool."""
        loss = super().training_step(batch, batch_idx)
        seed = seed_for(self.data.seed, "pool", self.current_epoch, batch_idx, self.global_rank)
        weak = self._crops(seed)
        with torch.no_grad():
            confidence, label = self.teacher(self.preprocessing.normalize(weak)).float().softmax(dim=1).max(dim=1)
        label = label.masked_fill(confidence < CONFIDENT, VOID)
        logits = self.network(self.preprocessing.normalize(_stronger(weak, label, seed))).float()
        # A sum over all pixels: a batch of which few are confident moves the student little.
        pool_loss = functional.cross_entropy(logits, label, ignore_index=VOID, reduction="sum") / label.numel()
        ramp = min(1.0, (self.current_epoch + 1) / max(self.warmup_epochs, 1))
        return loss + self.pool_weight * ramp * pool_loss

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Moves the teacher after the student."""
        super().optimizer_step(*args, **kwargs)
        with torch.no_grad():
            for name, value in self.teacher.state_dict().items():
                own = self.network.state_dict()[name]
                if value.is_floating_point():
                    value.lerp_(own, 1 - self.keep)
                else:
                    value.copy_(own)

    def _crops(self, seed: int) -> Tensor:
        """Returns crops (B, 3, H, W) uint8 of images of the pool, chosen by the seed."""
        pool, transform = self.data.images("pool"), TrainTransform(self.data.crop_size)
        chosen = torch.randint(len(pool), (self.pool_batch,), generator=generator_for(seed, "images")).tolist()
        images = Images(pool, self.data.min_side, self.data.cache)
        crops = [transform(images.read(index), None, seed_for(seed, place))[0] for place, index in enumerate(chosen)]
        return torch.stack([torch.from_numpy(crop).permute(2, 0, 1) for crop in crops]).to(self.device)


def _stronger(image: Tensor, label: Tensor, seed: int) -> Tensor:
    """Returns a stronger view (B, 3, H, W) uint8: contrast and brightness, grey, blur, and a square cut out."""
    generator = generator_for(seed, "strong")
    count, side = len(image), image.shape[-1]
    draw = torch.rand(5, count, 1, 1, 1, generator=generator).to(image.device)
    pixels = image.float() / 255
    pixels = (pixels - 0.5) * (0.5 + draw[0]) + 0.5 + 0.4 * (draw[1] - 0.5)
    pixels = torch.where(draw[2] < 0.2, pixels.mean(dim=1, keepdim=True), pixels)
    soft = functional.avg_pool2d(functional.pad(pixels, (2, 2, 2, 2), mode="reflect"), 5, stride=1)
    pixels = torch.where(draw[3] < 0.5, soft, pixels).clamp(0, 1) * 255
    hole = side // 3
    corners = torch.randint(side - hole + 1, (count, 2), generator=generator).tolist()
    for place, (top, left) in enumerate(corners):
        pixels[place, :, top : top + hole, left : left + hole] = 127
        label[place, top : top + hole, left : left + hole] = VOID
    return pixels.round().to(torch.uint8)
