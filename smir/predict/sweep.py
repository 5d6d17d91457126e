"""Runs a network over the windows of an image, and blends where they overlap."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from smir.classes import UInt8
from smir.data.predict_options import BLOCK
from smir.data.reading.raster import Bool, Raster, read_blocks
from smir.errors import ConfigError

Forward = Callable[[UInt8], Tensor]
"""Logits (B, C, H, W) in float32 of RGB images (B, H, W, 3) whose sides are multiples of 64."""


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
                f"side, so no pixel of a window would count. Use {smallest_window(halo) * BLOCK} or more, or let smir "
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


def smallest_window(halo: int) -> int:
    """Returns the smallest window that contributes anything."""
    return 2 * (halo + OVERLAP)


def usual_window(halo: int) -> int:
    """Returns a window half of whose side contributes, from 1024 to 2048 pixels."""
    return min(max(WINDOW, 2 * (2 * halo + OVERLAP)), 2 * WINDOW)


class Tile(NamedTuple):
    """A finished part of an image. Tiles come row by row; those of a row have the same top and height.

    Attributes:
        top: First row, in pixels of the image.
        left: First column.
        logits: (C, h, w); None if the whole window is nodata.
        pixels: RGB (h, w, 3).
        valid: False at nodata (h, w).
    """

    top: int
    left: int
    logits: Tensor | None
    pixels: UInt8
    valid: Bool


class Sweep:
    """Yields the finished parts of an image, window by window.

    Memory holds a batch of windows and the logits of one strip, as wide as the image and as high as the overlap.

    Args:
        source: The image.
        forward: The network.
        rows: Windows along the height.
        columns: Windows along the width.
        fill: Red, green and blue of nodata pixels.
        batch_size: Windows at a time.
    """

    def __init__(
        self, source: Raster, forward: Forward, rows: Side, columns: Side, fill: UInt8, batch_size: int
    ) -> None:
        self.source, self.forward, self.rows, self.columns = source, forward, rows, columns
        self.fill, self.batch_size = fill, batch_size

    def __len__(self) -> int:
        """Number of windows, and of tiles."""
        return len(self.rows.starts) * len(self.columns.starts)

    def __iter__(self) -> Iterator[Tile]:
        """Yields the finished part of every window."""
        windows = self._windows()
        above: list[Tensor | None] = [None] * len(self.columns.starts)
        for row in range(len(self.rows.starts)):
            down, beside = _Extent(self.rows, row), None
            for column in range(len(above)):
                across = _Extent(self.columns, column)
                pixels, valid, logits = next(windows)
                part = None if logits is None else _weighted(logits, down, across)
                part, beside = _blended(part, beside, across.finished, dim=2)
                part, above[column] = _blended(part, above[column], down.finished, dim=1)
                if part is not None:
                    part = part[:, : down.inside, : across.inside]
                yield Tile(down.first, across.first, part, pixels[down.cut, across.cut], valid[down.cut, across.cut])

    def _windows(self) -> Iterator[tuple[UInt8, Bool, Tensor | None]]:
        """Yields pixels, validity and logits of every window; no logits if it is all nodata."""
        shape = self.rows.window, self.columns.window
        places = itertools.product(self.rows.starts, self.columns.starts)
        while batch := list(itertools.islice(places, self.batch_size)):
            read = [read_blocks(self.source, self.rows.unit, place, shape, self.fill) for place in batch]
            seen = [view for view, _, valid in read if valid.any()]
            logits = iter(self.forward(np.stack(seen)) if seen else ())
            for _, pixels, valid in read:
                yield pixels, valid, next(logits) if valid.any() else None


class _Extent:
    """The contribution of a window along one side, in pixels of the image."""

    def __init__(self, side: Side, place: int) -> None:
        span, self.start, self.unit = side.span(place), side.starts[place], side.unit
        self.window = side.window
        self.begin, self.end = span.begin, span.end
        self.first = span.begin * self.unit
        self.finished = (span.finish - span.begin) * self.unit
        self.inside = min(self.finished, side.length - self.first)
        offset = (span.begin - self.start) * self.unit
        self.cut = slice(offset, offset + self.inside)
        self.fade_in = self.unit if place else 0
        self.fade_out = (span.end - span.finish) * self.unit

    @property
    def with_margin(self) -> tuple[int, int]:
        """Blocks of the window to resize: one more on each side where possible, against border effects."""
        return max(self.begin - self.start - 1, 0), min(self.end - self.start + 1, self.window)

    def weights(self, like: Tensor) -> Tensor:
        """Returns the weight of every pixel; overlapping weights add up to 1."""
        weights = torch.ones((self.end - self.begin) * self.unit, device=like.device)
        if self.fade_in:
            weights[: self.fade_in] = _rise(self.fade_in, like)
        if self.fade_out:
            weights[-self.fade_out :] = 1 - _rise(self.fade_out, like)
        return weights


def _rise(length: int, like: Tensor) -> Tensor:
    """Rises smoothly from 0 to 1."""
    middle = (torch.arange(length, device=like.device) + 0.5) / length
    return torch.sin(middle * torch.pi / 2) ** 2


def _weighted(logits: Tensor, down: _Extent, across: _Extent) -> Tensor:
    """Returns the contribution of a window (C, h, w), at the size of the image."""
    unit, cuts, sizes, inner = down.unit, [], [], []
    for extent in (down, across):
        first, last = extent.with_margin
        cuts.append(slice(first * BLOCK, last * BLOCK))
        sizes.append((last - first) * unit)
        offset = (extent.begin - extent.start - first) * unit
        inner.append(slice(offset, offset + (extent.end - extent.begin) * unit))
    part = logits[:, cuts[0], cuts[1]]
    if unit != BLOCK:
        part = functional.interpolate(part[None], size=sizes, mode="bilinear", align_corners=False)[0]
    part = part[:, inner[0], inner[1]]
    return part * down.weights(part)[:, None] * across.weights(part)


def _blended(
    part: Tensor | None, before: Tensor | None, finished: int, dim: int
) -> tuple[Tensor | None, Tensor | None]:
    """Adds the remainder of the window before, and returns the finished part and the remainder for the next one.

    If either window is all nodata so is the overlap, and nothing is missing.
    """
    if part is None:
        return None, None
    if before is not None:
        part.narrow(dim, 0, before.shape[dim]).add_(before)
    # A copy, or the little that is left would keep the whole part in memory.
    left = part.narrow(dim, finished, part.shape[dim] - finished).clone()
    return part.narrow(dim, 0, finished), left
