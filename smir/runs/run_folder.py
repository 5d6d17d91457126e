"""Run identity and the run folder, which is locked, begun, resumed or left unchanged, and keeps the results.

A run is (experiment, seed, recipe hash). The recipe is everything that changes the result. Its inputs (lists of files,
pretrained weights) count by content, not by path.
"""

import contextlib
import csv
import dataclasses
import hashlib
import shutil
from pathlib import Path
from typing import Any, Literal

from smir.errors import RunError, first_few
from smir.files.atomic import remove_unfinished
from smir.files.json_record import read_dict, read_json, write_json
from smir.files.locks import FileLock
from smir.runs.recipe import differences, digest

RECORD = "run.json"
DONE = "DONE"
METRICS = "metrics.csv"
LAST, PREVIOUS = "last.ckpt", "previous.ckpt"
"""Checkpoints to resume from: that of the last kept epoch, and the one before it in case the last is damaged."""
DAMAGED = "damaged.ckpt"
"""Name that an unreadable `LAST` gets; nothing reads it."""
FORMAT = 1
_CONTENT = {"experiment": str, "seed": int, "recipe_hash": str, "hash": str, "recipe": dict, "inputs": dict}

RESULTS = {"test": "metrics.json", "predict": "source.json"}
"""The file in a folder of results that records their origin."""

IfTaken = Literal["rename", "refuse"]

_LOCKS: dict[Path, FileLock] = {}
"""The run folders that this process holds."""


def file_digest(path: Path) -> str:
    """Returns the SHA-256 of a file's content, 16 hexadecimal digits."""
    sha256 = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            sha256.update(block)
    return sha256.hexdigest()[:16]


@dataclasses.dataclass(frozen=True)
class Identity:
    """The identity of a run.

    Attributes:
        experiment: Name of the experiment, such as `demo/selective`.
        seed: Seed of the run.
        recipe: Settings that change the result.
        inputs: Fingerprints of the data and of the weights that the run starts from.
    """

    experiment: str
    seed: int
    recipe: dict[str, Any]
    inputs: dict[str, Any]

    @property
    def recipe_hash(self) -> str:
        """Hash of only the recipe; runs that differ only in the seed share it."""
        return digest(self.recipe)

    @property
    def hash(self) -> str:
        """Hash of recipe and inputs."""
        return digest([self.recipe, self.inputs])

    def record(self) -> dict[str, Any]:
        """Returns the content of `run.json`."""
        return {"format": FORMAT, "recipe_hash": self.recipe_hash, "hash": self.hash, **vars(self)}


@dataclasses.dataclass(frozen=True)
class Run:
    """A run folder that this process holds."""

    path: Path

    @property
    def done(self) -> bool:
        """True if the run has finished."""
        return (self.path / DONE).is_file()

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.path / "checkpoints"

    def finish(self, summary: dict[str, Any]) -> None:
        """Marks the run as done; this file is written last."""
        write_json(self.path / DONE, summary)

    def lock(self) -> None:
        """Locks the folder until this process ends, again if this process kept the lock of a failed command.

        Raises:
            RunError: If another process holds it; the message names that process.
        """
        self.unlock()
        lock = FileLock(self.path / "lock")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            free = lock.acquire()
        except OSError as error:
            raise RunError(f"The run folder {self.path.absolute()} cannot be written to: {error.strerror}.") from error
        if not free:
            raise RunError(
                f"The run {self.path.absolute()} is in use by another process: {lock.holder()}. Wait for it, stop it, "
                "or give this run another name (--run.experiment) or seed."
            )
        lock.sign()
        _LOCKS[self.path.absolute()] = lock

    def unlock(self) -> None:
        """Releases the folder."""
        if (lock := _LOCKS.pop(self.path.absolute(), None)) is not None:
            lock.release()


