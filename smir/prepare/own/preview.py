"""A picture of some labelled images, to see whether the labels lie on what they name."""

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from smir.classes import VOID, Classes, UInt8
from smir.data.reading.decode import read_image, read_label
from smir.files.pictures import write_png
from smir.pages.overlays import entries, evenly, sheet, small_overlay

MOST = 6


def write_preview(path: Path, images: Path, masks: Path, names: Sequence[str], classes: Sequence[str]) -> None:
    """Writes images beside the same with their labels over them, and the colours of the classes.

    Args:
        path: The PNG to write.
        images: Folder of the images.
        masks: Folder of their class-id PNGs.
        names: Images to choose from; those shown lie evenly among them.
        classes: Class names by id.
    """
    named = Classes.named(classes)

    def pictures() -> Iterator[tuple[str, UInt8]]:
        for name in evenly(names, MOST):
            image = read_image(images / name)
            label = read_label(masks / PurePosixPath(name).with_suffix(".png")).astype(np.uint8)
            yield name, image
            yield "its label", small_overlay(image, label, named)

    legend = [*entries(named), ("not labelled", named.palette()[VOID].tolist())]
    write_png(path, sheet(pictures(), 2, legend))
