"""Run identity and the run folder, which is locked, begun, resumed or left unchanged, and keeps the results.

A run is (experiment, seed, recipe hash). The recipe is everything that changes the result. Its inputs (lists of files,
pretrained weights) count by content, not by path.
"""

import contextlib
import csv
import dataclasses
import os
import shutil
from pathlib import Path
from typing import Any, Literal

from smir.errors import RunError, first_few
from smir.files.atomic import remove_unfinished
from smir.files.json_record import read_dict, read_json, write_json
from smir.files.locks import FileLock
from smir.runs.finished import DONE, can_be_made_again, lost_files
from smir.runs.recipe import differences, digest

RECORD = "run.json"
METRICS = "metrics.csv"
_LARGEST_METRICS, _MOST_EPOCHS = 1 << 26, 1_000_000
"""Bytes and rows."""
LAST, PREVIOUS = "last.ckpt", "previous.ckpt"
"""Checkpoints to resume from: that of the last kept epoch, and the one before it in case the last is damaged."""
DAMAGED = "damaged.ckpt"
"""Name that an unreadable `LAST` gets; nothing reads it."""
FORMAT = 1
_CONTENT = {"experiment": str, "seed": int, "recipe_hash": str, "hash": str, "recipe": dict, "inputs": dict}

RESULTS = {"test": "metrics.json", "predict": "source.json"}
"""The file in a folder of results that records their origin."""

_OF_A_START = {RECORD, "config.yaml", "environment.json", "lock", "files.npz"}
"""Files that a run has before its first step."""

IfTaken = Literal["rename", "refuse"]

_LOCKS: dict[Path, list[FileLock]] = {}
"""The run folders that this process holds."""


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

    def differences_from(self, other: dict[str, Any]) -> str:
        """Returns the first settings and inputs in which the run of another record differs from this one."""
        theirs, own = ({key: record[key] for key in ("recipe", "inputs")} for record in (other, self.record()))
        return first_few(differences(theirs, own), 5)


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

    @property
    def has_checkpoint(self) -> bool:
        """True if an epoch was kept, from which the run resumes; also if its file is now a link to nowhere."""
        return any(os.path.lexists(self.checkpoints / name) for name in (LAST, PREVIOUS))

    def lock(self) -> None:
        """Locks the folder until this process ends, again if this process kept the lock of a failed command.

        Raises:
            RunError: If another process holds it; the message names that process.
        """
        self.unlock()
        lock, folder = FileLock(self.path / "lock"), FileLock(self.path)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            free = lock.acquire()
            with contextlib.suppress(OSError):  # NFS and Windows lock no folder
                # This lock holds even if somebody deletes the lock file. Only the holder of the file tries to take it:
                # otherwise each of two processes could get one of the locks, and both would fail.
                free = free and folder.acquire()
        except OSError as error:
            raise RunError(f"The run folder {self.path.absolute()} cannot be written to: {error.strerror}.") from error
        if not free:
            lock.release()
            folder.release()
            raise RunError(
                f"The run {self.path.absolute()} is in use by another process: {lock.holder()}. Wait for it, stop it, "
                "or give this run another name (--run.experiment) or seed."
            )
        lock.sign()
        _LOCKS[self.path.absolute()] = [lock, folder]

    def unlock(self) -> None:
        """Releases the folder."""
        for lock in _LOCKS.pop(self.path.absolute(), []):
            lock.release()


def held() -> list[Run]:
    """Returns the runs that this process works on, or worked on until it failed."""
    return [Run(path) for path in _LOCKS]


def forget_failed_starts() -> None:
    """Deletes what this process has written into its run folders if no training step was taken."""
    for run in held():
        files = {path.relative_to(run.path).as_posix() for path in run.path.rglob("*") if path.is_file()}
        if files - {"log.txt"} <= _OF_A_START:
            run.unlock()
            for name in files & _OF_A_START:
                (run.path / name).unlink(missing_ok=True)
            for folder in (*sorted(run.path.rglob("*"), reverse=True), run.path, *run.path.parents[:3]):
                with contextlib.suppress(OSError):
                    folder.rmdir()


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
    checkpoint: then the folder is used again.

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
        if other and (run.done or run.has_checkpoint):
            if if_taken == "refuse":
                raise RunError(
                    f"{path.absolute()} holds a run of other settings: {identity.differences_from(other)}. Move it "
                    "away, or give this run another name (--run.experiment, --run.variant)."
                )
            continue
        lost = _lost(run)
        if run.done and not lost:
            return run
        try:
            run.lock()
        except RunError:
            if _other(path, identity):  # its holder may have made the folder since the first look
                continue
            raise
        remove_unfinished(path, but="predict")  # which has a separate lock
        for name in {DONE, *lost} if lost else ():
            (path / name).unlink(missing_ok=True)
        if other:
            for name in ("images", "masks"):
                shutil.rmtree(path / name, ignore_errors=True)
            for name in ("config.yaml", "environment.json", METRICS):
                (path / name).unlink(missing_ok=True)
        if other or read_record(path) is None:
            write_json(path / RECORD, identity.record())
        return run
    raise RunError(f"{plain} and its neighbour with {identity.hash} hold other recipes; move them away.")


def _lost(run: Run) -> list[str]:
    """Returns the files of a finished run that its last steps make again.

    Raises:
        RunError: If another file is lost.
    """
    try:
        lost = lost_files(run.path)
    except RunError:
        if not run.has_checkpoint:
            raise
        return [DONE]
    if gone := [f"{name} {how}" for name, how in lost.items() if not can_be_made_again(name, how)]:
        raise RunError(
            f"{run.path.absolute()} has finished before, but {first_few(gone, 5)}. Restore it from a copy, or move the "
            "folder away to train again."
        )
    return list(lost)


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
        if (size := path.stat().st_size) > _LARGEST_METRICS:
            raise ValueError(f"it has {size:,} bytes, at most {_LARGEST_METRICS:,} are read")
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, strict=True)
            if len(set(reader.fieldnames or ())) < len(reader.fieldnames or ()):
                raise ValueError("it has two columns of one name")
            rows = []
            for number, row in enumerate(reader, 1):
                if number > _MOST_EPOCHS:
                    raise ValueError(f"it has more than {_MOST_EPOCHS:,} rows")
                if None in row or None in row.values():
                    raise ValueError("it has too many or too few values")
                if not 0 <= int(row["epoch"]) < 1 << 31 or abs(float(row.get("stage") or 0)) >= 1 << 31:
                    raise ValueError("its epoch or stage is out of range")
                rows.append(row)
            return rows
    except (KeyError, ValueError, csv.Error) as error:
        raise RunError(
            f"{path} is damaged at row {number}: {error}. Correct it, or move the file away; a run that continues then "
            "lacks the rows of earlier epochs."
        ) from error


def result_folder(run: Path, kind: Literal["test", "predict"], source: dict[str, Any]) -> Path:
    """Returns the folder for results: `<run>/<kind>`, or one beside it if that has other weights, data or settings."""
    record = run / kind / RESULTS[kind]
    there = read_json(record) if record.is_file() else source
    same = isinstance(there, dict) and there.get("hash") == source["hash"]
    return run / (kind if same else f"{kind}-{source['hash']}")


def run_of_checkpoint(path: Path) -> Path | None:
    """Returns the run folder of a checkpoint; None if it is not in one."""
    try:
        if path.parent.name == "checkpoints" and read_record(path.parent.parent) is not None:
            return path.parent.parent
    except RunError as error:
        if isinstance(error.__cause__, OSError):  # the system refuses to read it; results would lack what it says
            raise
    return None
