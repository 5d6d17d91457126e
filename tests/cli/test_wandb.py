"""Logging to W&B, read back through W&B's own programs and a stand-in for its server."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
import yaml
from interruptions import Killed, die_at_epoch
from wandb_programs import WANDB, no_wandb_from_outside, program, segments, upload  # noqa: F401  # a fixture
from wandb_server import WandbServer
from words import segment_words, selective_words

from smir.runs.wandb_logging import ending_the_wandb_run


def test_a_resumed_run_is_one_offline_run_of_two_segments(smir, field, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        die_at_epoch(patch, 3)
        with pytest.raises(Killed):
            smir(*selective_words(field, "--run.wandb=offline", "--run.project=fields"))
    run = tmp_path / "runs/demo/selective/seed0"
    empty = run / "wandb/offline-run-20200101_000000-x"  # as if the process was killed at once
    first = json.loads((run / "wandb.json").read_text())
    empty = empty.with_name(empty.name.replace("-x", f"-{first['id']}"))
    empty.mkdir()
    (empty / f"run-{first['id']}.wandb").write_bytes(b":W&B\x1b\xee\x00")
    smir(*selective_words(field, "--run.wandb=offline"))
    assert json.loads((run / "wandb.json").read_text()) == first
    assert len(segments(run)) == 2

    logged = upload(tmp_path, run)
    assert logged.settings["project"] == "fields"
    assert logged.settings["displayName"] == "demo/selective/seed0"
    assert logged.settings["groupName"] == "demo/selective"
    assert logged.settings["jobType"] == "pretrain"
    assert logged.settings["tags"] == ["Nassar"]
    assert logged.exit_codes == [1, 0]
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert {name: logged.config[name] for name in config} == {**config, "run": config["run"] | {"project": None}}
    assert logged.config["origin"]["recipe_hash"] == json.loads((run / "run.json").read_text())["recipe_hash"]
    assert logged.values("stage") == [0, 0, 1, 1]
    assert logged.values("lr") == pytest.approx([3e-5, 3e-3] * 2)
    losses = logged.values("val/loss")
    assert len(losses) == 4
    assert logged.summary["val/loss"] == min(losses[2:])  # the best value of the last stage, as in `best.ckpt`
    steps = [row["_step"] for _, row in sorted(logged.history.items())]
    assert steps == sorted(set(steps))
    pictures = [name for name in logged.files if name.endswith(".png")]
    assert [sum(f"images/{name}_" in picture for picture in pictures) for name in ("stage-01", "final")] == [1, 1]


def test_two_processes_log_to_one_run(python, field, tmp_path):
    more = ["--data.label_budget=5", "--data.batch_size=8"]  # a batch of 3 and 2 images
    words = segment_words(field, "--trainer.devices=2", "--run.experiment=s", "--run.wandb=offline", *more)
    command = [python, "-m", "smir", *map(str, words)]
    done = subprocess.run(
        command, cwd=tmp_path, env=program(), capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    run = tmp_path / "runs/s/seed0"
    assert len(segments(run)) == 1
    assert [path.parent for path in tmp_path.rglob("*.wandb")] == segments(run)
    logged = upload(tmp_path, run)
    assert (logged.settings["jobType"], logged.exit_codes) == ("segment", [0])
    test = json.loads((run / "test/metrics.json").read_text())
    for name in test["classes"]:
        assert len(logged.values(f"val/iou/{name}")) == 2
        (value,) = logged.values(f"test/view/iou/{name}")
        assert value == ("NaN" if test["metrics"][f"test/view/iou/{name}"] is None else pytest.approx(value))
    assert any("test/overlay-0" in name for name in logged.files)
    assert all(0.5 < loss < 1 for loss in logged.values("train/loss"))  # a Jaccard loss, after two steps


def test_a_resumed_run_continues_online(smir, field, tmp_path, monkeypatch):
    words = segment_words(field, "--run.experiment=s", "--trainer.max_epochs=3", "--run.wandb=online")
    logger = ["--trainer.logger=CSVLogger", f"--trainer.logger.save_dir={tmp_path / 'csv'}"]
    with WandbServer() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        with monkeypatch.context() as patch:
            die_at_epoch(patch, 2)
            with pytest.raises(Killed):
                smir(*words)
        smir(*words, *logger)
        (logged,) = server.runs.values()
        assert logged.exit_codes == [1, 0]
        assert [row["_step"] for _, row in sorted(logged.history.items())] == list(range(len(logged.history)))
        assert len(logged.values("val/miou")) == 3
        assert logged.summary["val/miou"] == max(logged.values("val/miou"))
        assert "test/view/miou" in logged.summary
        assert len(list(tmp_path.glob("csv/**/metrics.csv"))) == 1  # the logger of the config logs too

        begun = server.requests.count("RunResumeStatus")
        assert begun == 2
        smir(*words)  # the run has finished before, so W&B gets nothing
        assert server.requests.count("RunResumeStatus") == begun

        smir("test", *words[1:], "--ckpt_path=best")
        (tested,) = [run for run in server.runs.values() if run is not logged]
        assert (tested.settings["jobType"], tested.settings["displayName"]) == ("test", "s/seed0")
        assert tested.values("test/view/miou") == logged.values("test/view/miou")


def test_training_works_without_wandb(smir, fails, field, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)  # every import of it fails
    smir(*segment_words(field, "--run.experiment=s", "--trainer.max_epochs=2"))
    assert (tmp_path / "runs/s/seed0/DONE").exists()
    said = fails(*segment_words(field, "--run.experiment=t", "--run.wandb=offline"))
    assert "pip install 'smir[wandb]'" in said
    assert "Traceback" not in said


def test_online_without_a_login_says_what_to_do(fails, field, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")  # no server listens there
    said = fails(*segment_words(field, "--run.experiment=s", "--run.wandb=online"))
    assert "--run.wandb offline" in said
    assert "wandb login" in said


def test_two_loggers_for_wandb_are_refused(fails, field):
    said = fails(*segment_words(field, "--run.wandb=offline", "--trainer.logger=WandbLogger", "--run.experiment=s"))
    assert "trainer.logger has a WandbLogger" in said


@pytest.mark.parametrize(("content", "says"), [("{", "is damaged"), ('{"format": 9}', "has format 9")])
def test_a_damaged_record_is_named(fails, field, tmp_path, content, says):
    (tmp_path / "runs/s/seed0").mkdir(parents=True)
    (tmp_path / "runs/s/seed0/wandb.json").write_text(content)
    assert f"seed0/wandb.json {says}" in fails(*segment_words(field, "--run.wandb=offline", "--run.experiment=s"))


def test_an_unknown_mode_is_refused(fails, field):
    said = fails(*segment_words(field, "--run.wandb=on"), code=2)
    assert "--run.wandb takes online, offline, off or null, not on." in said


def interrupted():
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        sys.exit(1)  # as Lightning does


@pytest.mark.parametrize(
    ("ends", "sweep", "code", "exit_"),
    [
        (lambda: None, False, 0, None),
        (lambda: {}["missing"], False, 1, KeyError),
        (interrupted, False, 255, SystemExit),
        (interrupted, True, 0, SystemExit),
    ],
)
def test_the_exit_code_of_the_wandb_run_says_how_the_command_ended(monkeypatch, ends, sweep, code, exit_):
    codes = []
    run = SimpleNamespace(finish=lambda exit_code: codes.append(exit_code))
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(run=run, teardown=lambda: None))
    if sweep:
        monkeypatch.setenv("WANDB_SWEEP_ID", "s")
        monkeypatch.setenv("WANDB_RUN_ID", "r")
    if exit_ is None:
        with ending_the_wandb_run():
            ends()
    else:
        with pytest.raises(exit_) as raised, ending_the_wandb_run():
            ends()
        if exit_ is SystemExit:
            assert raised.value.code == (0 if sweep else 1)
    assert codes == [code]
