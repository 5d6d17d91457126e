"""Finds the image files below a folder, by their suffixes."""

import os
from collections import Counter
from pathlib import Path

from smir.errors import DataError, first_few
from smir.terminal import warn

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".jfif", ".jpe", ".png", ".tif", ".tiff", ".bmp", ".dib", ".webp")
OTHER_PICTURES = (
    *(".heic", ".heif", ".avif", ".jxl", ".jp2", ".gif"),
    *(".dng", ".nef", ".cr2", ".cr3", ".arw", ".raf", ".rw2"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".psd", ".j2k", ".jpx", ".mpo", ".svs", ".czi", ".nd2", ".dcm"),
)
"""Suffixes of pictures that smir does not read: of phones, cameras, microscopes and other programs."""
ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".7z", ".rar")
_OF_SYSTEMS = (
    *("@eaDir", "@tmp", "#recycle", "#snapshot", "@Recycle", "$RECYCLE.BIN", "System Volume Information"),
    *("lost+found", "__MACOSX"),
)
"""Folders in which systems keep thumbnails and deleted files."""


def list_images(folder: Path) -> list[str]:
    """Lists the image files below a folder, sorted, as paths relative to it with forward slashes.

    Links to folders are not followed, so that no circle of links can trap the walk; if one leads out of the folder,
    a warning says so. Hidden files are passed over. Links to files are listed, also broken ones: reading them fails.

    Raises:
        DataError: If the folder is missing, holds no image, or cannot be read to its end.
    """
    if not folder.is_dir():
        parent = next((p for p in folder.absolute().parents if p.is_dir()), Path("/"))
        there = sorted(entry.name for entry in parent.iterdir())[:8]
        raise DataError(
            f"There is no folder {folder.absolute()}. The nearest that exists is {parent}, which holds: "
            f"{', '.join(there) or 'nothing'}. Relative paths, including data.root, start in the working folder."
        )
    made: list[str] = []
    names: list[str] = []
    links: list[str] = []
    others: Counter[str] = Counter()
    archives: list[str] = []
    for base, folders, files in os.walk(folder, onerror=_raise_unreadable):
        made += [name for name in folders if name in _OF_SYSTEMS]
        folders[:] = [name for name in folders if not name.startswith(".") and name not in _OF_SYSTEMS]
        relative = Path(base).relative_to(folder)
        visible = [name for name in files if name[0] != "."]
        names += [(relative / name).as_posix() for name in visible if name.lower().endswith(IMAGE_SUFFIXES)]
        others.update(Path(name).suffix.lower() for name in visible if name.lower().endswith(OTHER_PICTURES))
        archives += [name for name in visible if name.lower().endswith(ARCHIVES)]
        links += [(relative / name).as_posix() for name in folders if (Path(base) / name).is_symlink()]
    if made:
        warn(f"Folders that systems make are not searched: {len(made)} in {folder.absolute()}: {first_few(made)}.")
    if outside := sorted(link for link in links if not _leads_into(folder / link, folder)):
        warn(
            f"Links to folders are not followed, so images behind {len(outside)} of them in {folder.absolute()} are "
            f"not listed: {first_few(outside)}. Give the folder itself, or link the files."
        )
    unread = ""
    if others:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(others.items()))
        unread = f"Pictures in {folder.absolute()} that are not read: {kinds}. Convert them to JPEG or PNG to use them."
    if not names:
        raise DataError(
            f"The folder {folder.absolute()} holds no image (looked for {', '.join(IMAGE_SUFFIXES)}, also in folders "
            f"below it). {unread} {'Unpack the archives in it.' * bool(archives)}".replace("  ", " ").rstrip()
        )
    if unread:
        warn(unread)
    if archives:
        warn(f"Archives in {folder.absolute()} are not read: {first_few(sorted(archives))}. Unpack them to use them.")
    return sorted(names)


def linked_folders(folder: Path) -> list[str]:
    """Returns the links below a folder that lead to folders outside it, relative to it."""
    links = [
        (Path(base) / name).relative_to(folder).as_posix()
        for base, folders, _ in os.walk(folder)
        for name in folders
        if (Path(base) / name).is_symlink()
    ]
    return sorted(link for link in links if not _leads_into(folder / link, folder))


def _raise_unreadable(error: OSError) -> None:
    raise DataError(f"The folder {error.filename} cannot be listed: {error.strerror}.") from error


def _leads_into(link: Path, folder: Path) -> bool:
    """Returns whether the target of a link is listed anyway, as part of the folder."""
    return Path(os.path.realpath(link)).is_relative_to(os.path.realpath(folder))
