"""Keeps the highest few of many values, and counts all in a histogram."""

import bisect
import heapq
import itertools
from collections import Counter
from collections.abc import Iterable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Top(Generic[Item]):
    """Keeps up to `limit` items with the highest values; of equal ones the one with the lower place."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._heap: list[tuple[tuple[float, tuple[int, ...]], Item]] = []

    def takes(self, value: float, *place: int) -> bool:
        """Returns whether `add` would keep an item, so that callers can skip making it."""
        return len(self._heap) < self.limit or _key(value, place) > self._heap[0][0]

    def add(self, item: Item, value: float, *place: int) -> None:
        """Adds an item by its value; its place is unique."""
        heapq.heappush(self._heap, (_key(value, place), item))
        if len(self._heap) > self.limit:
            heapq.heappop(self._heap)

    def ranked(self) -> list[Item]:
        """Returns the kept items, the highest first."""
        return [item for _, item in sorted(self._heap, key=lambda entry: entry[0], reverse=True)]


def _key(value: float, place: tuple[int, ...]) -> tuple[float, tuple[int, ...]]:
    return value, tuple(-number for number in place)


class Histogram:
    """Counts values in bins of one width."""

    def __init__(self, width: float) -> None:
        self.width = width
        self.bins: Counter[int] = Counter()
        """Number of values by bin; bin b holds those from `b * width` on."""

    def add(self, values: Iterable[float]) -> None:
        """Adds values."""
        self.bins.update(int(value // self.width) for value in values)

    def quantile(self, share: float) -> float:
        """Returns the value below which that share of the values lies, to half a bin."""
        places = sorted(self.bins)
        passed = list(itertools.accumulate(self.bins[place] for place in places))
        return (places[bisect.bisect_left(passed, share * passed[-1])] + 0.5) * self.width
