"""Several processes compute the same scores, masks and test figures as one process with the same weights."""

import json
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from words import REPOSITORY, SUPPORT, pretrain_words, segment_words

from smir.data import Nassar
from smir.errors import ConfigError, LostProcessError
from smir.runs import launch
from smir.runs.mask_files import load_arrays, load_masks
from smir.training.stopping import FirstFailure


def run(python, folder, *words):
    """Runs a separate program, as DDP needs it."""
    folder.mkdir(exist_ok=True)
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    command = [python, *map(str, words)]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def test_scores_and_masks_do_not_depend_on_the_number_of_ranks(smir, python, field, tmp_path):
    smir(*pretrain_words(field, "--run.experiment=w", "--trainer.max_epochs=2"))
    weights = tmp_path / "runs/w/seed0/checkpoints/last.ckpt"
    for devices in (1, 2, 4):  # three batches, so one of four ranks has nothing to score
        run(python, tmp_path / str(devices), SUPPORT / "rank_scores.py", devices, field, weights, ".")
    one, *more = (tmp_path / str(devices) / "masks" for devices in (1, 2, 4))
    expected = load_arrays(one / "stage-01-scores.npz", ("index", "values"))
    assert expected["index"].tolist() == [1, 3, 5, 7, 9, 11]
    for masks in more:
        scores = load_arrays(masks / "stage-01-scores.npz", ("index", "values"))
        assert scores["index"].tolist() == expected["index"].tolist()
        np.testing.assert_allclose(scores["values"], expected["values"], atol=1e-5)
        assert load_masks(masks / "stage-01.npz").bits.tolist() == load_masks(one / "stage-01.npz").bits.tolist()


def test_a_global_batch_that_does_not_divide_over_the_ranks_is_refused(field):
    data = Nassar(field, batch_size=3)
    data.trainer = SimpleNamespace(global_rank=0, world_size=2)
    with pytest.raises(ConfigError, match="= 3 is the global batch size and cannot be divided over 2 devices"):
        data.setup("fit")


def test_a_refusal_that_all_ranks_meet_is_told_once(fails, tmp_path, monkeypatch):
    """The others wait before they tell it, and rank 0 ends those that Lightning started; torchrun ends all."""
    slept, ended = [], []
    with monkeypatch.context() as patch:
        patch.setattr(launch.time, "sleep", slept.append)
        launch.let_rank_zero_speak()
        assert not slept
        patch.setattr(launch, "global_rank", lambda: 1)
        launch.let_rank_zero_speak()
    assert slept == [launch.GRACE_SECONDS]
    monkeypatch.setattr(launch, "let_rank_zero_speak", lambda: print("waits", file=sys.stderr))
    said = fails("fit", "--config=folder/pretrain", f"--data.root={tmp_path / 'nowhere'}")
    assert said.splitlines()[-2] == "waits"
    started = SimpleNamespace(procs=[SimpleNamespace(kill=lambda: ended.append(len(started.procs)))])
    trainer = SimpleNamespace(strategy=SimpleNamespace(launcher=started))
    FirstFailure().on_exception(trainer, None, ConfigError("no"))
    assert ended == [0]  # if Lightning found an ended process in this list, it would kill rank 0 before it speaks


def test_a_process_of_torchrun_that_loses_another_says_so():
    trainer = SimpleNamespace(strategy=SimpleNamespace(launcher=None), global_rank=1)
    lost = RuntimeError("[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:561] Connection closed by peer [::1]:5")
    with pytest.raises(LostProcessError, match="The process of rank 1 has lost its connection to the others: one of"):
        FirstFailure().on_exception(trainer, None, lost)
    FirstFailure().on_exception(trainer, None, RuntimeError("a bug, which keeps its traceback"))


@pytest.mark.parametrize("launcher", ["lightning", "torchrun"])
def test_test_figures_do_not_depend_on_the_number_of_ranks(smir, python, field, tmp_path, launcher):
    """Three test images on two processes: a padded sampler would count one of them twice."""
    smir(*segment_words(field, "--run.experiment=s"))
    one = json.loads((tmp_path / "runs/s/seed0/test/metrics.json").read_text())["metrics"]
    pictures = {path.name: path.read_bytes() for path in (tmp_path / "runs/s/seed0/test").glob("*.png")}
    assert len(pictures) == 3
    checkpoint = tmp_path / "runs/s/seed0/checkpoints/best.ckpt"
    words = ["test", *segment_words(field, "--trainer.devices=2", f"--ckpt_path={checkpoint}")[1:]]
    start = ["-m", "torch.distributed.run", "--nproc_per_node=2"] if launcher == "torchrun" else []
    shutil.rmtree(tmp_path / "runs/s/seed0/test")
    run(python, tmp_path, *start, "-m", "smir", *words)
    two = json.loads((tmp_path / "runs/s/seed0/test/metrics.json").read_text())["metrics"]
    assert two == pytest.approx(one, abs=1e-6)
    assert {path.name: path.read_bytes() for path in (tmp_path / "runs/s/seed0/test").glob("*.png")} == pictures
