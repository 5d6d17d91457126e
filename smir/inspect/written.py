"""The files of an inspection: CSV files as they grow, and the page last."""

import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from smir.errors import RunError, first_few
from smir.files.atomic import TEMPORARY, remove_unfinished, replacing, write_atomically
from smir.inspect.batches import Walk
from smir.pages.csv_text import csv_text
from smir.pages.folder import OwnFiles
from smir.pages.html import render

PAGE = "index.html"
RECORD = "inspect.json"
"""The list of what an inspection has written to its folder."""


def claim(out: Path) -> None:
    """Makes sure that a folder is free for a page: it is new, empty, or holds nothing but an earlier inspection.

    Raises:
        RunError: If it is a file, or holds anything else.
    """
    if out.exists() and not out.is_dir():
        raise RunError(f"{out.absolute()} is a file; --out takes a folder, which need not exist.")
    own = {*OwnFiles(out, RECORD).earlier(), RECORD}
    there = sorted(entry.name for entry in out.glob("*") if not entry.match(TEMPORARY)) if out.is_dir() else []
    if foreign := [name for name in there if name not in own]:
        raise RunError(
            f"The folder {out.absolute()} holds other things than an inspection: {first_few(foreign)}. Give a folder "
            "that is empty or does not exist: --out FOLDER"
        )
    remove_unfinished(out)


class Written:
    """Writes the files of an inspection.

    Args:
        out: Their folder.
        names: Their names, the page last.
    """

    def __init__(self, out: Path, names: Sequence[str]) -> None:
        self.out, self.names, self.own = out, names, OwnFiles(out, RECORD)

    def stream(self, name: str, columns: Sequence[str], parts: Iterable[Iterable[Sequence[object]]]) -> None:
        """Writes a CSV file part by part; it appears, whole, when the last one is there.

        If that fails, a folder that was made for it is removed.
        """
        try:
            with replacing(self.out / name) as file:
                file.write(_printable(csv_text([columns])))
                for rows in parts:
                    file.write(_printable(csv_text(rows)))
                self.own.begin(self.names)
        except BaseException:
            with contextlib.suppress(OSError):  # it holds an earlier inspection, or was never made
                self.out.rmdir()
            raise

    def table(self, name: str, rows: Iterable[Sequence[object]]) -> None:
        """Writes a CSV file."""
        self.own.begin(self.names)
        write_atomically(self.out / name, _printable(csv_text(rows)))

    def page(self, template: str, title: str, checkpoint: Path, walk: Walk, values: dict[str, Any]) -> Path:
        """Writes the page, and deletes what an earlier inspection has written and this one has not.

        Args:
            template: Template of the page.
            title: Heading, after the name of the program.
            checkpoint: The weights.
            walk: The images, after they were looked at.
            values: What the template shows.

        Returns:
            The page.
        """
        summary = f"{checkpoint} on {len(walk.source) - len(walk.skipped):,} images: {walk.source.title}"
        head = {"title": f"smir: {title}", "summary": summary, "skipped": walk.skipped}
        write_atomically(self.out / PAGE, _printable(render("smir.inspect", template, **head, **values)))
        self.own.finish(self.names)
        return self.out / PAGE


def _printable(text: str) -> bytes:
    """A text as UTF-8; names of files may hold bytes that are no text."""
    return text.encode("utf-8", "backslashreplace")
