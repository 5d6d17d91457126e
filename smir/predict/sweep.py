"""Runs a network over the windows of an image, and blends where they overlap."""

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from smir.classes import UInt8
from smir.data.predict_options import BLOCK
from smir.data.reading.raster import Bool, Raster, as_seen, read_row
from smir.predict.window_layout import OVERLAP, Side

Forward = Callable[[UInt8], Tensor]
"""Logits (B, C, H, W) in float32 of RGB images (B, H, W, 3) whose sides are multiples of 64."""

_SIDE, _TALLEST = 1024, 3072
"""In pixels of the image. A tile is as high as the part of a window that counts, if that has at most `_TALLEST` rows.
Otherwise it is `_SIDE` high, or one block: at a scale of 1/16 a window has 16,384 rows or more. A tile has at most
`_SIDE` x `_SIDE` pixels, or is one block wide."""


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


class _Window(NamedTuple):
    """Logits of a window or of a part of it (C, h, w), 64 pixels a block, and its first block down and across."""

    logits: Tensor
    top: int
    left: int

    def part(self, rows: tuple[int, int], columns: tuple[int, int]) -> "_Window":
        """Keeps some blocks, and one around them where possible: interpolation looks across borders."""
        sides = zip((rows, columns), (self.top, self.left), self.logits.shape[1:], strict=True)
        (top, bottom), (left, right) = (
            (max(begin - 1, start), min(end + 1, start + length // BLOCK)) for (begin, end), start, length in sides
        )
        down = slice((top - self.top) * BLOCK, (bottom - self.top) * BLOCK)
        across = slice((left - self.left) * BLOCK, (right - self.left) * BLOCK)
        return _Window(self.logits[:, down, across].clone(), top, left)

    def enlarged(self, rows: tuple[int, int], columns: tuple[int, int], unit: int) -> Tensor:
        """Returns the logits of some blocks at the size of the image."""
        # `seen` pixels of the network are `shown` pixels of the image, and so wide is the margin on every side.
        seen, shown = BLOCK // math.gcd(unit, BLOCK), unit // math.gcd(unit, BLOCK)
        cuts, sizes, inner = [], [], []
        for (begin, end), start, length in zip(
            (rows, columns), (self.top, self.left), self.logits.shape[1:], strict=True
        ):
            first, last = max((begin - start) * BLOCK - seen, 0), min((end - start) * BLOCK + seen, length)
            cuts.append(slice(first, last))
            sizes.append((last - first) // seen * shown)
            offset = (begin - start) * unit - first // seen * shown
            inner.append(slice(offset, offset + (end - begin) * unit))
        part = self.logits[:, cuts[0], cuts[1]]
        if unit != BLOCK:
            part = functional.interpolate(part[None], size=sizes, mode="bilinear", align_corners=False)[0]
        return part[:, inner[0], inner[1]]


_Windows = list[_Window | None]
"""The windows of a row; None for one that is all nodata."""


class Sweep:
    """Yields the finished parts of an image, tile by tile.

    At the scale of the network, memory holds the image under a row of windows, and the logits where two rows of windows
    overlap, or of a whole row if its tiles are not as high. At the scale of the image, it holds one tile.

    `rows` are the windows along the height, `columns` those along the width. `fill` is red, green and blue of nodata
    pixels. The network sees `batch_size` windows at a time.
    """

    def __init__(
        self, source: Raster, forward: Forward, rows: Side, columns: Side, fill: UInt8, batch_size: int
    ) -> None:
        self.source, self.forward, self.rows, self.columns = source, forward, rows, columns
        self.fill, self.batch_size = fill, batch_size

    @property
    def windows(self) -> int:
        """Number of windows."""
        return len(self.rows.starts) * len(self.columns.starts)

    def __len__(self) -> int:
        """Number of tiles."""
        places = range(len(self.rows.starts))
        return sum(len(across) for row in places for _, columns in self._tiles(row) for across in columns)

    def __iter__(self) -> Iterator[Tile]:
        """Yields tiles in rows, from left to right."""
        above: _Windows = []
        read: dict[int, tuple[UInt8, Any]] = {}
        for row in range(len(self.rows.starts)):
            windows, here, span = self._windows(row, read), list[_Window | None](), self.rows.span(row)
            for down, places in self._tiles(row):
                for column, pieces in enumerate(places):
                    if column == len(here):
                        here.append(next(windows))
                    for across in pieces:
                        logits = self._blended(here, row, column, down, across)
                        if row and down[0] == span.begin:
                            down_to = down[0] + OVERLAP
                            logits = _sum(logits, self._blended(above, row - 1, column, (down[0], down_to), across), 1)
                        yield self._tile(down, across, logits)
                    if down[1] == span.finish and column:
                        here[column - 1] = self._kept(here[column - 1], span[1:], column - 1)
            above = here

    def _tiles(self, row: int) -> Iterator[tuple[tuple[int, int], list[list[tuple[int, int]]]]]:
        """Yields the rows of tiles of a row of windows: their blocks down, and across in every window."""
        span, unit = self.rows.span(row), self.rows.unit
        whole = (span.finish - span.begin) * unit <= _TALLEST
        for down in self.rows.pieces(row, _TALLEST if whole else _SIDE):
            width = _SIDE**2 // ((down[1] - down[0]) * unit)
            yield down, [self.columns.pieces(column, width) for column in range(len(self.columns.starts))]

    def _windows(self, row: int, read: dict[int, tuple[UInt8, Any]]) -> Iterator[_Window | None]:
        """Yields the logits that count of the windows of a row, None for all nodata; `read` are the rows of blocks."""
        top, shape = self.rows.starts[row], (self.rows.window, self.columns.window)
        span, unit = self.rows.span(row), self.rows.unit
        for gone in range(self.rows.starts[row - 1] if row else 0, top):
            del read[gone]
        for place in range(top, top + shape[0]):
            if place not in read:
                read[place] = read_row(self.source, unit, (place, 0), self.columns.blocks, self.fill)
        columns = enumerate(self.columns.starts)
        while batch := list(itertools.islice(columns, self.batch_size)):
            known = [any(count[left : left + shape[1]].any() for _, count in read.values()) for _, left in batch]
            views = [self._view(read, left, shape) for (_, left), some in zip(batch, known, strict=True) if some]
            logits = iter(self.forward(np.stack(views)) if views else ())
            for (column, left), some in zip(batch, known, strict=True):
                window = _Window(next(logits), top, left) if some else None
                yield self._kept(window, (span.begin, span.end), column)

    def _view(self, read: dict[int, tuple[UInt8, Any]], left: int, shape: tuple[int, int]) -> UInt8:
        block = min(self.rows.unit, BLOCK)
        columns = slice(left * block, (left + shape[1]) * block)
        return as_seen([read[row][0][:, columns] for row in sorted(read)], shape)

    def _kept(self, window: _Window | None, rows: tuple[int, int], column: int) -> _Window | None:
        span = self.columns.span(column)
        return window and window.part(rows, (span.begin, span.end))

    def _blended(
        self, windows: _Windows, row: int, column: int, down: tuple[int, int], across: tuple[int, int]
    ) -> Tensor | None:
        """Returns the contribution of a window and of the one to its left to blocks, at the size of the image."""
        part = self._weighted(windows, row, column, down, across)
        begin = self.columns.span(column).begin
        if part is None or not column or across[0] != begin:
            return part
        return _sum(part, self._weighted(windows, row, column - 1, down, (begin, begin + OVERLAP)), 2)

    def _weighted(
        self, windows: _Windows, row: int, column: int, down: tuple[int, int], across: tuple[int, int]
    ) -> Tensor | None:
        if (window := windows[column]) is None:
            return None
        part = window.enlarged(down, across, self.rows.unit)
        part = part * _weights(self.rows, row, down, part)[:, None]
        return part.mul_(_weights(self.columns, column, across, part))

    def _tile(self, down: tuple[int, int], across: tuple[int, int], logits: Tensor | None) -> Tile:
        top, left = down[0] * self.rows.unit, across[0] * self.columns.unit
        height = min(down[1] * self.rows.unit, self.rows.length) - top
        width = min(across[1] * self.columns.unit, self.columns.length) - left
        pixels, valid = self.source.read(top, left, height, width)
        return Tile(top, left, None if logits is None else logits[:, :height, :width], pixels, valid)


def _weights(side: Side, place: int, blocks: tuple[int, int], like: Tensor) -> Tensor:
    """Returns the weight of every pixel of some blocks of a window; those of overlapping windows add up to 1."""
    span, unit = side.span(place), side.unit
    weights = torch.ones((blocks[1] - blocks[0]) * unit, device=like.device)
    # It rises smoothly from 0 to 1.
    rise = torch.sin((torch.arange(unit, device=like.device) + 0.5) / unit * torch.pi / 2) ** 2
    if place and blocks[0] == span.begin:
        weights[:unit] = rise
    if span.finish < span.end == blocks[1]:
        weights[-unit:] = 1 - rise
    return weights


def _sum(part: Tensor | None, other: Tensor | None, dim: int) -> Tensor | None:
    """Adds what another window contributes to the beginning of a part.

    If either window is all nodata, so is the overlap, and nothing is lost.
    """
    if part is not None and other is not None:
        part.narrow(dim, 0, other.shape[dim]).add_(other)
    return part
