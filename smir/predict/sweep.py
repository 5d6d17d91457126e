"""Runs a network over the windows of an image, and blends where they overlap."""

import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from smir.classes import UInt8
from smir.data.predict_options import BLOCK
from smir.data.reading.raster import Bool, Raster, read_blocks
from smir.predict.layout import Side

Forward = Callable[[UInt8], Tensor]
"""Logits (B, C, H, W) in float32 of RGB images (B, H, W, 3) whose sides are multiples of 64."""


class Tile(NamedTuple):
    """A finished part of an image. Tiles come row by row; those of a row have the same top and height.

    Attributes:
        top: First row, in pixels of the image.
        left: First column.
        logits: (C, h, w); none where no pixel of the window holds data.
        pixels: RGB (h, w, 3).
        valid: Which pixels hold data (h, w).
    """

    top: int
    left: int
    logits: Tensor | None
    pixels: UInt8
    valid: Bool


class Sweep:
    """The windows of an image, one after the other.

    Besides a batch of windows it holds the logits of one strip: as wide as the image, as high as the overlap.

    Args:
        source: The image.
        forward: The network.
        rows: Windows along the height.
        columns: Windows along the width.
        fill: Red, green and blue of pixels without data.
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
        """Pixels, which of them hold data, and logits of every window; none where no pixel holds data."""
        shape = self.rows.window, self.columns.window
        places = itertools.product(self.rows.starts, self.columns.starts)
        while batch := list(itertools.islice(places, self.batch_size)):
            read = [read_blocks(self.source, self.rows.unit, place, shape, self.fill) for place in batch]
            seen = [view for view, _, valid in read if valid.any()]
            logits = iter(self.forward(np.stack(seen)) if seen else ())
            for _, pixels, valid in read:
                yield pixels, valid, next(logits) if valid.any() else None


class _Extent:
    """What a window contributes along one side, in pixels of the image."""

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
        """Blocks of the window to resize: one more to each side, where there is one, so that none has a border."""
        return max(self.begin - self.start - 1, 0), min(self.end - self.start + 1, self.window)

    def weights(self, like: Tensor) -> Tensor:
        """Weight of every pixel; those of neighbouring windows add up to 1."""
        weights = torch.ones((self.end - self.begin) * self.unit, device=like.device)
        if self.fade_in:
            weights[: self.fade_in] = _rise(self.fade_in, like)
        if self.fade_out:
            weights[-self.fade_out :] = 1 - _rise(self.fade_out, like)
        return weights


def _rise(length: int, like: Tensor) -> Tensor:
    """From 0 to 1 with no kink at either end."""
    middle = (torch.arange(length, device=like.device) + 0.5) / length
    return torch.sin(middle * torch.pi / 2) ** 2


def _weighted(logits: Tensor, down: _Extent, across: _Extent) -> Tensor:
    """What a window contributes (C, h, w), at the size of the image."""
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
    """Adds what the window before has left, and returns what is finished and what is left for the next one.

    Where either window holds no data the overlap holds none, so that nothing is missing.
    """
    if part is None:
        return None, None
    if before is not None:
        part.narrow(dim, 0, before.shape[dim]).add_(before)
    # A copy, or the little that is left would keep the whole part in memory.
    left = part.narrow(dim, finished, part.shape[dim] - finished).clone()
    return part.narrow(dim, 0, finished), left
