"""Stops all ranks together when one is asked to, and reports the process that failed first."""

import time
from subprocess import Popen
from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch import Callback, LightningModule, Trainer

from smir.errors import LostProcessError, SmirError
from smir.method.all_ranks import num_ranks
from smir.runs.lightning_doors import keep_own_signal_handlers
from smir.runs.signals import REQUEUE, Stopped, asked_by, handle
from smir.training.checkpoints import LastCheckpoint

STEPS_ON_GPU = 8
"""Steps between two checks on a GPU, where each waits for the device; a CPU checks at every step."""
PATIENCE_SECONDS = 3.0
"""Time for another process to end after its connection has; Lightning kills all of them after five."""


class StopTogether(Callback):
    """Stops all ranks at the same step after one of them got a signal.

    Nothing is saved within an epoch: the run stops at once if the previous epoch was kept, else after this short one.
    Scoring is not interrupted, because ranks may have different numbers of batches.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Replaces Lightning's handlers, which contact other ranks in the middle of a step, and requeue."""
        keep_own_signal_handlers(trainer)
        handle(wait_for_step=True)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Lets every rank stop by itself from now on."""
        handle(wait_for_step=False)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Stops here if any rank was asked to."""
        asked = asked_by() is not None
        if num_ranks() > 1:
            if pl_module.device.type != "cpu" and batch_idx % STEPS_ON_GPU:
                return
            anyone = torch.tensor(int(asked), device=pl_module.device)
            dist.all_reduce(anyone, op=dist.ReduceOp.MAX)
            asked = bool(anyone.item())
        if asked:
            behind = [c for c in trainer.checkpoint_callbacks if isinstance(c, LastCheckpoint) and c.behind]
            if not behind:
                raise Stopped(REQUEUE)
            for callback in behind:
                callback.wanted = True

    on_validation_batch_start = on_test_batch_start = on_train_batch_start


class FirstFailure(Callback):
    """Reports the process that failed first, instead of the connection errors of the others that follow."""

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Raises a LostProcessError, with the rank and exit code of the failed process if they are known.

        An error for the user ends the processes that this one started, so that they do not tell it again.
        """
        processes: list[Popen[Any]] = getattr(trainer.strategy.launcher, "procs", [])
        if isinstance(exception, SmirError):
            ended, processes[:] = processes[:], []  # Lightning watches this list, and would kill this process, too
            for process in ended:  # it has met the same error, or waits for this process in vain
                process.kill()
        if isinstance(exception, SmirError | Stopped | KeyboardInterrupt):
            return
        until = time.monotonic() + PATIENCE_SECONDS
        while processes and time.monotonic() < until:
            for rank, process in enumerate(processes, start=trainer.global_rank + 1):
                if process.poll():
                    raise LostProcessError(f"{_end(rank, process)} The run was stopped; the same command resumes it.")
            time.sleep(0.1)
        # The processes of torchrun and SLURM know nothing of each other. Errors of gloo have no class of their own.
        if isinstance(exception, dist.DistError) or "/gloo/" in str(exception):
            raise LostProcessError(
                f"The process of rank {trainer.global_rank} has lost its connection to the others: one of them has "
                "ended, or the network has failed. The error of that process, or the report of torchrun or SLURM, "
                "says more. The run was stopped; the same command resumes it."
            ) from exception


def _end(rank: int, process: Popen[Any]) -> str:
    code = process.returncode
    if code < 0:
        return f"The process of rank {rank} (pid {process.pid}) was killed by signal {-code}."
    return f"The process of rank {rank} (pid {process.pid}) has failed with exit code {code}; see its error above."
