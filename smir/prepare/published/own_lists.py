"""Remembers the list files that `prepare` wrote itself, so that they can be made anew when more archives arrive."""

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from smir.files.atomic import write_atomically
from smir.prepare.published.parts import Source
from smir.runs.run_folder import file_digest


def remember(source: Source, root: Path, written: Iterable[Path]) -> None:
    """Records list files that were just written."""
    if new := {str(path.relative_to(root)): file_digest(path) for path in written}:
        write_atomically(_record(source, root), json.dumps({**_read(source, root), **new}, indent=1))


def forget(source: Source, root: Path) -> None:
    """Deletes the list files that `prepare` wrote and nobody has changed since; those of others stay."""
    for name, digest in _read(source, root).items():
        path = root / name
        if path.is_file() and file_digest(path) == digest:
            path.unlink()


def _record(source: Source, root: Path) -> Path:
    return root / source.folder / "lists.json"


def _read(source: Source, root: Path) -> dict[str, str]:
    with suppress(OSError, ValueError):
        record = json.loads(_record(source, root).read_text(encoding="utf-8"))
        if isinstance(record, dict):
            return record
    return {}
