"""Draws seeded splits of few labelled images, each with every class if possible."""

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from smir.data.reading.lists import SPLITS, Split
from smir.errors import ConfigError, DataError
from smir.seeding import seed_for

_NEEDS_FIRST: tuple[Split, ...] = ("train", "test", "val")
"""Order of preference for a class that is too rare for all three, and for ties."""
_FEW = 40
"""Largest number of units for which exchanges are tried; with more, dealing is good enough."""

Members = dict[Split, list[str]]
TEST_ALONE = (0.0, 0.0, 1.0)
"""Shares of images that are only for testing."""


def draw_splits(
    classes: Mapping[str, frozenset[int]], shares: Sequence[float], seed: int, groups: Mapping[str, str] | None = None
) -> Members:
    """Deals labelled images to train, val and test.

    Iterative stratification (Sechidis, Tsoumakas and Vlahavas, On the stratification of multi-label data, ECML 2011):
    the rarest class is dealt first, each image to the split that lacks most of it. Here a split without any image of
    the class comes first. If there are few images, some are exchanged afterwards, so that no class is missing.

    Args:
        classes: Classes that each labelled image shows.
        shares: Shares of train, val and test, each above 0; or `TEST_ALONE`.
        seed: Seed of the order in which images of one class are dealt.
        groups: Group of each image, such as its part of a map, which stays together.

    Returns:
        Images of each split, sorted; only test with `TEST_ALONE`.

    Raises:
        ConfigError: If the shares are not positive or do not add up to 1.
        DataError: If there are too few images or groups for three splits.
    """
    if tuple(shares) == TEST_ALONE:
        return {"test": sorted(classes)}
    if not (len(shares) == len(SPLITS) and all(share > 0 for share in shares) and abs(sum(shares) - 1) <= 1e-6):
        raise ConfigError(
            "--shares are the shares of train, val and test, above 0, that add up to 1, or [0, 0, 1] to test on "
            f"all; got {list(shares)}."
        )
    units: dict[str, list[str]] = {}
    for name in sorted(classes):
        units.setdefault(name if groups is None else groups[name], []).append(name)
    if len(units) < len(SPLITS):
        raise DataError(
            f"{len(classes)} labelled images are too few: at least one each is needed to train, to choose the best "
            "weights, and to test. Label 3 or more; 20 are a start."
        )
    order = np.random.default_rng(seed_for(seed, "field split")).permutation(len(units)).tolist()
    in_order = list(units.values())
    dealt = _deal([in_order[place] for place in order], classes, shares)
    if len(units) <= _FEW:
        _exchange(dealt, classes)
    return {split: sorted(name for unit in dealt[split] for name in unit) for split in SPLITS}


def _exchange(dealt: dict[Split, list[list[str]]], classes: Mapping[str, frozenset[int]]) -> None:
    """Exchanges units of two splits while that adds classes to train, or else to test, or else to val."""

    def shown(units: Iterable[list[str]]) -> frozenset[int]:
        return frozenset().union(*(classes[name] for unit in units for name in unit))

    def covered() -> tuple[int, ...]:
        return tuple(len(shown(dealt[split])) for split in _NEEDS_FIRST)

    def improve() -> bool:
        before = covered()
        for mine, theirs in itertools.permutations((dealt[split] for split in _NEEDS_FIRST), 2):
            lacks = everything - shown(mine)
            for here, there in itertools.product(range(len(mine)), range(len(theirs))):
                if lacks & shown([theirs[there]]) and len(mine[here]) == len(theirs[there]):
                    mine[here], theirs[there] = theirs[there], mine[here]
                    if covered() > before:
                        return True
                    mine[here], theirs[there] = theirs[there], mine[here]
        return False

    everything = frozenset().union(*classes.values())
    while improve():
        pass


def _deal(
    units: list[list[str]], classes: Mapping[str, frozenset[int]], shares: Sequence[float]
) -> dict[Split, list[list[str]]]:
    """Deals units, which are images that stay together; those of one class in their order."""
    waiting = [(unit, Counter(c for name in unit for c in classes[name])) for unit in units]
    left = sum((counts for _, counts in waiting), Counter[int]())
    by_split = dict(zip(SPLITS, shares, strict=True))
    lacks = {split: {c: share * n for c, n in left.items()} for split, share in by_split.items()}
    room = {split: share * len(classes) for split, share in by_split.items()}
    dealt: dict[Split, list[list[str]]] = {split: [] for split in SPLITS}
    has: dict[Split, set[int]] = {split: set() for split in SPLITS}
    while waiting:
        rarest = min((c for c, n in left.items() if n), key=lambda c: (left[c], c), default=None)
        place = next(i for i, (_, counts) in enumerate(waiting) if rarest is None or rarest in counts)
        unit, counts = waiting.pop(place)
        empty = [split for split in _NEEDS_FIRST if not dealt[split]]
        without = [split for split in _NEEDS_FIRST if rarest is not None and rarest not in has[split]]
        with_room = [split for split in _NEEDS_FIRST if room[split] > 0] or _NEEDS_FIRST
        if len(waiting) < len(empty):  # the last units go to empty splits
            split = empty[0]
        elif without:
            split = without[0]
        else:
            wanted = rarest or 0
            split = max(with_room, key=lambda split: (lacks[split].get(wanted, 0.0), room[split]))
        dealt[split].append(unit)
        has[split].update(counts)
        room[split] -= len(unit)
        left -= counts
        for class_id, count in counts.items():
            lacks[split][class_id] -= count
    return dealt
