"""Small records in JSON, written atomically; read errors say which file is damaged and what to do."""

import json
from pathlib import Path
from typing import Any

from smir.errors import RunError, SmirError
from smir.files.atomic import write_atomically

LARGEST = 1 << 28
"""Limit of the size of a record in bytes; Python needs many times that to read it."""


def write_json(path: Path, content: Any) -> None:
    """Writes a record atomically.

    Raises:
        RunError: If it cannot be written, as on a full disk.
    """
    write_atomically(path, json.dumps(content, indent=1) + "\n")


def read_json(
    path: Path, remedy: str = "Move it away.", error: type[SmirError] = RunError, largest: int = LARGEST
) -> Any:
    """Reads a record of at most `largest` bytes.

    Raises:
        SmirError: Of the class `error`, if the file is missing, unreadable, too large or not JSON. The message ends
            with the `remedy`: what the user should do.
    """
    try:
        if (size := path.stat().st_size) > largest:
            raise error(f"{path} is too large to be a record: {size:,} bytes, at most {largest:,} are read. {remedy}")
        content = path.read_bytes()
        return json.loads(content.decode(json.detect_encoding(content)))
    except OSError as problem:
        raise error(f"{path} cannot be read: {problem.strerror or problem}. {remedy}") from problem
    except UnicodeDecodeError as problem:
        raise error(
            f"{path} is damaged, or its text is not UTF-8 but in an encoding such as GBK or Windows-1252: byte "
            f"{problem.start} cannot be decoded (iconv -f GBK -t UTF-8 changes GBK). {remedy}"
        ) from problem
    except (ValueError, RecursionError) as problem:
        raise error(f"{path} is damaged: {problem}. {remedy}") from problem


def read_dict(path: Path, remedy: str = "Move it away.", error: type[SmirError] = RunError) -> dict[str, Any] | None:
    """Reads a record that is a JSON object, if there is one.

    Raises:
        SmirError: See `read_json`; also if it is not an object.
    """
    if not path.is_file():
        return None
    content = read_json(path, remedy, error)
    if not isinstance(content, dict):
        raise error(f"{path} is damaged: it is not a JSON object. {remedy}")
    return content


def dict_or_empty(path: Path) -> dict[str, Any]:
    """Reads an optional record; empty if it is missing or damaged.

    Raises:
        RunError: If the system refuses to read it, because the next record would forget what this one holds.
    """
    try:
        return read_dict(path, "Correct its permissions or repair the disk.") or {}
    except SmirError as error:
        if isinstance(error.__cause__, OSError):
            raise
        return {}
