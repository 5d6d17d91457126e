"""A picture of some labelled images, to see whether the labels lie on what they name."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import cv2
import numpy as np

from smir.data.decode import read_image, read_label
from smir.prepare.records import write_png
from smir.preprocessing import VOID, Classes, UInt8

BOX = (360, 270)
"""Width and height in pixels that each image is fitted into."""
MOST = 6
_LINE = 22


def write_preview(path: Path, images: Path, masks: Path, names: Sequence[str], classes: Sequence[str]) -> None:
    """Writes images beside the same with their labels over them, and the colours of the classes.

    Args:
        path: The PNG to write.
        images: Folder of the images.
        masks: Folder of their class-id PNGs.
        names: Images to choose from; those shown lie evenly among them.
        classes: Class names by id.
    """
    colors = Classes.named(classes).palette()
    shown = [names[round(place)] for place in np.linspace(0, len(names) - 1, min(MOST, len(names)))]
    rows = [_legend(classes, colors)]
    for name in shown:
        image = read_image(images / name)
        label = read_label(masks / PurePosixPath(name).with_suffix(".png")).astype(np.uint8)
        rows.append(np.concatenate([_fit(image), _fit(_over(image, label, colors))], axis=1))
    write_png(path, np.concatenate(rows))


def _over(image: UInt8, label: UInt8, colors: UInt8) -> UInt8:
    opacity = np.where(label == 0, 0.0, np.where(label == VOID, 0.7, 0.5))[..., None]
    return np.asarray(image * (1 - opacity) + colors[label] * opacity, dtype=np.uint8)


def _fit(image: UInt8) -> UInt8:
    scale = min((side - 6) / length for side, length in zip(BOX, image.shape[1::-1], strict=True))
    width, height = (max(1, int(length * scale)) for length in image.shape[1::-1])
    canvas = np.full((BOX[1], BOX[0], 3), 255, dtype=np.uint8)
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST_EXACT
    canvas[:height, :width] = cv2.resize(image, (width, height), interpolation=way)
    return canvas


def _legend(classes: Sequence[str], colors: UInt8) -> UInt8:
    names = [*enumerate(classes), (VOID, "not labelled")][: MOST * 3]
    canvas = np.full((_LINE * -(-len(names) // 3) + 4, 2 * BOX[0], 3), 255, dtype=np.uint8)
    for place, (class_id, name) in enumerate(names):
        left, top = place % 3 * 240, place // 3 * _LINE + 3
        color = colors[class_id].tolist()
        cv2.rectangle(canvas, (left + 2, top), (left + 16, top + 14), color, cv2.FILLED)
        cv2.rectangle(canvas, (left + 2, top), (left + 16, top + 14), (120, 120, 120), 1)
        text = name.encode("ascii", "replace").decode()
        cv2.putText(canvas, text, (left + 24, top + 12), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    return canvas
