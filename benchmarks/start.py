"""Measures the time until the command line answers, beyond the imports that it cannot avoid."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.datasets import write_images
from benchmarks.measure import Row, seconds, summary, take_turns

ROUNDS = 5


def rows() -> Iterator[Row]:
    """The figures of `--help`, of preparing eight photographs, and of a fit of two epochs on them."""
    with tempfile.TemporaryDirectory() as folder:
        yield from _rows(Path(folder))


def _rows(folder: Path) -> Iterator[Row]:
    fields = iter(range(2 * ROUNDS + 2))
    write_images(folder / "photographs", (256, 256), ".jpg", 8, 1)

    def run(*words: str) -> None:
        subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def prepare() -> None:
        root = folder / f"field{next(fields)}"
        run("-m", "smir", "prepare", "folder", f"--images={folder}/photographs", f"--root={root}")

    def fit() -> None:
        field, number = folder / "field0", next(fields)
        run(
            *("-m", "smir", "fit", "--config=folder/pretrain", f"--config={field}/data.yaml", "--data.hold_out=false"),
            *("--model.network.encoder=tu-test_efficientnet", "--data.crop_size=192", "--data.num_workers=0"),
            *("--trainer.max_epochs=2", "--trainer.accelerator=cpu", "--model.warmup_epochs=0"),
            f"--run.root={folder}/runs{number}",
        )

    times = take_turns(
        ROUNDS,
        help=lambda: run("-m", "smir", "--help"),
        prepare=prepare,
        fit=fit,
        torch=lambda: run("-c", "import torch"),
        fit_help=lambda: run("-m", "smir", "fit", "--help"),
        libraries=lambda: run("-c", "import lightning.pytorch, segmentation_models_pytorch"),
    )
    for figure, command, imports, goal in (
        ("python -m smir --help, beyond importing torch", "help", "torch", 1.0),
        ("python -m smir prepare folder of 8 photographs, beyond importing torch", "prepare", "torch", 0.0),
        ("python -m smir fit --help, beyond importing lightning and smp", "fit_help", "libraries", 2.0),
        ("python -m smir fit, 2 epochs on 8 photographs, beyond importing lightning and smp", "fit", "libraries", 10.0),
    ):
        differences = [a - b for a, b in zip(times.rounds[command], times.rounds[imports], strict=True)]
        value, spread = summary(differences)
        note = f"{seconds(times.median(command))} and {seconds(times.median(imports))}"
        yield Row(figure, "any", value, goal, "at most", "s", spread, note)
