import json

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from smir.errors import CheckpointError, ConfigError
from smir.method.padding import padded_forward
from smir.models.networks import SmpNetwork, UNetStride4, build_network, check_spec

TINY = "tu-test_efficientnet"


def giga_flops(network):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(torch.empty(1, 3, 256, 256, device="meta"))
    return counter.get_total_flops() / 1e9


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda: UNetStride4(3), 13.2),
        (lambda: SmpNetwork(3), 15.7),
        (lambda: smp.Unet("resnet34", encoder_weights=None, classes=3), 15.7),
    ],
    ids=["UNetStride4", "SmpNetwork", "smp.Unet"],
)
def test_the_cost_of_an_image_equals_that_of_the_paper(build, expected):
    with torch.device("meta"):
        network = build()
    assert giga_flops(network) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("encoder", ["resnet18", TINY])
@pytest.mark.parametrize("size", [(64, 96), (32, 32)])
def test_the_output_has_the_size_of_the_image(encoder, size):
    network = UNetStride4(5, encoder, decoder_channels=(32, 16, 8)).eval()
    decoded = []
    network.segmentation_head.register_forward_hook(lambda module, inputs, output: decoded.append(output.shape))
    output = network(torch.randn(2, 3, *size))
    assert output.shape == (2, 5, *size)
    assert decoded == [(2, 5, size[0] // 4, size[1] // 4)]  # decoding stops at stride 4


def test_dropout_acts_only_in_training():
    network, image = UNetStride4(3, TINY, (16, 16, 16)).eval(), torch.randn(2, 3, 64, 64)
    assert torch.equal(network(image), network(image))
    network.train()
    for module in network.modules():  # batch norm would differ as well
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    assert not torch.equal(network(image), network(image))


def test_every_weight_of_the_stride_4_network_is_trained():
    network = UNetStride4(3, "resnet18", (16, 16, 16))
    network(torch.randn(2, 3, 64, 64)).square().mean().backward()
    assert [name for name, weight in network.named_parameters() if weight.grad is None] == []


@pytest.mark.parametrize("widths", [(64, 32), (64, 32, 16, 8), ()])
def test_a_decoder_without_three_widths_is_refused(widths):
    with pytest.raises(ConfigError, match="three widths"):
        UNetStride4(3, TINY, widths)


def test_other_architectures_are_built_by_name():
    network = SmpNetwork(4, "FPN", TINY, {"decoder_pyramid_channels": 32, "decoder_segmentation_channels": 32}).eval()
    assert isinstance(network.model, smp.FPN)
    assert network.encoder is network.model.encoder
    assert network(torch.randn(1, 3, 64, 96)).shape == (1, 4, 64, 96)


@pytest.mark.parametrize("encoder", ["resnet19", "tu-nothing", "mynetwork", ""])
@pytest.mark.parametrize("network", [UNetStride4, SmpNetwork])
def test_unknown_encoders_are_named(network, encoder):
    with pytest.raises(ConfigError, match=f"encoder '{encoder}'"):
        network(3, encoder=encoder)


@pytest.mark.parametrize(
    "arguments",
    [{"architecture": "UNext"}, {"options": {"depth": 3}}, {"options": {"encoder_depth": 9}}],
    ids=["architecture", "option", "value"],
)
def test_a_network_that_the_library_cannot_build_is_named(arguments):
    name = arguments.get("architecture", "Unet")
    with pytest.raises(ConfigError, match=f"could not build '{name}' with encoder 'resnet18'"):
        SmpNetwork(3, encoder="resnet18", **arguments)


@pytest.mark.parametrize(
    "network",
    [
        lambda: UNetStride4(3, TINY, (32, 24, 16), dropout=0.4),
        lambda: SmpNetwork(3, "FPN", TINY, {"decoder_pyramid_channels": 32}),
    ],
    ids=["UNetStride4", "SmpNetwork"],
)
def test_a_network_is_rebuilt_from_its_record(network):
    network = network().eval()
    spec = json.loads(json.dumps(network.spec))  # only plain values
    again = build_network(spec, 3).eval()
    assert (type(again), again.spec, again.encoder_name) == (type(network), network.spec, network.encoder_name)
    again.load_state_dict(network.state_dict())
    image = torch.randn(1, 3, 64, 64)
    assert torch.equal(network(image), again(image))
    other = build_network(spec, 7).state_dict()
    head = {name for name, value in network.state_dict().items() if value.shape != other[name].shape}
    assert head == {name for name in other if "segmentation_head" in name}


@pytest.mark.parametrize("spec", [{"class": "System", "arguments": {}}, {}])
def test_records_of_unknown_networks_are_refused(spec):
    with pytest.raises(CheckpointError, match="network class"):
        build_network(spec, 3)


class Gated(UNetStride4):
    """A subclass that forgets to say how it was built."""


class Own(UNetStride4):
    def __init__(self, out_channels, width):
        super().__init__(out_channels, TINY, (width, width, width))
        self.spec = {"class": f"{__name__}.Own", "arguments": {"width": width}}


def test_a_network_of_another_module_is_rebuilt_if_the_module_is_loaded():
    network = Own(3, width=16)
    check_spec(network)
    again = build_network(network.spec, 5)
    assert type(again) is Own
    assert again.decoder[0].convolutions[0].out_channels == 16
    with pytest.raises(CheckpointError, match=r"'other\.Own'; known are .* import its module first.*--allow MODULE"):
        build_network({"class": "other.Own", "arguments": {}}, 5)


def test_a_network_that_would_be_rebuilt_as_its_base_is_refused(monkeypatch):
    with pytest.raises(ConfigError, match=r"Gated names UNetStride4.*set self\.spec = \{'class': '.*\.Gated'"):
        check_spec(Gated(3, TINY, (16, 16, 16)))
    with pytest.raises(ConfigError, match=r"Identity names no class"):
        check_spec(nn.Identity())
    monkeypatch.setattr(Gated, "__module__", "__main__")  # a script, which others import by the name of its file
    with pytest.raises(ConfigError, match=r"set self\.spec = \{'class': 'Gated'"):
        check_spec(Gated(3, TINY, (16, 16, 16)))


# Padding


class Recorder(nn.Module):
    """Returns its input and remembers it."""

    def forward(self, image):
        self.seen = image
        return image


@pytest.mark.parametrize(
    ("size", "padded"),
    [
        ((256, 256), (256, 256)),
        ((256, 341), (256, 384)),
        ((257, 256), (320, 256)),
        ((255, 100), (256, 128)),
        ((32, 40), (64, 64)),
        ((1, 70), (64, 128)),
        ((1, 1), (64, 64)),
    ],
)
def test_images_are_reflect_padded_and_cropped_back(size, padded):
    network, image = Recorder(), torch.randn(2, 3, *size)
    assert torch.equal(padded_forward(network, image), image)
    assert network.seen.shape[-2:] == padded
    sides = ((0, 0), (0, 0), *((0, after - before) for before, after in zip(size, padded, strict=True)))
    assert np.array_equal(network.seen, np.pad(image, sides, mode="reflect"))


def test_padded_forward_equals_the_network_if_no_padding_is_needed():
    network, image = UNetStride4(3, TINY, (16, 16, 16)).eval(), torch.randn(2, 3, 128, 64)
    with torch.no_grad():
        torch.testing.assert_close(padded_forward(network, image), network(image), atol=1e-6, rtol=1e-5)


def test_images_can_be_padded_to_another_multiple():
    network = Recorder()
    assert padded_forward(network, torch.randn(1, 3, 70, 96), multiple=32).shape == (1, 3, 70, 96)
    assert network.seen.shape == (1, 3, 96, 96)


@pytest.mark.parametrize("option", ["in_channels", "activation", "aux_params"])
def test_options_that_change_what_a_network_takes_or_gives_are_refused(option):
    with pytest.raises(ConfigError, match=f"its options cannot hold {option}"):
        SmpNetwork(3, "Unet", "tu-test_resnet", {option: 4})
