"""A run survives kills, full disks, damaged checkpoints, signals, NaN, and other runs."""

import json
import os
import resource
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from compare_runs import content, difference
from words import REPOSITORY, SUPPORT, pretrain_words, segment_words, selective_words

from smir.errors import CheckpointError
from smir.runs.launch import resume_point
from smir.runs.signals import REQUEUE, requeue_on_signal
from smir.training.bad_numbers import FiniteNumbers, replay
from smir.training.reconstruction import ReconstructionModule
from smir.training.segmentation import SegmentationModule
from smir.training.task import SmirModule

SELECTIVE = Path("demo/selective/seed0")


@pytest.fixture(scope="module")
def twin(field, tmp_path_factory):
    """A selective run without interruptions."""
    from smir.__main__ import main

    root = tmp_path_factory.mktemp("twin")
    sys.argv = ["smir"]
    main(selective_words(field, f"--run.root={root}"))
    return content(root / SELECTIVE)


@pytest.fixture
def start(python, tmp_path):
    """Starts a training in its own process group, with the moments of `tests/support/moments`."""
    paths = os.pathsep.join([str(SUPPORT / "moments"), str(REPOSITORY)])

    def run(words, **env):
        with (tmp_path / "output.txt").open("a") as output:
            return subprocess.Popen(
                [python, "-m", "smir", *words],
                cwd=tmp_path,
                env={**os.environ, "PYTHONPATH": paths, **env},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    return run


def at_step(monkeypatch, number, act):
    """Does something at the n-th training step of this process."""
    original, steps = SmirModule.on_train_batch_start, iter(range(1, 100))

    def hook(self, *args):
        if next(steps) == number:
            act()
        original(self, *args)

    monkeypatch.setattr(SmirModule, "on_train_batch_start", hook)


class Killed(RuntimeError):
    pass


def die():
    raise Killed


# kills; `make torture` is the long form


def test_a_kill_at_a_rare_moment_changes_nothing(smir, start, field, tmp_path, twin):
    killed = start(selective_words(field), SMIR_MOMENT="previous.ckpt in place:2")
    assert killed.wait(300) == -signal.SIGKILL, (tmp_path / "output.txt").read_text()[-3000:]
    assert list((tmp_path / "runs").rglob(".*.tmp"))  # files that were written meanwhile
    smir(*selective_words(field))
    assert difference(content(tmp_path / "runs" / SELECTIVE), twin) is None


def test_a_kill_between_the_last_epoch_and_the_end_keeps_the_pictures(smir, field, tmp_path, monkeypatch, twin):
    from smir.training.pictures import FinalPictures

    with monkeypatch.context() as patch:
        patch.setattr(FinalPictures, "on_train_end", lambda *args: die())
        with pytest.raises(Killed):
            smir_main(selective_words(field))
    smir_main(selective_words(field))
    run = tmp_path / "runs" / SELECTIVE
    assert (run / "images/final.png").is_file()
    assert difference(content(run), twin) is None


def smir_main(words):
    from smir.__main__ import main

    main([str(word) for word in words])


# epochs that were not kept


SELDOM = "--run.keep_seconds=1000"


def test_epochs_that_were_not_kept_are_repeated(smir, field, tmp_path, monkeypatch, twin):
    with monkeypatch.context() as patch:
        at_step(patch, 4, die)
        with pytest.raises(Killed):
            smir(*selective_words(field, SELDOM))
    run = tmp_path / "runs" / SELECTIVE
    assert epoch_of(run, "last") == 1 < epoch_of(run, "best")  # the end of a stage; the best epoch is always written
    smir(*selective_words(field, SELDOM))
    assert difference(content(run), twin) is None


def test_a_signal_keeps_the_epochs_that_were_not_kept(smir, fails, field, tmp_path, monkeypatch):
    words = selective_words(field, SELDOM, "--trainer.max_epochs=8")
    smir(*words, "--run.experiment=whole")
    with monkeypatch.context() as patch:
        at_step(patch, 3, lambda: os.kill(os.getpid(), signal.SIGTERM))
        said = fails(*words, "--run.experiment=stopped", code=REQUEUE)
    assert "keeps the training up to epoch" in said
    run = tmp_path / "runs/stopped/seed0"
    assert epoch_of(run, "last") == 2  # that of the signal itself
    assert epoch_of(run, "previous") == 0
    smir(*words, "--run.experiment=stopped")
    stopped, whole = (without_previous(content(tmp_path / f"runs/{name}/seed0")) for name in ("stopped", "whole"))
    assert difference(stopped, whole) is None


def test_ranks_agree_on_which_epochs_are_kept(start, field, tmp_path):
    words = selective_words(field, "--trainer.devices=2", "--trainer.max_epochs=8", SELDOM)
    run = start(words, SMIR_ACT="step:3:1:USR1")
    assert run.wait(300) == REQUEUE, (tmp_path / "output.txt").read_text()[-3000:]
    assert epoch_of(tmp_path / "runs" / SELECTIVE, "last") == 2


def epoch_of(run, name):
    return torch.load(run / f"checkpoints/{name}.ckpt", weights_only=True)["epoch"]


def without_previous(found):
    """The epoch of `previous` depends on timing, so it is left out."""
    return {name: value for name, value in found.items() if not name.startswith("previous")}


# damaged and missing checkpoints


@pytest.fixture
def interrupted(smir, field, tmp_path, monkeypatch):
    """The folder of a selective run that died in its last epoch."""
    with monkeypatch.context() as patch:
        at_step(patch, 4, die)
        with pytest.raises(Killed):
            smir(*selective_words(field))
    return tmp_path / "runs" / SELECTIVE


@pytest.mark.parametrize("damage", ["cut", "missing"])
def test_a_damaged_last_checkpoint_is_replaced_by_the_one_before(smir, field, interrupted, twin, damage):
    """`best` of epoch 2 was written after `previous`, so the run must make the same choice again."""
    last = interrupted / "checkpoints/last.ckpt"
    best = torch.load(interrupted / "checkpoints/best.ckpt", weights_only=True)["epoch"]
    assert best == 2 > torch.load(last.with_name("previous.ckpt"), weights_only=True)["epoch"]
    if damage == "missing":
        last.unlink()
    else:
        os.truncate(last, last.stat().st_size // 2)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        smir(*selective_words(field))
    said = [str(w.message) for w in caught if "resumes from" in str(w.message)]
    if damage != "missing":
        assert str(last) in said[0]
        assert str(last.with_name("previous.ckpt")) in said[0]
        assert last.with_name("damaged.ckpt").is_file()
    assert difference(content(interrupted), twin) is None


def test_a_checkpoint_that_is_a_broken_link_stops_the_run(fails, field, interrupted):
    """For example, another disk is not mounted: the run must not begin again and replace its files."""
    last = interrupted / "checkpoints/last.ckpt"
    last.with_name("previous.ckpt").unlink()
    last.unlink()
    last.symlink_to("/nowhere/last.ckpt")
    assert f"There is no checkpoint {last}" in fails(*selective_words(field))
    assert last.is_symlink()


def test_masks_of_a_stage_are_made_again_from_the_checkpoint(smir, field, interrupted, twin):
    masks, scores = (interrupted / f"masks/stage-01{end}.npz" for end in ("", "-scores"))
    masks.write_bytes(bytes(masks.stat().st_size))
    (interrupted / "masks/images.json").unlink()
    kept = scores.read_bytes()
    scores.write_bytes(b"")
    with pytest.warns(UserWarning, match="Files of earlier stages are lost and are not made again.*stage-01-scores"):
        smir(*selective_words(field))
    scores.write_bytes(kept)
    assert difference(content(interrupted), twin) is None


def test_a_run_without_a_readable_checkpoint_is_reported(fails, field, interrupted):
    for name in ("last", "previous"):
        (interrupted / f"checkpoints/{name}.ckpt").write_bytes(b"nothing")
    said = fails(*selective_words(field))
    assert "No checkpoint of this run can be read" in said
    assert "last.ckpt" in said
    assert "previous.ckpt" in said
    with pytest.raises(CheckpointError, match=r"Move .* away to start over"):
        resume_point(interrupted / "checkpoints")


def test_a_full_disk_leaves_the_run_usable(smir, fails, field, tmp_path, monkeypatch, twin):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with monkeypatch.context() as patch:
        at_step(patch, 3, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1])))
        try:
            said = fails(*selective_words(field))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    run = tmp_path / "runs" / SELECTIVE
    assert f"smir: error: {run / 'checkpoints/best.ckpt'} could not be written: File too large" in said
    assert "then repeat the command; a training resumes after its last kept epoch" in said
    assert not list(run.rglob(".*.tmp"))
    smir(*selective_words(field))
    assert difference(content(run), twin) is None


