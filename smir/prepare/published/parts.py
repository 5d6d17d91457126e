"""The parts of a published dataset, and which of them are in place."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smir.errors import DataError
from smir.files.json_record import dict_or_empty
from smir.files.names import folder_above
from smir.prepare.published.download import Download


@dataclass(frozen=True)
class Part:
    """A part of a dataset that may come as a separate archive.

    Attributes:
        name: For messages.
        archive: Name of the archive on its site.
        target: Folder below the data root that the members go to.
        like: Example of a member's path, for messages.
        mark: Path by which an archive of this part is recognised.
        takes: Paths of the needed members; the group is the path below `target`.
        there: File patterns below the data root; any match shows that the part is in place. Empty: optional part.
        download: Address of the archive, if it needs no registration.
    """

    name: str
    archive: str
    target: str
    like: str
    mark: re.Pattern[str]
    takes: re.Pattern[str]
    there: tuple[str, ...]
    download: Download | None = None

    def is_there(self, root: Path) -> bool:
        """Returns whether files of this part are in place; `check` counts them."""
        return not self.there or any(next(root.glob(pattern), None) is not None for pattern in self.there)


@dataclass(frozen=True)
class ArchivedDataset:
    """A dataset as its site hands it out, in archives.

    Attributes:
        name: Name of its `prepare` command.
        title: For messages.
        folder: Below the data root.
        parts: Its parts.
        site: Address to get it from, and its licence.
    """

    name: str
    title: str
    folder: str
    parts: tuple[Part, ...]
    site: str

    def record(self, root: Path) -> Path:
        """Returns the path of the record of unpacked archives."""
        return root / self.folder / "archives.json"

    def read_record(self, root: Path) -> dict[str, Any]:
        """Reads the record; if it is damaged, all archives are unpacked again, which does no harm."""
        record = dict_or_empty(self.record(root))
        return record if all(isinstance(entry, dict) for entry in record.values()) else {}

    def missing(self, root: Path) -> list[Part]:
        """Returns the parts without any file in place, or with an archive that was only partly unpacked."""
        entries = [entry for entry in self.read_record(root).values() if "unfinished" in entry]
        begun = {name for entry in entries for name in entry.get("parts", ())}
        return [part for part in self.parts if part.name in begun or not part.is_there(root)]

    def require_all(self, root: Path) -> None:
        """Checks that every part is in place; otherwise raises a `DataError` that says where to get the files."""
        if not (missing := self.missing(root)):
            return
        begun = [name for name, entry in self.read_record(root).items() if "unfinished" in entry]
        lines = [
            f"  {part.name}: {root.absolute() / part.there[0]} is not there; from {part.archive}"
            for part in missing
            if not part.is_there(root)
        ]
        lines += [
            f"  unpacking {name} was interrupted: give it again (or take it out of {self.record(root).absolute()})"
            for name in begun
        ]
        command = f"python -m smir prepare {self.name} --root {root}"
        if above := folder_above(root, self.folder):
            lines.append(f"  {above} holds a folder {self.folder}: is it the root? --root {above}")
        lines += [f"Get it from {self.site}", f"Then unpack it, whatever the files' names: {command} --archives FOLDER"]
        if all(part.download for part in missing):
            lines.append(f"Or download it: {command} --download")
        raise DataError("\n".join([f"{self.title} is not complete:", *lines]))
