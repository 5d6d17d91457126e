"""Splits of few labelled images: seeded, and each with every class where that can be."""

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import get_args

import numpy as np

from smir.data.reading.listing import Split
from smir.errors import ConfigError, DataError
from smir.seeding import seed_for

SPLITS: tuple[Split, ...] = get_args(Split)
_NEEDS_FIRST: tuple[Split, ...] = ("train", "test", "val")
"""Where a class that is too rare for all three goes first; so does an image that could as well go elsewhere."""
_FEW = 40
"""Units up to which it is tried to exchange some; with more, dealing alone gives each split what can be had."""

Members = dict[Split, list[str]]
TEST_ALONE = (0.0, 0.0, 1.0)
"""Shares of images that nothing is to train on."""


def draw_splits(
    classes: Mapping[str, frozenset[int]],
    shares: Sequence[float],
    seed: int,
    groups: Mapping[str, str] | None = None,
) -> Members:
    """Deals labelled images to train, val and test.

    Iterative stratification (Sechidis, Tsoumakas and Vlahavas, On the stratification of multi-label data, ECML 2011):
    the rarest class is dealt first, each image to the split that lacks most of it. Here a split that has none of a
    class yet comes before all others. Of few images, where that can end with a class missing, some are exchanged.

    Args:
        classes: Classes that each labelled image shows.
        shares: Shares of train, val and test, each above 0; or `TEST_ALONE`.
        seed: Seed of the order in which images of one class are dealt.
        groups: Group of each image, such as its part of a map; a group stays together. Default: none do.

    Returns:
        Images of each split, sorted; with `TEST_ALONE` there is no other split.

    Raises:
        ConfigError: If the shares are not positive or do not add up to 1.
        DataError: If there are too few images or groups for three splits.
    """
    if tuple(shares) == TEST_ALONE:
        return {"test": sorted(classes)}
    if len(shares) != len(SPLITS) or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
        raise ConfigError(
            f"--shares are those of train, val and test, above 0 and 1 in sum, or [0, 0, 1] to test on all; got "
            f"{list(shares)}."
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
    dealt = _Dealer([in_order[place] for place in order], classes, shares).deal()
    if len(units) <= _FEW:
        _exchange(dealt, classes)
    return {split: sorted(name for unit in dealt[split] for name in unit) for split in SPLITS}


def _exchange(dealt: dict[Split, list[list[str]]], classes: Mapping[str, frozenset[int]]) -> None:
    """Exchanges units of two splits while more classes come to be in train, else in test, else in val."""

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


class _Dealer:
    """The state of one dealing: what is left, and what each split still lacks.

    Args:
        units: Images that stay together, in the order in which those of one class are dealt.
        classes: Classes of each image.
        shares: Shares of train, val and test.
    """

    def __init__(self, units: list[list[str]], classes: Mapping[str, frozenset[int]], shares: Sequence[float]) -> None:
        self.units = [(unit, Counter(c for name in unit for c in classes[name])) for unit in units]
        self.left = sum((counts for _, counts in self.units), Counter[int]())
        by_split = dict(zip(SPLITS, shares, strict=True))
        self.lacks = {split: {c: share * n for c, n in self.left.items()} for split, share in by_split.items()}
        self.room = {split: share * len(classes) for split, share in by_split.items()}
        self.members: dict[Split, list[list[str]]] = {split: [] for split in SPLITS}
        self.has: dict[Split, set[int]] = {split: set() for split in SPLITS}

    def deal(self) -> dict[Split, list[list[str]]]:
        while self.units:
            rarest = min((c for c, n in self.left.items() if n), key=lambda c: (self.left[c], c), default=None)
            place = next(i for i, (_, counts) in enumerate(self.units) if rarest is None or rarest in counts)
            unit, counts = self.units.pop(place)
            self._give(unit, counts, self._needy(rarest))
        return self.members

    def _needy(self, rarest: int | None) -> Split:
        empty = [split for split in _NEEDS_FIRST if not self.members[split]]
        without = [split for split in _NEEDS_FIRST if rarest is not None and rarest not in self.has[split]]
        if len(self.units) < len(empty):  # the last ones, this one included, go where there is none
            return empty[0]
        if without:
            return without[0]
        with_room = [split for split in _NEEDS_FIRST if self.room[split] > 0] or _NEEDS_FIRST
        return max(with_room, key=lambda split: (self.lacks[split].get(rarest or 0, 0.0), self.room[split]))

    def _give(self, unit: list[str], counts: Counter[int], split: Split) -> None:
        self.members[split].append(unit)
        self.has[split].update(counts)
        self.room[split] -= len(unit)
        self.left -= counts
        for class_id, count in counts.items():
            self.lacks[split][class_id] -= count
