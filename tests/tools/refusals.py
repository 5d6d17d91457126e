"""Forks a process in which the system refuses the n-th call of a kind, as with a full or broken disk.

Linux asks this process about every call (seccomp's user notification), so that calls of C libraries, threads and loader
workers count as well. Only calls on one folder count. Writes through mapped memory are not seen.
"""

import atexit
import ctypes
import errno
import fcntl
import os
import platform
import select
import signal
import socket
import struct
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, NoReturn

ERRORS = {
    "open": (errno.EACCES, errno.EIO),
    "create": (errno.EACCES, errno.ENOSPC, errno.EIO),
    "write": (errno.ENOSPC, errno.EIO),
    "fsync": (errno.EIO, errno.ENOSPC),
    "rename": (errno.EIO, errno.EACCES, errno.ENOSPC),
    "make": (errno.ENOSPC, errno.EACCES, errno.EIO),
}
"""Kinds of calls, and the errors that they fail with; `make` is the making of folders and links."""

_X86 = {
    **dict.fromkeys((1, 18, 20, 40, 77, 285, 296, 328), ("write", "fd", 0)),
    **{74: ("fsync", "fd", 0), 75: ("fsync", "fd", 0), 326: ("write", "fd", 2), 76: ("write", "path", 0)},
    **{2: ("open", "path", 0), 257: ("open", "at", 0), 85: ("create", "path", 0), 83: ("make", "path", 0)},
    **{82: ("rename", "path", 1), 264: ("rename", "at", 2), 316: ("rename", "at", 2), 258: ("make", "at", 0)},
    **{86: ("make", "path", 1), 265: ("make", "at", 2), 88: ("make", "path", 1), 266: ("make", "at", 1)},
}
_ARM = {
    **dict.fromkeys((46, 47, 64, 66, 68, 70, 71, 287), ("write", "fd", 0)),
    **{82: ("fsync", "fd", 0), 83: ("fsync", "fd", 0), 285: ("write", "fd", 2), 45: ("write", "path", 0)},
    **{56: ("open", "at", 0), 34: ("make", "at", 0), 36: ("make", "at", 1), 37: ("make", "at", 2)},
    **{38: ("rename", "at", 2), 276: ("rename", "at", 2)},
}
_CALLS, _SECCOMP = {"x86_64": (_X86, 317), "aarch64": (_ARM, 277)}.get(platform.machine(), ({}, 0))
"""By number: kind, whether a descriptor or a path tells the file, and which argument it is."""
_NOTICE, _ANSWER = struct.Struct("=QIIiIQ6Q"), struct.Struct("=QqiI")
_RECEIVE, _SEND, _NEW_LISTENER, _NO_NEW_PRIVILEGES = 0xC0502100, 0xC0182101, 8, 38
_WORKING_FOLDER = -100
LONGEST = 120
"""Seconds without a call after which a fork hangs."""
TRACEBACK = 70
"""The exit code of a function that raised anything but SystemExit."""


class Refusal(NamedTuple):
    """The call that fails. A full disk stays full: with ENOSPC, later calls of the kind fail as well."""

    kind: str
    number: int
    error: int

    def hits(self, kind: str, count: int) -> bool:
        """Returns whether it refuses the call of that kind and count."""
        later = self.error == errno.ENOSPC and count > self.number
        return kind == self.kind and (count == self.number or later)

    def __str__(self) -> str:
        return f"{self.kind} {self.number} {errno.errorcode[self.error]}"


class Ended(NamedTuple):
    """Exit code, output, number of calls of each kind, and the files of the refused calls."""

    code: int
    said: str
    calls: Counter[str]
    refused: list[str]


