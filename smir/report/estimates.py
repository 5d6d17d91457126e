"""Means over seeds, differences paired by seed with their t intervals, and warnings where seeds or images are few."""

import dataclasses
import functools
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence

from smir.errors import listed

FEWEST = 3
"""Seeds below which a difference gets no interval."""
FEW = 20
"""Test images below which the report warns: one image that goes well or badly then moves mIoU by points."""


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A figure over seeds.

    Attributes:
        by_seed: The figure of every seed that has it, at least one.
        seeds: Number of seeds that were run; a class may occur in the results of some of them only.
        name: The row's name.
        starts: Hash of the pretraining that each seed starts from, if it does.
    """

    by_seed: Mapping[int, float]
    seeds: int
    name: str = ""
    starts: Mapping[int, str] = dataclasses.field(default_factory=dict)

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return statistics.fmean(self.by_seed.values())

    @property
    def deviation(self) -> float | None:
        """Sample deviation (n - 1) over the seeds; None with a single one."""
        return statistics.stdev(self.by_seed.values()) if len(self.by_seed) > 1 else None

    def one_pretraining(self, seeds: Sequence[int]) -> frozenset[str]:
        """Returns the row's name if some of these seeds start from the same pretraining, and which, if not all do."""
        groups: dict[str, list[int]] = {}
        for seed in seeds:
            if seed in self.starts:
                groups.setdefault(self.starts[seed], []).append(seed)
        shared = [group for group in groups.values() if len(group) > 1]
        which = "; ".join(", ".join(map(str, group)) for group in shared)
        every = shared == [list(seeds)]
        return frozenset([self.name if every else f"{self.name} (seeds {which})"] if shared else [])


@dataclasses.dataclass(frozen=True)
class Difference:
    """A difference of two figures, paired by seed.

    Attributes:
        by_seed: The difference of every seed that has both; empty where they share none.
        one_pretraining: Names of the rows whose seeds start from the same pretraining, and which seeds, if not all.
    """

    by_seed: Mapping[int, float]
    one_pretraining: frozenset[str] = frozenset()

    @property
    def mean(self) -> float:
        """Mean over the seeds, of which there is at least one."""
        return statistics.fmean(self.by_seed.values())

    @functools.cached_property
    def interval(self) -> tuple[float, float] | None:
        """95 % paired t interval of the mean; None with fewer than three seeds."""
        return t_interval(list(self.by_seed.values()))


def paired(left: Estimate | None, right: Estimate | None) -> Difference | None:
    """Returns left - right on the seeds that both have; None if one of them is missing."""
    if left is None or right is None:
        return None
    common = sorted(left.by_seed.keys() & right.by_seed.keys())
    by_seed = {seed: left.by_seed[seed] - right.by_seed[seed] for seed in common}
    return Difference(by_seed, left.one_pretraining(common) | right.one_pretraining(common))


def on_common_seeds(left: Estimate | None, right: Estimate | None) -> tuple[Estimate | None, Estimate | None]:
    """Returns two figures on the seeds that both have; None for both if they share no seed."""
    common = sorted(left.by_seed.keys() & right.by_seed.keys()) if left and right else []
    if not (left and right and common):
        return None, None
    first, second = (Estimate({seed: one.by_seed[seed] for seed in common}, len(common)) for one in (left, right))
    return first, second


def averaged(parts: Iterable[Difference | None]) -> Difference | None:
    """Averages differences, such as those of several datasets, on the seeds that all have; None if one is missing."""
    every = list(parts)
    known = [part for part in every if part is not None]
    if not known or len(known) < len(every):
        return None
    common = sorted(set.intersection(*(set(part.by_seed) for part in known)))
    by_seed = {seed: statistics.fmean(part.by_seed[seed] for part in known) for seed in common}
    return Difference(by_seed, frozenset().union(*(part.one_pretraining for part in known)))


def chance(estimates: Iterable[Estimate | None]) -> float | None:
    """Returns the difference that two runs of equal rows stay below in 95 % of cases; None if no row has two seeds.

    It is t · √2 · s: s is the sample deviation over seeds, pooled over the rows, and t Student's t of as many degrees
    of freedom, the number of runs minus the number of rows.
    """
    rows = [list(one.by_seed.values()) for one in estimates if one and len(one.by_seed) > 1]
    freedom = sum(len(row) - 1 for row in rows)
    if not freedom:
        return None
    squares = sum((len(row) - 1) * statistics.variance(row) for row in rows)
    return t_quantile(freedom) * math.sqrt(2 * squares / freedom)


def one_seed(rows: Mapping[str, Sequence[Estimate | None]]) -> str:
    """Returns a warning about rows, grouped by dataset, where some of several have one seed."""
    bounds = {
        title: chance(estimates)
        for title, estimates in rows.items()
        if len(estimates) > 1 and any(estimate and len(estimate.by_seed) == 1 for estimate in estimates)
    }
    known = [f"{bound:.1f} points on {title}" for title, bound in bounds.items() if bound is not None]
    words = f" One seed: differences below about {listed(known)} may be chance." if known else ""
    if unknown := [title for title, bound in bounds.items() if bound is None]:
        words += (
            f" One seed: differences may be chance. No row of {listed(unknown)} has several seeds, so the report "
            "cannot tell how large chance differences are."
        )
    return words


def left_out(differences: Iterable[Difference | None]) -> str:
    """Names what the intervals of a row leave out: the luck of a pretraining that seeds share."""
    names = {name for gain in differences if gain and gain.interval for name in gain.one_pretraining}
    return f"luck of the one pretraining {listed(f'of {name}' for name in sorted(names))}" if names else ""


def t_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Returns the 95 % interval of the mean by Student's t; None for fewer than three values."""
    if len(values) < FEWEST:
        return None
    reach = t_quantile(len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    mean = statistics.fmean(values)
    return mean - reach, mean + reach


@functools.cache
def t_quantile(freedom: int) -> float:
    """Returns the t that Student's |t| stays below with probability 0.95."""
    from scipy.special import stdtrit  # not needed by the hints, which import this module after every command

    return float(stdtrit(freedom, 0.975))  # 2.5 % lie above it, and 2.5 % below its negative


def care(images: int) -> str:
    """Returns a warning to put after figures of few test images; empty where there are enough."""
    if images >= FEW:
        return ""
    return f" So few test images (fewer than {FEW}) make rough figures: differences of a few points may be chance."
