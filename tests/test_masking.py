import numpy as np
import pytest
import torch

from smir.errors import ConfigError
from smir.masking import HardestMask, MaskPolicy, RandomMask
from smir.patches import PatchGrid

GRID = PatchGrid(256, 256)
SMALL = PatchGrid(64, 64, 16)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("grid", [GRID, SMALL, PatchGrid(256, 341)], ids=repr)
@pytest.mark.parametrize("ratio", [0.01, 0.25, 0.5, 0.75, 0.999])
@pytest.mark.parametrize("policy", [RandomMask, HardestMask])
def test_the_share_is_rounded_down_to_a_count_of_distinct_patches(policy, ratio, grid):
    scores = torch.rand(len(grid), generator=seeded(0))
    mask = policy(ratio)(grid=grid, scores=scores, generator=seeded(1))
    assert mask.shape == (len(grid),)
    assert mask.dtype == torch.bool
    assert mask.sum() == int(ratio * len(grid))


def test_half_of_441_patches_is_220():
    assert RandomMask()(grid=GRID, generator=seeded(0)).sum() == 220


def test_random_masks_follow_the_generator():
    policy = RandomMask()
    generator = seeded(3)
    first, second = (policy(grid=GRID, generator=generator) for _ in range(2))
    assert torch.equal(first, policy(grid=GRID, generator=seeded(3)))
    assert not torch.equal(first, second)
    assert not torch.equal(first, policy(grid=GRID, generator=seeded(4)))


def test_random_masks_leave_the_global_generator_alone():
    state = torch.get_rng_state()
    RandomMask()(grid=GRID, generator=seeded(0))
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
def test_of_equal_scores_the_lowest_index_is_masked_first(seed):
    scores = torch.randint(0, 4, (len(GRID),), generator=seeded(seed)).float()
    order = np.lexsort((np.arange(len(GRID)), -scores.numpy()))  # by score downwards, then by index
    expected = torch.zeros(len(GRID), dtype=torch.bool)
    expected[torch.from_numpy(order[:220].copy())] = True
    assert torch.equal(HardestMask()(grid=GRID, scores=scores), expected)


def test_if_all_scores_are_equal_the_first_half_is_masked():
    mask = HardestMask()(grid=SMALL, scores=torch.ones(len(SMALL)))
    assert mask.tolist() == [True] * 8 + [False] * 8


def test_leading_dimensions_are_chosen_one_by_one():
    scores = torch.rand(2, 3, len(GRID), generator=seeded(0))
    masks = HardestMask(0.3)(grid=GRID, scores=scores)
    assert masks.shape == scores.shape
    for place in np.ndindex(2, 3):
        assert torch.equal(masks[place], HardestMask(0.3)(grid=GRID, scores=scores[place]))


@pytest.mark.parametrize("policy", [RandomMask, HardestMask])
@pytest.mark.parametrize("ratio", [0, 1, -0.5, 1.5, float("nan")])
def test_the_ratio_must_lie_between_0_and_1(policy, ratio):
    with pytest.raises(ConfigError, match="between 0 and 1"):
        policy(ratio)


def test_the_hardest_mask_needs_scores():
    assert HardestMask.needs_scores
    assert not RandomMask.needs_scores
    with pytest.raises(ConfigError, match="scores"):
        HardestMask()(grid=GRID)


def test_a_new_policy_is_one_class():
    class FirstRows(MaskPolicy):
        def __call__(self, *, grid, scores=None, generator=None, stage=0):
            return torch.arange(len(grid)) < int(self.ratio * len(grid)) - stage

    assert FirstRows(0.25)(grid=SMALL, stage=1).sum() == 3
