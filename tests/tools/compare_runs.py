"""Compares two run folders bit by bit: python tests/tools/compare_runs.py RUN TWIN.

Weights, optimiser, masks and scores, metrics except for the times, and the choice of the best epoch must be equal.
"""

import csv
import json
import sys
from pathlib import Path
from typing import Any

import torch


def content(run: Path) -> dict[str, Any]:
    """Returns the contents that must be equal in two runs, by name."""
    found: dict[str, Any] = {}
    for name in ("best", "last", "previous"):
        path = run / "checkpoints" / f"{name}.ckpt"
        if not path.is_file():
            continue
        checkpoint = torch.load(path, weights_only=True)
        found[f"{name}: weights"] = checkpoint["state_dict"]
        found[f"{name}: optimiser"] = checkpoint["optimizer_states"]
        found[f"{name}: epoch and step"] = (checkpoint["epoch"], checkpoint["global_step"])
        found[f"{name}: callbacks"] = {key: _choice(state) for key, state in checkpoint["callbacks"].items()}
    for path in sorted(run.glob("masks/*")):
        found[f"masks/{path.name}"] = path.read_bytes()
    with (run / "metrics.csv").open(newline="", encoding="utf-8") as file:
        found["metrics"] = [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]
    for path in sorted(run.glob("test/*.csv")):
        found[f"test/{path.name}"] = path.read_bytes()
    done = json.loads((run / "DONE").read_text()) if (run / "DONE").is_file() else {}
    found["DONE"] = {**done, "files": list(done.get("files", {}))}  # times differ, and paths in checkpoints
    found["unfinished files"] = [path.name for path in run.rglob(".*.tmp")]
    return found


def _choice(state: dict[str, Any]) -> dict[str, Any]:
    """Returns the state of a callback without the paths of its files."""
    return {key: value for key, value in state.items() if not key.endswith(("path", "dirpath", "best_k_models"))}


def difference(one: Any, other: Any, where: str = "") -> str | None:
    """Returns the first difference of two contents, or None."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        # Bits, not values: a NaN is equal to itself here, and 0 differs from -0.
        same = one.dtype == other.dtype and one.shape == other.shape and _bits(one) == _bits(other)
        return None if same else where
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted({*one, *other}, key=str):
            if key not in one or key not in other:
                return f"{where}/{key} is in one alone"
            if found := difference(one[key], other[key], f"{where}/{key}"):
                return found
        return None
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        if len(one) != len(other):
            return f"{where} has {len(one)} and {len(other)} entries"
        pairs = enumerate(zip(one, other, strict=True))
        return next((found for i, (a, b) in pairs if (found := difference(a, b, f"{where}[{i}]"))), None)
    return None if one == other else f"{where}: {str(one)[:60]} and {str(other)[:60]}"


def _bits(tensor: torch.Tensor) -> bytes:
    return tensor.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes() if tensor.numel() else b""


if __name__ == "__main__":
    run, twin = map(Path, sys.argv[1:])
    found = difference(content(run), content(twin))
    print(f"differs at {found}" if found else "equal")
    sys.exit(bool(found))
