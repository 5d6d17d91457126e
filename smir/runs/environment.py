"""The environment of a run: versions, commit, device and command of every start."""

import platform
import shlex
import subprocess
import sys
import time
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_warn

from smir.files.json_record import read_json, write_json

PACKAGES = (
    "torch",
    "torchvision",
    "lightning",
    "torchmetrics",
    "jsonargparse",
    "segmentation-models-pytorch",
    "timm",
    "albumentations",
    "opencv-python-headless",
    "numpy",
    "pillow",
)
_EFFECTS = {
    "processes": "dropout, and on CPUs batch norm, differ from now on as between two seeds",
    "threads": "sums are taken in another order, so the last digits may differ",
}
"""What a resume with another number of them changes."""


def environment() -> dict[str, Any]:
    """Returns versions, commit, device and command of this process."""
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": shlex.join(["python", "-m", "smir", *sys.argv[1:]]),
        "commit": commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or "cpu",
        "threads": torch.get_num_threads(),
        "versions": {package: _version(package) for package in PACKAGES},
    }


@cache
def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


@cache
def commit() -> str:
    """Returns the commit of this code, with `+` if the code has changed since; a process asks git once."""
    try:
        _git("ls-files", "--error-unmatch", Path(__file__).name)  # fails inside the repository of another project
        changed = "+" if _git("status", "--porcelain", "--", ".") else ""
        return _git("rev-parse", "--short", "HEAD") + changed
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def _git(*words: str) -> str:
    folder = Path(__file__).parent
    done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()


def save_environment(folder: Path, processes: int, resumes: bool) -> None:
    """Appends this start of the run to `environment.json`; warns if a resume differs from the last start."""
    path = folder / "environment.json"
    starts = read_json(path) if path.is_file() else []
    start = environment() | {"processes": processes}
    write_json(path, [*starts, start])
    before = starts[-1] if starts and resumes else {}
    if changed := [name for name in _EFFECTS if before.get(name, start[name]) != start[name]]:
        numbers = "; ".join(f"{before[name]} {name} before, {start[name]} now" for name in changed)
        rank_zero_warn(
            f"{folder} resumes with other numbers ({numbers}): {_EFFECTS[changed[0]]}. The same numbers "
            "(--trainer.devices, OMP_NUM_THREADS) keep all bits."
        )
