"""Lays windows along the sides of an image."""

import dataclasses
import math
from typing import NamedTuple

from smir.data.predict_options import BLOCK
from smir.errors import ConfigError

OVERLAP = 1
"""Blocks over which neighbouring windows are blended."""
WINDOW = 1024 // BLOCK
"""Default side of a window, for networks with a small receptive field."""


class Span(NamedTuple):
    """The blocks along one side that a window contributes to.

    Attributes:
        begin: The first one; the window fades in from here unless the image begins here.
        finish: The first one that the next window contributes to as well; for the last window `end`.
        end: The first one after them.
    """

    begin: int
    finish: int
    end: int


@dataclasses.dataclass(frozen=True)
class Side:
    """Windows along one side of an image.

    Lengths are in blocks: 64 pixels for the network, `unit` pixels of the image. A window contributes only what lies
    `halo` blocks from its borders, except at the image's own borders.

    Attributes:
        length: Pixels of the image.
        unit: Pixels of the image per block.
        window: Blocks of a window, at most those of the image.
        halo: Blocks at a window's border whose surroundings are incomplete.
        starts: First block of every window.
    """

    length: int
    unit: int
    window: int
    halo: int
    starts: tuple[int, ...]

    @classmethod
    def of(cls, length: int, unit: int, window: int, halo: int) -> "Side":
        """Lays windows along a side; raises ConfigError if a window is all halo."""
        blocks = math.ceil(length / unit)
        if blocks <= window:
            return cls(length, unit, blocks, halo, (0,))
        step = window - 2 * halo - OVERLAP
        if step < OVERLAP:
            raise ConfigError(
                f"data.predict.window = {window * BLOCK} is too small: the network sees {halo * BLOCK} pixels to each "
                f"side, so no pixel of a window would count. Use {2 * (halo + OVERLAP) * BLOCK} or more, or let smir "
                "choose the window."
            )
        starts = [*range(0, blocks - window, step), blocks - window]
        return cls(length, unit, window, halo, tuple(starts))

    @property
    def blocks(self) -> int:
        """Blocks that cover the side; the last may extend beyond the image."""
        return math.ceil(self.length / self.unit)

    def span(self, place: int) -> Span:
        """Returns the blocks that the window at that place contributes to."""
        begin = self.starts[place] + self.halo if place else 0
        if place + 1 == len(self.starts):
            return Span(begin, self.blocks, self.blocks)
        finish = self.starts[place + 1] + self.halo
        return Span(begin, finish, finish + OVERLAP)

    def pieces(self, place: int, most: int) -> list[tuple[int, int]]:
        """Returns first and last blocks (exclusive) of the tiles of a window, of `most` pixels or one block each."""
        span, step = self.span(place), max(1, most // self.unit)
        return [(begin, min(begin + step, span.finish)) for begin in range(span.begin, span.finish, step)]


def usual_window(halo: int) -> int:
    """Returns the side of a window in blocks: about twice what counts of it, from 1024 to 2048 pixels."""
    return min(max(WINDOW, 2 * (2 * halo + OVERLAP)), 2 * WINDOW)
