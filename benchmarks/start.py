"""Measures the time until the command line answers, beyond the imports that it cannot avoid."""

import subprocess
import sys
from collections.abc import Iterator

from benchmarks.measure import Row, seconds, summary, take_turns

ROUNDS = 5


def rows() -> Iterator[Row]:
    """The figures of `--help`."""

    def run(*words: str) -> None:
        subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    times = take_turns(
        ROUNDS,
        help=lambda: run("-m", "smir", "--help"),
        torch=lambda: run("-c", "import torch"),
        fit=lambda: run("-m", "smir", "fit", "--help"),
        libraries=lambda: run("-c", "import lightning.pytorch, segmentation_models_pytorch"),
    )
    for figure, command, imports, goal in (
        ("python -m smir --help, beyond importing torch", "help", "torch", 1.0),
        ("python -m smir fit --help, beyond importing lightning and smp", "fit", "libraries", 2.0),
    ):
        differences = [a - b for a, b in zip(times.rounds[command], times.rounds[imports], strict=True)]
        value, spread = summary(differences)
        note = f"{seconds(times.median(command))} and {seconds(times.median(imports))}"
        yield Row(figure, "any", value, goal, "at most", "s", spread, note)
