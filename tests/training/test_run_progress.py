"""Messages of a running training: epoch, stage, time left, and the run folder."""

import re
from types import SimpleNamespace

import pytest
from words import pretrain_words, selective_words

from smir import terminal
from smir.terminal import Pulse
from smir.training import progress_bar as run_progress
from smir.training.progress_bar import Pace, duration
from smir.training.run_record import RunRecord


def loud(field, *more):
    return [word for word in selective_words(field, *more) if "enable_progress_bar" not in word]


def test_the_bar_shows_epoch_stage_and_time_left(smir, field, capsys, monkeypatch):
    clock = iter(range(0, 60 * 60, 60))  # one epoch takes a minute
    monkeypatch.setattr(run_progress, "time", SimpleNamespace(monotonic=lambda: float(next(clock))))
    smir(*loud(field))
    told = dict.fromkeys(re.findall(r"Epoch \d[^:]*", capsys.readouterr().out))
    assert list(told) == [
        "Epoch 1/4, stage 1 of 2",
        "Epoch 2/4, stage 1 of 2, 3 min left",
        "Epoch 3/4, stage 2 of 2, 2 min left",
        "Epoch 4/4, stage 2 of 2, 1 min left",
    ]


def test_the_bar_moves_at_most_every_ten_seconds(monkeypatch):
    clock = iter([0.0, 4.0, 10.0, 12.0, 21.0])
    monkeypatch.setattr(terminal, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    pulse = Pulse()
    assert [pulse.due() for _ in range(4)] == [False, True, False, True]


def test_a_log_has_no_line_for_every_batch(smir, field, capsys):
    smir(*loud(field, "--data.batch_size=1"))
    batches = re.findall(r"Epoch 1/4[^\r\n]*?(\d+)/(\d+) \[", capsys.readouterr().out)
    assert len({total for _, total in batches}) == 1
    assert int(batches[0][1]) == 5
    assert {now for now, _ in batches} <= {"0", batches[0][1]}  # an epoch of this test takes less than ten seconds


def test_a_progress_bar_of_the_user_is_kept(smir, field, capsys):
    smir(*loud(field, "--trainer.callbacks+=TQDMProgressBar", "--trainer.fast_dev_run=true"))
    assert "Epoch 1/" not in capsys.readouterr().out


def test_a_resumed_run_does_not_load_its_first_weights_again(smir, field, tmp_path, caplog, monkeypatch):
    def die(self, trainer, pl_module):
        if trainer.current_epoch == 1:
            raise KeyError

    caplog.set_level("INFO")
    two_epochs = "--trainer.max_epochs=2"
    smir(*pretrain_words(field, two_epochs, "--run.experiment=first"))
    words = pretrain_words(field, two_epochs, f"--model.weights={tmp_path / 'runs/first/seed0/checkpoints/best.ckpt'}")
    caplog.clear()
    with monkeypatch.context() as patch:
        patch.setattr(RunRecord, "on_train_epoch_start", die)
        patch.setattr(RunRecord, "on_train_epoch_end", lambda *args: None)
        with pytest.raises(KeyError):
            smir(*words)
    assert "Weights from" in caplog.text
    caplog.clear()
    smir(*words)
    assert "Resuming" in caplog.text
    assert "Weights from" not in caplog.text


def test_a_start_names_the_run_folder_and_a_resume_names_the_epoch(smir, field, caplog, monkeypatch):
    def die(self, trainer, pl_module):
        if trainer.current_epoch == 3:
            raise KeyError

    with caplog.at_level("INFO"), monkeypatch.context() as patch:
        patch.setattr(RunRecord, "on_train_epoch_start", die)
        patch.setattr(RunRecord, "on_train_epoch_end", lambda *args: None)
        with pytest.raises(KeyError):
            smir(*selective_words(field))
    length = "4 epochs in 2 stages, of 1 step (4 crops of 5 images), 4 steps in all"
    assert f"This run is kept in runs/demo/selective/seed0.\nIt takes {length}." in caplog.messages
    assert "Stage 2 of 2 begins (stage 1 in files and metrics, which count from 0): " in caplog.text
    with caplog.at_level("INFO"):
        smir(*selective_words(field))
    assert "Resuming runs/demo/selective/seed0 from epoch 4 of 4 (last.ckpt)." in caplog.messages


def test_the_time_left_includes_the_scorings_to_come(monkeypatch):
    clock = iter([0.0, 10.0, 20.0, 130.0])  # two epochs of 10 s, then an epoch of 10 s with 100 s of scoring
    monkeypatch.setattr(run_progress, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    pace = Pace()
    for ends_stage in (False, False, True, False):
        pace.begin(ends_stage)
    assert pace.left(6, scorings=1) == 5 * 10 + 110
    assert Pace().left(6, scorings=1) is None


def test_durations_are_shown_in_rounded_units():
    said = [duration(seconds) for seconds in (20, 90, 3570, 3600, 12000, 172800 + 5 * 3600)]
    assert said == ["under 1 min", "2 min", "1 h 0 min", "1 h 0 min", "3 h 20 min", "2 days 5 h"]
