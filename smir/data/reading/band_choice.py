"""Three bands of a TIFF as red, green and blue, and the values that become black and white."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from smir.classes import UInt8


@dataclass(frozen=True)
class BandChoice:
    """Bands of a TIFF that are shown as red, green and blue.

    Attributes:
        bands: Numbers of the bands from 1.
        value_range: The values that become 0 and 255; others are cut off. None if the bands have 8 bits.
    """

    bands: tuple[int, int, int]
    value_range: tuple[float, float] | None = None

    def to_bytes(self, values: npt.NDArray[Any]) -> UInt8:
        """Returns 8-bit values of the same shape; what is not a number becomes 0."""
        if self.value_range is None:
            return np.asarray(values, np.uint8)
        low, high = self.value_range
        shown = np.empty(values.shape, np.uint8)
        for row, place in zip(values, shown, strict=True):  # floats of a whole image would take many times its memory
            scaled = (row.astype(np.float32) - low) * (255 / (high - low))
            place[...] = np.nan_to_num(scaled.round().clip(0, 255))
        return shown
