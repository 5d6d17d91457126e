"""The network as a program of `torch.export`, images in and logits out, and its file `model.pt2`."""

import copy
from pathlib import Path
from typing import Any

import torch
from timm.layers import Conv2dSame
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from smir.errors import CheckpointError
from smir.export.agreement import ExportedNetwork
from smir.method.padding import PAD_MULTIPLE
from smir.method.preprocessing import Preprocessing
from smir.terminal import quiet
from smir.training.segmentation import SegmentationModule

NAME, SCRIPT = "model.pt2", "run_pt2.py"
STRIDE = 32
"""Height and width of a program's input are multiples of this."""

Size = tuple[int, int]
"""Height and width."""


class Deployed(nn.Module):
    """The network with the normalisation in front, so that users neither forget it nor do it twice.

    Its input is bytes, so that runtimes refuse floating-point input, which may be normalised already.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, module: SegmentationModule) -> None:
        super().__init__()
        self.network = module.network
        for name, values in (("mean", module.preprocessing.mean), ("scale", module.preprocessing.std)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1) * 255)

    def forward(self, image: Tensor) -> Tensor:
        """Maps RGB images (B, 3, H, W) uint8, H and W multiples of 32, to logits (B, C, H, W) float32."""
        logits: Tensor = self.network((image.float() - self.mean) / self.scale)
        return logits.float()


def with_fixed_padding(network: Any) -> Any:
    """Returns the network with the padding that TensorFlow's `SAME` has for sides that are multiples of the stride.

    Timm's `tf_` encoders compute it from the side. With a symbolic side, torch.export then never finishes.
    """
    same = [name for name, module in network.named_modules() if isinstance(module, Conv2dSame)]
    network = copy.deepcopy(network) if same else network
    for name in same:
        old: Any = network.get_submodule(name)
        plain = nn.Conv2d(
            old.in_channels,
            old.out_channels,
            old.kernel_size,
            old.stride,
            0,
            old.dilation,
            old.groups,
            old.bias is not None,
        )
        plain.load_state_dict(old.state_dict())
        spans = zip(old.kernel_size[::-1], old.stride[::-1], old.dilation[::-1], strict=True)  # columns come first
        totals = [max(dilation * (kernel - 1) + 1 - stride, 0) for kernel, stride, dilation in spans]
        sides: Any = tuple(part for total in totals for part in (total // 2, total - total // 2))
        network.set_submodule(name, nn.Sequential(nn.ZeroPad2d(sides), plain))
    return network


def export_program(module: SegmentationModule, size: Size | None = None) -> ExportedProgram:
    """Exports the network for any number of images of a height and width; default: of any multiples of 32.

    Raises:
        CheckpointError: If torch cannot trace the network.
    """
    side = padded_side(module.preprocessing)
    # As large as views: a dimension of 1, also inside the network, would be traced as a constant.
    example = torch.zeros(2, 3, *(size or (side, side + PAD_MULTIPLE)), dtype=torch.uint8)
    sides = {} if size else {2: STRIDE * Dim("rows"), 3: STRIDE * Dim("columns")}
    form = Deployed(module)
    if size is None:
        form.network = with_fixed_padding(form.network)
    return traced(module, form, example, {0: Dim("batch"), **sides}, f"images of {size or 'any size'}")


def padded_side(preprocessing: Preprocessing) -> int:
    """Returns the shortest side of a view that is padded to multiples of 64."""
    return preprocessing.view_size + -preprocessing.view_size % PAD_MULTIPLE


def traced(
    module: SegmentationModule, form: nn.Module, example: Tensor, free: dict[int, Any], what: str
) -> ExportedProgram:
    """Traces a form of the network on an example of its argument `image`; the dimensions in `free` may vary.

    Raises:
        CheckpointError: If torch cannot trace it.
    """
    try:
        with quiet():  # torch warns about itself
            return torch.export.export(form.eval(), (example,), dynamic_shapes={"image": free})
    except Exception as error:  # tracers raise errors of any kind
        raise CheckpointError(
            f"The network ({module.network.spec}) cannot be exported for {what}: {str(error)[:300]}"
        ) from error


def write_pt2(folder: Path, program: ExportedProgram, settings: str) -> Path:
    """Writes `model.pt2`, with the settings (JSON) as its extra file `smir.json`, and returns its path."""
    torch.export.save(program, folder / NAME, extra_files={"smir.json": settings})
    return folder / NAME


def exported_pt2(path: Path) -> ExportedNetwork:
    """Reads the file back as a function."""
    network = torch.export.load(path).module()
    return lambda image: network(torch.from_numpy(image)).detach().numpy()
