"""Compares an exported network with PyTorch on images."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from smir.classes import UInt8
from smir.errors import CheckpointError, counted
from smir.method.padding import PAD_MULTIPLE, reflect_padded
from smir.training.segmentation import SegmentationModule

Logits = npt.NDArray[np.float32]
ExportedNetwork = Callable[[UInt8], Logits]
"""Maps images (B, 3, H, W) to logits (B, C, H, W)."""


@dataclasses.dataclass(frozen=True)
class Agreement:
    """A comparison with PyTorch: largest difference of an output, largest output, and share of equal labels."""

    images: int
    difference: float
    reach: float
    equal: float
    output: str

    def __str__(self) -> str:
        return (
            f"on {counted(self.images, 'image', 'images')} the largest difference of a {self.output} is "
            f"{self.difference:.2g} (the largest is {self.reach:.3g}), {100 * self.equal:.4g} % of the labels are equal"
        )


def compare(
    name: str,
    exported: ExportedNetwork,
    module: SegmentationModule,
    images: Sequence[UInt8],
    tolerance: float,
    any_size: bool,
) -> Agreement:
    """Runs an exported network and PyTorch on the whole views of images, each with its mirror image as a batch of two.

    Images are RGB (H, W, 3) of any size. All may have the size that the network was traced with. So a network for
    `any_size` also gets the first image doubled in width, and doubled in height. The tolerance is the accepted
    difference, as a share of the largest logit. Messages call the file `name`.

    Raises:
        CheckpointError: If they differ by more, a logit is not a number, or the exported network does not run.
    """
    views = [padded_view(module, image) for image in images]
    batches = [torch.cat([view, view.flip(-1)]) for view in views]
    if any_size:
        batches += [torch.cat([views[0], views[0]], dim=dim) for dim in (-1, -2)]
    return _compared(name, exported, lambda batch: _logits(module, batch), batches, len(images), tolerance, "logit")


def compare_tiles(
    name: str, exported: ExportedNetwork, module: SegmentationModule, images: Sequence[UInt8], tolerance: float
) -> Agreement:
    """Runs an exported network that gives probabilities, and PyTorch, on the first square tile of every view.

    Raises:
        CheckpointError: As `compare` does.
    """
    views = [padded_view(module, image) for image in images]
    side = min(views[0].shape[-2:])
    tiles = [view[..., :side, :side].contiguous() for view in views]
    return _compared(
        name, exported, lambda tile: _logits(module, tile).softmax(dim=1), tiles, len(images), tolerance, "probability"
    )


def _logits(module: SegmentationModule, batch: torch.Tensor) -> torch.Tensor:
    logits: torch.Tensor = module(module.preprocessing.normalize(batch))
    return logits


def _compared(
    name: str,
    exported: ExportedNetwork,
    reference: Callable[[torch.Tensor], torch.Tensor],
    batches: Sequence[torch.Tensor],
    images: int,
    tolerance: float,
    output: str,
) -> Agreement:
    difference = reach = 0.0
    equal: list[float] = []
    for batch in tqdm(batches, desc=f"checking {name}", leave=False):
        with torch.no_grad():
            expected = reference(batch).numpy()
        found = _run(name, exported, batch.numpy())
        difference = float(np.maximum(difference, np.abs(found - expected).max()))  # np.maximum keeps a nan
        reach = max(reach, float(np.abs(expected).max()))
        equal.append(float((found.argmax(axis=1) == expected.argmax(axis=1)).mean()))
    agreement = Agreement(images, difference, reach, sum(equal) / len(equal), output)
    if not difference <= tolerance * reach:
        raise CheckpointError(
            f"{name} does not compute what PyTorch computes: {agreement}. A share of {tolerance:g} of the largest "
            f"{output} is accepted (--tolerance)."
        )
    return agreement


def _run(name: str, exported: ExportedNetwork, batch: UInt8) -> Logits:
    try:
        return exported(batch)
    except Exception as error:  # each runtime raises other errors
        raise CheckpointError(
            f"{name} does not run on images of shape {batch.shape}, which PyTorch takes: {str(error)[-300:]}"
        ) from error


def padded_shape(module: SegmentationModule, image: UInt8) -> tuple[int, int]:
    """Returns height and width of the padded view of an image."""
    height, width = module.preprocessing.view_shape(*image.shape[:2])
    return height + -height % PAD_MULTIPLE, width + -width % PAD_MULTIPLE


def padded_view(module: SegmentationModule, image: UInt8) -> torch.Tensor:
    """Returns the view (1, 3, H, W) uint8 of an image, padded as in `SegmentationModule.segment`."""
    view = torch.from_numpy(module.preprocessing.view(image)).permute(2, 0, 1)[None]
    return reflect_padded(view.float(), *padded_shape(module, image)).to(torch.uint8)


def share_of_equal_labels(labels: Callable[[UInt8], Any], module: SegmentationModule, images: Sequence[UInt8]) -> float:
    """Returns the share of pixels that a program labels like `SegmentationModule.segment`."""
    return float(np.mean([(labels(image) == module.segment(image).numpy()).mean() for image in images]))
