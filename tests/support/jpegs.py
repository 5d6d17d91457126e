"""Runs the program that looks for damaged JPEGs in this process, in which OpenCV is already loaded."""

import io
import os
import sys
import tempfile
import threading
from subprocess import CompletedProcess
from types import SimpleNamespace
from unittest.mock import patch

_LOCK = threading.Lock()


def run_here(command, input, **_options):  # as `subprocess.run` captures it
    """Returns what `subprocess.run` would; libjpeg writes to the stderr of the process, so it is replaced by a file."""
    streams = SimpleNamespace(buffer=io.BytesIO(input))
    with _LOCK, tempfile.TemporaryFile() as file, patch.object(sys, "stdin", streams):
        kept, path = os.dup(2), sys.path
        os.dup2(file.fileno(), 2)
        try:
            exec(command[-1], {})
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            sys.path = path
        file.seek(0)
        return CompletedProcess(command, 0, b"", file.read())
