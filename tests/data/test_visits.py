import itertools

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from smir.data.reading.samplers import EvalSampler, ListSampler, TrainSampler
from smir.errors import DataError
from smir.method.mask_table import MaskTable
from smir.method.patches import PatchGrid
from smir.method.stages import SingleStage, Stages

WORLDS = [1, 2, 3, 4]
POOLS = [(40, 1), (97, 1), (40, 3), (61, 4), (107, 10), (119, 10), (5, 1)]  # images, stages


def batches(samplers, per_rank):
    """Returns the batches of visits that the loader of every rank would make from its sampler."""
    visits = [list(sampler) for sampler in samplers]
    return [[rank[start : start + per_rank] for start in range(0, len(rank), per_rank)] for rank in visits]


def train_samplers(stages, world, batch_size, seed=0, epoch=0):
    samplers = [TrainSampler(stages, seed, rank, world, batch_size) for rank in range(world)]
    for sampler in samplers:
        sampler.set_epoch(epoch)
    return samplers


def masked(stages, stage, seed=0):
    """Gives every image of a stage's partition a mask that no other stage has."""
    grid = PatchGrid(64, 64, 16)
    generator = torch.Generator().manual_seed(1000 * seed + stage)
    indices = stages.partition(stage).tolist()
    masks = [torch.rand(len(grid), generator=generator) < 0.5 for _ in indices]
    stages.advance(stage, MaskTable.pack(indices, [grid] * len(indices), masks, 16))
    return dict(zip(indices, masks, strict=True))


# Training visits


