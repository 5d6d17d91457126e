"""An interrupted run ends bit for bit like an uninterrupted one, except for the times."""

import csv
import errno
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from compare_runs import content, difference
from interruptions import Killed, die_at_epoch, die_while_scoring
from words import REPOSITORY, segment_words, selective_words

from smir.data.reading import stamps
from smir.files.digest import file_digest
from smir.training.segmentation import SegmentationModule


def result_of(run: Path):
    """Returns contents that must be equal: weights, optimiser state, epoch of `best`, metrics, masks and scores."""
    last = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    best = torch.load(run / "checkpoints/best.ckpt", weights_only=True)
    with (run / "metrics.csv").open(newline="") as file:
        rows = [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]
    masks = {path.name: path.read_bytes() for path in sorted(run.glob("masks/*"))}
    return last["state_dict"], last["optimizer_states"], best["state_dict"], best["epoch"], rows, masks


def assert_equal(a, b):
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    elif isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_equal(a[key], b[key])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for left, right in zip(a, b, strict=True):
            assert_equal(left, right)
    else:
        assert a == b


@pytest.fixture(scope="module")
def untouched(field, tmp_path_factory):
    """A selective run without interruptions."""
    from smir.__main__ import main

    root = tmp_path_factory.mktemp("untouched")
    sys.argv = ["smir"]
    main(selective_words(field, f"--run.root={root}"))
    return result_of(root / "demo/selective/seed0")


@pytest.mark.parametrize("moment", ["epoch 1", "epoch 2", "epoch 3", "scoring"])
def test_pretraining_resumes_in_any_stage(smir, field, tmp_path, monkeypatch, untouched, moment):
    with monkeypatch.context() as patch:
        if moment == "scoring":
            die_while_scoring(patch)
        else:
            die_at_epoch(patch, int(moment.split()[1]))
        with pytest.raises(Killed):
            smir(*selective_words(field))
    run = tmp_path / "runs/demo/selective/seed0"
    assert not (run / "DONE").exists()
    smir(*selective_words(field, "--data.num_workers=1"))  # workers are not part of the recipe
    assert_equal(result_of(run), untouched)


def test_a_moved_run_keeps_its_best_checkpoint(smir, field, tmp_path, monkeypatch, untouched):
    with monkeypatch.context() as patch:
        die_at_epoch(patch, 3)
        with pytest.raises(Killed):
            smir(*selective_words(field))
    shutil.move(tmp_path / "runs", tmp_path / "elsewhere")
    smir(*selective_words(field, f"--run.root={tmp_path / 'elsewhere'}"))
    assert_equal(result_of(tmp_path / "elsewhere/demo/selective/seed0"), untouched)


def test_a_segmentation_whose_first_epoch_stays_the_best_resumes(smir, fails, field, tmp_path, monkeypatch):
    """A resume refuses labels that changed meanwhile, and warns of other numbers of threads and processes."""
    monkeypatch.setattr(SegmentationModule, "monitor", "stage")  # a metric that never gets better
    field = shutil.copytree(field, tmp_path / "field")
    words = segment_words(field, "--trainer.max_epochs=4", "--run.test=false")
    smir(*words, "--run.experiment=whole")
    with monkeypatch.context() as patch:
        die_at_epoch(patch, 2)
        with pytest.raises(Killed):
            smir(*words, "--run.experiment=broken")
    starts = tmp_path / "runs/broken/seed0/environment.json"
    starts.write_text(re.sub(r'("processes"|"threads"): \d+', r"\1: 7", starts.read_text()))
    labels = {path: path.read_bytes() for path in field.glob("nassar/tiled_dataset/train/mask/*")}
    for path, pixels in labels.items():
        path.write_bytes(pixels[:-30] + bytes(30))
    said = fails(*words, "--run.experiment=broken")
    assert re.search(r"8 of 8 files of the list 'train labels' \(.*\) below .* have changed since this run began", said)
    with monkeypatch.context() as patch:
        patch.setattr(stamps, "_sampled_hash", Mock(side_effect=OSError(errno.EIO, "Input/output error")))
        assert re.search(r"mask/\S+ cannot be read: Input/output error", fails(*words, "--run.experiment=broken"))
    for path, pixels in labels.items():
        path.write_bytes(pixels)  # with another modification time
    numbers = r"\(7 processes before, 1 now; 7 threads before, \d now\): dropout, .* as between two seeds"
    with pytest.warns(UserWarning, match=f"resumes with other numbers {numbers}"):
        smir(*words, "--run.experiment=broken")
    whole, broken = (content(tmp_path / f"runs/{name}/seed0") for name in ("whole", "broken"))
    assert whole["best: epoch and step"] == (0, 2)
    assert difference(broken, whole) is None


