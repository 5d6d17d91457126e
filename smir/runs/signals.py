"""Signals that ask a training to stop and resume later, as SLURM and spot machines send them.

Handlers belong to the process, and so does the state of this module.
"""

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

from smir.errors import SmirError

REQUEUE = 75
"""Exit code of a run that a signal stopped and the same command resumes: EX_TEMPFAIL of sysexits.h."""
SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name))
"""Those that this system has: Windows has no SIGUSR1."""


class Stopped(SystemExit):
    """Stops the run on all ranks."""


class _Asked:
    by: signal.Signals | None = None
    """The first signal that came."""
    wait_for_step = False
    """True if other ranks may be waiting for this one, so that it may stop only at an agreed step."""


def asked_by() -> signal.Signals | None:
    """Returns the first signal that asked this process to stop."""
    return _Asked.by


def handle(wait_for_step: bool) -> None:
    """Installs this module's handlers, also in place of Lightning's.

    With `wait_for_step`, they only note the signal, and a callback calls `asked_by` at every step. Without it, they
    stop the process at once.
    """
    _Asked.wait_for_step = wait_for_step
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            signal.signal(number, _note)


def _note(number: int, frame: FrameType | None) -> None:
    _Asked.by = _Asked.by or signal.Signals(number)
    if not _Asked.wait_for_step:
        raise Stopped(REQUEUE)


def _hide_ended_loaders(error: "sys.UnraisableHookArgs") -> None:
    """Reports an error that Python cannot raise, unless a loader got the signal, too, and ended first."""
    if "DataLoader worker" not in str(error.exc_value) or "Terminated" not in str(error.exc_value):
        sys.__unraisablehook__(error)


@contextlib.contextmanager
def requeue_on_signal() -> Iterator[None]:
    """Ends the process with the code `REQUEUE` if a signal has stopped the block.

    An error after a signal counts as its consequence: if all processes get the signal, loaders and other ranks may end
    first.

    Raises:
        SystemExit: With that code; with 0 on further ranks that Lightning started, because it kills rank 0 if they
            end with another code.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    handle(wait_for_step=False)
    hook, sys.unraisablehook = sys.unraisablehook, _hide_ended_loaders
    try:
        yield
    except (Exception, Stopped) as error:
        if isinstance(error, SmirError) or not (_Asked.by or isinstance(error, Stopped)):
            raise
        # Not needed by every command, and slow.
        from smir.runs.launch import global_rank, started_by_rank_zero, what_is_kept

        if global_rank() == 0:
            by = _Asked.by.name if _Asked.by else "a signal to another process"
            kept = what_is_kept("The same command")
            print(f"smir: stopped by {by}. {kept}.", file=sys.stderr, flush=True)
        raise SystemExit(0 if started_by_rank_zero() else REQUEUE) from None
    finally:
        _Asked.by, sys.unraisablehook = None, hook
        for number, handler in before.items():
            signal.signal(number, handler)
