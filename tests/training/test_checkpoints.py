"""The checkpoint files of a run: when they are written, and which survive a failure."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from interruptions import Killed

from smir.errors import ConfigError, RunError
from smir.method.preprocessing import Preprocessing
from smir.runs.checkpoint_record import CheckpointRecord
from smir.runs.launch import resume_point
from smir.training.checkpoints import CheckpointFiles, LastCheckpoint, RunCheckpoint
from smir.training.reconstruction import ReconstructionModule


def test_the_checkpoint_before_the_last_one_is_kept(tmp_path):
    files = CheckpointFiles()
    for epoch in range(3):
        files.save_checkpoint({"epoch": epoch}, tmp_path / "last.ckpt")
        files.save_checkpoint({"epoch": epoch}, tmp_path / "best.ckpt")
    found = {path.stem: torch.load(path, weights_only=True)["epoch"] for path in tmp_path.iterdir()}
    assert found == {"last": 2, "previous": 1, "best": 2}


def test_a_checkpoint_that_cannot_be_written_leaves_the_old_ones(tmp_path, monkeypatch):
    files, last = CheckpointFiles(), tmp_path / "last.ckpt"
    for epoch in (0, 1):
        files.save_checkpoint({"epoch": epoch}, last)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match=r"last\.ckpt could not be written: No space left on device"):
        files.save_checkpoint({"epoch": 2}, last)
    found = {path.stem: torch.load(path, weights_only=True)["epoch"] for path in tmp_path.iterdir()}
    assert found == {"last": 1, "previous": 0}


def test_a_checkpoint_that_no_command_could_read_is_refused_with_the_callback_that_makes_it_so(tmp_path):
    plain = {"epoch": 1, "state_dict": {"weight": torch.zeros(2)}}
    states = {"LearningHealth": {"settled": {}}, "mine.Seen{'every': 2}": {"count": 3, "file": tmp_path / "a.jpg"}}
    with pytest.raises(ConfigError, match=r"would hold pathlib\.PosixPath in the file of mine\.Seen, and no command"):
        CheckpointFiles().save_checkpoint({**plain, "callbacks": states}, tmp_path / "last.ckpt")
    with pytest.raises(ConfigError, match=r"PosixPath in its places, and no command could read it"):
        CheckpointFiles().save_checkpoint({**plain, "places": [tmp_path]}, tmp_path / "last.ckpt")
    assert not list(tmp_path.iterdir())


def test_a_kill_after_a_damaged_checkpoint_leaves_the_good_one(tmp_path, monkeypatch):
    """The damaged checkpoint must not have replaced `previous` while `last` is written again."""
    files, last, original = CheckpointFiles(), tmp_path / "last.ckpt", Path.replace
    content = {"state_dict": {}}
    CheckpointRecord("pretrain", {}, 3, Preprocessing(), None, {}).write(content)
    for epoch in (1, 2):
        files.save_checkpoint({"epoch": epoch, **content}, last)
    os.truncate(last, 100)
    with pytest.warns(UserWarning, match=r"previous\.ckpt, which is of an earlier epoch"):
        assert resume_point(tmp_path).path == tmp_path / "previous.ckpt"
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", lambda path, to: die() if to == last else original(path, to))
        with pytest.raises(Killed):
            files.save_checkpoint({"epoch": 2, **content}, last)
    assert resume_point(tmp_path).epoch == 1


def die():
    raise Killed


def test_the_best_checkpoint_of_a_moved_run_is_found(tmp_path):
    options = {"filename": "best", "monitor": "val/loss", "save_top_k": 1}
    before = RunCheckpoint(dirpath=tmp_path / "old", **options)
    path = str(tmp_path / "old/best.ckpt")
    before.best_model_path = before.kth_best_model_path = path
    before.best_k_models, before.best_model_score = {path: torch.tensor(0.5)}, torch.tensor(0.5)
    after = RunCheckpoint(dirpath=tmp_path / "new", **options)
    after.load_state_dict(before.state_dict())
    moved = str(tmp_path / "new/best.ckpt")
    assert after.best_model_path == after.kth_best_model_path == moved
    assert after.best_k_models == {moved: torch.tensor(0.5)}
    assert after.best_model_score == 0.5


@pytest.mark.parametrize(
    ("seconds", "kept"),
    [
        (0, [0, 1, 2, 3, 4, 5, 6, 7]),
        (1000, [0, 3, 7]),  # the first epoch of a process, and the last epoch of each of the two stages
    ],
)
def test_epochs_are_kept_rarely_but_always_at_the_end_of_a_stage(tmp_path, monkeypatch, seconds, kept):
    callback, trainer, module, found = last_checkpoint(tmp_path, monkeypatch, seconds)
    for epoch in range(8):
        trainer.current_epoch = epoch
        callback.on_train_epoch_end(trainer, module)
        assert callback.behind is (epoch not in kept)
    assert found == kept


@pytest.mark.parametrize("ask", ["wanted", "should_stop"])
def test_an_epoch_is_kept_if_the_run_is_about_to_stop(tmp_path, monkeypatch, ask):
    callback, trainer, module, found = last_checkpoint(tmp_path, monkeypatch, seconds=1000)
    for epoch in range(3):
        trainer.current_epoch = epoch
        if epoch == 2:
            setattr(callback if ask == "wanted" else trainer, ask, True)
        callback.on_train_epoch_end(trainer, module)
    assert found == [0, 2]
    assert not callback.wanted


def last_checkpoint(folder, monkeypatch, seconds):
    """Returns a `LastCheckpoint`, a trainer of two stages of four epochs, a module, and the list of kept epochs."""
    found = []
    monkeypatch.setattr(
        "lightning.pytorch.callbacks.ModelCheckpoint.on_train_epoch_end",
        lambda self, trainer, module: found.append(trainer.current_epoch),
    )
    monkeypatch.setattr(ReconstructionModule, "stage_epochs", 4)
    module = ReconstructionModule.__new__(ReconstructionModule)
    trainer = SimpleNamespace(strategy=SimpleNamespace(broadcast=lambda value: value), should_stop=False)
    return LastCheckpoint(seconds, dirpath=folder, filename="last"), trainer, module, found
