"""Downstream: image -> network -> loss, by default soft Jaccard -> IoU per class."""

import dataclasses
import functools
import itertools
from typing import Any, ClassVar, Literal, cast

import torch
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import update_bn
from torchmetrics import MinMetric

from smir.classes import VOID, Classes, UInt8
from smir.errors import CheckpointError, ConfigError, DataError
from smir.method.class_weights import given_weights, median_frequency_weights
from smir.method.padding import padded_forward
from smir.method.preprocessing import Preprocessing
from smir.method.segmentation_losses import SegmentationLoss, SoftJaccardLoss
from smir.models.iou import ConfusionMatrix, IoU, iou_from_confusion, iou_from_counts
from smir.models.networks import build_network
from smir.models.object_iou import PARTS, ObjectIoU
from smir.runs.checkpoint_record import CheckpointRecord, Task
from smir.runs.lazy_defaults import lazy_instance
from smir.runs.ranks import sync_buffers
from smir.training.task import SmirModule

BATCH_NORM_BATCHES = 100
"""Training batches, at most, over which batch-norm statistics are averaged."""


class SegmentationModule(SmirModule):
    """Semantic segmentation (METHOD.md section 5).

    Args:
        classes: Names and colours of the classes; the CLI takes them from the data.
        loss: Loss of the training: `SoftJaccardLoss` (the paper's), `DiceLoss`, `CrossEntropyLoss`, `FocalLoss`, or
            `SumOfLosses`.
        class_weights: Weights of the classes in the loss, 0 or more: one for each class in the order of the data, or
            `{name: weight}`, where the others have 1; `auto`: by the median frequency in the training labels. Default:
            all 1.
        reestimate_batch_norm: Whether to compute batch-norm statistics from the training images before the first step.
            It matters if the encoder is frozen; otherwise the training soon replaces them.
        normalisation: Mean and deviation that images are normalised with: those of the `data`, or those that the
            library's `weights` were trained with. Without such weights, or if the library does not say, those of the
            data.
        kwargs: Arguments of every task.
    """

    task: ClassVar[Task] = "segment"
    monitor: ClassVar[str] = "val/miou"
    monitor_mode: ClassVar[Literal["min", "max"]] = "max"

    def __init__(
        self,
        classes: Classes,
        loss: SegmentationLoss = lazy_instance(SoftJaccardLoss),
        class_weights: Literal["auto"] | list[float] | dict[str, float] | None = None,
        reestimate_batch_norm: bool = False,
        normalisation: Literal["data", "weights"] = "data",
        **kwargs: Any,
    ) -> None:
        if len(classes) < 2:
            raise ConfigError(
                f"A segmentation tells two classes or more apart, got {', '.join(classes.names) or 'none'}. If all "
                "other pixels are background, name that class, too: data.classes. Pixels of 255 are not labelled."
            )
        for part in loss.modules():
            if getattr(part, "void", VOID) != VOID:
                raise ConfigError(
                    f"model.loss.void must be {VOID}: pixels without a label have this id. Got {part.void}."
                )
        super().__init__(len(classes), **kwargs)
        self.image_channels: dict[str, list[float]] | None = None
        """Mean and deviation of the data, if images are normalised otherwise."""
        if normalisation == "weights":
            self._normalise_as_weights()
        self.reestimate_batch_norm = reestimate_batch_norm
        self.classes = classes
        self.usual_side: int | None = None
        """Usual shortest side of the training images, if known from a checkpoint."""
        self.loss = loss
        self.weigh_by_frequency = class_weights == "auto"
        given = None if class_weights == "auto" else class_weights
        self.class_weights = None if given is None else given_weights(given, classes.names)
        self._weights: Tensor | None
        """The class weights (C,)."""
        weights = None if self.class_weights is None else torch.tensor(self.class_weights)
        self.register_buffer("_weights", weights, persistent=False)
        self.val_confusion = ConfusionMatrix(len(classes))
        self.val_finite = MinMetric()
        """1 if all outputs of the validation are finite, else 0; over all ranks."""
        self.test_counts: dict[str, Tensor] = {}
        """Confusion matrices (C, C) of the last test, rows = labels, by the size they were counted at."""
        self.test_confusion = nn.ModuleDict({at: ConfusionMatrix(len(classes)) for at in ("view", "native")})
        self.test_objects = ObjectIoU(len(classes), background=classes.background)

    @classmethod
    def from_record(cls, record: CheckpointRecord) -> "SegmentationModule":
        """Builds the module that a checkpoint's record describes."""
        assert record.classes is not None  # checked with the task where the record was read
        module = cls(
            record.classes,
            network=functools.partial(build_network, record.network),
            preprocessing=record.preprocessing,
            class_weights=_recorded_weights(record.origin.get("class_weights"), record.classes),
        )
        module.usual_side = record.usual_side
        return module

    @property
    def logged(self) -> list[str]:
        """Names of the values that a training logs, which callbacks can watch."""
        figures = ["miou", "iou_std", "iou_min", *(f"iou/{name}" for name in self.classes.names)]
        return [*(f"val/{name}" for name in figures), *super().logged]

    def setup(self, stage: str) -> None:
        """Counts the classes if their weights depend on it, and records the weights and the images' channels."""
        super().setup(stage)
        if stage == "fit" and self.image_channels is not None:
            self.origin = {**self.origin, "image_channels": self.image_channels}
        if stage == "fit" and self.weigh_by_frequency:
            self.class_weights = median_frequency_weights(self.data.class_frequencies)
        if stage == "fit" and self.class_weights is not None:
            named = dict(zip(self.classes.names, self.class_weights, strict=True))
            self.origin = {**self.origin, "class_weights": named}
            rank_zero_info(f"Class weights: {', '.join(f'{name} {weight:.3g}' for name, weight in named.items())}.")

    def _normalise_as_weights(self) -> None:
        given, weights = self.preprocessing, self.library_weights
        if weights is not None and weights.mean is not None and weights.std is not None:
            self.preprocessing = Preprocessing(weights.mean, weights.std, given.view_size, given.num_patches)
            self.image_channels = {"mean": list(given.mean), "std": list(given.std)}

    def on_fit_start(self) -> None:
        """Warns about gradient accumulation, which changes a loss that is a ratio of sums."""
        if (parts := self.trainer.accumulate_grad_batches) > 1:
            rank_zero_warn(
                f"trainer.accumulate_grad_batches = {parts}: the loss is computed for each batch of data.batch_size "
                f"images alone, and the gradients of {parts} such batches are averaged. That differs from the loss of "
                f"one batch {parts} times as large; for that, raise data.batch_size."
            )

    def on_train_start(self) -> None:
        """Estimates batch-norm statistics anew when a training begins; a resumed one has them."""
        if self.class_weights is not None:
            self._weights = torch.tensor(self.class_weights, device=self.device)
        if self.reestimate_batch_norm and self.trainer.ckpt_path is None:
            batches = itertools.islice(self.data.train_dataloader(), BATCH_NORM_BATCHES)
            update_bn((self.preprocessing.normalize(batch["image"].to(self.device)) for batch in batches), self.network)
            sync_buffers(self)

    def checkpoint_record(self) -> CheckpointRecord:
        """Adds the classes to what every checkpoint records."""
        return dataclasses.replace(super().checkpoint_record(), classes=self.classes)

    def forward(self, image: Tensor) -> Tensor:
        """Returns logits (B, C, H, W) in float32 of normalised images (B, 3, H, W) of any size."""
        return padded_forward(self.network, image).float()

    def _fitting(self, logits: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """Refuses logits of a network of one's own that has more channels than classes: they would count as others."""
        images, labels = batch["image"], batch["label"]
        if logits.shape != (wanted := (len(labels), self.out_channels, *labels.shape[-2:])):
            raise ConfigError(
                f"{type(self.network).__name__} makes {tuple(logits.shape)} of images {tuple(images.shape)}. A "
                f"segmentation needs {wanted}: a channel for each class, at the size of the image."
            )
        return logits

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """Loss of a batch of crops."""
        logits = self._fitting(self.network(self.preprocessing.normalize(batch["image"])).float(), batch)
        loss: Tensor = self.loss(logits, batch["label"], self._weights)
        self.log_loss(loss, len(batch["image"]))
        return loss

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Counts the pixels of centre crops."""
        logits = self._fitting(self(self.preprocessing.normalize(batch["image"])), batch)
        self.val_finite.update(logits.isfinite().all().float())
        self.val_confusion.update(logits.argmax(dim=1), batch["label"], batch["weight"])

    def on_validation_epoch_end(self) -> None:
        """Logs the IoU over the whole split; NaN if an output was not finite, so that the epoch is not the best.

        Raises:
            DataError: If no pixel was counted: the first epoch would pass for the best one.
        """
        counts = self.val_confusion.compute()
        if not (counts.any() or self.trainer.sanity_checking or self.trainer.fast_dev_run):  # type: ignore[attr-defined]
            raise DataError(
                "No pixel that was validated has a label: all are void (255), so there are no figures, and no epoch "
                "could be chosen as the best. The centre crops of data.crop_size pixels are validated, of the images "
                "in trainer.limit_val_batches. `python -m smir check` shows how often each class occurs, and which "
                "stored values are void."
            )
        if not self.val_finite.compute():  # their argmax is the first class, which would pass for a prediction
            rank_zero_warn(
                "The output of the network for validation images is NaN or infinite, so their figures are missing: the "
                "training has diverged, or the outputs are too large for this precision. Lower model.lr, or set "
                "--trainer.precision 32-true."
            )
            counts = torch.zeros_like(counts)
        self._log_iou("val", iou_from_confusion(counts), prog_bar=True)
        self.val_confusion.reset()
        self.val_finite.reset()

    def test_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """Counts the pixels of whole images: at their view, the paper's figure, and at the label's own size.

        Boundaries and objects by size count at the label's own size.

        Returns:
            Predicted class ids at the label's own size (B, H, W).
        """
        logits = _finite(self(self.preprocessing.normalize(batch["image"])))
        native = _resized(logits, batch["label"].shape[-2:]).argmax(dim=1)
        confusion = cast(dict[str, ConfusionMatrix], self.test_confusion)
        confusion["view"].update(logits.argmax(dim=1), batch["view_label"], batch["weight"])
        confusion["native"].update(native, batch["label"], batch["weight"])
        self.test_objects.update(native, batch["label"], batch["weight"])
        return native

    def on_test_epoch_end(self) -> None:
        """Logs the IoU over the whole split at both sizes, at boundaries, and of small, medium and large objects."""
        for at, confusion in cast(dict[str, ConfusionMatrix], self.test_confusion).items():
            counts = confusion.compute()
            self._log_iou(f"test/{at}", iou_from_confusion(counts))
            self.test_counts[at] = counts.cpu()
            confusion.reset()
        for part, intersection, union in zip(PARTS, *self.test_objects.compute(), strict=True):
            self._log_iou(f"test/{part}", iou_from_counts(intersection, union))
        self.test_objects.reset()

    def predict_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor | list[Tensor]:
        """Returns logits (B, C, H, W) at the size of the source image; a batch holds one image.

        If an image is read in windows, the batch has no pixels and nothing is returned: `PredictionWriter` segments it.
        """
        if "image" not in batch:
            return []
        height, width = batch["size"][0].tolist()
        return _resized(_finite(self(self.preprocessing.normalize(batch["image"]))), (height, width))

    @torch.no_grad()
    def segment(self, image: UInt8) -> Tensor:
        """Segments one image, seen whole: its shortest side becomes the view size.

        Args:
            image: RGB (H, W, 3) uint8 of any size.

        Returns:
            Class ids (H, W) uint8, at the size of the image.
        """
        logits = self.logits(self.preprocessing.view(image)[None])
        return _resized(logits, image.shape[:2]).argmax(dim=1)[0].to(torch.uint8)

    def logits(self, images: UInt8) -> Tensor:
        """Returns logits (B, C, H, W) of RGB images (B, H, W, 3)."""
        batch = torch.from_numpy(images).permute(0, 3, 1, 2).to(self.device)
        return _finite(self(self.preprocessing.normalize(batch)))

    def _log_iou(self, prefix: str, result: IoU, prog_bar: bool = False) -> None:
        values = {"miou": result.mean, "iou_std": result.std, "iou_min": result.lowest}
        per_class = zip(self.classes.names, result.per_class, strict=True)
        values |= {f"iou/{name}": value for name, value in per_class}
        for name, value in values.items():
            shown = prog_bar and name == "miou"
            # Equal on all ranks already; sync_dist only tells Lightning so.
            self.log(f"{prefix}/{name}", value.float().to(self.device), prog_bar=shown, sync_dist=True)


def _finite(logits: Tensor) -> Tensor:
    """Refuses logits that are not finite: the argmax of NaN is class 0."""
    if not logits.isfinite().all():
        raise CheckpointError(
            "The output of the network is NaN or infinite: the training has diverged, or the weights are damaged or "
            "too large for this precision. Use another checkpoint of its run, train again with a lower model.lr, or "
            "set --trainer.precision 32-true."
        )
    return logits


def _resized(logits: Tensor, size: tuple[int, ...]) -> Tensor:
    if logits.shape[-2:] == size:
        return logits
    return functional.interpolate(logits, size=size, mode="bilinear", align_corners=False)


def _recorded_weights(found: Any, classes: Classes) -> dict[str, float] | None:
    """Returns the class weights in the record of a checkpoint, if they are complete."""
    if not isinstance(found, dict) or set(found) != set(classes.names):
        return None
    return found if all(type(weight) in (int, float) for weight in found.values()) else None
