"""Measures whether the loader keeps a GPU busy, and which share of the card's peak a step reaches."""

import itertools
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.datasets import CITYSCAPES, pool, write_images
from benchmarks.measure import Row, now, summary
from smir.method.losses import ReconstructionLoss
from smir.models.networks import UNetStride4

BATCH, ROUNDS, STEPS = 128, 5, 20
SUPPLY, SHARE = "images per second of the loader over those of a bfloat16 step", "share of the card's bfloat16 peak"
PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12, "RTX 4090": 165e12}
"""Dense bfloat16 operations per second, by a part of the card's name."""


def rows() -> Iterator[Row]:
    """Yields the figures of a GPU that trains on Cityscapes-sized images from the cache."""
    if not torch.cuda.is_available():
        yield Row(SUPPLY, "cuda", None, 1.0, "at least", note="not measured here: no GPU")
        yield Row(SHARE, "cuda", None, None, "at least", "%", note="not measured here: no GPU")
        return
    steps = [_steps() for _ in range(ROUNDS)]
    supply = _supply()
    step, _ = summary(steps)
    value, spread = summary([supply / rate for rate in steps])
    cores = len(os.sched_getaffinity(0))
    note = f"{supply:.0f} images/s from {cores} cores; the step takes {step:.0f}; UNetStride4, batch {BATCH}"
    yield Row(SUPPLY, "cuda", value, 1.0, "at least", "x", spread, note)
    name = torch.cuda.get_device_name()
    peak = next((peak for part, peak in PEAKS.items() if part in name), None)
    flop = _flop_per_image()
    share = None if peak is None else 100 * step * flop / peak
    yield Row(SHARE, "cuda", share, None, "at least", "%", note=f"{name}; {flop / 1e9:.1f} GFLOP an image")


def _steps() -> float:
    """Returns images per second of training on one batch that is on the GPU already."""
    network = UNetStride4(3).cuda().to(memory_format=torch.channels_last)
    optimizer, loss = torch.optim.Adam(network.parameters()), ReconstructionLoss()
    image = torch.randn(BATCH, 3, 256, 256, device="cuda").contiguous(memory_format=torch.channels_last)
    start = 0.0
    for number in range(2 * STEPS):
        if number == STEPS:
            start = now("cuda")
        with torch.autocast("cuda", torch.bfloat16):
            value = loss(network(image), image)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    return STEPS * BATCH / (now("cuda") - start)


def _flop_per_image() -> float:
    network = UNetStride4(3).cuda()
    with FlopCounterMode(display=False) as counter:
        network(torch.randn(1, 3, 256, 256, device="cuda")).mean().backward()
    return float(counter.get_total_flops())


def _supply() -> float:
    with tempfile.TemporaryDirectory(prefix="smir-bench-") as folder:
        write_images(Path(folder, "data"), CITYSCAPES, ".png", 8, 600)
        data = pool(Path(folder, "data"), cache=True, cache_folder=Path(folder, "cache"))
        data.batch_size = BATCH
        data.setup("fit")
        for _ in data.train_dataloader():  # fills the cache
            pass
        batches = iter(data.train_dataloader())
        next(batches)
        start = time.perf_counter()
        count = sum(len(batch["image"]) for batch in itertools.islice(batches, 30))  # type: ignore[arg-type]
        return count / (time.perf_counter() - start)
