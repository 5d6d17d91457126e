"""The patch grid: the only place that knows where a patch is."""

import functools
import itertools
import math

import torch
from torch import BoolTensor, LongTensor, Tensor

from smir.errors import ConfigError
from smir.method.device_constants import constant

MIN_PATCH_SIDE = 3  # the SSIM window of a patch score is 3 x 3


def _edges(length: int, num_patches: int) -> list[int]:
    """Cuts one axis of `length` pixels (METHOD.md section 2)."""
    unrounded = length / math.sqrt(num_patches)
    size = math.ceil(unrounded)
    edges = [*range(0, length, size), length]
    if len(edges) > 2 and edges[-1] - edges[-2] < unrounded / 2:
        del edges[-2]
    return edges


class PatchGrid:
    """A grid of about `num_patches` patches over an image (METHOD.md section 2).

    A patch is `ceil(height / sqrt(num_patches))` pixels high, and likewise wide. A last strip thinner than half of the
    unrounded size is merged into its neighbour. 256 x 256 with 512 gives 21 x 21.

    Args:
        height: Image height in pixels.
        width: Image width in pixels.
        num_patches: Number of patches aimed at.

    Attributes:
        rows: Number of patch rows.
        cols: Number of patch columns.
        row_edges: `rows + 1` increasing pixel positions, from 0 to `height`.
        col_edges: `cols + 1` increasing pixel positions, from 0 to `width`.

    Raises:
        ConfigError: If a patch would be thinner than 3 pixels, so that no SSIM window fits.
    """

    def __init__(self, height: int, width: int, num_patches: int = 512) -> None:
        if height < 1 or width < 1 or num_patches < 1:
            raise ConfigError(
                f"A patch grid needs a positive height, width and num_patches, got {height}, {width} and {num_patches}."
            )
        self.height, self.width, self.num_patches = height, width, num_patches
        self.row_edges, self.col_edges = _edges(height, num_patches), _edges(width, num_patches)
        self.rows, self.cols = len(self.row_edges) - 1, len(self.col_edges) - 1
        thinnest = min(b - a for edges in (self.row_edges, self.col_edges) for a, b in itertools.pairwise(edges))
        if thinnest < MIN_PATCH_SIDE:
            raise ConfigError(
                f"num_patches = {num_patches} cuts an image of {height} x {width} pixels into patches only {thinnest} "
                f"pixels thin; a patch needs {MIN_PATCH_SIDE} pixels a side. Use at most "
                f"{max(1, (min(height, width) // (2 * MIN_PATCH_SIDE)) ** 2)} patches, or larger images."
            )

    @classmethod
    @functools.lru_cache(maxsize=256)
    def cached(cls, height: int, width: int, num_patches: int) -> "PatchGrid":
        """Returns a shared grid; loader workers ask for one at every visit."""
        return cls(height, width, num_patches)

    def __len__(self) -> int:
        return self.rows * self.cols

    def __repr__(self) -> str:
        return f"PatchGrid({self.height}, {self.width}, num_patches={self.num_patches}): {self.rows} x {self.cols}"

    @property
    def boxes(self) -> LongTensor:
        """Patches as a LongTensor (P, 4) of top, left, bottom, right pixel edges, row by row."""
        rows, cols = itertools.pairwise(self.row_edges), list(itertools.pairwise(self.col_edges))
        boxes = torch.tensor([(top, left, bottom, right) for top, bottom in rows for left, right in cols])
        return boxes.long()  # type: ignore[return-value]  # torch annotates .long() as Tensor

    def to_pixels(self, mask: Tensor, size: tuple[int, int] | None = None) -> BoolTensor:
        """Spreads a patch mask over pixels.

        Args:
            mask: BoolTensor (..., P), True = masked.
            size: Height and width to spread over; the grid is scaled to it, and a pixel belongs to the patch that
                holds its centre. Default: the grid's own.

        Returns:
            BoolTensor (..., H, W).
        """
        height, width = size or (self.height, self.width)
        # index_select is many times faster than repeat_interleave, and loaders do this at every visit.
        row_of = _strip_of_pixel(tuple(self.row_edges), height, mask.device)
        col_of = _strip_of_pixel(tuple(self.col_edges), width, mask.device)
        cells = mask.reshape(*mask.shape[:-1], self.rows, self.cols)
        return cells.index_select(-1, col_of).index_select(-2, row_of)  # type: ignore[return-value]  # bool stays bool


@functools.lru_cache(maxsize=512)
def _strip_of_pixel(edges: tuple[int, ...], length: int, device: torch.device) -> Tensor:
    """Returns the strip of every pixel (length,) after `edges` are scaled to `length`; pixel centres decide."""
    total = edges[-1]
    scaled = [-(-(2 * edge * length - total) // (2 * total)) for edge in edges]  # ceil(edge * length / total - 1/2)
    scaled[0], scaled[-1] = 0, length
    return constant(torch.repeat_interleave(torch.tensor(scaled).diff()), device, torch.long)
