"""The network as a program of `torch.export`: images in, logits out, the normalisation inside."""

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from smir.errors import CheckpointError
from smir.method.padding import PAD_MULTIPLE
from smir.terminal import quiet
from smir.training.segmentation import SegmentationModule

STRIDE = 32
"""Height and width that a program takes are multiples of this."""

Size = tuple[int, int]
"""Height and width."""


class Deployed(nn.Module):
    """The network with the normalisation in front, so that nobody can forget it or do it twice.

    Its input is bytes: what holds floating-point numbers, and so may be normalised already, is refused by whatever
    runs the file.

    Args:
        module: Where network and normalisation come from.
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


def export_program(module: SegmentationModule, size: Size | None = None) -> ExportedProgram:
    """Exports the network for any number of images.

    Args:
        module: The network.
        size: Height and width of the images; without it, any that are multiples of 32.

    Raises:
        CheckpointError: If torch cannot trace the network so.
    """
    side = module.preprocessing.view_size
    side += -side % PAD_MULTIPLE
    # As large as views are: what becomes 1 on the way, or a batch of 1, would be taken for a constant.
    example = torch.zeros(2, 3, *(size or (side, side + PAD_MULTIPLE)), dtype=torch.uint8)
    sides = {} if size else {2: STRIDE * Dim("rows"), 3: STRIDE * Dim("columns")}
    try:
        with quiet():  # torch warns about itself
            return torch.export.export(
                Deployed(module).eval(), (example,), dynamic_shapes={"image": {0: Dim("batch"), **sides}}
            )
    except Exception as error:  # a tracer raises whatever the traced code makes of symbols in place of numbers
        raise CheckpointError(
            f"The network ({module.network.spec}) cannot be exported for images of {size or 'any size'}: "
            f"{str(error)[:300]}"
        ) from error
