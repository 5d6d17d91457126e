"""A process of a run that dies takes the others with it, and its own error is the one that is shown."""

import os
import sys
import threading
import time
from subprocess import Popen
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from smir.errors import RunError, SmirError
from smir.runs.signals import Stopped

POLL_SECONDS = 1.0
GRACE_SECONDS = 10.0
"""Time for a process to end by itself, and to say why, once the one that started it is gone."""
PATIENCE_SECONDS = 3.0
"""Time for another process to end after its connection has; Lightning kills all of them after five."""


def end_with(starter: int) -> None:
    """Ends this process soon after the one that started it, which waits for nobody.

    Without it a further rank would wait in a collective until its time-out.

    Args:
        starter: Process id of rank 0.
    """
    threading.Thread(target=_watch, args=(starter,), name="smir-watch", daemon=True).start()


def _watch(starter: int) -> None:
    while os.getppid() == starter:
        time.sleep(POLL_SECONDS)
    time.sleep(GRACE_SECONDS)
    print("smir: error: rank 0 has ended; this process ends with it.", file=sys.stderr, flush=True)
    os._exit(1)


class FirstFailure(Callback):
    """Where rank 0 fails because another process has died, says so instead of what the connection had to say."""

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
