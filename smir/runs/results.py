"""Folders for the results of a run: tests and predictions."""

from pathlib import Path
from typing import Any, Literal

from smir.files.json_record import read_json

RECORDS = {"test": "metrics.json", "predict": "source.json"}
"""The file that records where the results in a folder come from."""


def result_folder(run: Path, kind: Literal["test", "predict"], source: dict[str, Any]) -> Path:
    """Returns the folder for results: `<run>/<kind>`, or one beside it if that has other weights, data or settings."""
    record = run / kind / RECORDS[kind]
    if not record.is_file():
        return run / kind
    there = read_json(record)
    if isinstance(there, dict) and there.get("hash") == source["hash"]:
        return run / kind
    return run / f"{kind}-{source['hash']}"
