"""Means over seeds, differences paired by seed, their bootstrap intervals, and a word of care where images are few."""

import dataclasses
import functools
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from smir.seeding import seed_for

if TYPE_CHECKING:
    import numpy as np

LEVEL = 0.95
RESAMPLES = 10_000
FEW = 20
"""Test images below which it is said: of so few, one that goes well or badly moves mIoU by points."""


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A figure over seeds.

    Attributes:
        by_seed: The figure of every seed that has it, at least one.
        seeds: Number of seeds that were run; a class may occur in the results of some of them only.
    """

    by_seed: Mapping[int, float]
    seeds: int

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return statistics.fmean(self.by_seed.values())

    @property
    def deviation(self) -> float | None:
        """Sample deviation (n - 1) over the seeds; nothing with a single one."""
        return statistics.stdev(self.by_seed.values()) if len(self.by_seed) > 1 else None


@dataclasses.dataclass(frozen=True)
class Difference:
    """A difference of two figures, paired by seed.

    Attributes:
        by_seed: The difference of every seed that has both; nothing where they share none.
    """

    by_seed: Mapping[int, float]

    @property
    def mean(self) -> float:
        """Mean over the seeds, of which there is at least one."""
        return statistics.fmean(self.by_seed.values())

    @functools.cached_property
    def interval(self) -> tuple[float, float] | None:
        """95 % bootstrap interval of the mean; nothing with a single seed."""
        return bootstrap_interval([self.by_seed[seed] for seed in sorted(self.by_seed)])


def paired(left: Estimate | None, right: Estimate | None) -> Difference | None:
    """Returns left - right on the seeds that both have; nothing if one of them is missing."""
    if left is None or right is None:
        return None
    common = sorted(left.by_seed.keys() & right.by_seed.keys())
    return Difference({seed: left.by_seed[seed] - right.by_seed[seed] for seed in common})


def on_common_seeds(left: Estimate | None, right: Estimate | None) -> tuple[Estimate | None, Estimate | None]:
    """Returns two figures on the seeds that both have; nothing for both where there is none."""
    common = sorted(left.by_seed.keys() & right.by_seed.keys()) if left and right else []
    if not (left and right and common):
        return None, None
    first, second = (Estimate({seed: one.by_seed[seed] for seed in common}, len(common)) for one in (left, right))
    return first, second


def averaged(parts: Iterable[Difference | None]) -> Difference | None:
    """Averages differences, such as those of several datasets, on the seeds that all have; nothing if one lacks."""
    known = list(parts)
    if not known or any(part is None for part in known):
        return None
    by_seed = [part.by_seed for part in known if part is not None]
    common = sorted(set.intersection(*(set(values) for values in by_seed)))
    return Difference({seed: statistics.fmean(values[seed] for values in by_seed) for seed in common})


def bootstrap_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Percentile bootstrap interval of the mean.

    Args:
        values: One value per seed.

    Returns:
        The quantiles that leave 2.5 % on either side of the means of 10,000 resamples; nothing for fewer than two
        values.
    """
    import numpy as np

    if len(values) < 2:
        return None
    means = np.asarray(values, dtype=np.float64)[_resamples(len(values))].mean(axis=1)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


@functools.lru_cache(maxsize=32)
def _resamples(count: int) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """The same resamples for every figure on as many seeds: (10,000, count) places."""
    import numpy as np

    return np.random.default_rng(seed_for("bootstrap", count)).integers(count, size=(RESAMPLES, count))


def rests_on(images: int) -> str:
    """Says how many images: `4 images`, `1 image`."""
    return f"{images:,} image{'' if images == 1 else 's'}"


def care(images: int) -> str:
    """A sentence to put behind figures of so many test images; empty where they are enough."""
    if images >= FEW:
        return ""
    return f" So few test images (fewer than {FEW}) make rough figures: differences of a few points are chance."
