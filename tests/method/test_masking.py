import numpy as np
import pytest
import torch

from smir.errors import ConfigError
from smir.method.masking import (
    BlockMask,
    HardestMask,
    MaskPolicy,
    MixedMask,
    ProportionalMask,
    RampMask,
    RandomMask,
    fixed_mask,
)
from smir.method.patches import PatchGrid

ALL = [RandomMask, HardestMask, MixedMask, RampMask, ProportionalMask, BlockMask]
GRID = PatchGrid(256, 256)
SMALL = PatchGrid(64, 64, 16)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("grid", [GRID, SMALL, PatchGrid(256, 341)], ids=repr)
@pytest.mark.parametrize("ratio", [0.01, 0.25, 0.5, 0.75, 0.999])
@pytest.mark.parametrize("policy", ALL)
def test_the_share_is_rounded_down_to_a_count_of_distinct_patches(policy, ratio, grid):
    scores = torch.rand(len(grid), generator=seeded(0))
    mask = policy(ratio)(grid=grid, scores=scores, generator=seeded(1))
    assert mask.shape == (len(grid),)
    assert mask.dtype == torch.bool
    assert mask.sum() == int(ratio * len(grid))


def test_half_of_441_patches_is_220():
    assert RandomMask()(grid=GRID, generator=seeded(0)).sum() == 220


@pytest.mark.parametrize("policy", [policy for policy in ALL if policy is not HardestMask])
def test_random_masks_follow_the_generator_and_leave_the_global_one_alone(policy):
    scores, state, generator = torch.rand(len(GRID), generator=seeded(0)), torch.get_rng_state(), seeded(3)
    first, second = (policy()(grid=GRID, scores=scores, generator=generator, stage=2) for _ in range(2))
    assert torch.equal(first, policy()(grid=GRID, scores=scores, generator=seeded(3), stage=2))
    assert not torch.equal(first, second)
    assert not torch.equal(first, policy()(grid=GRID, scores=scores, generator=seeded(4), stage=2))
    assert torch.equal(state, torch.get_rng_state())


def test_random_masks_are_uniform():
    generator, policy, draws = seeded(0), RandomMask(0.25), 4000
    masks = torch.stack([policy(grid=SMALL, generator=generator) for _ in range(draws)]).double()
    share = masks.mean(dim=0)
    assert (share - 0.25).abs().max() < 5 * (0.25 * 0.75 / draws) ** 0.5
    # Two patches are masked together with probability 4/16 * 3/15.
    together = (masks.T @ masks / draws)[~torch.eye(len(SMALL), dtype=torch.bool)]
    assert (together - 0.05).abs().max() < 6 * (0.05 * 0.95 / draws) ** 0.5


@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.9])
def test_the_hardest_patches_are_masked(ratio):
    scores = torch.randperm(len(GRID), generator=seeded(0)).float()
    mask = HardestMask(ratio)(grid=GRID, scores=scores)
    assert scores[mask].min() > scores[~mask].max()


@pytest.mark.parametrize("seed", range(5))
def test_the_lowest_index_is_masked_first_among_equal_scores(seed):
    scores = torch.randint(0, 4, (len(GRID),), generator=seeded(seed)).float()
    order = np.lexsort((np.arange(len(GRID)), -scores.numpy()))  # by descending score, then by index
    expected = torch.zeros(len(GRID), dtype=torch.bool)
    expected[torch.from_numpy(order[:220].copy())] = True
    assert torch.equal(HardestMask()(grid=GRID, scores=scores), expected)


def test_if_all_scores_are_equal_the_first_half_is_masked():
    mask = HardestMask()(grid=SMALL, scores=torch.ones(len(SMALL)))
    assert mask.tolist() == [True] * 8 + [False] * 8


def test_each_entry_of_the_leading_dimensions_is_masked_separately():
    scores = torch.rand(2, 3, len(GRID), generator=seeded(0))
    masks = HardestMask(0.3)(grid=GRID, scores=scores)
    assert masks.shape == scores.shape
    for place in np.ndindex(2, 3):
        assert torch.equal(masks[place], HardestMask(0.3)(grid=GRID, scores=scores[place]))


@pytest.mark.parametrize("policy", ALL)
@pytest.mark.parametrize("ratio", [0, 1, -0.5, 1.5, float("nan")])
def test_the_ratio_must_lie_between_0_and_1(policy, ratio):
    with pytest.raises(ConfigError, match="between 0 and 1"):
        policy(ratio)


@pytest.mark.parametrize("policy", [HardestMask, MixedMask, RampMask, ProportionalMask])
def test_a_policy_that_chooses_by_scores_is_refused_without_them(policy):
    assert policy.needs_scores
    with pytest.raises(ConfigError, match=f"{policy.__name__} needs the patch scores"):
        policy()(grid=GRID)


# Shares of the hardest


