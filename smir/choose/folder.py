"""Writes the folder of the chosen images: list, table, contact sheet, and links or copies."""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from smir.classes import UInt8
from smir.data.reading.decode import read_image
from smir.data.reading.lists import read_list, write_list
from smir.errors import ConfigError, RunError, first_few
from smir.files.atomic import TEMPORARY, placing, refuse_unwritable, remove_unfinished, write_atomically
from smir.files.json_record import write_json
from smir.files.pages.csv_text import csv_text
from smir.files.pages.overlays import end_of, sheet
from smir.files.pictures import write_png
from smir.prepare.own.tile import link_images
from smir.terminal import progress

LIST, TABLE, SHEET, RECORD, IMAGES = "chosen.txt", "images.csv", "chosen.png", "choose.json", "images"
SHOWN = 60
"""Images on the contact sheet, at most."""
_PER_ROW, _LONGEST = 4, 40

Files = Literal["link", "copy"]


class ChosenFolder:
    """The folder, which need not exist; one of an earlier call is replaced.

    Args:
        path: The folder.
        pool: Folders of the images; the new folder must lie outside them, or its pictures would be read as images.

    Raises:
        ConfigError: If it lies among the images.
        RunError: If it holds other files, such as labels of the images in it, or if nothing can be written to it.
    """

    def __init__(self, path: Path, pool: Iterable[Path]) -> None:
        self.path, self.images = path, path / IMAGES
        folders = (place.parent if place.is_file() else place for place in pool)
        if among := next((place for place in folders if path.resolve().is_relative_to(place.resolve())), None):
            raise ConfigError(f"--out {path} lies in {among}, among the images to choose from. Give another folder.")
        if path.exists() and not path.is_dir():
            raise RunError(f"{path.absolute()} is a file; --out takes a folder, which need not exist.")
        files = [file for file in path.rglob("*") if file.is_symlink() or file.is_file()]
        there = [file.relative_to(path).as_posix() for file in files if not file.match(TEMPORARY)]
        self._earlier = {LIST, TABLE, SHEET, RECORD} if (path / RECORD).is_file() else set[str]()
        if self._earlier and (path / LIST).is_file():
            self._earlier |= {f"{IMAGES}/{name}" for name in read_list(path / LIST)}.intersection(there)
        if foreign := sorted(set(there) - self._earlier):
            raise RunError(
                f"The folder {path.absolute()} holds other files than choose has written: {first_few(foreign)}. Give a "
                "folder that is empty or does not exist: --out FOLDER"
            )
        remove_unfinished(path)
        refuse_unwritable(path)

    def write(
        self, source: Path, names: Sequence[str], rows: Iterable[Sequence[object]], record: Any, files: Files | None
    ) -> None:
        """Writes the chosen images of a folder, the best first, with the table of all and a record of the inputs.

        The images are linked or copied, as `files` says; None leaves them where they are.
        """
        write_json(self.path / RECORD, record)
        for earlier in self._earlier - {RECORD}:
            (self.path / earlier).unlink(missing_ok=True)
        write_list(self.path / LIST, names)  # before the images: it tells which are from here
        write_atomically(self.path / TABLE, csv_text(rows))
        write_png(self.path / SHEET, sheet(_pictures(source, names[:SHOWN]), _PER_ROW, []))
        if files == "link":
            link_images(source, names, self.images)
        elif files == "copy":
            for name in progress(names, "Copying", unit="file"):
                with placing(self.images / name, sync=False) as copy:
                    shutil.copyfile(source / name, copy)


def _pictures(source: Path, names: Sequence[str]) -> Iterator[tuple[str, UInt8]]:
    for rank, name in enumerate(names, 1):
        yield f"{rank}: {end_of(name, _LONGEST)}", read_image(source / name)
