"""A finished run lists its files; lost files are made again or named."""

import errno
import hashlib
import json
import shutil
from pathlib import Path

import pytest
from interruptions import Killed
from words import segment_words

from smir.errors import RunError
from smir.runs.finished import lost_files, write_done
from smir.runs.run_folder import Identity, open_run
from smir.training.pictures import FinalPictures

IDENTITY = Identity("a", 0, {}, {})
FILES = ("config.yaml", "metrics.csv", "checkpoints/best.ckpt", "checkpoints/last.ckpt", "masks/stage-01.npz")


_OUTSIDE, _ABOVE = (f'{{"files": {{"{name}": [0, 0, ""]}}}}' for name in ("/proc/kmsg", "../../x"))


@pytest.fixture
def run(tmp_path):
    """A finished run with files of a few bytes."""
    run = open_run(tmp_path, IDENTITY)
    for name in (*FILES, "test/metrics.json", "test/confusion-view.csv", "images/final.png"):
        (run.path / name).parent.mkdir(exist_ok=True)
        (run.path / name).write_text(name)
    write_done(run.path, {"epochs": 2})
    run.unlock()
    return run


def test_done_lists_size_time_and_hash(run):
    files = json.loads((run.path / "DONE").read_text())["files"]
    assert sorted(files) == sorted(["run.json", *FILES, "test/metrics.json", "test/confusion-view.csv"])
    for name, entry in files.items():
        path = run.path / name
        expected = [path.stat().st_size, path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest()]
        assert entry == expected


def test_a_folder_that_cannot_be_read_is_not_left_out(run, monkeypatch):
    before, list_folder = (run.path / "DONE").read_bytes(), Path.iterdir

    def refused(folder):
        if folder.name == "test":
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return list_folder(folder)

    monkeypatch.setattr(Path, "iterdir", refused)
    with pytest.raises(PermissionError, match="test"):
        write_done(run.path, {})
    assert (run.path / "DONE").read_bytes() == before


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["missing", "longer", "other"])
def test_lost_files_that_cannot_be_made_again_are_named(run, tmp_path, name, damage):
    path = run.path / name
    if damage == "missing":
        path.unlink()
    else:
        path.write_text(name + "x" if damage == "longer" else name[::-1])
    if (name, damage) == ("config.yaml", "missing"):
        assert not open_run(tmp_path, IDENTITY).done
        return
    how = "is missing" if damage == "missing" else "has changed since the run ended"
    with pytest.raises(RunError, match=f"has finished before, but {name} {how}. Restore it from a copy"):
        open_run(tmp_path, IDENTITY)


def test_a_copy_is_compared_by_content(run, tmp_path):
    shutil.copytree(run.path, tmp_path / "b/a/seed0", copy_function=shutil.copyfile)
    assert open_run(tmp_path / "b", IDENTITY).done
    copy = tmp_path / "b/a/seed0/checkpoints/best.ckpt"
    copy.write_bytes(copy.read_bytes()[::-1])
    assert lost_files(copy.parents[1]) == {"checkpoints/best.ckpt": "has changed since the run ended"}
    assert lost_files(copy.parents[1], largest=5) == {}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"files": 3}', '{"files": {"run.json": 3}}', _OUTSIDE, _ABOVE])
def test_a_damaged_done_file_is_not_trusted(run, tmp_path, content):
    (run.path / "DONE").write_text(content)
    (run.path / "checkpoints/last.ckpt").rename(tmp_path / "last.ckpt")
    with pytest.raises(RunError, match=r"DONE is damaged: .* Without one, delete this file to train again"):
        open_run(tmp_path, IDENTITY)
    (tmp_path / "last.ckpt").rename(run.path / "checkpoints/last.ckpt")
    assert not open_run(tmp_path, IDENTITY).done  # the run finishes again from there


def test_a_run_of_an_older_version_without_a_list_of_files_stays_finished(run, tmp_path):
    (run.path / "DONE").write_text('{"epochs": 2}')
    (run.path / "checkpoints/last.ckpt").unlink()
    assert open_run(tmp_path, IDENTITY).done


def test_a_finished_run_repeats_a_test_whose_files_are_lost(smir, fails, field, tmp_path, capsys):
    words = segment_words(field, "--data.label_budget=4", "--run.experiment=s")
    smir(*words)
    run = tmp_path / "runs/s/seed0"
    results = {path: path.read_bytes() for path in run.glob("test/*.*s*")}
    (run / "test/confusion-view.csv").unlink()
    (run / "test/metrics.json").write_text("{}")
    assert "test/confusion-view.csv is missing" in fails("report", "runs")
    smir(*words)
    assert {path: path.read_bytes() for path in run.glob("test/*.*s*")} == results
    smir("test", f"--config={run}/config.yaml", "--ckpt_path=best", "--trainer.accelerator=cpu")
    (run / "checkpoints/last.ckpt").unlink()
    capsys.readouterr()
    smir("report", "runs")
    assert "Lost since their runs ended: runs/s/seed0/checkpoints/last.ckpt is missing." in capsys.readouterr().out
    best = run / "checkpoints/best.ckpt"
    shutil.copyfile(best, tmp_path / "copy.ckpt")
    content = (run / "DONE").read_text()
    (run / "DONE").write_text(content.replace(hashlib.sha256(best.read_bytes()).hexdigest(), 64 * "0"))
    shutil.copyfile(tmp_path / "copy.ckpt", best)  # with another modification time
    said = f"{best} has changed since the run ended"
    assert said in fails("test", f"--config={run}/config.yaml", "--ckpt_path=best", "--trainer.accelerator=cpu")
    assert said in fails(*words, "--run.experiment=t", f"--model.weights={best}")


def test_a_run_without_its_best_checkpoint_cannot_finish(smir, fails, field, tmp_path, monkeypatch):
    def die(*args):
        raise Killed

    words = segment_words(field, "--data.label_budget=4", "--run.experiment=s")
    with monkeypatch.context() as patch:
        patch.setattr(FinalPictures, "on_train_end", die)
        with pytest.raises(Killed):
            smir(*words)
    run = tmp_path / "runs/s/seed0"
    (run / "checkpoints/best.ckpt").unlink()
    (run / "metrics.csv").unlink()
    assert f"cannot end without {run / 'metrics.csv'}, {run / 'checkpoints/best.ckpt'}. Restore" in fails(*words)
    assert not (run / "DONE").exists()
