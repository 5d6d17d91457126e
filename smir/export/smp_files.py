"""`model.safetensors`: the whole network's weights, for `smp.from_pretrained` where smp has the network."""

import contextlib
import io
import json
from pathlib import Path

import segmentation_models_pytorch as smp
import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from smir.errors import CheckpointError, first_few
from smir.files.atomic import write_atomically
from smir.models.networks import Network, SmpNetwork

NAME, CONFIG, SCRIPT = "model.safetensors", "config.json", "run_smp.py"


def write_weights(folder: Path, network: Network, settings: str) -> Path:
    """Writes the weights under the names of smp, with the settings as metadata under the name `smir`.

    For an `SmpNetwork` the folder becomes one that `smp.from_pretrained` reads. smp has no `UNetStride4`: its tensors
    keep their names in `smir.models.networks`.

    Args:
        folder: Where to.
        network: A network in either class.
        settings: JSON.

    Returns:
        The file.

    Raises:
        CheckpointError: If what is read back, by smp where it has the network, is not the same.
    """
    model: nn.Module = network
    if isinstance(network, SmpNetwork):
        model = network.model
        config = {**network.model.config, "_model_class": type(network.model).__name__}
        write_atomically(folder / CONFIG, json.dumps(config, indent=2, sort_keys=True) + "\n")
    save_tensors(folder / NAME, model.state_dict(), settings)
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
    # `save_file` hides it from other users.
    write_atomically(path, save(plain, metadata={"format": "pt", "smir": settings}))