def fork(folder: Path, log: Path, refusal: Refusal | None = None) -> Ended | None:
    """Forks. Returns None in the fork, which then calls `end`; returns in this process how the fork ended.

    Calls on files in `folder` are counted, and one is refused; the output of the fork goes to `log`, outside `folder`.
    """
    ours, theirs = socket.socketpair()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    child = os.fork()
    if not child:
        ours.close()
        _become(theirs, folder, log)
        return None
    theirs.close()
    _, (listener,), *_ = socket.recv_fds(ours, 1, 1)
    ours.close()
    try:
        calls, refused = _answer(listener, folder, refusal)
    except TimeoutError:
        os.killpg(child, signal.SIGKILL)
        raise
    finally:
        os.close(listener)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return Ended(code, log.read_text(errors="replace"), calls, refused)


def end(work: Callable[[], object]) -> NoReturn:
    """Does the work, and ends the process as Python would."""
    try:
        work()
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        traceback.print_exc()
        code = TRACEBACK
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    os._exit(code)


def _answer(listener: int, folder: Path, refusal: Refusal | None) -> tuple[Counter[str], list[str]]:
    """Answers the kernel until no process is left; returns counts of calls, and the files of refused calls."""
    calls: Counter[str] = Counter()
    refused: list[str] = []
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    while ready := poll.poll(LONGEST * 1000):
        if ready[0][1] & select.POLLHUP:
            return calls, refused
        notice = bytearray(_NOTICE.size)
        try:
            fcntl.ioctl(listener, _RECEIVE, notice)
            number, process, _, call, _, _, *arguments = _NOTICE.unpack(notice)
            kind, file = _file(process, call, arguments)
            error = 0
            if file.startswith(f"{folder}/"):
                calls[kind] += 1
                if refusal is not None and refusal.hits(kind, calls[kind]):
                    refused.append(file)
                    error = -refusal.error
            fcntl.ioctl(listener, _SEND, _ANSWER.pack(number, 0, error, 0 if error else 1))
        except OSError:  # a signal interrupted the call, which is repeated, or the process is gone
            continue
    raise TimeoutError(f"With {refusal}, nothing has happened for {LONGEST} s.")


def _file(process: int, call: int, arguments: list[int]) -> tuple[str, str]:
    """Returns the kind of a call and the path of its file."""
    kind, how, place = _CALLS[call]
    at = Path(f"/proc/{process}")
    if how == "fd":
        return kind, str((at / f"fd/{arguments[place]}").readlink())
    folder, rest = "cwd", arguments[place:]
    if how == "at":
        number = ctypes.c_int32(rest.pop(0)).value
        folder = "cwd" if number == _WORKING_FOLDER else f"fd/{number}"
    with (at / "mem").open("rb", buffering=0) as memory:
        path = os.fsdecode(os.pread(memory.fileno(), 4096, rest[0]).split(b"\0")[0])
    if kind == "open" and rest[1] & os.O_CREAT:
        kind = "create"
    return kind, os.path.normpath(path if path.startswith("/") else (at / folder).readlink() / path)


def _become(stream: socket.socket, folder: Path, log: Path) -> None:
    """Turns a fork into a process with its own output, in the folder, whose calls the kernel reports."""
    os.setsid()
    os.chdir(folder)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(output, number)
        setattr(sys, name, open(number, "w", buffering=1, errors="backslashreplace", closefd=False))  # noqa: SIM115
    listener = _listen()
    socket.send_fds(stream, [b"!"], [listener])
    os.close(listener)
    stream.close()


def _listen() -> int:
    """Lets the kernel report all calls of this process and its children; returns the descriptor of the reports."""
    steps = [(0x20, 0, 0, 0)]  # the number of the call
    steps += [(0x15, len(_CALLS) - place, 0, number) for place, number in enumerate(_CALLS)]
    steps += [(0x06, 0, 0, 0x7FFF0000), (0x06, 0, 0, 0x7FC00000)]  # allow, or ask
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    program = struct.pack("@HP", len(steps), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    listener: int = libc.syscall(_SECCOMP, 1, _NEW_LISTENER, program)
    if listener < 0:
        raise OSError(ctypes.get_errno(), "seccomp refuses to listen")
    return listener
