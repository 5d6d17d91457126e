"""Where windows lie. All lengths are in blocks: 64 pixels for the network, `unit` pixels of the image."""

import dataclasses
import math
from typing import NamedTuple

from smir.data.predict_options import BLOCK
from smir.errors import ConfigError

OVERLAP = 1
"""Blocks over which neighbouring windows are blended."""
WINDOW = 1024 // BLOCK
"""Default side of a window, for networks that do not look far."""


class Span(NamedTuple):
    """What a window contributes along one side.

    Attributes:
        begin: First block that it contributes to; it fades in from here unless the image begins here.
        finish: First block that the next window contributes to, too; the same as `end` for the last window.
        end: First block that it does not contribute to.
    """

    begin: int
    finish: int
    end: int


@dataclasses.dataclass(frozen=True)
class Side:
    """Windows along one side of an image.

    A window contributes only what lies `halo` blocks from its borders, but for those that are the image's.

    Attributes:
        length: Pixels of the image.
        unit: Pixels of the image per block.
        window: Blocks of a window, at most those of the image.
        halo: Blocks at a window's border that have not their full surroundings.
        starts: First block of every window.
    """

    length: int
    unit: int
    window: int
    halo: int
    starts: tuple[int, ...]

    @classmethod
    def of(cls, length: int, unit: int, window: int, halo: int) -> "Side":
        """Lays windows along a side.

        Raises:
            ConfigError: If a window is all halo.
        """
        blocks = math.ceil(length / unit)
        if blocks <= window:
            return cls(length, unit, blocks, halo, (0,))
        step = window - 2 * halo - OVERLAP
        if step < OVERLAP:
            raise ConfigError(
                f"data.predict.window = {window * BLOCK} is too small: the network looks {halo * BLOCK} pixels far to "
                f"each side, so that nothing of a window would count. Use {smallest_window(halo) * BLOCK} or more, "
                "or leave the window to smir."
            )
        starts = [*range(0, blocks - window, step), blocks - window]
        return cls(length, unit, window, halo, tuple(starts))

    @property
    def blocks(self) -> int:
        """Blocks that cover the side; the last may reach beyond the image."""
        return math.ceil(self.length / self.unit)

    def span(self, place: int) -> Span:
        """What the window at that place contributes."""
        begin = self.starts[place] + self.halo if place else 0
        if place + 1 == len(self.starts):
            return Span(begin, self.blocks, self.blocks)
        finish = self.starts[place + 1] + self.halo
        return Span(begin, finish, finish + OVERLAP)


def smallest_window(halo: int) -> int:
    """The smallest window of which anything counts."""
    return 2 * (halo + OVERLAP)


def usual_window(halo: int) -> int:
    """A window of which half a side counts, from 1024 to 2048 pixels."""
    return min(max(WINDOW, 2 * (2 * halo + OVERLAP)), 2 * WINDOW)
