"""Photographs that stay whole: linked into the field, not copied."""

import contextlib
from collections.abc import Collection
from pathlib import Path

from smir.errors import DataError
from smir.terminal import progress


def link_images(source: Path, names: Collection[str], target: Path) -> str:
    """Puts every image below `target`, without a copy and without touching the original.

    A hard link needs no room and stays valid when either side is moved or deleted. Where the file system has none, as
    between two disks, it is a symbolic link.

    Returns:
        How they were linked, for the report.

    Raises:
        DataError: If another file is in the way, or no link can be made.
    """
    soft = 0
    for name in progress(names, "Linking", unit="file"):
        original, link = (source / name).resolve(), target / name
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists() or not link.samefile(original):
            if link.is_symlink() or link.exists():
                raise DataError(
                    f"{link.absolute()} is there and is not {original}. Move it away, or choose another root."
                )
            _link(original, link)
        soft += link.is_symlink()
    return "linked (symbolic links: keep the photographs where they are)" if soft else "linked, without a copy"


def _link(original: Path, link: Path) -> None:
    with contextlib.suppress(OSError):
        link.hardlink_to(original)
        return
    try:
        link.symlink_to(original)
    except OSError as error:
        raise DataError(
            f"{link.absolute()} cannot be made as a link to {original}: {error.strerror}. Choose a --root on a file "
            "system that has links, such as that of the photographs."
        ) from error
