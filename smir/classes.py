"""Pixels and what those of a label mean: the classes of a dataset, and void."""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from smir.errors import ConfigError, first_few

VOID = 255
"""Label of pixels that count neither in a loss nor in a metric; never an output channel."""

BACKGROUND = "background"

UInt8 = npt.NDArray[np.uint8]


def is_background(name: str) -> bool:
    """Returns whether a category is the background; Labelme calls it `_background_`."""
    return name.strip(" _").lower() == BACKGROUND


class Classes:
    """The classes of a dataset, in the order of their ids.

    Args:
        names: Class names; the id of a class is its place here.
        colors: Red, green and blue (0 to 255) of each class, for pictures and palette PNGs.

    Raises:
        ConfigError: If there are too many names, or not one colour for each.
    """

    def __init__(self, names: Sequence[str], colors: Sequence[Sequence[int]]) -> None:
        self.names = tuple(names)
        self.colors = tuple(tuple(color) for color in colors)
        right = [len(color) == 3 and all(0 <= value <= 255 for value in color) for color in self.colors]
        if len(names) > VOID or len(right) != len(names) or not all(right):
            raise ConfigError(
                f"Classes are at most {VOID} names, each with red, green and blue from 0 to 255; got {len(names)} and "
                f"the colours {first_few(self.colors)}."
            )

    @classmethod
    def named(cls, names: Sequence[str]) -> "Classes":
        """Gives classes without colours of their own black for the first and distinct hues for the others."""
        hues = [round(180 * place / max(1, len(names) - 1)) % 180 for place in range(len(names) - 1)]
        wheel = np.asarray([[[hue, 200, 230] for hue in hues]], dtype=np.uint8).reshape(1, -1, 3)
        colors = cv2.cvtColor(wheel, cv2.COLOR_HSV2RGB)[0].tolist() if hues else []
        return cls(names, [(0, 0, 0), *colors][: len(names)])

    def __len__(self) -> int:
        return len(self.names)

    def palette(self) -> UInt8:
        """Colours of all 256 label values (256, 3), void white."""
        palette = np.zeros((256, 3), dtype=np.uint8)
        palette[: len(self.colors)] = self.colors
        palette[VOID] = 255
        return palette
