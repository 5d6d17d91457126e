"""A stand-in for the Python interpreter whose processes start with torch, Lightning and smir loaded.

Loading them takes each process some seconds. Here one server loads them, and forks for every program. The stand-in is
an executable file, used like `sys.executable` with `-m module`, `-c code` or a script. It passes working folder,
environment, standard streams, Linux namespaces and signals to a fork of the server, and ends as the fork ends. If it is
killed, the server kills the session of the fork. Tests of the start of the interpreter use the real one.
"""

import contextlib
import fcntl
import os
import socket
import subprocess
import sys
from pathlib import Path

import torch
from words import REPOSITORY

SOURCE = Path(__file__).parent
_servers = []


@contextlib.contextmanager
def warm_python(folder):
    """Starts the server of a folder, unless another test process has started it; yields the path of the stand-in.

    The server ends when no process is connected.
    """
    path, place = folder / "python", folder / "python.socket"
    with (folder / "python.lock").open("w") as lock, socket.socket(socket.AF_UNIX) as holder:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            holder.connect(str(place))
        except OSError:
            place.unlink(missing_ok=True)
            _servers.append(_start(path, place))
            holder.connect(str(place))
        fcntl.flock(lock, fcntl.LOCK_UN)
        yield str(path)


def wait():
    """Waits for the servers that this process has started, so that their CPU time is counted with its own."""
    for server in _servers:
        server.wait()


def _start(path, place):
    path.write_text(f"#!{sys.executable} -IS\nSOCKET = {str(place)!r}\n{(SOURCE / 'client.py').read_text()}")
    path.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place))
        listener.listen(64)
        environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads()), "PYTHONPATH": str(REPOSITORY)}
        command = [sys.executable, SOURCE / "server.py", str(listener.fileno()), path]
        return subprocess.Popen(command, env=environment, pass_fds=[listener.fileno()], cwd="/", start_new_session=True)
