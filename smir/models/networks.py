"""Networks: a U-Net that stops at stride 4, and any architecture of segmentation_models_pytorch by name.

A network maps (B, 3, H, W) to (B, out_channels, H, W) and remembers in `spec` how it was built, so that a checkpoint
can rebuild it.
"""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any

import segmentation_models_pytorch as smp
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional

from smir.errors import CheckpointError, ConfigError, first_few


class Network(nn.Module):
    """Base of the networks: an encoder, the layers after it, and a record of the constructor's arguments.

    A constructor takes the number of output channels first. A subclass of another network sets `spec` again.

    Attributes:
        encoder: The part that pretrained encoder weights fill.
        spec: `class` and constructor `arguments` but for the number of output channels, as plain values. The class of
            a module of your own is named with its module: `mine.MyNetwork`.
        encoder_name: The encoder's name in segmentation_models_pytorch, where `tu-<name>` is a timm model.
    """

    spec: dict[str, Any]
    encoder_name: str


def _check_encoder(name: str) -> None:
    """Refuses names by which timm fetches models of anybody from the network or from a folder."""
    if ":" in name or "/" in name:
        raise ConfigError(f"The encoder {name!r} is a place, not a name. Load weights with --model.weights FILE.")


def _no_encoder(name: str) -> ConfigError:
    known = [*smp.encoders.encoders, *(f"tu-{model}" for model in timm.list_models())]
    close = get_close_matches(name, known) or list(smp.encoders.encoders)
    return ConfigError(
        f"segmentation_models_pytorch has no encoder {name!r}. Did you mean {first_few(close)}? "
        "A timm model is written tu-<timm name>, for example tu-resnet18."
    )


def _encoder(name: str) -> nn.Module:
    _check_encoder(name)
    try:
        encoder: nn.Module = smp.encoders.get_encoder(name, in_channels=3, depth=5, weights=None)
    except (KeyError, RuntimeError) as error:
        raise _no_encoder(name) from error
    except ValueError as error:
        raise ConfigError(f"The encoder {name!r} does not go down to stride 32 in steps of 2: {error}") from error
    return encoder


