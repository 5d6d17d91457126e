"""The stage clock: the partitions of the pool, and how the clock advances."""

import pytest
import torch

from smir.errors import ConfigError, DataError
from smir.method.mask_table import MaskTable
from smir.method.patches import PatchGrid
from smir.method.stages import SingleStage, Stages

POOLS = [(40, 1), (97, 1), (40, 3), (61, 4), (107, 10), (119, 10), (5, 1), (20, 10), (2, 1), (1000, 7)]


def table_of(indices):
    """Returns a mask table of these images in which every mask hides the first patch."""
    grid = PatchGrid(64, 64, 16)
    mask = torch.arange(len(grid)) == 0
    return MaskTable.pack(indices, [grid] * len(indices), [mask] * len(indices), 16)


@pytest.mark.parametrize(("num_images", "num_stages"), POOLS)
def test_partitions_cover_the_pool_without_overlap(num_images, num_stages):
    stages = Stages(num_images, num_stages)
    seen = []
    for stage in range(num_stages):
        partition = list(range(num_images))[stage::num_stages]
        first_tenths = len(partition) * 9 // 10
        assert stages.partition(stage).tolist() == partition
        assert stages.train(stage).tolist() == partition[:first_tenths]
        assert stages.val(stage).tolist() == partition[first_tenths:]
        assert len(stages.train(stage)) > 0
        assert len(stages.val(stage)) > 0
        seen += partition
    assert sorted(seen) == list(range(num_images))


@pytest.mark.parametrize(("num_images", "num_stages", "largest"), [(19, 10, 9), (7, 5, 3), (10, 100, 5)])
def test_too_many_stages_are_refused_with_a_number_that_works(num_images, num_stages, largest):
    with pytest.raises(
        DataError, match=f"{num_images} images are too few for num_stages = {num_stages}: .* works is {largest};"
    ):
        Stages(num_images, num_stages)
    Stages(num_images, largest)
    with pytest.raises(DataError):
        Stages(num_images, largest + 1)


@pytest.mark.parametrize("num_stages", [0, -1])
def test_there_is_at_least_one_stage(num_stages):
    with pytest.raises(ConfigError, match="num_stages"):
        Stages(100, num_stages)


def test_the_clock_begins_without_masks():
    stages = Stages(12, 3)
    assert (stages.current, stages.masks, stages.mask_of(0)) == (0, None, None)


def test_advancing_sets_the_stage_and_its_masks():
    stages, table = Stages(12, 3), table_of([1, 4, 7, 10])
    stages.advance(1, table)
    assert (stages.current, stages.masks) == (1, table)
    assert stages.mask_of(4) == table.packed(4)
    stages.advance(2)
    assert (stages.current, stages.masks, stages.mask_of(4)) == (2, None, None)


@pytest.mark.parametrize("stage", [-1, 3])
def test_a_stage_that_does_not_exist_is_refused(stage):
    stages = Stages(12, 3)
    with pytest.raises(ValueError, match=f"no stage {stage}: the stages are 0 to 2"):
        stages.advance(stage)
    assert stages.current == 0


@pytest.mark.parametrize("indices", [[0, 3, 6, 9], [1, 4, 7], [1, 4, 7, 10, 13]])
def test_masks_of_other_images_are_refused(indices):
    stages = Stages(12, 3)
    with pytest.raises(ValueError, match="other images than those of stage 1"):
        stages.advance(1, table_of(indices))
    assert (stages.current, stages.masks) == (0, None)


@pytest.mark.parametrize("name", ["current", "masks"])
def test_the_current_stage_and_its_masks_are_read_only(name):
    for stages in (Stages(12, 3), SingleStage(3)):
        with pytest.raises(AttributeError):
            setattr(stages, name, None)


def test_a_single_stage_trains_on_everything():
    stages = SingleStage(1)
    assert (stages.current, stages.num_stages, stages.masks) == (0, 1, None)
    assert stages.train(0).tolist() == [0]
