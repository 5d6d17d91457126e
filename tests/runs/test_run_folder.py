"""The folder of a run: its lock, the run that it belongs to, and when it is done."""

import os
import shutil
import subprocess
import sys

import pytest
from words import REPOSITORY, segment_words

from smir.errors import RunError
from smir.runs.finished import write_done
from smir.runs.recipe import differences, without_new_defaults
from smir.runs.run_folder import Identity, Run, open_run


def test_a_run_in_use_is_refused(tmp_path):
    identity = Identity("a", 0, {"lr": 1}, {})
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import time, pathlib; from smir.runs.run_folder import *; "
            f"run = open_run(pathlib.Path({str(tmp_path)!r}), "
            "Identity('a', 0, {'lr': 1}, {})); print('held', flush=True); time.sleep(60)",
        ],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    try:
        assert holder.stdout.readline().strip() == b"held"
        with pytest.raises(RunError, match=f"in use by another process: pid {holder.pid} "):
            open_run(tmp_path, identity)
        (tmp_path / "a/seed0/lock").unlink()
        for _ in range(2):
            with pytest.raises(RunError, match="in use by another process"):
                open_run(tmp_path, identity)
        other = open_run(tmp_path, Identity("a", 0, {"lr": 2}, {}))
        assert other.path.name == f"seed0-{other_hash()}"
    finally:
        holder.kill()
        holder.wait()
    assert open_run(tmp_path, identity).path == tmp_path / "a/seed0"  # the kernel has released the lock


def other_hash():
    return Identity("a", 0, {"lr": 2}, {}).hash


def test_the_folder_of_a_run_that_failed_before_its_first_checkpoint_is_reused(tmp_path):
    open_run(tmp_path, Identity("a", 0, {"lr": 1}, {})).unlock()
    (tmp_path / "a/seed0/config.yaml").write_text("lr: 1")
    run = open_run(tmp_path, Identity("a", 0, {"lr": 2}, {}))
    assert run.path == tmp_path / "a/seed0"
    assert not (run.path / "config.yaml").exists()
    (run.path / "checkpoints").mkdir()
    (run.path / "checkpoints/last.ckpt").touch()
    run.unlock()
    assert open_run(tmp_path, Identity("a", 0, {"lr": 3}, {})).path != run.path


def test_a_damaged_record_is_named(tmp_path):
    run = open_run(tmp_path, Identity("a", 0, {}, {}))
    run.unlock()
    (run.path / "run.json").write_text("{")
    with pytest.raises(RunError, match=r"run\.json is damaged"):
        open_run(tmp_path, Identity("a", 0, {}, {}))


def test_a_finished_run_needs_no_lock(tmp_path):
    run = open_run(tmp_path, Identity("a", 0, {}, {}))
    write_done(run.path, {})
    run.unlock()
    assert open_run(tmp_path, Identity("a", 0, {}, {})).done
    shutil.rmtree(run.path)
    assert not Run(run.path).done


def test_another_recipe_under_the_same_name_gets_its_own_folder(smir, field, tmp_path):
    smir(*segment_words(field, "--run.experiment=a", "--run.test=false"))
    first = (tmp_path / "runs/a/seed0/metrics.csv").read_bytes()
    smir(*segment_words(field, "--run.experiment=a", "--run.test=false", "--model.lr=0.001"))
    folders = sorted(path.name for path in (tmp_path / "runs/a").iterdir())
    assert len(folders) == 2
    assert folders[1].startswith("seed0-")
    assert (tmp_path / "runs/a/seed0/metrics.csv").read_bytes() == first


def test_new_arguments_count_in_a_recipe_only_if_they_differ_from_their_defaults():
    recipe = {"model": {"init_args": {"lr": 1, "new": None}}, "callbacks": [{"init_args": {"new": 2}}]}
    expected = {"model": {"init_args": {"lr": 1}}, "callbacks": [{"init_args": {"new": 2}}]}
    assert without_new_defaults(recipe, {"new": None}) == expected


def test_a_difference_names_the_default_that_a_recipe_leaves_out():
    recipe = {"model": {"init_args": {"lr": 1}}}
    other = {"model": {"init_args": {"lr": 1, "encoder_lr_factor": 0.1}}}
    assert differences(other, recipe) == ["--model.encoder_lr_factor: 0.1, not 1.0"]
    assert differences(recipe, other) == ["--model.encoder_lr_factor: 1.0, not 0.1"]
