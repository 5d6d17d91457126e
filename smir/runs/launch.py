"""The processes of a run: they agree on its folder and checkpoint, whatever started them, and end together.

A further rank ends soon after rank 0 does, so that it does not wait in a collective until its time-out.
"""

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.utilities import rank_zero_only, rank_zero_warn

from smir.errors import CheckpointError, ConfigError, RunError, SmirError
from smir.runs.checkpoint_record import Checkpoint
from smir.runs.lightning_doors import copies_this_process
from smir.runs.run_folder import DAMAGED, LAST, PREVIOUS, Run, held

RUN_VARIABLE = "SMIR_RUN"
"""Variable that tells the processes of further devices, which Lightning starts, which run the first has opened."""

POLL_SECONDS = 1.0
GRACE_SECONDS = 10.0
"""Time for a process to end by itself with a message, once the one that started it is gone."""


class AlreadyDone(Exception):
    """The run in that folder has finished before; there is nothing to do."""


def global_rank() -> int:
    """Returns the rank of this process by its environment, also before a process group exists."""
    rank: int = rank_zero_only.rank  # type: ignore[attr-defined]  # Lightning keeps it on the function
    return rank


def started_by_rank_zero() -> bool:
    """Returns whether Lightning started this process from rank 0, for another device."""
    return global_rank() != 0 and RUN_VARIABLE in os.environ


def let_rank_zero_speak() -> None:
    """Waits on further ranks before they tell an error, because all of them may have met the same one.

    In this time rank 0, or torchrun, ends them.
    """
    if global_rank() != 0:
        time.sleep(GRACE_SECONDS)


def check_start(trainer: Trainer) -> None:
    """Refuses ways to start several processes that cannot end well.

    Raises:
        ConfigError: If they would be copies of this one, if nothing starts those of other nodes, or if torchrun has
            started another number of them than the settings ask for.
    """
    if copies_this_process(trainer.strategy):
        raise ConfigError(
            "With this trainer.strategy (auto is the same in a notebook), the training would run in copies of this "
            "process, which would not learn that it has finished. Use --trainer.strategy ddp. In a notebook, use one "
            "device, --trainer.devices 1, or a cell with !python -m smir ..."
        )
    cluster = getattr(trainer.strategy, "cluster_environment", None)
    if trainer.num_nodes > 1 and cluster is not None and not cluster.creates_processes_externally:
        raise ConfigError(
            f"trainer.num_nodes is {trainer.num_nodes}, but nothing has started the processes of several nodes; this "
            "one would wait for the others. Start them with torchrun or SLURM, as the scripts in experiments/launch do."
        )
    started = int(os.environ["WORLD_SIZE"]) if "TORCHELASTIC_RUN_ID" in os.environ else trainer.world_size
    if started != trainer.world_size:  # for a single device, Lightning does not compare
        raise ConfigError(
            f"torchrun has started {started} processes, but the settings are for {trainer.world_size}: "
            f"trainer.devices times trainer.num_nodes. Add --trainer.devices {os.environ['LOCAL_WORLD_SIZE']}, and "
            "with several nodes --trainer.num_nodes."
        )


def agree_on_run(trainer: Trainer, opens: Callable[[], Run]) -> tuple[Run, Checkpoint | None]:
    """Lets rank 0 open the run, and tells the other ranks.

    Args:
        trainer: Its strategy is set up here if the processes were started from outside.
        opens: Opens the run; only rank 0 calls it.

    Returns:
        The run, which rank 0 holds, and the checkpoint to resume from, if there is one.

    Raises:
        RunError: If another process holds the run, or its record is damaged.
        AlreadyDone: If the run has finished before.
    """
    if started_by_rank_zero():
        decision = json.loads(os.environ[RUN_VARIABLE])
        threading.Thread(target=_end_with, args=(decision["pid"],), name="smir-watch", daemon=True).start()
        return _follow(decision)
    run, checkpoint, decision = _open(opens) if global_rank() == 0 else (None, None, {})
    cluster = getattr(trainer.strategy, "cluster_environment", None)
    if trainer.world_size > 1 and cluster is not None and cluster.creates_processes_externally:
        # torchrun or SLURM has started all ranks; Lightning keeps this process group.
        trainer.strategy.setup_environment()
        decision = trainer.strategy.broadcast(decision)
    else:
        os.environ[RUN_VARIABLE] = json.dumps({**decision, "pid": os.getpid()})
    return _follow(decision, run, checkpoint)


