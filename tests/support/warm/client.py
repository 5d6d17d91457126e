# The stand-in for Python. `warm_python` writes the first lines, with SOCKET, before this file.
import json
import os
import signal
import socket
import sys
from pathlib import Path

HANDED_ON = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT, signal.SIGHUP)

signal.pthread_sigmask(signal.SIG_BLOCK, HANDED_ON)
server = socket.socket(socket.AF_UNIX)
server.connect(SOCKET)  # noqa: F821
socket.send_fds(server, [b"!"], [0, 1, 2])
request = {"words": sys.argv[1:], "folder": str(Path.cwd()), "environment": dict(os.environ)}
server.sendall(json.dumps(request).encode() + b"\n")
answers = server.makefile()
child = int(answers.readline())
if place := os.environ.get("SMIR_PID"):  # for tests that look for it in the output of the program
    Path(place).write_text(str(child))
for number in HANDED_ON:
    signal.signal(number, lambda received, _: os.kill(child, received))
signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDED_ON)
code = int(answers.readline() or 255)
if code < 0:
    if -code != signal.SIGKILL:
        signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
os._exit(code)
