"""Kills a training at a chosen moment, and records what it is doing; only for tests.

Python imports a module of this name at its start, from PYTHONPATH. With SMIR_MOMENT=name:n the whole group of processes
gets SIGKILL when rank 0 reaches the moment of that name for the n-th time (from 1). With SMIR_PHASE=file, the name of
every moment is written to that file, which shows what a kill at a random time hit. SMIR_ACT=name:n:rank:what does
something else on only one rank: `raise`, `kill` itself, `nan` for its loss, or `TERM` and `USR1` to itself.
"""

import functools
import os
import signal
import sys
from collections import Counter
from pathlib import Path

_counts: Counter[str] = Counter()


def _rank():
    names = ("RANK", "SLURM_PROCID", "LOCAL_RANK")
    return int(next((os.environ[name] for name in names if name in os.environ), "0"))


def reach(name):
    """Is called at a moment of this name."""
    if _rank() == 0 and (phase := os.environ.get("SMIR_PHASE")):
        descriptor = os.open(phase, os.O_WRONLY | os.O_CREAT)
        os.pwrite(descriptor, name.ljust(80).encode(), 0)  # in one step, because it may be read at any time
        os.close(descriptor)
    _counts[name] += 1
    if os.environ.get("SMIR_MOMENT") == f"{name}:{_counts[name]}" and _rank() == 0:
        os.killpg(0, signal.SIGKILL)
    act, _, what = os.environ.get("SMIR_ACT", "").rpartition(":")
    if act == f"{name}:{_counts[name]}:{_rank()}":
        if what == "raise":
            raise RuntimeError("the error of this rank")
        if what == "nan":
            return True
        number = {"kill": signal.SIGKILL, "TERM": signal.SIGTERM, "USR1": signal.SIGUSR1}[what]
        os.kill(os.getpid(), number)
    return False


def before(owner, method, name):
    """Makes every call of a method a moment."""
    original = getattr(owner, method)

    @functools.wraps(original)
    def reached(*args, **kwargs):
        reach(name)
        return original(*args, **kwargs)

    setattr(owner, method, reached)


def _watch_files():
    """Adds the moments of writing a file: half written, complete under its temporary name, and in its place."""
    import smir.files.atomic

    fsync, replace = os.fsync, Path.replace

    def half(descriptor):
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        if name.endswith(".tmp"):
            size = os.fstat(descriptor).st_size
            reach(f"{_plain(name)} begun")
            if os.environ.get("SMIR_MOMENT") == f"{_plain(name)} half:{_counts[f'{_plain(name)} begun']}":
                os.ftruncate(descriptor, size // 2)
                os.killpg(0, signal.SIGKILL)
        fsync(descriptor)
        if name.endswith(".tmp"):
            reach(f"{_plain(name)} written")

    def renamed(self, target):
        result = replace(self, target)
        reach(f"{Path(target).name} in place")
        return result

    smir.files.atomic.os = type("os", (), {**vars(os), "fsync": staticmethod(half)})
    Path.replace = renamed


def _plain(name):
    """Returns the name of a file from the name of its temporary file."""
    return name.lstrip(".").rsplit(".", 2)[0]


def _watch_training():
    import smir.training.reconstruction
    import smir.training.segmentation
    import smir.training.selective_masking
    from smir.training.task import SmirModule

    before(SmirModule, "on_train_batch_start", "step")
    before(smir.training.ReconstructionModule, "score_views", "scoring")
    for module in (smir.training.reconstruction.ReconstructionModule, smir.training.segmentation.SegmentationModule):
        before(module, "validation_step", "validation")
        before(module, "test_step", "test")
        _bad_loss(module)


def _bad_loss(module):
    original = module.training_step

    @functools.wraps(original)
    def step(self, *args):
        loss = original(self, *args)
        return loss * float("nan") if reach("loss") else loss

    module.training_step = step


def _is_training():
    words = sys.orig_argv
    return "-m" in words and words[words.index("-m") + 1].split(".")[0] == "smir"


if any(os.environ.get(key) for key in ("SMIR_MOMENT", "SMIR_PHASE", "SMIR_ACT")) and _is_training():
    _watch_files()
    _watch_training()
