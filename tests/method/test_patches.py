import bisect
import itertools
import math
import re
from fractions import Fraction

import pytest
import torch

from smir.errors import ConfigError
from smir.method.patches import PatchGrid

SIZES = [64, 100, 161, 192, 223, 255, 256, 257, 288, 320, 341, 342, 384, 455, 512, 683, 1024, 2047]


def strips(length, num_patches):
    """METHOD.md section 2, cut as by hand: full strips first, then the remainder."""
    unrounded = length / math.sqrt(num_patches)
    size = math.ceil(unrounded)
    full, rest = divmod(length, size)
    lengths = [size] * full
    if rest and rest < unrounded / 2:
        lengths[-1] += rest
    elif rest:
        lengths.append(rest)
    return lengths


def lengths(edges):
    return [end - start for start, end in itertools.pairwise(edges)]


def test_a_256_pixel_crop_has_21_by_21_patches():
    grid = PatchGrid(256, 256)
    assert (grid.rows, grid.cols, len(grid)) == (21, 21, 441)
    assert lengths(grid.row_edges) == lengths(grid.col_edges) == [12] * 20 + [16]


def test_a_wide_view_has_wide_patches_and_merges_its_remainder():
    grid = PatchGrid(256, 512)
    assert lengths(grid.row_edges)[0] == 12
    assert lengths(grid.col_edges)[0] == 23
    # 22 strips of 23 leave 6 pixels, fewer than half of 22.6: the last is 29 wide.
    assert lengths(grid.col_edges) == [23] * 21 + [29]


@pytest.mark.parametrize("num_patches", [16, 100, 300, 512])
@pytest.mark.parametrize("height", SIZES)
def test_strip_lengths_follow_the_rule(height, num_patches):
    width = SIZES[(SIZES.index(height) + 5) % len(SIZES)]
    expected = strips(height, num_patches), strips(width, num_patches)
    if min(min(expected[0]), min(expected[1])) < 3:
        with pytest.raises(ConfigError, match="pixels thin"):
            PatchGrid(height, width, num_patches)
        return
    grid = PatchGrid(height, width, num_patches)
    assert (lengths(grid.row_edges), lengths(grid.col_edges)) == expected
    assert (grid.rows, grid.cols) == (len(expected[0]), len(expected[1]))
    assert len(grid) == grid.rows * grid.cols


def test_a_remainder_that_is_thinner_than_half_a_patch_is_merged():
    assert lengths(PatchGrid(66, 66, 36).row_edges) == [11] * 6  # no remainder
    assert lengths(PatchGrid(63, 63, 36).row_edges) == [11] * 5 + [8]  # 8 is over half of 10.5
    assert lengths(PatchGrid(100, 100, 130).row_edges) == [9] * 10 + [10]  # 1 is under half of 8.8


@pytest.mark.parametrize(("height", "width"), [(256, 256), (256, 512), (341, 256), (200, 333)])
def test_boxes_tile_the_image_exactly_once_row_by_row(height, width):
    grid = PatchGrid(height, width)
    assert grid.boxes.shape == (len(grid), 4)
    assert grid.boxes.dtype == torch.long
    covered = torch.zeros(height, width, dtype=torch.int)
    for top, left, bottom, right in grid.boxes.tolist():
        covered[top:bottom, left:right] += 1
    assert (covered == 1).all()
    corners = [(top, left) for top, left, _, _ in grid.boxes.tolist()]
    assert corners == sorted(corners)


@pytest.mark.parametrize(("height", "width"), [(256, 256), (192, 300)])
def test_the_pixels_of_a_mask_equal_its_boxes(height, width):
    grid = PatchGrid(height, width)
    masks = torch.rand(2, 3, len(grid), generator=torch.Generator().manual_seed(0)) < 0.4
    pixels = grid.to_pixels(masks)
    assert pixels.shape == (2, 3, height, width)
    assert pixels.dtype == torch.bool
    expected = torch.zeros(2, 3, height, width, dtype=torch.bool)
    for patch, (top, left, bottom, right) in enumerate(grid.boxes.tolist()):
        expected[..., top:bottom, left:right] = masks[..., patch, None, None]
    assert torch.equal(pixels, expected)


def strip_of_centre(pixel, pixels, edges):
    """Returns the strip that holds the centre of a pixel if `pixels` pixels span all strips; exact."""
    return bisect.bisect_right(edges, Fraction(2 * pixel + 1, 2 * pixels) * edges[-1]) - 1


@pytest.mark.parametrize(
    ("view", "size"),
    [
        ((256, 256), (256, 256)),
        ((256, 384), (512, 768)),  # a source of twice the view
        ((256, 341), (483, 644)),
        ((256, 256), (200, 200)),  # a small source, enlarged to its view
        ((256, 300), (31, 17)),  # fewer pixels than patches
        ((418, 352), (1887, 1765)),  # a pixel's centre lies exactly on an edge: it belongs to the patch that begins
    ],
)
def test_pixels_at_another_size_get_the_patch_of_their_centre(view, size):
    grid = PatchGrid(*view)
    patches = torch.arange(len(grid))
    rows = torch.tensor([strip_of_centre(i, size[0], grid.row_edges) for i in range(size[0])])
    cols = torch.tensor([strip_of_centre(i, size[1], grid.col_edges) for i in range(size[1])])
    expected = rows[:, None] * grid.cols + cols
    assert torch.equal(grid.to_pixels(patches, size=size), expected)


@pytest.mark.parametrize(
    ("height", "width", "num_patches", "thin"),
    [
        (32, 32, 512, 2),
        (70, 256, 512, 2),  # strips of 4, and a remainder of 2 that is too thick to be merged
        (256, 70, 512, 2),
        (256, 256, 20_000, 2),
    ],
)
def test_thin_patches_are_refused_with_a_number_that_works(height, width, num_patches, thin):
    with pytest.raises(ConfigError, match=f"{height} x {width} pixels into patches only {thin} pixels thin") as error:
        PatchGrid(height, width, num_patches)
    assert f"num_patches = {num_patches}" in str(error.value)
    advice = int(re.search(r"at most (\d+) patches", str(error.value))[1])
    assert len(PatchGrid(height, width, advice)) > 0


def test_patches_of_three_pixels_are_accepted():
    assert min(lengths(PatchGrid(64, 64).row_edges)) == 3


@pytest.mark.parametrize("arguments", [(0, 256, 512), (256, -1, 512), (256, 256, 0)])
def test_sizes_must_be_positive(arguments):
    with pytest.raises(ConfigError, match="positive"):
        PatchGrid(*arguments)


def test_cached_grids_equal_fresh_ones():
    cached = PatchGrid.cached(256, 341, 512)
    assert cached is PatchGrid.cached(256, 341, 512)
    assert torch.equal(cached.boxes, PatchGrid(256, 341).boxes)
