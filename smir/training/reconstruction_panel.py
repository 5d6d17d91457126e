"""Pictures that people look at in place of numbers."""

from torch import Tensor

from smir.classes import UInt8
from smir.method.preprocessing import Preprocessing
from smir.method.scoring import Scored
from smir.pages.panels import heat_map, panel


def reconstruction_panel(preprocessing: Preprocessing, scored: Scored, chosen: Tensor) -> UInt8:
    """Shows input, masked input, reconstruction, patch loss as a heat map, and the chosen mask, side by side.

    Args:
        preprocessing: Turns normalised images back into colours.
        scored: Scores of B or more views.
        chosen: BoolTensor (B, P), the mask that each image gets.

    Returns:
        RGB (H, W, 3) uint8, one row per image.
    """
    count = len(chosen)
    image = scored.image[:count]
    hidden = scored.grid.to_pixels(chosen.to(image.device))[:, None]
    heat = [
        heat_map(scored.grid.to_pixels(score.cpu()).numpy(), *map(float, score.aminmax()))
        for score in scored.scores[:count]
    ]
    columns = {
        "input": colors(preprocessing, image),
        "masked input": colors(preprocessing, image * ~scored.mask[:count]),
        "reconstruction": colors(preprocessing, scored.reconstruction[:count]),
        "patch loss (bright = high)": heat,
        "chosen mask": colors(preprocessing, image * ~hidden),
    }
    return panel(columns)


def colors(preprocessing: Preprocessing, image: Tensor) -> list[UInt8]:
    """Turns normalised images (B, 3, H, W) back into RGB pictures (H, W, 3)."""
    return list(preprocessing.denormalize(image.float()).permute(0, 2, 3, 1).cpu().numpy())
