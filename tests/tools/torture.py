"""The kill harness: python tests/tools/torture.py --out docs/torture.md (`make torture`).

Runs of every kind get SIGKILL at random moments, and at moments that chance would rarely hit, and are started again
with the same command until they are done. Each is then compared bit by bit with its twin, which is never killed.
"""

import argparse
import dataclasses
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from compare_runs import content, difference
from words import REPOSITORY, SUPPORT, pretrain_words, segment_words, selective_words

from smir.runs.environment import environment

MINUTE = 60.0
KILLS_OF_ONE_RUN = 7
BEFORE_WORK = ("run.json", "config.yaml", "environment.json")
MOMENTS = {
    "random": [
        "metrics.csv half:2",
        "best.ckpt in place:1",
        "last.ckpt half:2",
        "previous.ckpt in place:1",
        "DONE half:1",
    ],
    "selective": [
        "step:2",
        "validation:3",
        "scoring:1",
        "stage-01-scores.npz in place:1",
        "stage-01.npz half:1",
        "best.ckpt half:1",
        "last.ckpt written:2",
        "last.ckpt in place:3",
        "DONE written:1",
    ],
    "downstream": ["metrics.csv written:1", "best.ckpt written:1", "last.ckpt in place:12", "test:2"],
}
"""Moments of `tests/support/moments` that one run of each kind is killed at, one after the other."""


@dataclasses.dataclass
class Arm:
    """Runs of one kind on one number of processes.

    Attributes:
        kind: `random`, `selective` or `downstream`.
        processes: Number of processes.
        root: The folder of its runs.
        data: The dataset.
    """

    kind: str
    processes: int
    root: Path
    data: Path
    seconds: float = 0.0
    hit: Counter[str] = dataclasses.field(default_factory=Counter)
    slowest_end: float = 0.0
    compared: int = 0
    different: list[str] = dataclasses.field(default_factory=list)

    def words(self, name: str, workers: int) -> list[str]:
        """Returns the command line of a run; the number of loader workers is not part of its recipe."""
        more = [f"--run.root={self.root}", f"--run.experiment={name}", f"--trainer.devices={self.processes}"]
        more += ["--trainer.max_epochs=12", f"--data.num_workers={workers}"]
        if self.kind == "downstream":
            return segment_words(self.data, *more)
        if self.kind == "random":
            return pretrain_words(self.data, *more)
        return selective_words(self.data, "--trainer.callbacks.num_stages=3", *more)

    def start(self, name: str, workers: int, moment: str = "") -> subprocess.Popen[bytes]:
        """Starts a run in a new process group."""
        paths = os.pathsep.join([str(SUPPORT / "moments"), str(REPOSITORY)])
        marks = {"SMIR_PHASE": str(self.phase), "SMIR_MOMENT": moment}
        self.phase.unlink(missing_ok=True)
        with (self.root / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "smir", *self.words(name, workers)],
                env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths, **marks},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def phase(self) -> Path:
        """The file in which the last started run records its current moment."""
        return self.root / "phase"

    @property
    def doing(self) -> str:
        """The last moment that the run has reached; empty at its beginning."""
        return self.phase.read_text().strip() if self.phase.exists() else ""

    def folder(self, name: str) -> Path:
        """Returns the folder of a run."""
        return self.root / name / "seed0"

    def finish(self, name: str, workers: int) -> None:
        """Runs to the end, and compares the run with the twin."""
        code = self.start(name, workers).wait(10 * MINUTE)
        if code != 0:
            self.different.append(f"{name} ended with {code}: {(self.root / f'{name}.log').read_text()[-300:]}")
            return
        self.compared += 1
        if found := difference(content(self.folder(name)), content(self.folder("twin"))):
            self.different.append(f"{name}: {found}")
        shutil.rmtree(self.folder(name))

    def make_twin(self) -> None:
        """Trains the twin, which is never killed, and measures how long a run takes."""
        process = self.start("twin", 0)
        begun = self.wait_for_begin(process)
        if process.wait(10 * MINUTE) != 0:
            raise SystemExit((self.root / "twin.log").read_text()[-3000:])
        self.seconds = time.monotonic() - begun

    def wait_for_begin(self, process: subprocess.Popen[bytes]) -> float:
        """Waits until a run has imported its libraries and begins to work; returns the time."""
        while process.poll() is None:
            if self.doing and not self.doing.startswith(BEFORE_WORK):
                break
            time.sleep(0.002)
        return time.monotonic()

    def kill_at_random(self, count: int, draw: random.Random) -> None:
        """Kills runs the given number of times at random moments, over as many runs as needed."""
        number = 0
        while sum(self.hit.values()) < count:
            name = f"killed{number}"
            for _ in range(min(KILLS_OF_ONE_RUN, count - sum(self.hit.values()))):
                process = self.start(name, draw.choice([0, 2]))
                self.wait_for_begin(process)
                time.sleep(draw.uniform(0, 0.4 * self.seconds))
                if process.poll() is not None:
                    break
                self.kill(process, draw)
            self.finish(name, draw.choice([0, 2]))
            number += 1

    def kill(self, process: subprocess.Popen[bytes], draw: random.Random) -> None:
        """Kills all processes, or only one rank, which must end all others."""
        ranks = [process.pid, *_children_of(process.pid, "LOCAL_RANK=1")]
        if len(ranks) == 1 or draw.random() < 0.6:
            self.hit[self.doing] += 1
            os.killpg(process.pid, signal.SIGKILL)
        else:
            rank = draw.randrange(2)
            self.hit[f"{self.doing} (rank {rank} alone)"] += 1
            os.kill(ranks[rank], signal.SIGKILL)
        self.slowest_end = max(self.slowest_end, self.end(process))

    def end(self, process: subprocess.Popen[bytes]) -> float:
        """Waits, for a minute at most, until no process of a killed run is left; returns the seconds."""
        began = time.monotonic()
        while process.poll() is None or _session(process.pid):
            if time.monotonic() - began > MINUTE:
                self.different.append("processes were left after a minute")
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                break
            time.sleep(0.05)
        return time.monotonic() - began

    def kill_at_moments(self, draw: random.Random) -> None:
        """Kills one run at rare moments, one after the other."""
        for moment in MOMENTS[self.kind]:
            process = self.start("moments", draw.choice([0, 2]), moment)
            code = process.wait(10 * MINUTE)
            self.end(process)
            if code == -signal.SIGKILL:
                self.hit[moment.rsplit(":", 1)[0]] += 1
            elif code == 0:  # the run ended before that moment
                self.finish("moments", 0)
            else:
                self.different.append(f"{moment}: ended with {code}")
        self.finish("moments", 0)


