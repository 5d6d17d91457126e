"""The highest few of many, and how many there are of each height, without keeping all."""

import heapq
from collections import Counter
from collections.abc import Iterable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Top(Generic[Item]):
    """Keeps the items with the highest values; of equal ones the one with the lower place.

    Args:
        limit: How many to keep.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._heap: list[tuple[tuple[float, tuple[int, ...]], Item]] = []

    def takes(self, value: float, *place: int) -> bool:
        """Whether an item would be kept now, so that nothing is made of one that would not."""
        return len(self._heap) < self.limit or _key(value, place) > self._heap[0][0]

    def add(self, item: Item, value: float, *place: int) -> None:
        """Takes an item in.

        Args:
            item: The item.
            value: What it is ranked by.
            place: Tells it from all others.
        """
        if len(self._heap) < self.limit:
            heapq.heappush(self._heap, (_key(value, place), item))
        elif self.takes(value, *place):
            heapq.heapreplace(self._heap, (_key(value, place), item))

    def ranked(self) -> list[Item]:
        """The kept items, the highest first."""
        return [item for _, item in sorted(self._heap, key=lambda entry: entry[0], reverse=True)]


def _key(value: float, place: tuple[int, ...]) -> tuple[float, tuple[int, ...]]:
    return value, tuple(-number for number in place)


class Histogram:
    """Counts values in bins of one width.

    Args:
        width: Width of a bin.
    """

    def __init__(self, width: float) -> None:
        self.width = width
        self.bins: Counter[int] = Counter()
        """Number of values by bin; bin b holds those from `b * width` on."""

    def add(self, values: Iterable[float]) -> None:
        """Takes values in."""
        self.bins.update(int(value // self.width) for value in values)

    def quantile(self, share: float) -> float:
        """Returns the value below which that share of the values lies, to half a bin."""
        wanted, passed = share * self.bins.total(), 0
        place = 0
        for place in sorted(self.bins):
            passed += self.bins[place]
            if passed >= wanted:
                break
        return (place + 0.5) * self.width
