"""`python -m smir job`: one training among many, for `make` and for lists of commands."""

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Literal

from jsonargparse.typing import PositiveInt

from smir.cli.devices import VISIBLE, claim, lock_folder, visible_devices
from smir.errors import ConfigError
from smir.runs.run_folder import DONE
from smir.runs.signals import REQUEUE

LAST_LINES = 20
_OVERWRITTEN = re.compile(rb"[^\n]*\r(?!\n)|\x1b\[[0-9;]*[A-Za-z]")
"""Output that a terminal overwrites: text before a carriage return, and cursor commands."""


def job(run: Path, words: list[str], devices: PositiveInt | Literal["auto"] = "auto") -> None:
    """Runs one training to its end and keeps its output: python -m smir job --run DIR -- fit --config FILE ...

    Claims free GPUs for it and waits while all are taken, so that `make -j` never puts two jobs on one. The output goes
    to DIR/log.txt, and to the terminal where no other job writes. The job fails unless the run is then done.

    Args:
        run: Folder of the run that the command makes.
        words: The words after `--`.
        devices: GPUs for the job; `auto`: one where `make -j` runs jobs beside each other, else all. Without a GPU it
            is the number of processes, and `auto` is one.

    Raises:
        SmirError: If the command fails or does not finish the run; it names the log and shows its end.
    """
    if not words:
        raise ConfigError("There is nothing to run. Put the command after `--`: job --run DIR -- fit --config FILE.")
    parallel = "--jobserver" in os.environ.get("MAKEFLAGS", "")
    with _devices(devices, parallel, run) as (names, options):
        on = f" on GPU {', '.join(names)}" if names else ""
        print(f"{run}: begins{on}; log: {run / 'log.txt'}", flush=True)
        started = time.monotonic()
        environment = {**_threads(), **os.environ, **({VISIBLE: ",".join(names)} if names else {})}
        code = _run([*words, *options], run / "log.txt", environment, echo=sys.stdout.isatty() and not parallel)
    if code != 0 or not (run / DONE).is_file():
        print(f"smir: error: {_failure(run, code)}", file=sys.stderr)
        raise SystemExit(code if code > 0 else 128 - code if code < 0 else 1)
    os.utime(run / DONE)  # a finished run that was looked at again is as new as what it rests on
    print(f"{run}: done after {(time.monotonic() - started) / 60:.1f} minutes", flush=True)


def _threads() -> dict[str, str]:
    """Shares the cores among the jobs of `make -j`: threads that wait for a core slow each other down many times."""
    jobs = re.search(r"-j(\d+)", os.environ.get("MAKEFLAGS", ""))
    return {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // int(jobs[1])))} if jobs else {}


@contextlib.contextmanager
def _devices(wanted: int | Literal["auto"], parallel: bool, run: Path) -> Iterator[tuple[list[str], list[str]]]:
    """Holds GPUs; yields their names and the options that tell a training to use them."""
    available = visible_devices()
    if not available:
        yield [], [] if wanted == "auto" else ["--trainer.accelerator", "cpu", "--trainer.devices", str(wanted)]
        return
    count = wanted if wanted != "auto" else 1 if parallel else len(available)
    waits = f"{run}: waits for {count} of the GPUs {', '.join(available)}"
    with claim(available, count, lock_folder(), on_wait=lambda: print(waits, flush=True)) as names:
        yield names, ["--trainer.devices", str(count)]


def _run(words: Sequence[str], log: Path, environment: dict[str, str], echo: bool) -> int:
    """Runs a command of smir; signals to stop are handed on to it."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        file.write(f"\n{time.strftime('%Y-%m-%d %H:%M:%S')}  python -m smir {shlex.join(words)}\n".encode())
        file.flush()
        process = subprocess.Popen(
            [sys.executable, "-m", "smir", *words], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        for number in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, lambda received, _: process.send_signal(received))
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to the command as well
        assert process.stdout is not None
        _keep(process.stdout, file, echo)
        return process.wait()


def _keep(output: IO[bytes], log: IO[bytes], echo: bool) -> None:
    """Copies output as it comes: to the terminal, and line by line, as a terminal ends up showing it, to the log."""
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
        REQUEUE: f"was stopped by a signal (exit code {REQUEUE}); the same command goes on",
    }.get(code, f"failed with exit code {code}")
    shown = "\n".join(f"    {line}" for line in last)
    return f"{run} {how}. The end of its log, {log.absolute()}:\n{shown}"


COMMANDS = job
AFTER_DASHES = "words"
