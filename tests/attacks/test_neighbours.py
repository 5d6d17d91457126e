"""Commands that work in one run folder at the same time leave each other's unfinished files alone."""

import subprocess

import pytest
from interruptions import Killed, die_at_epoch
from words import QUIET, segment_words

from smir.cli import evaluation
from smir.files.json_record import write_json
from smir.files.locks import FileLock

PLACES = ("", "checkpoints", "test", "predict", "../../../inspected", "../../../report")


@pytest.fixture
def run(smir, field, tmp_path, monkeypatch):
    """A segmentation that died after its first epoch."""
    with monkeypatch.context() as patch:
        die_at_epoch(patch, 1)
        with pytest.raises(Killed):
            smir(*segment_words(field, "--data.label_budget=4", "--run.experiment=s"))
    return tmp_path / "runs/s/seed0"


def pid_of(*command, wait):
    process = subprocess.Popen(command)
    if wait:
        process.wait()
    return process


def unfinished(run, pid):
    """Unfinished files of a process: one for every command, where that command writes."""
    files = [run / place / f".index.html.{pid}.tmp" for place in PLACES]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return files


def test_commands_leave_the_unfinished_files_of_running_commands_alone(smir, fails, field, tmp_path, run, monkeypatch):
    best, given = run / "checkpoints/best.ckpt", [f"--config={run}/config.yaml", "--ckpt_path=best", *QUIET]
    commands = {
        "validate": given,
        "test": given,
        "fit": segment_words(field, "--data.label_budget=4", "--run.experiment=s")[1:],
        "predict": given,
        "inspect": [f"--ckpt={best}", "--device=cpu", "--limit=1", "--out=inspected"],
        "export": [f"--ckpt={best}", "--formats=weights", "--out=exported"],
        "report": ["runs", "--out=report"],
    }
    lock = FileLock(run / "lock")
    assert lock.acquire()
    assert f"The run {run} is in use by another process" in fails("fit", *commands["fit"])
    lock.release()
    sleeper, ended = pid_of("sleep", "600", wait=False), pid_of("true", wait=True)
    try:
        living, dead = unfinished(run, sleeper.pid), unfinished(run, ended.pid)
        for command, words in commands.items():
            smir(command, *words)
            gone = [file for file in living if not file.exists()]
            assert gone == ([living.pop(3)] if command == "predict" else []), command  # which cleans up under its lock
            if command == "fit":
                assert [file.exists() for file in dead[:4]] == [False, False, False, True]
        assert not dead[3].exists()  # `predict` removes its own leftovers
    finally:
        sleeper.kill()
        sleeper.wait()
    lock = FileLock(run / "predict/lock")
    assert lock.acquire()
    lock.sign()
    said = fails("predict", *commands["predict"])
    assert f"Another command writes predictions to {run / 'predict'}: pid " in said
    lock.release()
    # A command has seen an empty folder. When it gets the lock, the folder holds the predictions of another command.
    with monkeypatch.context() as patch:
        patch.setattr(evaluation, "_refuse_others", lambda out, *_: write_json(out / "source.json", {"hash": "x"}))
        said = fails("predict", *commands["predict"], "--out=given")
    assert "has meanwhile written predictions of other images" in said
    assert [path.name for path in (tmp_path / "given").iterdir()] == ["source.json"]
    (tmp_path / "link").symlink_to("nowhere")
    said = fails("predict", *commands["predict"], "--out=link")
    assert f"{tmp_path / 'link'}: a file, or a link to nowhere, is in the place of a folder" in said
