"""Small records in JSON, written atomically; read errors say which file is damaged and what to do."""

import errno
import json
import stat
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from smir.errors import RunError, SmirError
from smir.files.atomic import replacing, write_atomically

LARGEST, _MEMORY = 1 << 28, 8
"""Most bytes of a record, and most bytes of memory per byte of it; a file of nothing but brackets would take 27."""
_COSTS = {b"{": 192, b"[": 64, b",": 64}
"""Bytes of memory that an object, a list, and each further value in one of them take."""


class TooLargeError(ValueError):
    """A text is too large to be read."""


def write_json(path: Path, content: Any) -> None:
    """Writes a record atomically.

    Raises:
        RunError: If it cannot be written, as on a full disk.
    """
    write_atomically(path, json.dumps(content, indent=1) + "\n")


def write_json_items(path: Path, begin: str, items: Iterable[Any]) -> None:
    """Writes a JSON object that ends with a list, item by item: memory never holds all of them.

    `begin` is the text up to the bracket of the list.

    Raises:
        RunError: If it cannot be written, as on a full disk.
    """
    with replacing(path) as file:
        file.write(begin.encode())
        for number, item in enumerate(items):
            separator = ",\n" if number else ""
            file.write(f"{separator}{json.dumps(item)}".encode())
        file.write(b"]}\n")


def read_json(
    path: Path, remedy: str = "Move it away.", error: type[SmirError] = RunError, largest: int = LARGEST
) -> Any:
    """Reads a record of at most `largest` bytes.

    Raises:
        SmirError: Of the class `error`, if the file is missing, unreadable, too large or not JSON. The message ends
            with the `remedy`: what the user should do.
    """
    try:
        content = read_bounded(path, _COSTS, largest)
        return json.loads(content.decode(json.detect_encoding(content)), object_pairs_hook=_once)
    except TooLargeError as problem:
        raise error(f"{problem} {remedy}") from problem
    except OSError as problem:
        raise error(f"{path} cannot be read: {problem.strerror or problem}. {remedy}") from problem
    except UnicodeDecodeError as problem:
        raise error(
            f"{path} is damaged, or its text is not UTF-8 but in an encoding such as GBK or Windows-1252: byte "
            f"{problem.start} cannot be decoded (iconv -f GBK -t UTF-8 changes GBK). {remedy}"
        ) from problem
    except (ValueError, RecursionError) as problem:
        raise error(f"{path} is damaged: {problem}. {remedy}") from problem


def read_bounded(path: Path, costs: Mapping[bytes, int], largest: int) -> bytes:
    """Reads a text of at most `largest` bytes that takes at most eight times as much memory once it is parsed.

    `costs` are the bytes of memory for each occurrence of a character.

    Raises:
        TooLargeError: If it is larger.
        OSError: If it cannot be read, or is a pipe or a device.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
        raise OSError(errno.EINVAL, "it is not a file but a folder, a pipe or a device", str(path))
    if (size := status.st_size) > largest:
        raise TooLargeError(f"{path} has {size:,} bytes; at most {largest:,} are read, so split it.")
    content = path.read_bytes()
    needed = size + sum(cost * content.count(character) for character, cost in costs.items())
    if needed > _MEMORY * largest:
        raise TooLargeError(
            f"{path} would take {needed / 2**30:.1f} GiB of memory; at most {_MEMORY * largest / 2**30:.0f} are used, "
            "so split it."
        )
    return content


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Makes an object; refuses a repeated key, because other readers take the first value."""
    if len(found := dict(pairs)) < len(pairs):
        key = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"it has the key {key[:80]!r} twice in one object")
    return found


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
