"""Files of version 0.1.0 still work: run folders, checkpoints and their configs."""

import shutil
import tarfile
from pathlib import Path

import pytest
from freeze import NETWORK, PRETRAIN, SEGMENT, SHORT, WEIGHTS
from words import REPOSITORY

FROZEN = REPOSITORY / "tests/frozen"
FINISHED = {"selective": PRETRAIN, "segment-selective": [*SEGMENT, f"--model.weights={WEIGHTS}"]}


@pytest.fixture
def old(tmp_path, monkeypatch, field):
    """The working folder of a user of 0.1.0, with the dataset of the runs."""
    monkeypatch.chdir(tmp_path)
    with tarfile.open(FROZEN / "runs.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    Path("experiments").symlink_to(REPOSITORY / "experiments")
    Path("runs/demo/data").symlink_to(field)
    return tmp_path


def content(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", FINISHED)
def test_a_finished_run_is_left_alone(old, smir, capsys, name):
    before = content(Path("runs"))
    smir(*FINISHED[name], *NETWORK, *SHORT)
    assert f"runs/demo/{name}/seed0 has finished before" in capsys.readouterr().out
    assert content(Path("runs")) == before


def test_an_interrupted_run_continues(old, smir):
    smir(*PRETRAIN, *NETWORK, *SHORT, "--run.root=interrupted")
    (run,) = Path("interrupted/demo/selective").iterdir()
    epochs = [line.split(",")[0] for line in (run / "metrics.csv").read_text().splitlines()]
    assert epochs == ["epoch", "0", "1", "2", "3"]
    assert (run / "DONE").is_file()


def test_configs_and_checkpoints_work_with_every_command(old, smir, capsys):
    run = Path("runs/demo/segment-selective/seed0")
    shutil.rmtree(run / "test")
    smir("test", f"--config={run}/config.yaml", "--ckpt_path=best", "--trainer.accelerator=cpu")
    assert (run / "test/metrics.json").is_file()
    smir("predict", f"--config={run}/config.yaml", "--ckpt_path=best", "--trainer.accelerator=cpu")
    smir("export", f"--ckpt={run}/checkpoints/best.ckpt", "--formats=weights", "--out=exported")
    smir("inspect", f"--ckpt={WEIGHTS}", "--device=cpu", "--limit=2", "--out=inspected")
    smir("report", "runs", "--out=report")
    assert "selective" in Path("report/report.md").read_text()
