"""Keeps a list of the files that a command writes to a folder, so that it can replace them later."""

import os
import re
from collections.abc import Collection
from pathlib import Path

from smir.errors import RunError, first_few
from smir.files.json_record import read_json, write_json

_OWN = re.compile(r"((tables|figures)/)?\w[\w.-]*")


class OwnFiles:
    """The files that a command writes to a folder, which need not exist; `record` names the list of them."""

    def __init__(self, folder: Path, record: str) -> None:
        self.folder, self.record = folder, folder / record

    def earlier(self) -> set[str]:
        """Returns the files of an earlier call, relative to the folder."""
        try:
            names = read_json(self.record)
        except RunError:
            return set()
        named = names if isinstance(names, list) else []
        return {name for name in named if isinstance(name, str) and _OWN.fullmatch(name)}

    def refuse_others(self, names: Collection[str]) -> None:
        """Refuses to replace files that no earlier call has written.

        Raises:
            RunError: If there are such files in the places of these.
        """
        names = {*names, self.record.name} if self.record.exists() and not self.earlier() else names
        if others := sorted(name for name in {*names} - self.earlier() if os.path.lexists(self.folder / name)):
            raise RunError(
                f"The folder {self.folder.absolute()} holds {first_few(others)}, which the list {self.record.name} of "
                "an earlier call does not name. It is not replaced: delete it, or give another folder, --out FOLDER."
            )

    def begin(self, names: Collection[str]) -> None:
        """Adds files to the list before they are written, so that a kill leaves no unlisted file."""
        write_json(self.record, sorted({*names, *self.earlier()}))

    def finish(self, names: Collection[str]) -> None:
        """Deletes the listed files of an earlier call that this one has not written, and nothing else."""
        for old in (self.folder / name for name in self.earlier() - set(names)):
            if old.is_file():
                old.unlink()
        write_json(self.record, sorted(names))
