"""Writes labels of a network, or of anything else, as shapes that a person corrects in Labelme."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from smir.classes import Classes, UInt8
from smir.predict.polygons.options import PolygonOptions
from smir.predict.sweep import Tile


def write_prelabel(
    path: Path,
    image: Path,
    labels: UInt8,
    classes: Classes,
    certainty: npt.NDArray[np.floating[Any]] | None = None,
    options: PolygonOptions | None = None,
) -> int:
    """Writes the Labelme file of an image; `prepare folder` reads it back.

    Args:
        path: The file, usually the image's path with the suffix `.json`, or that name in a folder for labels.
        image: The image; the file holds its path relative to the folder of `path`.
        labels: Class ids and void (H, W), at the size of the image as displayed.
        classes: Names of the classes.
        certainty: Probability of the class of each pixel (H, W), such as `smir.predict.segment.certainty_of` gives.
        options: Tolerance, smallest area and background; its formats do not matter.

    Returns:
        The number of regions.

    Raises:
        ConfigError: If the extra `polygons` is not installed.
        RunError: If the file cannot be written.
    """
    given = options or PolygonOptions()
    given = PolygonOptions("labelme", given.simplify, given.min_area, given.background)
    from smir.predict.polygons.kept import ImageRegions, Outlined, outlined_regions
    from smir.predict.polygons.labelme import write_labelme

    height, width = labels.shape
    found: list[Outlined] = []
    tile = Tile(0, 0, None, np.empty((height, width, 0), np.uint8), np.ones((height, width), dtype=bool))
    outlined_regions((height, width), given, classes, found.append).add(tile, labels, certainty)
    write_labelme(path, ImageRegions(image.name, height, width, found), classes, image)
    return len(found)
