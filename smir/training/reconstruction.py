"""Pretraining: masked image -> network -> reconstruction loss."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal, cast

import torch
from torch import Tensor
from torchmetrics import MeanMetric

from smir.classes import UInt8
from smir.errors import ConfigError
from smir.method.all_ranks import mean_over_ranks
from smir.method.baselines import inpaint, mean_fill
from smir.method.losses import ReconstructionLoss, patch_loss
from smir.method.scoring import Scored, score_views
from smir.models.networks import build_network
from smir.runs.checkpoint_record import CheckpointRecord, Task
from smir.runs.lazy_defaults import lazy_instance
from smir.training.task import SmirModule

RGB = 3


class ReconstructionModule(SmirModule):
    """Reconstructs images of which some patches are hidden (METHOD.md section 1).

    The mask is an input: the batch brings it, whether it was drawn at random or chosen by `SelectiveMasking`.

    Args:
        loss: Loss of the training; on validation images it chooses the best checkpoint.
        ssim_unit_range: Compute SSIM, in training and scores, on values in [0, 1], which its data range of 1 is meant
            for. The paper computes it on normalised values.
        kwargs: Arguments of every task.

    Raises:
        ConfigError: If the loss overrides `forward`.
    """

    task: ClassVar[Task] = "pretrain"
    monitor: ClassVar[str] = "val/loss"
    monitor_mode: ClassVar[Literal["min", "max"]] = "min"

    def __init__(
        self,
        loss: ReconstructionLoss = lazy_instance(ReconstructionLoss),
        ssim_unit_range: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(RGB, **kwargs)
        if type(loss).forward is not ReconstructionLoss.forward:
            raise ConfigError(
                f"{type(loss).__name__} overrides forward, which a training does not call: it needs the loss of every "
                "image. Override per_image, which returns a tensor (B,)."
            )
        self.loss = loss
        self.ssim_unit_range = ssim_unit_range
        # A NaN counts as one; by default it is left out, and the best checkpoint chosen by the other images.
        self.val_loss = MeanMetric(nan_strategy=math.nan)
        self.val_mean_fill = MeanMetric(nan_strategy=math.nan)
        self.val_inpaint = MeanMetric(nan_strategy=math.nan)
        self.test_loss = MeanMetric(nan_strategy=math.nan)

    @classmethod
    def from_record(cls, record: CheckpointRecord) -> "ReconstructionModule":
        """Builds the module that a checkpoint's record describes."""
        network = functools.partial(build_network, record.network)
        unit_range = record.model_option("ssim_unit_range") is True
        return cls(network=network, preprocessing=record.preprocessing, ssim_unit_range=unit_range)

    @property
    def logged(self) -> list[str]:
        """Names of the values that a training logs, which callbacks can watch."""
        return ["val/loss", "val/mean_fill", "val/inpaint", *super().logged]

    @property
    def ssim_input(self) -> Callable[[Tensor], Tensor] | None:
        """Turns normalised values into those that SSIM is computed on; None if it takes them as they are."""
        return self.preprocessing.unit_range if self.ssim_unit_range else None

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Reconstructs images.

        Args:
            image: Normalised (B, 3, H, W).
            mask: BoolTensor (B, 1, H, W), True = masked; such a pixel becomes 0, the mean colour.

        Returns:
            Reconstruction (B, 3, H, W), normalised.
        """
        return cast(Tensor, self.network(image * ~mask))

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """Loss of a batch of masked crops."""
        image = self.preprocessing.normalize(batch["image"])
        loss = mean_over_ranks(self._per_image(self(image, batch["mask"]), image, batch["mask"]))
        self.log_loss(loss, len(image))
        return loss

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Loss per image, beside that of two fillings of the masked patches that learn nothing."""
        image, mask = self.preprocessing.normalize(batch["image"]), batch["mask"]
        self.val_loss.update(self._per_image(self(image, mask), image, mask), batch["weight"])
        self.val_mean_fill.update(self._per_image(mean_fill(image, mask), image, mask), batch["weight"])
        self.val_inpaint.update(self._per_image(inpaint(image, mask), image, mask), batch["weight"])
        self.log("val/loss", self.val_loss, prog_bar=True)
        self.log("val/mean_fill", self.val_mean_fill)
        self.log("val/inpaint", self.val_inpaint)

    def test_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Loss per image of the validation part of the pool."""
        image, mask = self.preprocessing.normalize(batch["image"]), batch["mask"]
        self.test_loss.update(self._per_image(self(image, mask), image, mask), batch["weight"])
        self.log("test/loss", self.test_loss)

    def _per_image(self, prediction: Tensor, image: Tensor, mask: Tensor) -> Tensor:
        loss = self.loss.per_image(prediction, image, mask, self.ssim_input)
        if loss.shape != (len(image),):
            raise ConfigError(
                f"per_image of {type(self.loss).__name__} returned a tensor of shape {tuple(loss.shape)} for "
                f"{len(image)} images. It returns one loss for each: average over channels and pixels."
            )
        return loss

    def score_views(self, views: Tensor, keys: Sequence[int], **options: Any) -> Scored:
        """Scores every patch of a batch of whole views; `SelectiveMasking` calls it.

        Args:
            views: (B, 3, h, w) uint8, on the device of the module.
            keys: B stable numbers of the images.
            options: Those of `smir.method.score_views`.
        """
        grid = self.preprocessing.grid(*views.shape[-2:])
        loss = functools.partial(patch_loss, ssim_input=self.ssim_input)
        return score_views(self.network, self.preprocessing.normalize(views), keys, grid=grid, loss=loss, **options)

    def score(self, image: UInt8, num_samples: int = 5, seed: int = 0) -> Tensor:
        """Scores the patches of one image by how badly they are reconstructed (METHOD.md section 3).

        Args:
            image: RGB (H, W, 3) uint8 of any size; its whole view is scored.
            num_samples: Number of random masks to average over.
            seed: Seed of these masks.

        Returns:
            Tensor (P,): scores on the grid `self.preprocessing.grid(*self.preprocessing.view_shape(H, W))`.
        """
        view = torch.from_numpy(self.preprocessing.view(image)).permute(2, 0, 1)[None].to(self.device)
        return self.score_views(view, [0], num_samples=num_samples, seed=seed).scores[0]