@pytest.mark.parametrize(("hardest", "sure"), [(0.0, 0), (0.25, 55), (0.5, 110), (1.0, 220)])
def test_a_mixed_mask_takes_its_share_of_the_hardest_patches_and_draws_the_others(hardest, sure):
    scores = torch.rand(3, len(GRID), generator=seeded(0))
    masks = torch.stack(
        [MixedMask(0.5, hardest)(grid=GRID, scores=scores, generator=seeded(seed)) for seed in range(400)]
    )
    assert (masks.sum(dim=-1) == 220).all()
    ranks = scores.argsort(dim=-1, descending=True).argsort(dim=-1)
    share = masks.double().mean(dim=0)
    assert (share[ranks < sure] == 1).all()
    expected = (220 - sure) / (441 - sure)
    assert (share[ranks >= sure] - expected).abs().max() <= 6 * (expected * (1 - expected) / 400) ** 0.5


def test_a_ramp_goes_from_random_to_the_hardest_by_equal_steps():
    scores = torch.rand(500, len(GRID), generator=seeded(0))
    hardest = HardestMask()(grid=GRID, scores=scores)
    shares = [
        (RampMask(last=4)(grid=GRID, scores=scores, generator=seeded(1), stage=stage) & hardest).sum() / hardest.sum()
        for stage in range(6)
    ]
    # Some of the patches drawn at random are among the hardest by chance.
    sure = [int(min(1, stage / 4) * 220) for stage in range(6)]
    expected = [(n + (220 - n) * (220 - n) / (441 - n)) / 220 for n in sure]
    assert torch.stack(shares).tolist() == pytest.approx(expected, abs=0.004)


def test_proportional_masks_are_drawn_patch_by_patch_in_proportion_to_the_scores():
    scores, draws = torch.tensor([0.0, 1.0, 2.0, 5.0]).repeat(20_000, 1), 20_000
    masks = ProportionalMask(0.5)(grid=PatchGrid(64, 64, 4), scores=scores, generator=seeded(0))
    places = [tuple(row.nonzero().flatten().tolist()) for row in masks]
    weights = {1: 1 / 8, 2: 2 / 8, 3: 5 / 8}
    for first, second in [(1, 2), (1, 3), (2, 3)]:
        a, b = weights[first], weights[second]
        expected = a * b / (1 - a) + b * a / (1 - b)
        assert places.count((first, second)) / draws == pytest.approx(expected, abs=0.02)


# Blocks


def test_block_masks_consist_of_blocks_and_cover_every_place():
    masks = torch.stack([BlockMask()(grid=GRID, generator=seeded(seed)) for seed in range(300)]).reshape(-1, 21, 21)
    random = torch.stack([RandomMask()(grid=GRID, generator=seeded(seed)) for seed in range(300)]).reshape(-1, 21, 21)
    borders, borders_of_random = (
        (part[:, 1:] != part[:, :-1]).double().mean() + (part[:, :, 1:] != part[:, :, :-1]).double().mean()
        for part in (masks, random)
    )
    assert borders < 0.4 * borders_of_random
    assert masks.double().mean(dim=0).min() > 0.15
    assert masks.double().mean(dim=0).max() < 0.75


@pytest.mark.parametrize("smallest", [1, 4, 400])
def test_blocks_fill_small_and_flat_grids(smallest):
    for grid in (SMALL, PatchGrid(32, 400, 40)):
        mask = BlockMask(0.9, smallest=smallest)(grid=grid, generator=seeded(smallest))
        assert mask.sum() == int(0.9 * len(grid))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: MixedMask(hardest=1.5), "share"),
        (lambda: RampMask(last=0), "last"),
        (lambda: BlockMask(smallest=0), "patch"),
        (lambda: BlockMask(aspect=0), "aspect"),
    ],
)
def test_settings_out_of_range_are_refused(make, words):
    with pytest.raises(ConfigError, match=words):
        make()


def test_a_new_policy_needs_only_one_class():
    class FirstRows(MaskPolicy):
        def __call__(self, *, grid, scores=None, generator=None, stage=0):
            return torch.arange(len(grid)) < int(self.ratio * len(grid)) - stage

    assert FirstRows(0.25)(grid=SMALL, stage=1).sum() == 3


@pytest.mark.parametrize(
    ("returned", "found"),
    [
        (torch.ones(15, dtype=torch.bool), r"torch\.bool of shape \(15,\)"),
        (torch.ones(16), r"torch\.float32 of shape \(16,\)"),
        (torch.ones(4, 4, dtype=torch.bool), r"torch\.bool of shape \(4, 4\)"),
        (np.ones(16, dtype=bool), "ndarray"),
    ],
)
def test_a_policy_that_returns_no_mask_of_the_grid_is_refused(returned, found):
    class Wrong(MaskPolicy):
        def __call__(self, **options):
            return returned

    with pytest.raises(ConfigError, match=f"Wrong returned {found} for one image with 16 patches"):
        fixed_mask(Wrong(), PatchGrid(64, 64, 16), None, seed=0, stage=1, key=0)
