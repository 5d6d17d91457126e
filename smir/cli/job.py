"""`python -m smir job`: one training among many, for `make` and for lists of commands; it claims free GPUs."""

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from typing import IO, Literal

from jsonargparse.typing import PositiveInt

from smir.errors import ConfigError, RunError
from smir.files.locks import FileLock
from smir.runs.finished import DONE
from smir.runs.signals import REQUEUE, SIGNALS

VISIBLE = "CUDA_VISIBLE_DEVICES"
POLL_SECONDS = 2.0
LAST_LINES = 20
_DRIVERS = ("nvidia[0-9]*", "kfd", "dxg")
"""Files of the GPU drivers: a machine without a GPU need not import torch, which takes seconds."""
_OVERWRITTEN = re.compile(rb"[^\n]*\r(?!\n)|\x1b\[[0-9;]*[A-Za-z]")
"""Output that a terminal overwrites: text before a carriage return, and cursor commands."""


def job(run: Path, words: list[str], devices: PositiveInt | Literal["auto"] = "auto") -> None:
    """Runs one training to its end and keeps its output: python -m smir job --run DIR -- fit --config FILE ...

    Claims free GPUs and waits while all are taken, so that `make -j` never puts two jobs on one. The output goes to
    DIR/log.txt, and to the terminal if no other job writes there. The job fails unless the run is done at its end.

    Args:
        run: Folder of the run that the command makes.
        words: The words after `--`.
        devices: Number of GPUs for the job; `auto`: one under `make -j`, else all. Without a GPU it is the number of
            processes, and `auto` is one.

    Raises:
        SmirError: If the command fails or does not finish the run; it names the log and shows its end.
    """
    if not words:
        raise ConfigError("There is nothing to run. Put the command after `--`: job --run DIR -- fit --config FILE.")
    flags = os.environ.get("MAKEFLAGS", "")
    parallel = "--jobserver" in flags
    environment = {**os.environ}
    if jobs := re.search(r"-j(\d+)", flags):  # threads that wait for a core slow each other down many times
        environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // int(jobs[1]))))
    with _devices(devices, parallel, run) as (names, options):
        on = f" on GPU {', '.join(names)}" if names else ""
        print(f"{run}: begins{on}; log: {run / 'log.txt'}", flush=True)
        started = time.monotonic()
        environment |= {VISIBLE: ",".join(names)} if names else {}
        code = _run([*words, *options], run / "log.txt", environment, echo=sys.stdout.isatty() and not parallel)
    if code != 0 or not (run / DONE).is_file():
        print(f"smir: error: {_failure(run, code)}", file=sys.stderr)
        raise SystemExit(code if code > 0 else 128 - code if code < 0 else 1)
    os.utime(run / DONE)  # make compares times: a checked run is as new as the files it depends on
    print(f"{run}: done after {(time.monotonic() - started) / 60:.1f} minutes", flush=True)


@contextlib.contextmanager
def _devices(wanted: int | Literal["auto"], parallel: bool, run: Path) -> Iterator[tuple[list[str], list[str]]]:
    """Holds GPUs; yields their names and the options that make a training use them."""
    available = visible_devices()
    if not available:
        yield [], [] if wanted == "auto" else ["--trainer.accelerator", "cpu", "--trainer.devices", str(wanted)]
        return
    count = wanted if wanted != "auto" else 1 if parallel else len(available)
    waits = f"{run}: waits for {count} of the GPUs {', '.join(available)}"
    with claim(available, count, lock_folder(), on_wait=lambda: print(waits, flush=True)) as names:
        yield names, ["--trainer.devices", str(count)]


def visible_devices() -> list[str]:
    """Returns the names of the GPUs that this process may use: those of CUDA_VISIBLE_DEVICES, else all by number."""
    if VISIBLE in os.environ:
        names = (name.strip() for name in os.environ[VISIBLE].split(",") if name.strip())
        return list(takewhile(lambda name: name != "-1", names))  # as CUDA does
    if not any(any(Path("/dev").glob(name)) for name in _DRIVERS):
        return []
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


def lock_folder() -> Path:
    """Returns the folder of the device locks: one for all jobs of a user on this machine."""
    user = os.getuid() if hasattr(os, "getuid") else "user"  # Windows has a temporary folder for each user
    return Path(tempfile.gettempdir()) / f"smir-devices-{user}"


@contextlib.contextmanager
def claim(devices: Sequence[str], count: int, folder: Path, on_wait: Callable[[], None]) -> Iterator[list[str]]:
    """Holds some of the devices while the block runs; calls `on_wait` once if it must wait for free ones.

    Jobs that share devices share the `folder` of the lock files.

    Yields:
        The names of the held devices.

    Raises:
        ConfigError: If there are fewer devices.
    """
    if count > len(devices):
        raise ConfigError(f"A job needs {count} devices; this machine has {len(devices)}: {', '.join(devices)}.")
    folder.mkdir(parents=True, exist_ok=True)
    held = _try(devices, count, folder)
    if not held:
        on_wait()
    while not held:
        time.sleep(POLL_SECONDS)
        held = _try(devices, count, folder)
    try:
        yield list(held)
    finally:
        for lock in held.values():
            lock.release()


def _try(devices: Sequence[str], count: int, folder: Path) -> dict[str, FileLock]:
    """Locks this number of free devices or none, so that two jobs never wait for each other."""
    held: dict[str, FileLock] = {}
    for name in devices:
        lock = FileLock(folder / name.replace("/", "_"))
        if len(held) < count and lock.acquire():
            lock.sign()
            held[name] = lock
    if len(held) == count:
        return held
    for lock in held.values():
        lock.release()
    return {}


def _opened(log: Path) -> IO[bytes]:
    """Opens a log to append to; raises a RunError if no file can be made there, as in /proc."""
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        return log.open("ab")
    except FileNotFoundError as error:
        raise RunError(f"The log {log.absolute()} cannot be written. Give --run a folder elsewhere.") from error


def _run(words: Sequence[str], log: Path, environment: dict[str, str], echo: bool) -> int:
    """Runs a command of smir, and passes signals to stop on to it."""
    with _opened(log) as file:
        file.write(f"\n{time.strftime('%Y-%m-%d %H:%M:%S')}  python -m smir {shlex.join(words)}\n".encode())
        file.flush()
        process = subprocess.Popen(
            [sys.executable, "-m", "smir", *words], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        for number in SIGNALS:
            signal.signal(number, lambda received, _: process.send_signal(received))
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to the command as well
        assert process.stdout is not None
        _keep(process.stdout, file, echo)
        return process.wait()


def _keep(output: IO[bytes], log: IO[bytes], echo: bool) -> None:
    """Copies output at once to the terminal, and line by line, as a terminal finally shows it, to the log."""
    line = b""
    while block := os.read(output.fileno(), 1 << 16):
        if echo:
            sys.stdout.buffer.write(block)
            sys.stdout.buffer.flush()
        *lines, line = (line + block).split(b"\n")
        log.write(b"".join(_OVERWRITTEN.sub(b"", text) + b"\n" for text in lines))
        log.flush()
    log.write(_OVERWRITTEN.sub(b"", line))


def _failure(run: Path, code: int) -> str:
    log = run / "log.txt"
    last = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:]
    how = {
        0: "ended before the run was done",
        REQUEUE: f"was stopped by a signal (exit code {REQUEUE}); the same command resumes it",
    }.get(code, f"failed with exit code {code}")
    return "\n".join([f"{run} {how}. The end of its log, {log.absolute()}:", *(f"    {line}" for line in last)])


COMMANDS = job
AFTER_DASHES = "words"