def test_a_folder_that_cannot_be_written_to_is_named(fails, field, tmp_path):
    (tmp_path / "file").touch()
    said = fails(*pretrain_words(field, f"--run.root={tmp_path / 'file'}"))
    assert f"The run folder {tmp_path / 'file'}" in said
    assert "cannot be written to: Not a directory" in said


def test_a_resumed_run_remembers_that_early_stopping_ended_it(smir, field, tmp_path, monkeypatch):
    """A run that was killed between its last epoch and its end must not train another epoch."""
    from smir.training.pictures import FinalPictures

    stop = ["EarlyStopping", "monitor=val/miou", "patience=1", "mode=max", "min_delta=1.0"]
    words = segment_words(field, "--trainer.max_epochs=6", f"--trainer.callbacks+={stop[0]}")
    words += [f"--trainer.callbacks.{word}" for word in stop[1:]]
    smir(*words, "--run.experiment=whole")
    with monkeypatch.context() as patch:
        patch.setattr(FinalPictures, "on_train_end", lambda *args: die())
        with pytest.raises(Killed):
            smir(*words, "--run.experiment=killed")
    smir(*words, "--run.experiment=killed")
    whole, killed = (content(tmp_path / f"runs/{name}/seed0") for name in ("whole", "killed"))
    assert len(whole["metrics"]) < 6
    assert difference(killed, whole) is None


# signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_stops_the_run_with_its_own_exit_code(smir, fails, field, tmp_path, monkeypatch, twin, number):
    handlers = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGUSR1)}
    with monkeypatch.context() as patch:
        at_step(patch, 3, lambda: os.kill(os.getpid(), number))
        said = fails(*selective_words(field), code=REQUEUE)
    run = tmp_path / "runs" / SELECTIVE
    kept = f"{run} keeps the training up to epoch 2 (last.ckpt). The same command continues from there."
    assert f"smir: stopped by {number.name}. {kept}" in said
    assert torch.load(run / "checkpoints/last.ckpt", weights_only=True)["epoch"] == 1  # the next epoch is repeated
    assert not (run / "DONE").exists()
    assert {n: signal.getsignal(n) for n in handlers} == handlers
    smir(*selective_words(field))
    assert difference(content(run), twin) is None


def test_a_signal_to_one_rank_stops_all(start, field, tmp_path):
    words = selective_words(field, "--trainer.devices=2")
    run = start(words, SMIR_ACT="step:2:1:USR1")
    assert run.wait(300) == REQUEUE, (tmp_path / "output.txt").read_text()[-3000:]
    said = (tmp_path / "output.txt").read_text()
    assert said.count("smir: stopped by") == 1
    assert "Traceback" not in said
    assert not (tmp_path / "runs" / SELECTIVE / "DONE").exists()


def test_a_failed_rank_ends_the_other_ranks(start, field, tmp_path):
    run = start(selective_words(field, "--trainer.devices=2"), SMIR_ACT="step:1:1:raise")
    assert run.wait(300) not in (0, REQUEUE)
    said = (tmp_path / "output.txt").read_text()
    assert "RuntimeError: the error of this rank" in said
    assert "The process of rank 1" in said


# numbers that are not finite


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_batch(fails, field, tmp_path, monkeypatch):
    original, losses = ReconstructionModule.training_step, []

    def step(self, *args):
        losses.append(original(self, *args))
        return losses[-1] * (float("inf") if len(losses) == 3 else 1.0)

    with monkeypatch.context() as patch:
        patch.setattr(ReconstructionModule, "training_step", step)
        said = fails(*selective_words(field))
    assert "not a finite number: step 3, epoch 3, batch 1 of it, stage 2." in said
    assert f"Rank 0 had {field / 'nassar/ortho_tiles/nassar_'}" in said
    run = tmp_path / "runs" / SELECTIVE
    (kept,) = (run / "bad-numbers").iterdir()
    module, loss = replay(kept)
    assert loss.item() == losses[2].item()
    assert any(parameter.grad.abs().sum() > 0 for parameter in module.parameters())
    weights = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    first = next(name for name in weights if name.endswith("weight"))
    assert torch.equal(module.state_dict()[first], weights[first])  # the weights are those before the step
    (run / "bad-numbers" / "none.pt").write_bytes(b"")
    with pytest.raises(CheckpointError):
        replay(run / "bad-numbers/none.pt")


