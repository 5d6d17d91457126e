"""`encoder.safetensors`: the encoder alone, under timm's names where timm has the same network."""

import dataclasses
from pathlib import Path

import timm
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from smir.export.smp_files import save_tensors
from smir.models.networks import Network
from smir.seeding import generator_for

NAME = "encoder.safetensors"
_LIBRARY = "model."
"""Where segmentation_models_pytorch keeps a timm model in its encoder."""


@dataclasses.dataclass(frozen=True)
class EncoderFile:
    """The weights of an encoder on disk.

    Attributes:
        path: The file.
        timm_name: timm's name of the network that the file was loaded into and that gave the same features; nothing if
            there is none, and the tensors have the names of segmentation_models_pytorch.
        depth: Number of strides that the encoder has features of, for smp to build it.
        whole: Whether timm's whole classifier has these names as well, not its feature extractor alone.
    """

    path: Path
    timm_name: str | None
    depth: int
    whole: bool = False


def write_encoder(folder: Path, network: Network, settings: str, side: int) -> EncoderFile:
    """Writes the encoder's weights.

    The names are those of `timm.create_model(name, features_only=True)` if that network, with these weights, gives the
    features of the encoder; otherwise those of the encoder in segmentation_models_pytorch.

    Args:
        folder: Where to.
        network: A network in either class.
        settings: JSON.
        side: Side of the image that the features are compared on, a size that the network was trained at.
    """
    path = folder / NAME
    encoder: nn.Module = network.encoder  # type: ignore[assignment]  # torch types attributes of a module loosely
    depth = int(getattr(encoder, "_depth", 5))  # smp's default
    name = _timm_name(network.encoder_name)
    if timm.is_model(name):
        theirs = timm.create_model(name, pretrained=False, features_only=True)
        if tensors := _renamed(encoder, theirs.state_dict()):
            save_tensors(path, tensors, settings)
            theirs.load_state_dict(load_file(path))
            if _same_features(encoder, theirs.eval(), side):
                whole = timm.create_model(name, pretrained=False, num_classes=0).state_dict()
                return EncoderFile(path, name, depth, tensors.keys() <= whole.keys())
    save_tensors(path, encoder.state_dict(), settings)
    return EncoderFile(path, None, depth)


def _timm_name(name: str) -> str:
    """What timm calls an encoder of smp, if it has it; whether it is the same network is tried out."""
    name = name.removeprefix("tu-").removeprefix("timm-")
    if name.startswith("se_"):
        return f"legacy_{name.replace('se_', 'se', 1)}"
    return f"tf_{name.replace('-', '_')}" if name.startswith("efficientnet-") else name


def _renamed(encoder: nn.Module, wanted: dict[str, Tensor]) -> dict[str, Tensor] | None:
    """The encoder's tensors under the names of timm's; nothing if there are others, or of other shapes."""
    tensors: dict[str, Tensor] = {}
    for own, value in encoder.state_dict().items():
        own = own.removeprefix(_LIBRARY)
        for there in (own, own.replace(".", "_", 1)):  # timm flattens the first level of some feature extractors
            if there in wanted:
                tensors[there] = value
    fits = {name: value.shape for name, value in tensors.items()} == {n: value.shape for n, value in wanted.items()}
    return tensors if fits else None


@torch.no_grad()
def _same_features(encoder: nn.Module, theirs: nn.Module, side: int) -> bool:
    """Whether every feature map of timm's network is one of the encoder's."""
    image = torch.randn(1, 3, side, side, generator=generator_for(0, "export"))
    own, found = encoder(image), theirs(image)
    if getattr(theirs, "output_fmt", "NCHW") == "NHWC":
        found = [feature.permute(0, 3, 1, 2) for feature in found]
    return all(any(_close(feature, other) for other in own) for feature in found)


def _close(left: Tensor, right: Tensor) -> bool:
    return left.shape == right.shape and bool((left - right).abs().max() <= 1e-4 * right.abs().max())
