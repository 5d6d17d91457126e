"""The files of a finished run, as its `DONE` lists them: size, time and SHA-256.

Version 0.1 listed none, so its runs are taken as they are.
"""

import fnmatch
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from smir.errors import RunError
from smir.files.digest import file_digest
from smir.files.json_record import read_dict, write_json

DONE = "DONE"
_TESTS = ("test*/*.json", "test*/*.csv")
"""Files that `test` makes, and can make again."""
_LISTED = ("run.json", "config.yaml", "metrics.csv", "checkpoints/best.ckpt", "checkpoints/last.ckpt", "masks/*")
MISSING, CHANGED = "is missing", "has changed since the run ended"
REMEDY = (
    "Repeat the command of the run: it ends the run from its last checkpoint. Without one, delete this file to train "
    "again."
)


def write_done(run: Path, summary: dict[str, Any]) -> None:
    """Marks a run as done, with a list of its files. `DONE` is the last file that it writes."""
    write_json(run / DONE, {**summary, "files": _list(run, (*_LISTED, *_TESTS))})


def list_results_again(run: Path) -> None:
    """Takes the results of a new test of a finished run into its `DONE`."""
    if (done := read_dict(run / DONE, REMEDY)) and "files" in done:
        others = {name: entry for name, entry in done["files"].items() if not name.startswith("test")}
        write_json(run / DONE, {**done, "files": others | _list(run, _TESTS)})


def lost_files(run: Path, names: Sequence[str] | None = None, largest: int | None = None) -> dict[str, str]:
    """Compares the files of a finished run with its `DONE`.

    Files of the same size and time are taken as unchanged; of others, such as copies, the content is compared.

    Args:
        run: The run folder.
        names: Files to compare; default: all that are listed.
        largest: Largest file in bytes whose content is compared; default: any.

    Returns:
        `MISSING` or `CHANGED` by the file's name.

    Raises:
        RunError: If `DONE` is empty or damaged.
    """
    done = read_dict(run / DONE, REMEDY) or {}
    lost = {}
    try:
        for name, (size, time, digest) in done.get("files", {}).items():
            path = run / name
            if ".." in Path(name).parts or path == Path(name):
                raise ValueError(f"{name} lies outside of the run")
            if names is not None and name not in names:
                continue
            if not path.is_file():
                lost[name] = MISSING
                continue
            now = path.stat()
            skipped = now.st_mtime_ns == time or (largest is not None and size > largest)
            if now.st_size != size or not (skipped or file_digest(path, 64) == digest):
                lost[name] = CHANGED
    except (TypeError, ValueError, AttributeError) as error:
        raise RunError(f"{run / DONE} is damaged: its list of files cannot be read. {REMEDY}") from error
    return lost


def can_be_made_again(name: str, how: str) -> bool:
    """Returns whether the command of the run makes a lost file again without training."""
    return name.startswith("test") or (name == "config.yaml" and how == MISSING)


def check_weights(run: Path, checkpoint: Path) -> None:
    """Refuses a checkpoint of a finished run that is not the one that the run ended with.

    Raises:
        RunError: If it is another.
    """
    for name, how in lost_files(run, [f"checkpoints/{checkpoint.name}"]).items():
        raise RunError(
            f"{(run / name).absolute()} {how}: {run / DONE} lists another size or SHA-256. Restore it from a copy; to "
            "use it as it is, copy it to a place outside the run folder."
        )


def _list(run: Path, patterns: Sequence[str]) -> dict[str, tuple[int, int, str]]:
    # Unlike a glob, this does not pass over a folder that cannot be read.
    folders = {pattern.partition("/")[0] for pattern in patterns if "/" in pattern}
    parts = [part for part in run.iterdir() if part.is_dir() and any(map(part.match, folders))]
    found = [path.relative_to(run).as_posix() for part in (run, *parts) for path in part.iterdir() if path.is_file()]
    names = sorted({name for pattern in patterns for name in fnmatch.filter(found, pattern)})
    status = {name: (run / name).stat() for name in names}
    return {name: (now.st_size, now.st_mtime_ns, file_digest(run / name, 64)) for name, now in status.items()}
