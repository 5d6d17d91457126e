"""Pictures side by side, with captions."""

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from smir.classes import Classes, UInt8
from smir.pages.overlays import blend, entries, legend, stacked, write

GAP = 6  # white pixels between pictures
CAPTION = 22  # height of the captions in pixels


def overlay_panel(name: str, image: UInt8, label: UInt8, prediction: UInt8, classes: Classes) -> UInt8:
    """Shows image, label and prediction side by side, the latter two blended over the image, and a legend below.

    Args:
        name: The image's name.
        image: RGB (H, W, 3).
        label: Class ids and void (H, W); void is shown white.
        prediction: Class ids (H, W).
        classes: Gives the colours.
    """
    columns = {
        name: [image],
        "label (white = void)": [blend(image, label, classes)],
        "prediction": [blend(image, prediction, classes)],
    }
    pictures = panel(columns)
    return stacked([pictures, legend(entries(classes), pictures.shape[1])])


def panel(columns: Mapping[str, Sequence[UInt8]]) -> UInt8:
    """Lays out pictures of one size in captioned columns."""
    height, width = next(iter(columns.values()))[0].shape[:2]
    rows = len(next(iter(columns.values())))
    canvas = np.full((CAPTION + rows * (height + GAP), len(columns) * (width + GAP) - GAP, 3), 255, dtype=np.uint8)
    for place, (caption, pictures) in enumerate(columns.items()):
        left = place * (width + GAP)
        scale = min(0.45, 0.45 * width / (8 * len(caption)))
        write(canvas, caption, left + 2, 15, scale)
        for row, picture in enumerate(pictures):
            top = CAPTION + row * (height + GAP)
            canvas[top : top + height, left : left + width] = picture
    return canvas


def heat_map(values: npt.NDArray[Any], low: float, high: float) -> UInt8:
    """Colours values (H, W), dark at `low` and below, bright at `high` and above, as RGB (H, W, 3)."""
    levels = np.clip((values - low) / max(high - low, 1e-8) * 255, 0, 255).round().astype(np.uint8)
    return np.asarray(cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB), dtype=np.uint8)
