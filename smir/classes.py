"""The meaning of pixels in a label: the classes of a dataset, and void."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from smir.errors import ConfigError, first_few

VOID = 255
"""Label of pixels that count neither in a loss nor in a metric; never an output channel."""

BACKGROUND = "background"

LONGEST_NAME = 255
"""Most letters of a class name; the legend of a picture is as wide as the longest name."""

UInt8 = npt.NDArray[np.uint8]
Color = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""
BLACK, WHITE = (0, 0, 0), (255, 255, 255)


def is_background(name: str) -> bool:
    """Returns whether a category is the background; Labelme calls it `_background_`."""
    return name.strip(" _").lower() == BACKGROUND


class Classes:
    """The classes of a dataset, in the order of their ids.

    Args:
        names: Class names; the id of a class is its place here.
        colors: Red, green and blue (0 to 255) of each class, for pictures and palette PNGs.

    Raises:
        ConfigError: If there are too many names, one is too long, or there is not one colour for each.
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
        if long := [name for name in self.names if len(name) > LONGEST_NAME]:
            raise ConfigError(
                f"The name of a class has at most {LONGEST_NAME} letters; {long[0][:40]}... has {len(long[0]):,}."
            )

    @classmethod
    def named(cls, names: Sequence[str], given: Mapping[str, Sequence[int]] | None = None) -> "Classes":
        """Makes classes with the given colours.

        Without one, the background (or else the first class) is black, and the others get distinct hues.

        Args:
            names: Class names; the id of a class is its place here.
            given: Colours by class name.
        """
        usual = _hues(len(names) - 1)
        if names:
            usual.insert(_background(names) or 0, BLACK)
        given = {name: (color[0], color[1], color[2]) for name, color in (given or {}).items()}
        spare = iter(color for color in _hues(2 * len(names) + 1) if color not in {*usual, *given.values()})
        colors = [
            given[name] if name in given else next(spare, color) if color in given.values() else color
            for name, color in zip(names, usual, strict=True)
        ]
        return cls(names, colors)

    @property
    def background(self) -> int | None:
        """Id of the class called background, else of the black one, if there is one."""
        named = _background(self.names)
        return self.colors.index(BLACK) if named is None and BLACK in self.colors else named

    def __len__(self) -> int:
        return len(self.names)

    def palette(self) -> UInt8:
        """Colours of all 256 label values (256, 3), void white."""
        palette = np.zeros((256, 3), dtype=np.uint8)
        palette[: len(self.colors)] = self.colors
        palette[VOID] = 255
        return palette


def _background(names: Sequence[str]) -> int | None:
    return next((number for number, name in enumerate(names) if is_background(name)), None)


def _hues(count: int) -> list[Color]:
    hues = [round(180 * place / max(1, count)) % 180 for place in range(count)]
    wheel = np.asarray([[[hue, 200, 230] for hue in hues]], dtype=np.uint8).reshape(1, -1, 3)
    return [tuple(color) for color in cv2.cvtColor(wheel, cv2.COLOR_HSV2RGB)[0].tolist()] if hues else []
