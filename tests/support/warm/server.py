"""Forks for every program that the stand-in for Python starts; run by `warm_python`.

usage: python server.py DESCRIPTOR EXECUTABLE
"""

import atexit
import contextlib
import ctypes
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import struct
import sys
import threading
import traceback
from pathlib import Path

PRELOADED = (
    "lightning.pytorch.cli",
    "smir.cli.command_line",
    "smir.cli.hints",
    "smir.cli.plain",
    "smir.cli.trust",
    "smir.data",
    "smir.models",
    "smir.training",
    "torch.distributed.run",
)


class Connection:
    """A connected stand-in, and the fork that it waits for, if it has asked for one."""

    def __init__(self, stream):
        self.stream, self.child = stream, None


def serve(listener, executable):
    """Forks until the last connection is closed; returns its work in a fork, and None in the server at the end."""
    selector, connections = selectors.DefaultSelector(), 0
    selector.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is listener:
                stream, _ = listener.accept()
                selector.register(stream, selectors.EVENT_READ, Connection(stream))
                connections += 1
            elif isinstance(key.fileobj, int):  # a fork has ended
                _answer(key.data, _code(key.data.child))
                selector.unregister(key.fileobj)
                os.close(key.fileobj)
                key.data.child = None
            else:
                _, streams, _, _ = socket.recv_fds(key.fileobj, 1, 3)
                if not streams:
                    connections -= 1
                    selector.unregister(key.fileobj)
                    key.fileobj.close()
                    if key.data.child is not None:
                        with contextlib.suppress(ProcessLookupError):
                            os.killpg(key.data.child, signal.SIGKILL)
                    continue
                request = json.loads(key.fileobj.makefile().readline())
                client, *_ = struct.unpack("3i", key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
                key.data.child = os.fork()
                if not key.data.child:
                    for other in selector.get_map().values():
                        os.close(other.fd)
                    selector.close()
                    return lambda: run(request, streams, client, executable)
                for stream in streams:
                    os.close(stream)
                _answer(key.data, key.data.child)
                selector.register(os.pidfd_open(key.data.child), selectors.EVENT_READ, key.data)
        if not connections:
            return None


def _answer(connection, number):
    with contextlib.suppress(OSError):  # the stand-in is gone
        connection.stream.sendall(f"{number}\n".encode())


def _code(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def run(request, streams, client, executable):
    """Turns this fork into the process that the client stands for; does not return."""
    os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin, sys.stdout = os.fdopen(0, closefd=False), os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", 1, errors="backslashreplace", closefd=False)
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr
    _enter_namespaces(client)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.executable = executable
    starter = os.getppid
    os.getppid = lambda: _parent(client) or starter()  # ranks check that rank 0, which started them, still runs
    try:
        code = _program(request["words"])
    except SystemExit as exit_:
        code = exit_.code
    except BaseException:
        traceback.print_exc()
        code = 1
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code or 0)


def _enter_namespaces(client):
    for name in ("net", "uts", "mnt"):
        theirs = Path(f"/proc/{client}/ns/{name}")
        if theirs.readlink() != Path(f"/proc/self/ns/{name}").readlink():
            with theirs.open() as file:
                if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), 0):
                    raise OSError(ctypes.get_errno(), f"cannot enter {theirs}")


def _parent(process):
    try:
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


def _program(words):
    """Does what Python would do with these words."""
    sys.orig_argv = [sys.executable, *words]
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:] = ["", *paths, *(path for path in sys.path[1:] if path not in paths)]
    if any(Path(path, "sitecustomize.py").is_file() for path in paths):
        sys.modules.pop("sitecustomize", None)
        importlib.import_module("sitecustomize")
    if words[0] == "-u":  # this is how torchrun starts its workers
        words = words[1:]
    if words[0] == "-m":
        sys.argv = words[1:]
        sys.path[0] = str(Path.cwd())
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    elif words[0] == "-c":
        sys.argv = ["-c", *words[2:]]
        exec(compile(words[1], "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv = words
        sys.path[0] = str(Path(words[0]).resolve().parent)
        runpy.run_path(words[0], run_name="__main__")


def main():
    for name in PRELOADED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # shared by all forks
    become = serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2])
    if become is not None:
        become()


if __name__ == "__main__":
    main()
