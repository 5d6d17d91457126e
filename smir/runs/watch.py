"""A process of a run that dies takes the others with it, and its own error is the one that is shown."""

import os
import sys
import threading
import time

POLL_SECONDS = 1.0
GRACE_SECONDS = 10.0
"""Time for a process to end by itself, and to say why, once the one that started it is gone."""


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
