"""Writes weights as safetensors: `model.safetensors` for smp, and `encoder.safetensors` for timm if possible."""

import contextlib
import dataclasses
import io
import json
from collections.abc import Iterator
from pathlib import Path

import segmentation_models_pytorch as smp
import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from smir.errors import CheckpointError, first_few
from smir.files.atomic import write_atomically
from smir.models.networks import Network, SmpNetwork
from smir.seeding import generator_for

NAME, CONFIG, SCRIPT = "model.safetensors", "config.json", "run_smp.py"
ENCODER = "encoder.safetensors"
_LIBRARY = "model."
"""Prefix of the tensors of a timm model in an encoder of segmentation_models_pytorch."""


def write_weights(folder: Path, network: Network, settings: str) -> Path:
    """Writes the weights under the names of smp, with the settings (JSON) as metadata, and returns the file's path.

    For an `SmpNetwork` the folder becomes one that `smp.from_pretrained` reads. smp has no `UNetStride4`: its tensors
    keep their names in `smir.models.networks`.

    Raises:
        CheckpointError: If the file, read back by smp where it has the network, differs.
    """
    model: nn.Module = network
    if isinstance(network, SmpNetwork):
        model = network.model
        config = {**network.model.config, "_model_class": type(network.model).__name__}
        write_atomically(folder / CONFIG, json.dumps(config, indent=2, sort_keys=True) + "\n")
    save_tensors(folder / NAME, model.state_dict(), settings)
    with _read_back(folder / NAME):
        if isinstance(network, SmpNetwork):
            with contextlib.redirect_stdout(io.StringIO()):  # the hub's client prints where it reads from
                found = smp.from_pretrained(str(folder)).state_dict()
        else:
            found = load_file(folder / NAME)
    own = model.state_dict()
    if differ := [name for name, value in own.items() if name not in found or not torch.equal(value, found[name])]:
        raise CheckpointError(f"{NAME} is not read back as it was written; {first_few(differ)} differ.")
    return folder / NAME


def save_tensors(path: Path, tensors: dict[str, Tensor], settings: str) -> None:
    """Writes tensors as safetensors, with the settings as metadata under the name `smir`."""
    plain = {name: value.detach().clone(memory_format=torch.contiguous_format) for name, value in tensors.items()}
    # `save_file` would set permissions that hide the file from other users.
    write_atomically(path, save(plain, metadata={"format": "pt", "smir": settings}))


@contextlib.contextmanager
def _read_back(path: Path) -> Iterator[None]:
    """Turns the errors of torch and safetensors for a file that the system refuses to read into one."""
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(f"{path.absolute()} was written and cannot be read back: {error}.") from error


@dataclasses.dataclass(frozen=True)
class EncoderFile:
    """The weights of an encoder on disk.

    Attributes:
        path: The file.
        timm_name: timm's name of the network that gives the same features with this file. None: the tensors have the
            names of segmentation_models_pytorch.
        depth: Number of strides with features, which smp needs to build the encoder.
        whole: True if timm's whole classifier has these names as well as its feature extractor.
    """

    path: Path
    timm_name: str | None
    depth: int
    whole: bool = False


def write_encoder(folder: Path, network: Network, settings: str, side: int) -> EncoderFile:
    """Writes the encoder's weights.

    The names are those of `timm.create_model(name, features_only=True)` if that network, with these weights, gives the
    features of the encoder on an image of the given side; otherwise those of segmentation_models_pytorch.
    """
    path = folder / ENCODER
    encoder: nn.Module = network.encoder  # type: ignore[assignment]  # torch types attributes of a module loosely
    depth = int(getattr(encoder, "_depth", 5))  # smp's default
    name = _timm_name(network.encoder_name)
    if timm.is_model(name):
        theirs = timm.create_model(name, pretrained=False, features_only=True)
        if tensors := _renamed(encoder, theirs.state_dict()):
            save_tensors(path, tensors, settings)
            with _read_back(path):
                theirs.load_state_dict(load_file(path))
            if _same_features(encoder, theirs.eval(), side):
                whole = timm.create_model(name, pretrained=False, num_classes=0).state_dict()
                return EncoderFile(path, name, depth, tensors.keys() <= whole.keys())
    save_tensors(path, encoder.state_dict(), settings)
    return EncoderFile(path, None, depth)


def _timm_name(name: str) -> str:
    """Returns the likely name in timm of an encoder of smp."""
    name = name.removeprefix("tu-").removeprefix("timm-")
    if name.startswith("se_"):
        return f"legacy_{name.replace('se_', 'se', 1)}"
    return f"tf_{name.replace('-', '_')}" if name.startswith("efficientnet-") else name


def _renamed(encoder: nn.Module, wanted: dict[str, Tensor]) -> dict[str, Tensor] | None:
    """Returns the encoder's tensors under timm's names; None if names or shapes differ."""
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
    """Returns whether every feature map of timm's network is one of the encoder's."""
    image = torch.randn(1, 3, side, side, generator=generator_for(0, "export"))
    own, found = encoder(image), theirs(image)
    if getattr(theirs, "output_fmt", "NCHW") == "NHWC":
        found = [feature.permute(0, 3, 1, 2) for feature in found]
    return all(any(_close(feature, other) for other in own) for feature in found)


def _close(left: Tensor, right: Tensor) -> bool:
    return left.shape == right.shape and bool((left - right).abs().max() <= 1e-4 * right.abs().max())
