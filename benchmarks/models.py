"""`python -m benchmarks.models ENCODER ...`: the cost of encoders, and their mIoU on the synthetic field.

`make bench-models` trains the runs that it reads, and names the encoders.
"""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnxruntime
import timm
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from benchmarks import report
from benchmarks.measure import take_turns
from smir.__main__ import main
from smir.export.trained import read_source
from smir.files.json_record import read_json

HERE = Path(__file__).parent
BEGIN = "<!-- table: make bench-models writes it -->\n"
SIDE = 256
INITS = ("scratch", "selective")


@dataclasses.dataclass(frozen=True)
class Model:
    """Cost and accuracy of a network.

    Attributes:
        encoder: Name of the encoder.
        parameters: Millions of parameters of the whole network.
        gflops: Billions of floating-point operations for an image, a multiplication and an addition counted as two.
        onnx_mb: Megabytes of its ONNX file.
        one_thread_ms: Milliseconds an image takes in ONNX Runtime on one thread.
        all_threads_ms: The same on all cores.
        memory_mb: Megabytes by which a process grows that opens the file and runs it on one thread.
        gpu_ms: Milliseconds an image takes in PyTorch on a GPU; None without one.
        miou: Test mIoU in percent, by the weights that training started from.
    """

    encoder: str
    parameters: float
    gflops: float
    onnx_mb: float
    one_thread_ms: float
    all_threads_ms: float
    memory_mb: float
    gpu_ms: float | None
    miou: dict[str, float]


def measure(runs: Path, encoder: str) -> Model:
    """Measures a network by its checkpoint, and reads the tests of its runs."""
    folders = {init: runs / encoder / f"segment-{init}" / "seed0" for init in INITS}
    tests = {init: read_json(folder / "test" / "metrics.json")["metrics"] for init, folder in folders.items()}
    best = folders["selective"] / "checkpoints" / "best.ckpt"
    network = read_source(best).module.network
    with tempfile.TemporaryDirectory(prefix="smir-bench-") as folder:
        file = Path(folder) / "exported" / "model.onnx"
        main(["export", f"--ckpt={best}", "--formats=onnx", f"--out={file.parent}"])  # compares it with PyTorch, too
        one, memory = onnx_speed(file, 1)
        everything, _ = onnx_speed(file, len(os.sched_getaffinity(0)))
        size = file.stat().st_size / 1e6
    return Model(
        encoder,
        sum(value.numel() for value in network.parameters()) / 1e6,
        _gflops(network),
        size,
        one,
        everything,
        memory,
        _gpu_ms(network),
        {init: 100 * metrics["test/view/miou"] for init, metrics in tests.items()},
    )


def onnx_speed(file: Path, threads: int) -> tuple[float, float]:
    """Milliseconds and megabytes."""
    words = [sys.executable, "-m", "benchmarks.onnx_speed", str(file), str(threads), str(SIDE)]
    output = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    milliseconds, megabytes = map(float, output.split()[-2:])
    return milliseconds, megabytes


def _gflops(network: nn.Module) -> float:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 3, SIDE, SIDE))
    return counter.get_total_flops() / 1e9


@torch.no_grad()
def _gpu_ms(network: nn.Module) -> float | None:
    if not torch.cuda.is_available():
        return None
    network, image = network.to("cuda"), torch.zeros(1, 3, SIDE, SIDE, device="cuda")
    return 1000 * take_turns(30, "cuda", network=lambda: network(image)).median("network")


def markdown(models: Sequence[Model], about: dict[str, Any]) -> str:
    """The table, and below it what it was measured on."""
    head = "| encoder | parameters | GFLOP | ONNX file | 1 thread | all cores | memory | GPU | scratch | selective |"
    lines = [head, "|---|" + "--:|" * 9]
    for model in models:
        gpu = "" if model.gpu_ms is None else f"{model.gpu_ms:.1f} ms"
        costs = f"{model.parameters:.2f} M | {model.gflops:.2f} | {model.onnx_mb:.1f} MB | {model.one_thread_ms:.0f} ms"
        costs += f" | {model.all_threads_ms:.0f} ms | {model.memory_mb:.0f} MB | {gpu}"
        reached = " | ".join(f"{model.miou[init]:.1f}" for init in INITS)
        lines.append(f"| `{model.encoder}` | {costs} | {reached} |")
    facts = "; ".join(f"{name.replace('_', ' ')} {value}" for name, value in about.items() if value is not None)
    return "\n".join([*lines, "", f"Measured on: {facts}.", ""])


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.models", description=__doc__)
    parser.add_argument("encoders", nargs="+")
    parser.add_argument("--runs", type=Path, default=Path("runs/models"))
    parser.add_argument("--dry", action="store_true", help="write nothing but to the screen")
    parser.add_argument("--document", type=Path, default=HERE.parent / "docs" / "models.md")
    parser.add_argument("--results", type=Path, default=HERE / "models.json")
    options = parser.parse_args()
    models = [measure(options.runs, encoder) for encoder in tqdm(options.encoders, desc="models")]
    about = {**report.environment(), "timm": timm.__version__, "onnxruntime": onnxruntime.__version__}
    table = markdown(models, about)
    print(table)
    if not options.dry:
        content = {"environment": about, "models": [dataclasses.asdict(model) for model in models]}
        options.results.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        report.insert(options.document, table, BEGIN)


if __name__ == "__main__":
    _main()
