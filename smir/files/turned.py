"""Turns pictures that libvips reads, which knows EXIF in its usual place alone."""

from collections.abc import Callable
from pathlib import Path

import pyvips

from smir.files.orientation import orientation_in


def turned(path: Path, open_at_random: Callable[[], pyvips.Image]) -> pyvips.Image | None:
    """Returns a picture upright; None if it is stored so. Its rows do not come in order any more.

    Raises:
        DataError: If its orientation cannot be read.
    """
    if (orientation := orientation_in(path)) not in range(2, 9):
        return None
    image = open_at_random().copy()
    image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    return image.autorot()
