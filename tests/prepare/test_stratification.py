"""Splits of few labelled images, each with every class if possible."""

import numpy as np
import pytest

from smir.data.reading.lists import SPLITS
from smir.errors import DataError
from smir.prepare.own.stratification import draw_splits


def test_every_split_has_every_class_that_enough_images_show():
    chance = np.random.default_rng(0)
    for trial in range(50):
        count = int(chance.integers(10, 40))
        classes = {f"{n}": {0, *(c for c in (1, 2) if chance.random() < 0.4)} for n in range(count)}
        for name in chance.choice(count, 3, replace=False):
            classes[str(name)].add(3)  # in only three images
        frozen = {name: frozenset(found) for name, found in classes.items()}
        members = draw_splits(frozen, (0.6, 0.2, 0.2), seed=trial)
        assert sorted(name for names in members.values() for name in names) == sorted(frozen)
        assert members == draw_splits(dict(reversed(frozen.items())), (0.6, 0.2, 0.2), seed=trial)
        for split in SPLITS:
            assert {0, 3} <= frozenset().union(*(frozen[name] for name in members[split]))
        assert all(abs(len(members[s]) - share * count) <= 2 for s, share in zip(SPLITS, (0.6, 0.2, 0.2), strict=True))
    assert draw_splits(frozen, (0.6, 0.2, 0.2), seed=1) != members


def test_five_labels_show_every_class_in_train_and_test():
    # One of the few sets in which dealing the images out is not enough to bring every class into the test split.
    shown = [{0, 2}, {0, 1}, {0, 1, 2}, {0, 1}, {0, 2}]
    classes = {f"{n}": frozenset(found) for n, found in enumerate(shown)}
    for seed in range(20):
        members = draw_splits(classes, (0.6, 0.2, 0.2), seed)
        assert sorted(name for names in members.values() for name in names) == sorted(classes)
        for split in ("train", "test"):
            assert frozenset().union(*(classes[name] for name in members[split])) == {0, 1, 2}


def test_few_labels_in_many_places_do_not_mix():
    names = [f"{n}" for n in range(24)]
    groups = {name: f"{int(name) // 4}" for name in names}
    members = draw_splits(dict.fromkeys(names, frozenset({0, 1})), (0.5, 0.25, 0.25), 0, groups)
    where = {groups[name]: split for split in SPLITS for name in members[split]}
    assert all(where[groups[name]] == split for split in SPLITS for name in members[split])
    assert [len(members[split]) for split in SPLITS] == [12, 4, 8]
    with pytest.raises(DataError, match="too few"):
        draw_splits(dict.fromkeys(names, frozenset({0, 1})), (0.5, 0.25, 0.25), 0, dict.fromkeys(names, "one"))