class _UpBlock(nn.Module):
    """Nearest upsampling by 2, the encoder's features beside it, and two 3 x 3 convolutions."""

    def __init__(self, in_channels: int, skip_channels: int, out_channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels in (in_channels + skip_channels, out_channels):
            layers += [
                nn.Conv2d(channels, out_channels, kernel_size=3, padding=1, bias=False),
                nn.BatchNorm2d(out_channels),
                nn.SiLU(inplace=True),
            ]
        self.convolutions = nn.Sequential(*layers)

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        features = functional.interpolate(features, size=skip.shape[-2:], mode="nearest")
        result: Tensor = self.convolutions(torch.cat([features, skip], dim=1))
        return result


class UNetStride4(Network):
    """U-Net that decodes to a quarter of the image's resolution (METHOD.md section 1), the paper's default.

    Decoder blocks of the given widths with SiLU and nearest upsampling from stride 32 to stride 4, channel dropout, a
    1 x 1 head, and bilinear upsampling by 4. With ResNet-34 a 256 x 256 image costs 13.2 GFLOP, against 15.7 for
    `smp.Unet`.

    Args:
        out_channels: Channels of the output.
        encoder: Encoder of stride 32, by its name in segmentation_models_pytorch; `tu-<name>` for one of timm.
        decoder_channels: Width of the decoder block at stride 16, 8 and 4.
        dropout: Probability that a channel is dropped before the head.

    Raises:
        ConfigError: If there is no such encoder, there are not three widths, or the dropout is not in [0, 1).
    """

    def __init__(
        self,
        out_channels: int,
        encoder: str = "resnet34",
        decoder_channels: Sequence[int] = (256, 128, 64),
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        if len(decoder_channels) != 3 or min(decoder_channels) < 1:
            raise ConfigError(
                f"decoder_channels needs three widths (stride 16, 8, 4) of 1 or more, got {list(decoder_channels)}."
            )
        if not 0 <= dropout < 1:
            raise ConfigError(f"dropout is a probability, at least 0 and below 1, got {dropout}.")
        arguments = {"encoder": encoder, "decoder_channels": list(decoder_channels), "dropout": dropout}
        self.spec = {"class": "UNetStride4", "arguments": arguments}
        self.encoder_name = encoder
        self.encoder = _encoder(encoder)
        widths: list[int] = list(self.encoder.out_channels)  # type: ignore[arg-type]  # every encoder of smp has them
        skips = widths[-2:1:-1]  # strides 16, 8, 4
        inputs = [widths[-1], *decoder_channels[:2]]
        self.decoder = nn.ModuleList(
            _UpBlock(*channels) for channels in zip(inputs, skips, decoder_channels, strict=True)
        )
        self.dropout = nn.Dropout2d(dropout)
        self.segmentation_head = nn.Conv2d(decoder_channels[-1], out_channels, kernel_size=1)

    def forward(self, image: Tensor) -> Tensor:
        """Maps (B, 3, H, W), H and W multiples of 32, to (B, out_channels, H, W)."""
        pyramid = self.encoder(image)
        features = pyramid[-1]
        for block, skip in zip(self.decoder, pyramid[-2:1:-1], strict=True):
            features = block(features, skip)
        output = self.segmentation_head(self.dropout(features))
        return functional.interpolate(output, size=image.shape[-2:], mode="bilinear", align_corners=False)


class SmpNetwork(Network):
    """Any architecture of segmentation_models_pytorch, from random weights.

    Args:
        out_channels: Channels of the output.
        architecture: Name of the architecture: Unet, UnetPlusPlus, FPN, DeepLabV3Plus, Segformer, ...
        encoder: Encoder by its name in segmentation_models_pytorch; `tu-<name>` for one of timm.
        options: Further arguments of the architecture, for example `{decoder_channels: [128, 64, 32, 16, 8]}`.

    Raises:
        ConfigError: If there is no such architecture or encoder, or an option that it does not take.
    """

    def __init__(
        self,
        out_channels: int,
        architecture: str = "Unet",
        encoder: str = "resnet34",
        options: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        _check_encoder(encoder)
        options = options or {}
        if wrong := sorted(options.keys() & {"in_channels", "activation", "aux_params"}):
            raise ConfigError(
                f"SmpNetwork takes RGB and gives logits, so its options cannot hold {wrong[0]}. Leave it out."
            )
        self.spec = {
            "class": "SmpNetwork",
            "arguments": {"architecture": architecture, "encoder": encoder, "options": options},
        }
        self.encoder_name = encoder
        try:
            self.model = smp.create_model(
                architecture, encoder_name=encoder, encoder_weights=None, classes=out_channels, **options
            )
        except (KeyError, ValueError, TypeError, RuntimeError) as error:
            if encoder not in smp.encoders.encoders and not timm.is_model(encoder.removeprefix("tu-")):
                raise _no_encoder(encoder) from error
            raise ConfigError(
                f"segmentation_models_pytorch could not build {architecture!r} with encoder {encoder!r} and options "
                f"{options}: {error}"
            ) from error

    @property
    def encoder(self) -> nn.Module:
        """The wrapped model's encoder."""
        encoder: nn.Module = self.model.encoder
        return encoder

    def forward(self, image: Tensor) -> Tensor:
        """Maps (B, 3, H, W), H and W multiples of the encoder's stride, to (B, out_channels, H, W)."""
        output: Tensor = self.model(image)
        return output


def network_class(name: Any) -> type[Network] | None:
    """Returns the class that a `spec` names: of smir, or a subclass of `Network` in a module that is already loaded."""
    if not isinstance(name, str):
        return None
    smir = {kind.__name__: kind for kind in (UNetStride4, SmpNetwork)}
    loaded = list(_below(Network))
    paths = {f"{kind.__module__}.{kind.__qualname__}": kind for kind in loaded}
    return ({kind.__name__: kind for kind in loaded} | paths | smir).get(name)


def _below(kind: type[Network]) -> Iterator[type[Network]]:
    for each in kind.__subclasses__():
        yield each
        yield from _below(each)


def check_spec(network: nn.Module) -> None:
    """Refuses a network that its checkpoints would not rebuild, or would rebuild as its base class.

    Raises:
        ConfigError: If `spec` does not name the class of the network.
    """
    named, kind = getattr(network, "spec", {}).get("class"), type(network)
    if network_class(named) is not kind:
        # Other programs know the module of a script by another name.
        path = kind.__qualname__ if kind.__module__ == "__main__" else f"{kind.__module__}.{kind.__qualname__}"
        raise ConfigError(
            f"The spec of the network {path} names {named or 'no class'}, so its checkpoints could not rebuild it. At "
            f"the end of its constructor, set self.spec = {{'class': '{path}', 'arguments': {{...}}}}, with the "
            "arguments of the constructor but for out_channels, as plain values."
        )


def build_network(spec: dict[str, Any], out_channels: int) -> Network:
    """Builds the network that a checkpoint's `spec` describes; nothing is imported for it.

    Raises:
        CheckpointError: If the spec names an unknown class.
    """
    if (kind := network_class(spec.get("class"))) is None:
        raise CheckpointError(
            f"The checkpoint's network class is {spec.get('class')!r}; known are UNetStride4, SmpNetwork, and those of "
            "modules that are loaded. For a network of your own, import its module first; a command does so with "
            "--allow MODULE."
        )
    return kind(out_channels, **spec["arguments"])
