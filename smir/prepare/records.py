"""Files that are whole or not there, and the record that lets work of many files be resumed.

A `<name>.partial.json` beside the output holds the settings while the work goes on; `<name>.json` takes its place when
all is done. Files appear under their final name only when complete, so a file that is there need not be written again.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from smir.errors import DataError, first_few


def write_atomic(path: Path, content: bytes) -> None:
    """Writes a file that is either whole or not there, whatever interrupts the writing."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_png(path: Path, image: NDArray[np.uint8]) -> None:
    """Writes a PNG atomically: (H, W, 3) uint8 RGB, or (H, W) uint8 as mode L."""
    ordered = np.ascontiguousarray(image[..., ::-1]) if image.ndim == 3 else image
    # Level 1 is an eighth larger than level 9 and eight times as fast.
    done, encoded = cv2.imencode(".png", ordered, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        raise DataError(f"OpenCV could not encode an image of shape {image.shape} as {path.resolve()}.")
    write_atomic(path, encoded.tobytes())


def open_record(path: Path, settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """Opens the record of a long job, so that nothing is mixed with the output of other settings.

    Args:
        path: of the finished record; the folder must exist.
        settings: all that the output depends on, of JSON types.

    Returns:
        The finished record, or None where the job is new or was interrupted.

    Raises:
        DataError: if the folder holds the output of other settings, or the record cannot be read.
    """
    partial = path.with_suffix(".partial.json")
    remedy = f"Delete {path.parent.resolve()} to start anew, or choose another folder."
    for file in (path, partial):
        if not file.is_file():
            continue
        try:
            record: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            before = record["settings"]
            differing = [
                f"{key} {before.get(key)!r}, now {settings.get(key)!r}"
                for key in sorted({*before, *settings})
                if before.get(key) != settings.get(key)
            ]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{file.resolve()} is not a readable record ({error!r}). {remedy}") from error
        if differing:
            raise DataError(f"{file.resolve()} records other settings: {first_few(differing)}. {remedy}")
        if file == path:
            return record
        return None
    write_atomic(partial, json.dumps({"settings": dict(settings)}, indent=1).encode())
    return None


def close_record(path: Path, settings: Mapping[str, Any], **found: Any) -> None:
    """Marks the job of `open_record` as finished and records what it made, of JSON types."""
    write_atomic(path, json.dumps({"settings": dict(settings), **found}, indent=1).encode())
    path.with_suffix(".partial.json").unlink(missing_ok=True)


def has_record(path: Path) -> bool:
    """Returns whether a job was begun or finished under this record."""
    return path.is_file() or path.with_suffix(".partial.json").is_file()
