"""What a published dataset is made of, and what of it is in place."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smir.errors import DataError
from smir.files.json_record import dict_or_empty
from smir.prepare.published.download import Download


@dataclass(frozen=True)
class Part:
    """A part of a dataset that may come as an archive of its own.

    Attributes:
        name: For messages.
        archive: What its site calls the archive.
        target: Folder below the data root that `takes` counts from.
        like: What such a path looks like, for messages.
        mark: Only archives of this part have a member with this path.
        takes: Members that the layout needs; the groups, joined, are the path below `target`.
        there: Files below the data root, with `*`, any of which shows that the part is in place; none: may be missing.
        download: Where it may be fetched from without a registration.
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
class PublishedDataset:
    """A dataset as its site hands it out, in archives.

    Attributes:
        name: As the `prepare` command has it.
        title: For messages.
        folder: Below the data root.
        parts: Parts that make it up.
        site: Where to get it and under which licence.
    """

    name: str
    title: str
    folder: str
    parts: tuple[Part, ...]
    site: str

    def record(self, root: Path) -> Path:
        """Returns the file that says which archives were unpacked."""
        return root / self.folder / "archives.json"

    def read_record(self, root: Path) -> dict[str, Any]:
        """Reads it; without a readable one all archives are unpacked again, which does no harm."""
        record = dict_or_empty(self.record(root))
        return record if all(isinstance(entry, dict) for entry in record.values()) else {}

    def missing(self, root: Path) -> list[Part]:
        """Returns the parts of which no file is in place, or of which an archive was unpacked in part."""
        entries = [entry for entry in self.read_record(root).values() if "unfinished" in entry]
        begun = {name for entry in entries for name in entry.get("parts", ())}
        return [part for part in self.parts if part.name in begun or not part.is_there(root)]

    def require_all(self, root: Path) -> None:
        """Checks that something of every part is in place.

        Raises:
            DataError: If not, with the places, and where to get the files.
        """
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
        lines += [f"Get it from {self.site}", f"Then unpack it, whatever the files' names: {command} --archives FOLDER"]
        if all(part.download for part in missing):
            lines.append(f"Or let it be fetched: {command} --download")
        raise DataError("\n".join([f"{self.title} is not complete:", *lines]))
