"""Signals that ask a training to stop and to go on later, as SLURM and spot machines send them.

A handler belongs to the process, and so does what this module remembers.
"""

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

from smir.errors import SmirError

REQUEUE = 75
"""Exit code of a run that was stopped by a signal and goes on with the same command: EX_TEMPFAIL of sysexits.h."""
SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class Stopped(SystemExit):
    """The run stops here, on all ranks."""


class _Asked:
    by: signal.Signals | None = None
    """The first signal that came."""
    wait_for_step = False
    """True if other ranks may be waiting for this one, so that it may stop only at an agreed step."""


def asked_by() -> signal.Signals | None:
    """The signal that has asked this process to stop."""
    return _Asked.by


def handle(wait_for_step: bool) -> None:
    """Puts this module's handlers in place, also of those that Lightning has put there.

    Args:
        wait_for_step: Only note the signal; somebody asks `asked_by` at every step. Else stop at once.
    """
    _Asked.wait_for_step = wait_for_step
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            signal.signal(number, _note)


def _note(number: int, frame: FrameType | None) -> None:
    _Asked.by = _Asked.by or signal.Signals(number)
    if not _Asked.wait_for_step:
        raise Stopped(REQUEUE)


@contextlib.contextmanager
def requeue_on_signal() -> Iterator[None]:
    """Ends the process with the code `REQUEUE` where a signal has stopped the block.

    What fails after a signal fails because of it: where the whole group of processes gets the signal, loaders and
    other ranks may be gone first.

    Raises:
        SystemExit: With that code; with 0 on further ranks that Lightning started, because it kills rank 0 when it
            sees another code of theirs.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    handle(wait_for_step=False)
    try:
        yield
    except (Exception, Stopped) as error:
        if isinstance(error, SmirError) or not (_Asked.by or isinstance(error, Stopped)):
            raise
        _tell(_Asked.by)
        raise SystemExit(0 if _started_by_rank_zero() else REQUEUE) from None
    finally:
        _Asked.by = None
        for number, handler in before.items():
            signal.signal(number, handler)


def _tell(number: signal.Signals | None) -> None:
    from smir.runs.launch import global_rank

    if global_rank() == 0:
        by = number.name if number else "a signal to another process"
        again = "What was done since the last epoch will be repeated; the same command goes on."
        print(f"smir: stopped by {by}. {again}", file=sys.stderr, flush=True)


def _started_by_rank_zero() -> bool:
    from smir.runs.launch import started_by_rank_zero

    return started_by_rank_zero()
