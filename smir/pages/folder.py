"""A folder that a command writes to again and again: it knows which files are its own."""

import re
from collections.abc import Collection
from pathlib import Path

from smir.errors import RunError
from smir.files.json_record import read_json, write_json

_OWN = re.compile(r"((tables|figures)/)?\w[\w.-]*")


class OwnFiles:
    """The files that a command has written to a folder, by a list that it keeps there.

    Args:
        folder: The folder; it need not exist.
        record: Name of the list.
    """

    def __init__(self, folder: Path, record: str) -> None:
        self.folder, self.record = folder, folder / record

    def earlier(self) -> set[str]:
        """Names of the files that an earlier call has written, relative to the folder."""
        try:
            names = read_json(self.record)
        except RunError:
            return set()
        named = names if isinstance(names, list) else []
        return {name for name in named if isinstance(name, str) and _OWN.fullmatch(name)}

    def begin(self, names: Collection[str]) -> None:
        """Lists what will be written, beside what there is: a kill leaves no file behind that nobody owns."""
        self._write({*names, *self.earlier()})

    def finish(self, names: Collection[str]) -> None:
        """Deletes what an earlier call has written and this one has not, and nothing else."""
        for old in (self.folder / name for name in self.earlier() - set(names)):
            if old.is_file():
                old.unlink()
        self._write(names)

    def _write(self, names: Collection[str]) -> None:
        write_json(self.record, sorted(names))