def read_record(folder: Path) -> dict[str, Any] | None:
    """Reads `run.json`, if the folder has one.

    Raises:
        RunError: If it is damaged or of another format.
    """
    record = read_dict(folder / RECORD, f"Move the folder {folder} away to start over.")
    if record is None:
        return None
    if record.get("format") != FORMAT:
        raise RunError(f"{folder / RECORD} has format {record.get('format')}; this version of smir reads {FORMAT}.")
    if wrong := [key for key, kind in _CONTENT.items() if not isinstance(record.get(key), kind)]:
        raise RunError(f"{folder / RECORD} is damaged: it lacks {', '.join(wrong)}. Move the folder {folder} away.")
    return record


def open_run(root: Path, identity: Identity, if_taken: IfTaken = "rename") -> Run:
    """Finds or makes the folder of a run, `<root>/<experiment>/seed<k>`, and locks it.

    A folder of that name with another recipe or other inputs stays as it is, unless its run failed before its first
    checkpoint: then the folder is used anew.

    Args:
        root: Folder of all runs.
        identity: Identity of the run.
        if_taken: If the folder holds another run: `rename` appends this one's hash, `refuse` is an error.

    Raises:
        RunError: If another process works in it, its record is damaged, or it is taken and `if_taken` is `refuse`.
    """
    plain = root / identity.experiment / f"seed{identity.seed}"
    for path in (plain, plain.with_name(f"{plain.name}-{identity.hash}")):
        run = Run(path)
        other = _other(path, identity)
        if other and (run.done or any((run.checkpoints / name).is_file() for name in (LAST, PREVIOUS))):
            if if_taken == "refuse":
                keys = ("recipe", "inputs")
                theirs, own = ({key: record[key] for key in keys} for record in (other, identity.record()))
                raise RunError(
                    f"{path.absolute()} holds a run of other settings: {first_few(differences(theirs, own), 5)}. Move "
                    "it away, or give this run another name (--run.experiment, --run.variant)."
                )
            continue
        if run.done:
            return run
        try:
            run.lock()
        except RunError:
            if _other(path, identity):  # its holder may have made the folder since the first look
                continue
            raise
        remove_unfinished(path)
        if other:
            shutil.rmtree(path / "images", ignore_errors=True)
            for name in ("config.yaml", "environment.json", METRICS):
                (path / name).unlink(missing_ok=True)
        if other or read_record(path) is None:
            write_json(path / RECORD, identity.record())
        return run
    raise RunError(f"{plain} and its neighbour with {identity.hash} hold other recipes; move them away.")


def _other(path: Path, identity: Identity) -> dict[str, Any] | None:
    """Returns the record of a run folder if it is of another run."""
    record = read_record(path)
    return record if record is not None and record["hash"] != identity.hash else None


def read_metrics(folder: Path) -> list[dict[str, str]]:
    """Returns the rows of `metrics.csv`, one per epoch; none if there is no such file.

    Raises:
        RunError: If it is damaged.
    """
    path = folder / METRICS
    if not path.is_file():
        return []
    number = 0
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = []
            for row in csv.DictReader(file, strict=True):
                number += 1
                if None in row or None in row.values():
                    raise ValueError("it has too many or too few values")
                if not 0 <= int(row["epoch"]) < 1 << 31 or abs(float(row.get("stage") or 0)) >= 1 << 31:
                    raise ValueError("its epoch or stage is out of range")
                rows.append(row)
            return rows
    except (KeyError, ValueError, csv.Error) as error:
        raise RunError(
            f"{path} is damaged at row {number}: {error}. Correct it, or move the file away; a run that goes on then "
            "lacks the rows of earlier epochs."
        ) from error


def result_folder(run: Path, kind: Literal["test", "predict"], source: dict[str, Any]) -> Path:
    """Returns the folder for results: `<run>/<kind>`, or one beside it if that has other weights, data or settings."""
    record = run / kind / RESULTS[kind]
    there = read_json(record) if record.is_file() else source
    same = isinstance(there, dict) and there.get("hash") == source["hash"]
    return run / (kind if same else f"{kind}-{source['hash']}")


def run_of_checkpoint(path: Path) -> Path | None:
    """Returns the run folder of a checkpoint; None if it is in no run folder."""
    with contextlib.suppress(RunError):
        if path.parent.name == "checkpoints" and read_record(path.parent.parent) is not None:
            return path.parent.parent
    return None
