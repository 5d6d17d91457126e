"""Programs that talk to W&B, or to the stand-in of its server."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from wandb_server import WandbServer
from words import REPOSITORY

WANDB = Path(sys.executable).with_name("wandb")


@pytest.fixture(autouse=True)
def no_wandb_from_outside(monkeypatch):
    """Removes settings of W&B from outside, and those that a test leaves behind."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_SILENT", "true")
    yield
    if sys.modules.get("wandb") is not None:
        sys.modules["wandb"].teardown()


def program(server=None, **more):
    """Returns the environment of a separate program."""
    paths = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    known = server.environment if server else {}
    return {**os.environ, **known, "PATH": paths, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY), **more}


def upload(folder, run):
    """Runs the command that a run folder names, and returns the content of the server afterwards."""
    command = json.loads((run / "wandb.json").read_text())["sync"]
    with WandbServer() as server:
        done = subprocess.run(
            command,
            shell=True,
            cwd=folder,
            env=program(server),
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
        )
    (logged,) = server.runs.values()
    assert logged.history, done.stderr
    return logged


def segments(run):
    return sorted(run.glob("wandb/offline-run-*"))
