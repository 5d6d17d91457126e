"""Says which process of a run failed first."""

import time
from subprocess import Popen
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from smir.errors import RunError, SmirError
from smir.runs.signals import Stopped

PATIENCE_SECONDS = 3.0
"""Time for another process to end after its connection has; Lightning kills all of them after five."""


class FirstFailure(Callback):
    """Reports the process that died first, instead of the connection error that rank 0 gets because of it."""

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Looks for a process that has failed.

        Raises:
            RunError: If there is one, with its rank and exit code.
        """
        if isinstance(exception, SmirError | Stopped | KeyboardInterrupt):
            return
        processes: list[Popen[Any]] = getattr(trainer.strategy.launcher, "procs", [])
        until = time.monotonic() + PATIENCE_SECONDS
        while processes and time.monotonic() < until:
            for rank, process in enumerate(processes, start=trainer.global_rank + 1):
                if process.poll():
                    raise RunError(f"{_end(rank, process)} The run was stopped; the same command goes on.")
            time.sleep(0.1)


def _end(rank: int, process: "Popen[Any]") -> str:
    code = process.returncode
    if code < 0:
        return f"The process of rank {rank} (pid {process.pid}) was killed by signal {-code}."
    return f"The process of rank {rank} (pid {process.pid}) has failed with exit code {code}; its error stands above."