def test_no_image_is_visited_twice_and_at_most_one_batch_is_left_out():
    for (num_images, num_stages), world, per_rank in itertools.product(POOLS, WORLDS, [1, 2, 5]):
        stages, batch_size = Stages(num_images, num_stages), world * per_rank
        case = f"{num_images} images, {num_stages} stages, {world} ranks, global batch {batch_size}"
        if min(len(stages.train(stage)) for stage in range(num_stages)) < world:
            continue  # refused, see below
        counts = set()
        for stage in range(num_stages):
            stages.advance(stage)
            samplers = train_samplers(stages, world, batch_size, epoch=stage)
            by_rank = batches(samplers, per_rank)
            counts |= {len(own) for own in by_rank} | {-(-len(sampler) // per_rank) for sampler in samplers}
            visited = [visit.index for rank in by_rank for batch in rank for visit in batch]
            everything = stages.train(stage).tolist()
            assert len(set(visited)) == len(visited) == samplers[0].visits(stage), case
            assert set(visited) <= set(everything), case
            # One case leaves out more than the incomplete batch. With one image per rank and batch, a stage that is
            # one image short of the longest cannot take a short last batch (a rank would lack it), and as every stage
            # has equally many batches, the longest stages give up a whole one.
            assert len(everything) - len(visited) < batch_size + (batch_size == world), case
        assert len(counts) == 1, case
        assert counts.pop() >= 1, case


def test_every_training_image_is_visited_if_the_batches_are_full():
    stages = Stages(40)
    visited = [visit.index for sampler in train_samplers(stages, 2, 12) for visit in sampler]
    assert sorted(visited) == list(range(36))


def test_a_partition_smaller_than_a_batch_is_one_short_batch():
    stages = Stages(10)
    by_rank = batches(train_samplers(stages, 2, 64), 32)
    assert [len(own) for own in by_rank] == [1, 1]
    assert sorted(visit.index for own in by_rank for visit in own[0]) == list(range(9))


def test_fewer_images_than_processes_are_refused():
    with pytest.raises(DataError, match="3 training images are too few for 4 processes"):
        TrainSampler(Stages(4), 0, 0, 4, 4)


@pytest.mark.parametrize(("num_images", "num_stages", "batch_size"), [(97, 1, 12), (40, 3, 12), (107, 10, 24)])
def test_global_batches_do_not_depend_on_the_number_of_ranks(num_images, num_stages, batch_size):
    def global_batches(world, stage):
        stages = Stages(num_images, num_stages)
        stages.advance(stage)
        by_rank = batches(train_samplers(stages, world, batch_size, seed=5, epoch=7), batch_size // world)
        return [sorted(itertools.chain(*parts)) for parts in zip(*by_rank, strict=True)]

    for stage in range(num_stages):
        alone = global_batches(1, stage)
        assert all(global_batches(world, stage) == alone for world in WORLDS[1:])


def test_the_order_depends_only_on_seed_and_epoch():
    def visits(seed, epoch, world=1, history=()):
        sampler = train_samplers(Stages(97), world, 12, seed)[0]
        for earlier in history:
            sampler.set_epoch(earlier)
            list(sampler)
        sampler.set_epoch(epoch)
        return list(sampler)

    plain = visits(3, 5)
    assert plain == visits(3, 5, history=[0, 1, 9])
    torch.manual_seed(0)
    assert plain == visits(3, 5)
    for other in (visits(4, 5), visits(3, 6)):
        assert [visit.index for visit in plain] != [visit.index for visit in other]
    assert len({visit.seed for visit in plain}) == len(plain)
    # The same image is augmented differently in another epoch and in another run.
    seeds = {visit.index: visit.seed for visit in plain}
    for other in (visits(4, 5), visits(3, 6)):
        assert all(seeds.get(visit.index) != visit.seed for visit in other)


def test_every_image_is_visited_equally_often_in_the_long_run():
    sampler = train_samplers(Stages(14), 1, 8)[0]  # 12 images for training, 8 of them in an epoch
    counts = np.zeros(12)
    for epoch in range(600):
        sampler.set_epoch(epoch)
        counts[[visit.index for visit in sampler]] += 1
    assert abs(counts / 600 - 8 / 12).max() < 5 * (8 / 12 * 4 / 12 / 600) ** 0.5


def test_segmentation_trains_on_every_image_of_its_list():
    sampler = TrainSampler(SingleStage(9), 0, 0, 1, 3)
    assert sorted(visit.index for visit in sampler) == list(range(9))


# Validation, test and scoring visits


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize(("num_images", "num_stages"), POOLS)
def test_every_validation_image_counts_exactly_once(num_images, num_stages, world):
    stages = Stages(num_images, num_stages)
    lengths = set()
    for stage in range(num_stages):
        stages.advance(stage)
        samplers = [EvalSampler(stages, 0, rank, world) for rank in range(world)]
        visits = [list(sampler) for sampler in samplers]
        lengths |= {len(own) for own in visits} | {len(sampler) for sampler in samplers}
        flat = [visit for own in visits for visit in own]
        assert {visit.weight for visit in flat} <= {0.0, 1.0}
        assert sorted(visit.index for visit in flat if visit.weight) == stages.val(stage).tolist()
        assert {visit.index for visit in flat} == set(stages.val(stage).tolist())
    assert len(lengths) == 1


@pytest.mark.parametrize("world", WORLDS)
def test_every_image_of_a_validation_list_counts_once(world):
    indices = np.array([5, 2, 9, 11, 3])
    visits = [list(EvalSampler(SingleStage(12), 0, rank, world, indices)) for rank in range(world)]
    assert sorted(visit.index for own in visits for visit in own if visit.weight) == sorted(indices.tolist())
    assert len({len(own) for own in visits}) == 1


def test_validation_masks_are_the_same_in_every_epoch_and_on_any_number_of_ranks():
    def seeds(world, epoch):
        found = {}
        for rank in range(world):
            sampler = EvalSampler(Stages(97), 3, rank, world)
            sampler.set_epoch(epoch)
            found |= {visit.index: visit.seed for visit in sampler}
        return found

    assert seeds(1, 0) == seeds(1, 8) == seeds(3, 2)
    assert len(set(seeds(1, 0).values())) == len(seeds(1, 0))


@pytest.mark.parametrize("world", WORLDS)
def test_batches_are_assigned_to_ranks_whole(world):
    given = [[0, 1, 2], [3, 4], [5], [6, 7, 8]]
    samplers = [ListSampler(given, rank, world) for rank in range(world)]
    dealt = [[visit.index for visit in batch] for sampler in samplers for batch in sampler]
    assert sorted(dealt) == given
    assert sum(len(sampler) for sampler in samplers) == len(given)


# Masks


def test_visits_carry_no_mask_if_the_stage_has_none():
    stages = Stages(40, 2)
    visits = [*train_samplers(stages, 1, 4)[0], *EvalSampler(stages, 0, 0, 1)]
    assert all(visit.mask is None for visit in visits)


@pytest.mark.parametrize("stage", [1, 2])
def test_visits_carry_the_masks_of_the_stage(stage):
    stages = Stages(61, 4)
    masks = masked(stages, stage)
    visits = [*train_samplers(stages, 1, 4)[0], *EvalSampler(stages, 0, 0, 1)]
    assert {visit.index for visit in visits} <= set(masks)
    assert len(visits) > 10
    for visit in visits:
        assert torch.equal(visit.mask.unpack()[1], masks[visit.index])


class Echo(Dataset):
    """Returns the visit itself."""

    def __getitem__(self, visit):
        return visit


def as_they_are(samples):
    return samples


def test_persistent_workers_see_a_change_of_stage():
    stages = Stages(61, 4)
    train = TrainSampler(stages, 0, 0, 1, 4)
    loader = DataLoader(
        Echo(), batch_size=4, sampler=train, num_workers=2, persistent_workers=True, collate_fn=as_they_are
    )
    seen = []
    for epoch, stage in enumerate([0, 1, 1, 2]):
        if stage:
            masks = masked(stages, stage, seed=epoch)  # the same images may also get other masks
        train.set_epoch(epoch)
        assert len(loader) == 3
        visits = [visit for batch in loader for visit in batch]
        assert {visit.index % 4 for visit in visits} == {stage}
        for visit in visits:
            assert visit.mask is None if stage == 0 else torch.equal(visit.mask.unpack()[1], masks[visit.index])
        seen.append([visit.seed for visit in visits])
    assert seen[1] != seen[2]


@pytest.mark.parametrize("world", [1, 2, 4])
@pytest.mark.parametrize("images", [5, 8, 12, 16, 21])
def test_filled_batches_are_full_and_the_same_on_any_number_of_ranks(images, world):
    samplers = [TrainSampler(SingleStage(images), 0, rank, world, 8, fill=True) for rank in range(world)]
    by_rank = batches(samplers, 8 // world)
    whole = [sorted(visit for rank in by_rank for visit in rank[step]) for step in range(len(by_rank[0]))]
    (alone,) = batches([TrainSampler(SingleStage(images), 0, 0, 1, 8, fill=True)], 8)
    assert whole == [sorted(batch) for batch in alone]
    assert [len(batch) for batch in whole] == [8] * -(-images // 8)
    counts = [sum(visit.index == index for batch in whole for visit in batch) for index in range(images)]
    assert max(counts) - min(counts) <= 1
    assert min(counts) >= 1
    seeds = [visit.seed for batch in whole for visit in batch]
    assert len(set(seeds)) == len(seeds)  # a second visit is another crop
    assert sum(map(len, samplers)) == len(seeds)
