"""A record of a long job that writes many files, so that it can be resumed.

`<name>.partial.json` beside the output holds the settings while the job runs; `<name>.json` replaces it at the end. An
output file gets its final name only when it is complete, so existing files need not be written again.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from smir.errors import DataError, first_few
from smir.files.atomic import remove_unfinished
from smir.files.json_record import read_dict, write_json


def open_record(path: Path, settings: Mapping[str, Any], deep: bool = True) -> dict[str, Any] | None:
    """Opens the record of a job, and checks that its folder holds no output of other settings.

    Args:
        path: Path of the finished record, in an existing folder.
        settings: All settings that the output depends on, of JSON types.
        deep: True if the folders in it are part of the output.

    Returns:
        The finished record, or None if the job is new or was interrupted.

    Raises:
        DataError: If the folder holds the output of other settings, or the record cannot be read.
    """
    partial = path.with_suffix(".partial.json")
    remedy = f"Delete {path.parent.resolve()} to start over, or choose another folder."
    file = path if path.is_file() else partial
    if (record := read_dict(file.resolve(), remedy, DataError)) is None:
        write_json(partial, {"settings": dict(settings)})
        return None
    before = record.get("settings")
    if not isinstance(before, dict):
        raise DataError(f"{file.resolve()} is damaged: it holds no settings. {remedy}")
    differing = [
        f"{key} {before.get(key)!r}, now {settings.get(key)!r}"
        for key in sorted({*before, *settings})
        if before.get(key) != settings.get(key)
    ]
    if differing:
        raise DataError(f"{file.resolve()} records other settings: {first_few(differing)}. {remedy}")
    if file == path:
        return record
    remove_unfinished(path.parent, deep=deep)
    return None


def close_record(path: Path, settings: Mapping[str, Any], **found: Any) -> None:
    """Marks the job of `open_record` as finished, and adds values of JSON types to its record."""
    write_json(path, {"settings": dict(settings), **found})
    path.with_suffix(".partial.json").unlink(missing_ok=True)


def has_record(path: Path) -> bool:
    """Returns whether a job with this record was started or finished."""
    return path.is_file() or path.with_suffix(".partial.json").is_file()