def _open(opens: Callable[[], Run]) -> tuple[Run | None, Checkpoint | None, dict[str, Any]]:
    try:
        run = opens()
        checkpoint = None if run.done else resume_point(run.checkpoints)
    except (SmirError, OSError) as error:
        return None, None, {"error": str(error)}  # the other ranks wait for an answer
    path = None if checkpoint is None else str(checkpoint.path)
    return run, checkpoint, {"folder": str(run.path), "checkpoint": path, "done": run.done}


def _follow(
    decision: dict[str, Any], run: Run | None = None, checkpoint: Checkpoint | None = None
) -> tuple[Run, Checkpoint | None]:
    if not decision:
        raise RunError(
            f"This process has rank {global_rank()}, but got no run from rank 0. Start the processes of "
            "several nodes with torchrun or SLURM."
        )
    if "error" in decision:
        raise RunError(decision["error"])
    if decision["done"]:
        raise AlreadyDone(decision["folder"])
    if checkpoint is None and decision["checkpoint"] is not None:
        checkpoint = Checkpoint.read(decision["checkpoint"])
    return run or Run(Path(decision["folder"])), checkpoint


def what_is_kept(command: str = "This") -> str:
    """Returns a sentence about what an interrupted training has kept, and where `command` continues it."""
    runs = held()
    if not runs:  # an earlier process may have kept epochs of the run
        return f"The training had not begun. {command} begins or continues it"
    with contextlib.suppress(SmirError):
        if checkpoint := resume_point(runs[-1].checkpoints):
            kept = f"keeps the training up to epoch {checkpoint.epoch + 1} ({checkpoint.path.name})"
            return f"{runs[-1].path} {kept}. {command} continues from there"
    return f"No epoch was kept. {command} starts again"


def resume_point(folder: Path) -> Checkpoint | None:
    """Reads the checkpoint to resume from: `last`, or `previous` if `last` is damaged.

    A damaged `last` is moved away: the next epoch would put it in the place of the good `previous`, and a kill before
    the new `last` exists would leave nothing to read.

    Args:
        folder: The folder of the checkpoints, held by this process.

    Returns:
        The checkpoint, or None if no epoch was kept.

    Raises:
        CheckpointError: If all existing ones are damaged.
    """
    reasons: list[str] = []
    for path in (folder / LAST, folder / PREVIOUS):
        if not os.path.lexists(path):
            continue
        try:
            checkpoint = Checkpoint.read(path)
        except CheckpointError as error:
            reasons.append(str(error))
            continue
        if reasons:
            (folder / LAST).replace(folder / DAMAGED)
            rank_zero_warn(
                f"{reasons[0]} The run resumes from {path.absolute()}, which is of an earlier epoch; the damaged file "
                f"is now {DAMAGED} beside it."
            )
        return checkpoint
    if reasons:
        raise CheckpointError(
            f"No checkpoint of this run can be read: {' '.join(reasons)} Move {folder.absolute()} away to start over."
        )
    return None


def _end_with(starter: int) -> None:
    """Ends this process soon after the one that started it."""
    while os.getppid() == starter:
        time.sleep(POLL_SECONDS)
    time.sleep(GRACE_SECONDS)
    print("smir: error: rank 0 has ended; this process ends with it.", file=sys.stderr, flush=True)
    os._exit(1)
