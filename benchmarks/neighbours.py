"""A training step on a shared machine: how OpenMP's threads wait, alone and beside two busy processes."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import torch

from benchmarks.measure import Row, summary
from smir.models import UNetStride4

ROUNDS, SECONDS, BATCH, SIZE = 3, 5.0, 8, 192
SETTINGS = {
    "as OpenMP does by default": {"GOMP_SPINCOUNT": "300000"},
    "passive": {"OMP_WAIT_POLICY": "passive"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}
"""Environments; without a policy libgomp's threads spin 300,000 times before they sleep."""

SHARED = {name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "OMP_NUM_THREADS")}


def rows() -> Iterator[Row]:
    """Two figures: what passive waiting costs alone, and what it gains beside two busy processes."""
    quiet = [_rates() for _ in range(ROUNDS)]
    with _busy(2):
        beside = [_rates() for _ in range(ROUNDS)]
    for where, rounds, goal in (("alone", quiet, 0.85), ("beside two busy processes", beside, 1.0)):
        default, passive, single = ([one[name] for one in rounds] for name in SETTINGS)
        value, spread = summary([ours / theirs for ours, theirs in zip(passive, default, strict=True)])
        note = (
            f"{summary(passive)[0]:.3g} against {summary(default)[0]:.3g} images/s; one thread {summary(single)[0]:.3g}"
        )
        figure = f"a training step {where}, threads that wait passively over those that spin"
        yield Row(figure, "cpu", value, goal, "at least", "x", spread, note)


def _rates() -> dict[str, float]:
    """Images per second of every setting, in turns."""
    return {name: float(_start(SECONDS, environment).communicate()[0]) for name, environment in SETTINGS.items()}


def _start(seconds: float, environment: dict[str, str]) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "benchmarks.neighbours", str(seconds)]
    return subprocess.Popen(words, env={**SHARED, **environment}, stdout=subprocess.PIPE, text=True)


@contextlib.contextmanager
def _busy(number: int) -> Iterator[None]:
    """Keeps as many single-thread trainings busy."""
    neighbours = [_start(3600, SETTINGS["one thread"]) for _ in range(number)]
    try:
        time.sleep(15)  # until they train
        yield
    finally:
        for neighbour in neighbours:
            neighbour.kill()
            neighbour.communicate()


def train(seconds: float) -> float:
    """Trains a small network for a while and returns images per second."""
    network = UNetStride4(3, "tu-tf_efficientnet_lite0").to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    image = torch.rand(BATCH, 3, SIZE, SIZE).contiguous(memory_format=torch.channels_last)
    begin, steps = time.perf_counter(), -2  # two steps warm up
    while steps < 1 or time.perf_counter() - begin < seconds:
        optimizer.zero_grad()
        (network(image) - image).abs().mean().backward()
        optimizer.step()
        steps += 1
        if steps == 0:
            begin = time.perf_counter()
    return BATCH * steps / (time.perf_counter() - begin)


if __name__ == "__main__":
    print(train(float(sys.argv[1])))
