"""Rows of the table, and how two things are timed fairly on a machine that does other work as well."""

import dataclasses
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Literal

import torch

from smir.cli.precision import native_precision


@dataclasses.dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        figure: What is measured, in words.
        device: Where: `cpu`, `cuda`, or `any` where it makes no difference.
        value: The figure; nothing where it was not measured.
        goal: What it should reach, such as 9 for "at least 9".
        sense: Whether the goal is the least or the most that is good.
        unit: Unit of value and goal: `x` is times.
        spread: Lower and upper quartile of what the value is the median of.
        note: What else there is to say: the times behind a ratio, or why it was not measured.
    """

    figure: str
    device: str
    value: float | None
    goal: float | None
    sense: Literal["at least", "at most"]
    unit: str = "x"
    spread: tuple[float, float] | None = None
    note: str = ""

    @property
    def holds(self) -> bool | None:
        """`yes` or `no` for the goal; empty without a value or a goal."""
        if self.value is None or self.goal is None:
            return None
        return self.value >= self.goal if self.sense == "at least" else self.value <= self.goal


@dataclasses.dataclass(frozen=True)
class Times:
    """Seconds of every round, of things that took turns."""

    rounds: dict[str, list[float]]

    def median(self, name: str) -> float:
        """Median time of one."""
        return statistics.median(self.rounds[name])

    def ratio(self, above: str, below: str, scale: float = 1.0) -> tuple[float, tuple[float, float]]:
        """Median and quartiles of the ratios of one round each, times `scale`."""
        ratios = [scale * a / b for a, b in zip(self.rounds[above], self.rounds[below], strict=True)]
        return summary(ratios)


def why_not(device: str, precision: str = "float32") -> str | None:
    """Returns why something is not measured on this machine; None if it is.

    On a processor without instructions for bfloat16 a step takes many times as long, which says nothing of others.
    """
    if device == "cuda" and not torch.cuda.is_available():
        return "not measured here: no GPU"
    if precision == "bfloat16" and native_precision(device) != "bf16-mixed":
        return "not measured here: no instructions for bfloat16"
    return None


def summary(values: Sequence[float]) -> tuple[float, tuple[float, float]]:
    """Median and quartiles."""
    if len(values) == 1:
        return values[0], (values[0], values[0])
    quartiles = statistics.quantiles(values, n=4, method="inclusive")
    return quartiles[1], (quartiles[0], quartiles[2])


def take_turns(rounds: int, device: str = "cpu", **things: Callable[[], object]) -> Times:
    """Times several things in turns, after one round that does not count: what disturbs one disturbs all alike."""
    times: dict[str, list[float]] = {name: [] for name in things}
    for number in range(rounds + 1):
        for name, thing in things.items():
            start = now(device)
            thing()
            if number:
                times[name].append(now(device) - start)
    return Times(times)


def now(device: str) -> float:
    """Seconds on a clock, once the device has done what it was given."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def seconds(value: float) -> str:
    """A time in words: `1.20 s`, `35 ms`."""
    return f"{value:.2f} s" if value >= 1 else f"{1000 * value:.3g} ms"