def test_a_checkpoint_of_another_run_is_refused(smir, fails, field, tmp_path, monkeypatch):
    """The networks fit, so only the record shows that `last` or `best` belongs to another seed."""
    monkeypatch.setattr(SegmentationModule, "monitor", "stage")  # a metric that never gets better
    words = segment_words(field, "--data.label_budget=4", "--run.experiment=s", "--run.test=false")
    with monkeypatch.context() as patch:
        die_at_epoch(patch, 1)
        for seed in (0, 1):
            with pytest.raises(Killed):
                smir(*words, f"--seed_everything={seed}")
    own, other = (tmp_path / f"runs/s/seed{seed}/checkpoints" for seed in (0, 1))
    for name in ("last.ckpt", "best.ckpt"):
        (own / name).rename(tmp_path / name)
        shutil.copyfile(other / name, own / name)
        said = fails(*words)
        assert f"{own / name} was written by another run: s, seed 1" in said
        assert not (own.parent / "DONE").exists()
        (tmp_path / name).replace(own / name)
    smir(*words)


def test_a_test_before_the_end_makes_room_for_that_of_the_end(smir, field, tmp_path, monkeypatch):
    monkeypatch.setattr(SegmentationModule, "monitor", "epoch")  # a metric that always gets better
    words, run = segment_words(field, "--run.experiment=s"), tmp_path / "runs/s/seed0"
    with monkeypatch.context() as patch:
        die_at_epoch(patch, 1)
        with pytest.raises(Killed):
            smir(*words)
    smir("test", "--config", run / "config.yaml", "--ckpt", "best")
    early = (run / "test/metrics.json").read_text()
    smir(*words)
    best = file_digest(run / "checkpoints/best.ckpt")
    assert json.loads((run / "test/metrics.json").read_text())["weights"] == best
    assert [path.read_text() for path in run.glob("test-*/metrics.json")] == [early]


def test_two_processes_resume_after_sigkill(python, field, tmp_path):
    """Kills a real job of two processes when it has written its first checkpoint, and starts it again."""
    words = selective_words(field, "--trainer.devices=2", "--trainer.strategy=ddp")
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}

    def start(folder, **kwargs):
        folder.mkdir(exist_ok=True)
        log = (folder / "log").open("a")
        return subprocess.Popen([python, "-m", "smir", *words], cwd=folder, env=env, stdout=log, stderr=log, **kwargs)

    whole = start(tmp_path / "whole")
    assert whole.wait(timeout=300) == 0, (tmp_path / "whole/log").read_text()[-3000:]
    broken = start(tmp_path / "broken", start_new_session=True)
    checkpoint = tmp_path / "broken/runs/demo/selective/seed0/checkpoints/last.ckpt"
    while not checkpoint.exists():
        assert broken.poll() is None, (tmp_path / "broken/log").read_text()[-3000:]
    os.killpg(broken.pid, 9)
    broken.wait()
    again = start(tmp_path / "broken")
    assert again.wait(timeout=300) == 0, (tmp_path / "broken/log").read_text()[-3000:]
    run = Path("runs/demo/selective/seed0")
    assert_equal(result_of(tmp_path / "broken" / run), result_of(tmp_path / "whole" / run))


def test_a_run_that_began_from_another_checkpoint_continues_from_its_own(smir, field, tmp_path, monkeypatch):
    words = segment_words(field, "--run.test=false")
    smir(*words, "--run.experiment=first")
    begun = [*words, "--trainer.max_epochs=4", f"--ckpt={tmp_path}/runs/first/seed0/checkpoints/last.ckpt"]
    smir(*begun, "--run.experiment=whole")
    with monkeypatch.context() as patch:
        die_at_epoch(patch, 3)
        with pytest.raises(Killed):
            smir(*begun, "--run.experiment=killed")
    trained = []
    original = SegmentationModule.on_train_epoch_start

    def counted(self):
        trained.append(self.current_epoch)
        original(self)

    monkeypatch.setattr(SegmentationModule, "on_train_epoch_start", counted)
    smir(*begun, "--run.experiment=killed")
    assert trained == [3]
    assert difference(*(content(tmp_path / f"runs/{name}/seed0") for name in ("killed", "whole"))) is None