def test_a_nan_loss_that_is_found_late_is_reported_with_its_own_batch(fails, field, tmp_path, monkeypatch):
    """As on a GPU, which smir does not wait for: later steps were taken, but no checkpoint holds the bad step."""
    words = segment_words(field, "--run.experiment=late")
    begin, step, losses = FiniteNumbers.on_train_epoch_start, SegmentationModule.training_step, []

    def late(self, *args):
        begin(self, *args)
        self._every = 50

    def bad(self, *args):
        losses.append(step(self, *args))
        return losses[-1] * (float("nan") if len(losses) == 3 else 1.0)

    with monkeypatch.context() as patch:
        patch.setattr(FiniteNumbers, "on_train_epoch_start", late)
        patch.setattr(SegmentationModule, "training_step", bad)
        said = fails(*words)
    assert len(losses) == 4
    assert "step 3, epoch 2, batch 1 of it" in said
    assert "the same command again also keeps the weights of that step" in said
    run = tmp_path / "runs/late/seed0"
    last = run / "checkpoints/last.ckpt"
    assert torch.load(last, weights_only=True)["epoch"] == 0
    (kept,) = (run / "bad-numbers").iterdir()
    with pytest.raises(CheckpointError, match="name a checkpoint with weights="):
        replay(kept)
    assert replay(kept, weights=last)[1].item() == losses[2].item()  # the first step after that checkpoint


def test_a_nan_gradient_is_found_even_if_the_loss_is_finite(fails, field, tmp_path, monkeypatch):
    original = SmirModule.on_train_batch_start

    def poisoned(self, *args):
        original(self, *args)
        if self.current_epoch == 1:
            weight = next(self.network.parameters())
            weight.register_hook(lambda gradient: gradient * float("nan"))

    monkeypatch.setattr(SmirModule, "on_train_batch_start", poisoned)
    said = fails(*segment_words(field, "--run.experiment=g"))
    assert "step 3, epoch 2, batch 1 of it" in said
    assert list((tmp_path / "runs/g/seed0/bad-numbers").iterdir())


# runs at the same time


def test_a_second_process_of_a_run_is_refused_but_another_run_is_not(start, field, tmp_path):
    """Starts a run twice and another run, all at once: one of the two is refused, and the message names the first."""
    words = pretrain_words(field, "--trainer.max_epochs=3")
    same = [start(words, SMIR_PID=str(tmp_path / name)) for name in "ab"]
    other = start([*words, "--model.lr=1e-3"], SMIR_PID=str(tmp_path / "c"))
    codes = sorted(process.wait(300) for process in same)
    assert codes == [0, 1]
    assert other.wait(300) == 0
    said = (tmp_path / "output.txt").read_text()
    winner = next(name for name, process in zip("ab", same, strict=True) if process.returncode == 0)
    holders = [(tmp_path / name).read_text() for name in (winner, "c")]
    assert any(f"is in use by another process: pid {pid} on " in said for pid in holders)
    assert len(list((tmp_path / "runs").rglob("DONE"))) == 2
    assert len({run.read_text() for run in (tmp_path / "runs").rglob("run.json")}) == 2


def test_the_kept_batch_is_the_bad_one_even_if_images_fill_it_up(fails, field, tmp_path, monkeypatch):
    seen, step = [], SegmentationModule.training_step

    def bad(self, batch, *args):
        seen.append(batch["image"].clone())
        return step(self, batch, *args) * (float("nan") if len(seen) == 4 else 1.0)

    monkeypatch.setattr(SegmentationModule, "training_step", bad)
    fails(*segment_words(field, "--run.experiment=fill", "--data.fill_batches=true", "--data.label_budget=6"))
    (kept,) = (tmp_path / "runs/fill/seed0/bad-numbers").iterdir()
    assert torch.equal(torch.load(kept, weights_only=True)["batch"]["image"], seen[3])


def test_early_stopping_in_the_first_epoch_ends_a_run(smir, field, tmp_path):
    words = segment_words(field, "--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=val/miou")
    smir(*words, "--trainer.callbacks.mode=max", "--trainer.callbacks.stopping_threshold=0", "--run.experiment=e")
    assert json.loads((tmp_path / "runs/e/seed0/DONE").read_text())["epochs"] == 1


def test_early_stopping_that_watches_for_the_worst_is_refused(fails, field):
    words = segment_words(field, "--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=val/miou")
    assert "Add --trainer.callbacks.mode max." in fails(*words)


def test_early_stopping_and_stages_exclude_each_other(fails, field):
    words = selective_words(field, "--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=val/loss")
    assert "EarlyStopping would end the training in an early stage" in fails(*words)


def test_loaders_that_got_the_same_signal_cause_no_traceback(capsys):
    """`timeout` and cluster managers signal all processes; Python then destroys the loaders of those that ended."""

    class Loader:
        def __init__(self, message):
            self.message = message

        def __del__(self):
            raise RuntimeError(self.message)

    with requeue_on_signal():
        Loader("DataLoader worker (pid 7) is killed by signal: Terminated. ")
        Loader("DataLoader worker (pid 7) is killed by signal: Killed. ")
    said = capsys.readouterr().err
    assert "Terminated" not in said
    assert "is killed by signal: Killed" in said