def _session(leader: int) -> list[int]:
    """Returns the living processes of a session."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[3]) == leader and fields[0] != "Z":
            found.append(int(entry.parent.name))
    return found


def _children_of(leader: int, variable: str) -> list[int]:
    """Returns the processes of smir in a session whose environment has a variable, without loader workers."""
    found = []
    for pid in _session(leader):
        try:
            words = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            parent = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
        if parent == leader and variable.encode() in words:
            found.append(pid)
    return found


def table(arms: list[Arm], seed: int, minutes: float) -> str:
    """Returns the page of results."""
    facts = environment()
    versions = ", ".join(f"{name} {facts['versions'][name]}" for name in ("torch", "lightning"))
    kills = sum(sum(arm.hit.values()) for arm in arms)
    lines = [
        "# Runs that were killed",
        "",
        f"Written by `make torture` (`tests/tools/torture.py`, seed {seed}) at commit {facts['commit']}: "
        f"{kills} kills in {minutes:.0f} minutes. Python {facts['python']}, {versions}; {_machine()}.",
        "",
        "Every run has 12 epochs (selective: 3 stages). It gets SIGKILL, is started again with the same command and 0 "
        "or 2 loader workers, and so on; on two processes some kills hit one rank alone. In the end it is compared "
        "with its twin that nobody has killed: weights, optimiser and callback state of every checkpoint, masks, "
        "scores, metrics but for the times, test confusion matrices, the choice of the best epoch; and nothing "
        "half-written may be left.",
        "",
        "| run | processes | kills | runs compared | different | slowest end of all processes after a kill (s) |",
        "|---|---|---|---|---|---|",
    ]
    for arm in arms:
        cells = (arm.kind, arm.processes, sum(arm.hit.values()), arm.compared, len(arm.different))
        lines.append(f"| {' | '.join(map(str, cells))} | {arm.slowest_end:.1f} |")
    lines += [
        "",
        "The last moment that a run had come to when it was killed (`environment.json in place`: it sets up):",
        "",
    ]
    hits = sum((arm.hit for arm in arms), Counter())
    lines += [f"- {what}: {count}" for what, count in sorted(hits.items())]
    different = [f"- {arm.kind}, {arm.processes}: {text}" for arm in arms for text in arm.different]
    return "\n".join([*lines, *(["", "Different:", "", *different] if different else []), ""])


def _machine() -> str:
    info = Path("/proc/cpuinfo")
    models = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return f"{os.cpu_count()} cores, {models[0] if models else platform.machine()}"


def attack(arm: Arm, kills: int, draw: random.Random) -> Arm:
    """Kills the runs of an arm at random moments and, if they have one process, at every moment of the list."""
    arm.root.mkdir(parents=True)
    arm.make_twin()
    arm.kill_at_random(kills, draw)
    if arm.processes == 1:
        arm.kill_at_moments(draw)
    print(f"{arm.kind} on {arm.processes}: {sum(arm.hit.values())} kills, different: {arm.different or 'none'}")
    return arm


def torture(root: Path, data: Path, kills: int, seed: int, jobs: int) -> list[Arm]:
    """Spreads the kills at random moments over all kinds of runs and numbers of processes."""
    arms = [Arm(kind, count, root / f"{kind}-{count}", data) for count in (2, 1) for kind in MOMENTS]
    shares = [kills // len(arms) + (number < kills % len(arms)) for number in range(len(arms))]
    draws = [random.Random(f"{seed} {arm.kind} {arm.processes}") for arm in arms]
    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(attack, arms, shares, draws))


def main() -> None:
    """Runs the harness; fails if a run differs from its twin."""
    from smir.prepare.synthetic.dataset import write_dataset
    from smir.prepare.tiling import tile_image

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=42, help="kills at random moments")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    parser.add_argument("--out", type=Path, required=True, help="page of results")
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        write_dataset(data, seed=0, width=1024, height=768, train_tiles=10, val_tiles=2, test_tiles=3)
        tile_image(data / "nassar/orthomosaic/data/RGB_reference_png.png", data / "nassar/ortho_tiles")
        arms = torture(Path(folder), data, options.kills, options.seed, options.jobs)
    options.out.write_text(table(arms, options.seed, (time.monotonic() - began) / 60), encoding="utf-8")
    print(f"{options.out}")
    sys.exit(any(arm.different for arm in arms))


if __name__ == "__main__":
    main()
