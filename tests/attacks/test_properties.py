"""Properties that hold for all images, masks, scores, lists and numbers of ranks; hypothesis chooses the cases."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.nn import functional

from smir.data.budget import LabelBudget
from smir.data.reading.lists import cut, read_list, shuffled, write_list
from smir.data.reading.samplers import EvalSampler, ListSampler, TrainSampler
from smir.errors import ConfigError, DataError
from smir.method.losses import patch_loss
from smir.method.mask_table import MaskTable
from smir.method.masking import HardestMask, RandomMask
from smir.method.patches import PatchGrid
from smir.method.stages import SingleStage, Stages
from smir.runs.mask_files import load_masks, save_masks

FEW = settings(max_examples=15, deadline=None, derandomize=True)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
MANY = settings(max_examples=60, deadline=None, derandomize=True)


@st.composite
def grids(draw, largest=400, most=600):
    """Draws a valid grid."""
    height, width = draw(st.integers(3, largest)), draw(st.integers(3, largest))
    try:
        return PatchGrid(height, width, draw(st.integers(1, most)))
    except ConfigError:
        return PatchGrid(height, width, 1)


def scores_of(grid, seed, values=None):
    generator = torch.Generator().manual_seed(seed)
    if values is None:
        return torch.rand(len(grid), generator=generator)
    return torch.randint(values, (len(grid),), generator=generator).float()


# Grid (METHOD.md section 2)


@MANY
@given(grids())
def test_patches_cover_every_pixel_once(grid):
    visits = torch.zeros(grid.height, grid.width, dtype=torch.int64)
    for top, left, bottom, right in grid.boxes.tolist():
        visits[top:bottom, left:right] += 1
    assert (visits == 1).all()
    assert len(grid) == len(grid.boxes) == grid.rows * grid.cols


@MANY
@given(grids())
def test_strips_are_as_long_as_the_rule_says(grid):
    for edges, length in ((grid.row_edges, grid.height), (grid.col_edges, grid.width)):
        unrounded = length / math.sqrt(grid.num_patches)
        size = math.ceil(unrounded)
        strips = np.diff(edges)
        assert edges[0] == 0
        assert edges[-1] == length
        assert (strips[:-1] == size).all()
        assert len(strips) == 1 or unrounded / 2 <= strips[-1] < size + unrounded / 2
        assert min(strips) >= 3


@MANY
@given(grids(), st.integers(0, 2**31))
def test_a_pixel_mask_equals_the_mask_of_its_patches(grid, seed):
    mask = scores_of(grid, seed) > 0.5
    pixels = grid.to_pixels(mask)
    for masked, (top, left, bottom, right) in zip(mask.tolist(), grid.boxes.tolist(), strict=True):
        assert (pixels[top:bottom, left:right] == masked).all()


@FEW
@given(grids(), st.integers(0, 2**31), st.integers(1, 500), st.integers(1, 500))
def test_a_mask_at_another_size_takes_the_patch_of_each_centre(grid, seed, height, width):
    mask = scores_of(grid, seed) > 0.5
    rows, cols = (
        np.searchsorted(edges, (np.arange(length) + 0.5) * edges[-1] / length + 1e-9, side="right") - 1
        for edges, length in ((grid.row_edges, height), (grid.col_edges, width))
    )
    expected = mask.view(grid.rows, grid.cols).numpy()[rows][:, cols]
    np.testing.assert_array_equal(grid.to_pixels(mask, size=(height, width)).numpy(), expected)


# Masks


@MANY
@given(grids(), st.floats(0.01, 0.99), st.integers(0, 2**31))
def test_every_policy_masks_as_many_patches_as_asked(grid, ratio, seed):
    generator = torch.Generator().manual_seed(seed)
    for policy in (RandomMask(ratio), HardestMask(ratio)):
        mask = policy(grid=grid, scores=scores_of(grid, seed), generator=generator)
        assert mask.dtype == torch.bool
        assert mask.shape == (len(grid),)
        assert mask.sum() == int(ratio * len(grid))


@MANY
@given(grids(), st.floats(0.01, 0.99), st.integers(0, 2**31), st.integers(1, 4))
def test_the_hardest_patches_are_masked_and_the_first_wins_a_tie(grid, ratio, seed, values):
    scores = scores_of(grid, seed, values)  # few different values, so that there are ties
    chosen = sorted(range(len(grid)), key=lambda patch: (-scores[patch], patch))[: int(ratio * len(grid))]
    assert HardestMask(ratio)(grid=grid, scores=scores).nonzero().flatten().tolist() == sorted(chosen)


@FEW
@given(st.lists(grids(largest=200), min_size=1, max_size=6), st.integers(0, 2**31), st.data())
def test_masks_survive_packing_state_and_file(tmp_path_factory, views, seed, data):
    num_patches = views[0].num_patches
    try:
        views = [PatchGrid(grid.height, grid.width, num_patches) for grid in views]
    except ConfigError:
        assume(False)
    indices = sorted(data.draw(st.sets(st.integers(0, 10**6), min_size=len(views), max_size=len(views))))
    masks = [scores_of(grid, seed + place) > 0.5 for place, grid in enumerate(views)]
    table = MaskTable.pack(indices, views, masks, num_patches)
    path = tmp_path_factory.mktemp("masks") / "masks.npz"
    save_masks(path, table)
    for copy in (table, MaskTable.from_state(table.state()), load_masks(path)):
        for index, grid, mask in zip(indices, views, masks, strict=True):
            own_grid, own_mask = copy.packed(index).unpack()
            assert own_grid.boxes.equal(grid.boxes)
            assert own_mask.equal(mask)


# Scoring (METHOD.md section 3)


def score_of_a_patch(prediction, target):
    """Mean |z - y| + (1 - SSIM) of one patch (C, h, w), cut out, by the formula."""
    window = torch.exp(-(torch.tensor([-1.0, 0, 1], dtype=torch.float64) ** 2) / (2 * 1.5**2))
    kernel = (window[:, None] * window / window.sum() ** 2)[None, None]

    def mean(values):
        return functional.conv2d(values[:, None], kernel)[:, 0]

    x, y = prediction.double(), target.double()
    mx, my = mean(x), mean(y)
    vx, vy, cov = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
    ssim = ((2 * mx * my + 1e-4) * (2 * cov + 9e-4)) / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4))
    return (x - y).abs().mean() + 1 - ssim.mean()


@FEW
@given(grids(largest=60, most=60), st.integers(0, 2**31), st.floats(0.01, 2))
def test_scores_equal_those_of_patches_cut_out_one_by_one(grid, seed, spread):
    generator = torch.Generator().manual_seed(seed)
    target = torch.randn(2, 3, grid.height, grid.width, generator=generator)
    prediction = target + spread * torch.randn(target.shape, generator=generator)
    scores = patch_loss(prediction, target, grid)
    assert scores.shape == (2, len(grid))
    for image in range(2):
        for patch, (top, left, bottom, right) in enumerate(grid.boxes.tolist()):
            cut_out = (slice(image, image + 1), slice(None), slice(top, bottom), slice(left, right))
            expected = score_of_a_patch(prediction[cut_out][0], target[cut_out][0])
            assert float(scores[image, patch]) == pytest.approx(float(expected), abs=2e-4)


@FEW
@given(grids(largest=60, most=60), st.integers(0, 2**31))
def test_a_perfect_patch_scores_zero_and_an_error_stays_in_its_patch(grid, seed):
    generator = torch.Generator().manual_seed(seed)
    target = torch.randn(1, 3, grid.height, grid.width, generator=generator)
    wrong = int(torch.randint(len(grid), (1,), generator=generator))
    top, left, bottom, right = grid.boxes[wrong].tolist()
    prediction = target.clone()
    prediction[..., top:bottom, left:right] += 1
    scores = patch_loss(prediction, target, grid)[0]
    assert scores.argmax() == wrong
    others = scores[torch.arange(len(grid)) != wrong]
    assert others.abs().max() < 1e-5 if len(others) else True


# Splits and lists


@MANY
@given(st.integers(4, 2000), st.integers(1, 40))
def test_partitions_hold_every_image_once_and_validate_on_none_they_train_on(num_images, num_stages):
    if num_images // num_stages < 2:
        with pytest.raises(DataError, match=f"num_stages that works is {num_images // 2}"):
            Stages(num_images, num_stages)
        return
    stages = Stages(num_images, num_stages)
    everything = [stages.partition(stage).tolist() for stage in range(num_stages)]
    assert sorted(itertools.chain.from_iterable(everything)) == list(range(num_images))
    for stage, partition in enumerate(everything):
        train, val = stages.train(stage).tolist(), stages.val(stage).tolist()
        assert train + val == partition
        assert len(train) == int(0.9 * len(partition)) > 0
        assert val


@MANY
@given(st.integers(0, 3000), st.lists(st.integers(1, 100), min_size=1, max_size=4))
def test_parts_of_a_list_are_consecutive_and_have_their_shares(length, weights):
    shares = [weight / sum(weights) for weight in weights]
    parts = [cut(range(length), shares, part) for part in range(len(shares))]
    assert list(itertools.chain.from_iterable(parts)) == list(range(length))
    assert all(abs(len(part) - share * length) <= 1 for part, share in zip(parts, shares, strict=True))


@MANY
@given(st.sets(st.text(min_size=1), max_size=50), st.integers(0, 9), st.randoms())
def test_a_shuffled_list_depends_only_on_its_entries_and_the_seed(entries, seed, chance):
    other = list(entries)
    chance.shuffle(other)
    assert shuffled(entries, seed) == shuffled(other, seed)
    assert set(shuffled(entries, seed)) == entries


@MANY
@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 300), st.integers(0, 9))
def test_smaller_budgets_are_subsets_of_larger_ones(total, first, second, seed):
    small, large = sorted(min(total, count) for count in (first, second))
    taken = [LabelBudget(count).take(range(total), seed) for count in (small, large)]
    assert [len(part) for part in taken] == [small, large]
    assert set(taken[0]) <= set(taken[1])
    assert taken[0] == sorted(taken[0])


@MANY
@given(st.lists(NAMES, min_size=1, unique=True))
def test_a_list_is_read_back_unchanged_or_refused_when_written(tmp_path_factory, entries):
    path = tmp_path_factory.mktemp("list") / "list.txt"
    try:
        write_list(path, entries)
    except DataError:
        assert any(entry != entry.strip() or set(entry) & set("\ufeff\r\n") for entry in entries)
        assert not path.exists()
    else:
        assert read_list(path) == entries


# Samplers under ranks


@MANY
@given(
    st.integers(2, 300),
    st.integers(1, 8),
    st.sampled_from([1, 2, 3, 4]),
    st.integers(1, 8),
    st.integers(0, 5),
    st.data(),
)
def test_training_visits_do_not_depend_on_the_ranks(num_images, num_stages, world_size, per_rank, epoch, data):
    assume(num_images // num_stages >= 2)
    stages = Stages(num_images, num_stages)
    stages.advance(data.draw(st.integers(0, num_stages - 1)))
    batch_size = world_size * per_rank
    assume(min(len(stages.train(stage)) for stage in range(num_stages)) >= world_size)

    def visits(world):
        samplers = [TrainSampler(stages, 0, rank, world, batch_size) for rank in range(world)]
        for sampler in samplers:
            sampler.set_epoch(epoch)
        return samplers, [list(sampler) for sampler in samplers]

    samplers, dealt = visits(world_size)
    seen = [visit.index for part in dealt for visit in part]
    assert len(seen) == len(set(seen))  # no image twice
    assert set(seen) <= set(stages.train(stages.current).tolist())
    left_out = len(stages.train(stages.current)) - len(seen)
    assert 0 <= left_out < 2 * batch_size  # the incomplete global batch, and one more if stages differ in length
    batches = {-(-len(part) // per_rank) for part in dealt}
    assert batches == {samplers[0].num_batches}  # no rank waits for another that has none left
    if num_stages == 1:
        assert {visit.index: visit.seed for visit in visits(1)[1][0]} == {v.index: v.seed for p in dealt for v in p}


@MANY
@given(st.integers(1, 300), st.sampled_from([1, 2, 3, 4, 7]))
def test_evaluation_counts_every_image_once_on_any_number_of_ranks(num_images, world_size):
    everything = SingleStage(num_images)
    dealt = [list(EvalSampler(everything, 0, rank, world_size, everything.train(0))) for rank in range(world_size)]
    assert len({len(part) for part in dealt}) == 1
    weights = np.zeros(num_images)
    for visit in (visit for part in dealt for visit in part):
        weights[visit.index] += visit.weight
    assert (weights == 1).all()


@MANY
@given(st.lists(st.integers(1, 5), max_size=40), st.integers(1, 5))
def test_scoring_batches_are_assigned_to_ranks_whole(sizes, world_size):
    ends = np.cumsum([0, *sizes]).tolist()
    batches = [list(range(start, end)) for start, end in itertools.pairwise(ends)]
    dealt = [
        [visit.index for visit in batch]
        for rank in range(world_size)
        for batch in ListSampler(batches, rank, world_size)
    ]
    assert sorted(dealt) == batches
