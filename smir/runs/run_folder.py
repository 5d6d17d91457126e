"""Run identity and the run folder: who may write there, whether to begin, resume or leave it alone.

A run is (experiment, seed, recipe hash). The recipe is everything that changes the result; what a run starts from (the
lists of files, the pretrained weights) counts by its content, not by its path.
"""

import contextlib
import dataclasses
import errno
import fcntl
import hashlib
import json
import os
import shutil
import socket
import sys
from pathlib import Path
from typing import IO, Any, Literal

from smir.errors import RunError, first_few
from smir.files.atomic import remove_unfinished, write_atomically
from smir.runs.recipe import differences, digest

RECORD = "run.json"
DONE = "DONE"
LAST, PREVIOUS = "last.ckpt", "previous.ckpt"
"""Checkpoints to resume from: that of the last epoch kept, and the one kept before should the last be damaged."""
DAMAGED = "damaged.ckpt"
"""Where a `LAST` that cannot be read goes; nothing reads it."""
FORMAT = 1
_CONTENT = {"experiment": str, "seed": int, "recipe_hash": str, "hash": str, "recipe": dict, "inputs": dict}

IfTaken = Literal["rename", "refuse"]


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content, 16 hexadecimal digits."""
    sha256 = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            sha256.update(block)
    return sha256.hexdigest()[:16]


@dataclasses.dataclass(frozen=True)
class Identity:
    """What a run is.

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
        """Hash of the recipe alone; runs that differ only in the seed share it."""
        return digest(self.recipe)

    @property
    def hash(self) -> str:
        """Hash of recipe and inputs."""
        return digest([self.recipe, self.inputs])

    def record(self) -> dict[str, Any]:
        """The content of `run.json`."""
        return {
            "format": FORMAT,
            "experiment": self.experiment,
            "seed": self.seed,
            "recipe_hash": self.recipe_hash,
            "hash": self.hash,
            "recipe": self.recipe,
            "inputs": self.inputs,
        }


class Run:
    """A run folder that this process holds.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: IO[str] | None = None

    @property
    def done(self) -> bool:
        """Whether the run has finished."""
        return (self.path / DONE).is_file()

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def kept(self) -> bool:
        """Whether an epoch of it was kept, so that there is something to resume."""
        return any((self.checkpoints / name).is_file() for name in (LAST, PREVIOUS))

    def finish(self, summary: dict[str, Any]) -> None:
        """Marks the run as done; written last."""
        write_atomically(self.path / DONE, json.dumps(summary, indent=1) + "\n")

    def lock(self) -> None:
        """Holds the folder until this process ends.

        The lock is the kernel's: it goes with the process, however that ends, and loader workers do not inherit it.

        Raises:
            RunError: If another process holds it, with what that process says of itself.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            file = (self.path / "lock").open("a+", encoding="utf-8")
        except OSError as error:
            raise RunError(f"The run folder {self.path.absolute()} cannot be written to: {error.strerror}.") from error
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                raise RunError(f"{file.name} cannot be locked: {error}. Does the file system know locks?") from error
            file.seek(0)
            holder = file.read().strip() or "unknown"
            file.close()
            raise RunError(
                f"The run {self.path.absolute()} is in use by another process: {holder}. Wait for it, stop it, or "
                "give this run another name (--run.experiment) or seed."
            ) from None
        self._lock = file
        with contextlib.suppress(OSError):  # on a full disk the lock holds, but cannot say whose it is
            file.seek(0)
            file.truncate()
            file.write(f"pid {os.getpid()} on {socket.gethostname()}: {' '.join(sys.argv)}\n")
            file.flush()

    def unlock(self) -> None:
        """Lets the folder go."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def read_record(folder: Path) -> dict[str, Any] | None:
    """Reads `run.json`, if the folder has one.

    Raises:
        RunError: If it is damaged or of another format.
    """
    try:
        record: dict[str, Any] = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, RecursionError) as error:
        raise RunError(
            f"{folder / RECORD} is damaged: {error}. Move the folder {folder} away to begin anew."
        ) from error
    if not isinstance(record, dict):
        raise RunError(f"{folder / RECORD} is damaged: it holds no record. Move the folder {folder} away.")
    if record.get("format") != FORMAT:
        raise RunError(f"{folder / RECORD} has format {record.get('format')}; this version of smir reads {FORMAT}.")
    if wrong := [key for key, kind in _CONTENT.items() if not isinstance(record.get(key), kind)]:
        raise RunError(f"{folder / RECORD} is damaged: it lacks {', '.join(wrong)}. Move the folder {folder} away.")
    return record


def read_json(path: Path) -> Any:
    """Reads a JSON file of a run.

    Raises:
        RunError: If it is damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path} cannot be read: {error}. Move it away.") from error


def open_run(root: Path, identity: Identity, if_taken: IfTaken = "rename") -> Run:
    """Finds or makes the folder of a run, `<root>/<experiment>/seed<k>`, and locks it.

    A folder of that name with another recipe or other inputs stays as it is. Only a run that failed before its first
    checkpoint leaves nothing worth keeping: its folder is begun anew.

    Args:
        root: Folder of all runs.
        identity: What the run is.
        if_taken: Where the folder holds another run: `rename` appends this one's hash, `refuse` is an error.

    Raises:
        RunError: If another process works in it, its record is damaged, or it is taken and that is refused.
    """
    plain = root / identity.experiment / f"seed{identity.seed}"
    for path in (plain, plain.with_name(f"{plain.name}-{identity.hash}")):
        run = Run(path)
        other = _is_other(path, identity)
        if other and (run.done or run.kept):
            if if_taken == "refuse":
                raise RunError(_taken(path, identity))
            continue
        if run.done:
            return run
        try:
            run.lock()
        except RunError:
            if _is_other(path, identity):  # asked again: its holder may have made the folder after we looked
                continue
            raise
        remove_unfinished(path)
        if other:
            shutil.rmtree(path / "images", ignore_errors=True)
            for name in ("config.yaml", "environment.json", "metrics.csv"):
                (path / name).unlink(missing_ok=True)
        if other or read_record(path) is None:
            write_atomically(path / RECORD, json.dumps(identity.record(), indent=1) + "\n")
        return run
    raise RunError(f"{plain} and its neighbour with {identity.hash} hold other recipes; move them away.")


def _taken(path: Path, identity: Identity) -> str:
    record = read_record(path) or {}
    theirs, own = ({name: run[name] for name in ("recipe", "inputs")} for run in (record, identity.record()))
    return (
        f"{path.absolute()} holds a run of other settings: {first_few(differences(theirs, own), 5)}. Move it away, or "
        "give this run another name (--run.experiment, --run.variant)."
    )


def _is_other(path: Path, identity: Identity) -> bool:
    record = read_record(path)
    return record is not None and record["hash"] != identity.hash


def run_of_checkpoint(path: Path) -> Path | None:
    """The run folder that a checkpoint lies in, if it does."""
    with contextlib.suppress(RunError):
        if path.parent.name == "checkpoints" and read_record(path.parent.parent) is not None:
            return path.parent.parent
    return None
