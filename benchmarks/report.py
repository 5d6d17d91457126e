"""Writes the table: as JSON, and as Markdown into its place in the documentation."""

import ctypes
import dataclasses
import json
import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.measure import Row

BEGIN, END = "<!-- table: make bench writes it -->\n", "<!-- end of the table -->\n"


def environment() -> dict[str, Any]:
    """The machine, the versions of what matters, the commit, and the allocator."""
    import lightning
    import segmentation_models_pytorch
    import torchvision

    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": platform.platform(),
        "allocator": _allocator(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "lightning": lightning.__version__,
        "segmentation_models_pytorch": segmentation_models_pytorch.__version__,
        "commit": _git("rev-parse", "--short", "HEAD") + ("-dirty" if _git("status", "--porcelain", "-uno") else ""),
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def _allocator() -> str:
    if os.environ.get("LD_PRELOAD"):
        return f"LD_PRELOAD={os.environ['LD_PRELOAD']}"
    try:
        version = ctypes.CDLL("libc.so.6").gnu_get_libc_version
    except (OSError, AttributeError):
        return "not glibc's"
    version.restype = ctypes.c_char_p
    return f"glibc {version().decode()}, thresholds raised by smir.files.memory, for the baselines too"


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def write_json(path: Path, rows: Sequence[Row], about: dict[str, Any], seconds: float) -> None:
    """Writes the rows as a list, each with the environment that it was measured in."""
    where = {**about, "bench_seconds": round(seconds)}
    content = [{**dataclasses.asdict(row), "holds": row.holds, "environment": where} for row in rows]
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def markdown(rows: Sequence[Row], about: dict[str, Any], seconds: float) -> str:
    """The table, and below it what it was measured on."""
    lines = ["| figure | on | value | quartiles | goal | holds | |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        value = "not measured here" if row.value is None else _number(row.value, row.unit)
        spread = "" if row.spread is None else " to ".join(_number(bound, "") for bound in row.spread)
        goal = "" if row.goal is None else f"{row.sense} {_number(row.goal, row.unit)}"
        holds = {True: "yes", False: "**no**", None: ""}[row.holds]
        note = row.note.removeprefix("not measured here: ")
        lines.append(f"| {row.figure} | {row.device} | {value} | {spread} | {goal} | {holds} | {note} |")
    facts = "; ".join(f"{name.replace('_', ' ')} {value}" for name, value in about.items() if value is not None)
    return "\n".join([*lines, "", f"Measured in {seconds / 60:.0f} minutes: {facts}.", ""])


def _number(value: float, unit: str) -> str:
    text = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{text}{' ' if unit not in ('x', '%', '') else ''}{unit}".replace("x", " x").replace("%", " %").strip()


def insert(path: Path, table: str, begin: str = BEGIN) -> None:
    """Puts the table between its two marks."""
    text = path.read_text(encoding="utf-8")
    before, rest = text.split(begin)
    _, after = rest.split(END)
    path.write_text(f"{before}{begin}{table}{END}{after}", encoding="utf-8")
