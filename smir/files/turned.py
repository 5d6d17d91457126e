"""Turns pictures upright for libvips, which finds EXIF only in its usual place."""

from collections.abc import Callable
from pathlib import Path

import pyvips

from smir.files.orientation import orientation_in


def turned(path: Path, open_at_random: Callable[[], pyvips.Image]) -> pyvips.Image | None:
    """Returns a picture upright, whose rows no longer come in order; None if it is stored upright.

    Raises:
        DataError: If its orientation cannot be read.
    """
    if (orientation := orientation_in(path)) not in range(2, 9):
        return None
    image = open_at_random().copy()
    image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    return image.autorot()
