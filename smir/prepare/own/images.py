"""The images of a field: links to photographs, or tiles of an orthomosaic."""

import contextlib
import hashlib
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from smir.data.reading.decode import image_size, list_images
from smir.data.reading.lists import stem
from smir.data.reading.parallel import in_parallel
from smir.errors import DataError
from smir.files.json_record import read_json
from smir.prepare.tiling import RECORD_NAME, tile_image
from smir.terminal import progress

TILE_PREFIX = "tile_"
_NOT_READ = (".heic", ".heif", ".avif", ".jxl", ".jp2", ".gif", ".dng", ".nef", ".cr2", ".cr3", ".arw", ".raf", ".rw2")
"""Suffixes of pictures, by which phones and cameras call what smir does not read."""


def photographs(folder: Path, labels: Path | None) -> list[str]:
    """Lists the images of a folder; those of a label folder inside it are none.

    Raises:
        DataError: If there is none, or two differ in their suffix alone.
    """
    names = list_images(folder)
    if labels is not None and labels.is_dir() and folder.resolve() in labels.resolve().parents:
        names = [name for name in names if not (folder / name).resolve().is_relative_to(labels.resolve())]
    if not names:
        raise DataError(f"All images in {folder.absolute()} lie in the folder of the labels, {labels}.")
    seen: dict[str, str] = {}
    for name in names:
        if (other := seen.setdefault(stem(name), name)) != name:
            raise DataError(
                f"{folder.absolute()} holds both {other} and {name}. Names must differ without their suffix; rename or "
                "move one. If one of them is a label, keep labels in a folder of their own."
            )
    return names


def not_read(folder: Path) -> list[str]:
    """What to say of pictures in a folder that are of a kind that is not read."""
    kinds = Counter(path.suffix.lower() for path in folder.rglob("*") if path.suffix.lower() in _NOT_READ)
    found = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    return (
        [f"Pictures in {folder} that are not read: {found}. Convert them to JPEG or PNG to use them."] if kinds else []
    )


def link_images(source: Path, names: Sequence[str], target: Path) -> str:
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


def cut_tiles(source: Path, target: Path, tile: int, min_valid: float) -> str:
    """Cuts an orthomosaic; see `tile_image`.

    Returns:
        What was made, for the report.
    """
    report = tile_image(source, target, tile, min_valid=min_valid, prefix=TILE_PREFIX)
    if not report.written:
        raise DataError(
            f"None of the {report.skipped} tiles of {source.absolute()} has {100 * min_valid:g} % valid pixels. Lower "
            "--min_valid, or use smaller tiles (--tile)."
        )
    left_out = f"; {report.skipped} at its border are mostly empty and left out" if report.skipped else ""
    return f"cut into {report.written} tiles of {tile} x {tile} pixels{left_out}"


def cut_label_map(source: Path, target: Path, images: Path, tile: int) -> None:
    """Cuts a label image of a whole orthomosaic into the same tiles.

    Raises:
        DataError: If it is of another size.
    """
    shutil.rmtree(target, ignore_errors=True)  # of an earlier command, maybe of other labels
    tile_image(source, target, tile, prefix=TILE_PREFIX, grey=True)
    here, there = ((grid["width"], grid["height"]) for grid in (recorded(target), recorded(images)))
    if here != there:
        raise DataError(
            f"The label image {source.absolute()} is {here[0]} x {here[1]} pixels, its orthomosaic {there[0]} x "
            f"{there[1]}. Export it on the same grid: same extent, same pixel size."
        )


def recorded(tiles: Path) -> dict[str, Any]:
    """What `tile_image` recorded in a folder: `width` and `height` of its source, and its settings."""
    grid: dict[str, Any] = read_json(tiles / RECORD_NAME)
    return grid


def sizes(
    folder: Path, names: Sequence[str], size: Callable[[Path], tuple[int, int]] = image_size
) -> dict[str, tuple[int, int]]:
    """Height and width of all images as they are shown.

    Args:
        folder: Folder of the images.
        names: Their names.
        size: Reads them from a header.

    Raises:
        DataError: If one cannot be read, with its name.
    """
    found = in_parallel(lambda name: size(folder / name), names, "Sizes")
    return dict(zip(names, found, strict=True))


def files_digest(folder: Path, names: Iterable[str]) -> str:
    """Number of files, and a hash of their names, sizes and times."""
    sha256 = hashlib.sha256()
    names = list(names)
    for name in names:
        status = (folder / name).stat()
        sha256.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode(errors="surrogateescape"))
    return f"{len(names)} files, {sha256.hexdigest()[:12]}"
