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
        figure: Name of the figure, in words.
        device: `cpu`, `cuda`, or `any` if the device makes no difference.
        value: The measured value; None if it was not measured.
        goal: The value that it should reach, such as 9 for "at least 9".
        sense: `at least` or `at most`: on which side of the goal a value is good.
        unit: Unit of value and goal: `x` is times.
        spread: Lower and upper quartile of the rounds; the value is their median.
        note: The times behind a ratio, or the reason why it was not measured.
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
        """True if the value reaches the goal; None without a value or a goal."""
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

    On a processor without instructions for bfloat16, a step takes many times as long; that says nothing about others.
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
    """Times several things in turns, after one round that does not count: other work disturbs all of them alike."""
    times: dict[str, list[float]] = {name: [] for name in things}
    for number in range(rounds + 1):
        for name, thing in things.items():
            start = now(device)
            thing()
            if number:
                times[name].append(now(device) - start)
    return Times(times)


def now(device: str) -> float:
    """Waits until the device has finished its work, and returns the time in seconds."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def seconds(value: float) -> str:
    """A time in words: `1.20 s`, `35 ms`."""
    return f"{value:.2f} s" if value >= 1 else f"{1000 * value:.3g} ms"
