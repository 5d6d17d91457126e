"""The second stage: cuts an orthomosaic, or each photograph if asked to, into tiles."""

import contextlib
import dataclasses
import shutil
from collections.abc import Collection
from pathlib import Path, PurePosixPath

import numpy as np

from smir.data.reading.band_choice import BandChoice
from smir.data.reading.lists import stem
from smir.data.reading.parallel import in_parallel
from smir.errors import DataError, first_few
from smir.files.json_record import read_json
from smir.prepare.own.bands import write_image
from smir.prepare.own.field import IMAGES, LABEL_TILES, Field, Tile
from smir.prepare.tiling import RECORD_NAME, names_of_tiles, tile_image
from smir.terminal import progress

TILE_PREFIX = "tile_"
_REMEDY = "Lower --min_valid, or use smaller tiles (--tile)."


def tile(field: Field) -> Field:
    """Cuts the images, so that small plants stay visible; completes an interrupted run.

    Raises:
        DataError: If an image cannot be cut or linked, or no tile is left.
    """
    if field.options.is_map:
        tiles, source = _cut_map(field)
    elif field.options.cuts_photographs:
        tiles, source = _cut_photographs(field)
    else:
        return field
    return dataclasses.replace(field, tiles=tiles, source=source, sizes={name: t.size for name, t in tiles.items()})


def _cut_map(field: Field) -> tuple[dict[str, Tile], str]:
    options = field.options
    source, target, side = options.images, options.root / IMAGES, options.side
    min_valid, bands = options.min_valid, field.bands
    report = tile_image(source, target, side, min_valid=min_valid, prefix=TILE_PREFIX, bands=bands, gaps=True)
    if not report.written:
        raise DataError(
            f"None of the {report.skipped} tiles of {source.absolute()} has {100 * options.min_valid:g} % valid "
            f"pixels. {_REMEDY}"
        )
    if options.labels is not None and options.has_label_map:
        label_tiles = options.root / LABEL_TILES
        shutil.rmtree(label_tiles, ignore_errors=True)  # an earlier command may have used other labels
        tile_image(options.labels, label_tiles, side, prefix=TILE_PREFIX, grey=True)
    grid = read_json(target / RECORD_NAME)
    tiles = _tiles_in(target, PurePosixPath(), source.name, (grid["height"], grid["width"]), side)
    return tiles, f"cut into {report.written} tiles of {side} x {side} pixels{_left_out(report.skipped)}"


def _cut_photographs(field: Field) -> tuple[dict[str, Tile], str]:
    """Cuts `a/b.jpg` into tiles in a folder `a/b`; links photographs that are smaller than a tile."""
    options, sizes = field.options, field.sizes
    source, target, side = options.images, options.root / IMAGES, options.side
    large = [name for name, size in sizes.items() if min(size) >= side]
    whole = [name for name, size in sizes.items() if min(size) < side]

    def cut(name: str) -> tuple[dict[str, Tile], int]:
        folder = PurePosixPath(stem(name))
        min_valid, bands = options.min_valid, field.bands
        own = source / name, target / folder, side
        report = tile_image(*own, min_valid=min_valid, prefix=TILE_PREFIX, bar=False, bands=bands, gaps=True)
        return _tiles_in(target, folder, name, sizes[name], side), report.skipped

    tiles: dict[str, Tile] = {}
    skipped, without = 0, []
    for name, (part, fewer) in zip(large, in_parallel(cut, large, "Tiling"), strict=True):
        tiles |= part
        skipped += fewer
        without += [] if part else [name]
    lost = f", among them all of {first_few(without)}" if without else ""
    cuts = f"{len(large)} cut into {len(tiles):,} tiles of {side} x {side} pixels{_left_out(skipped)}{lost}"
    how = [cuts] if large else []
    if whole:
        how.append(f"{len(whole)} too small for a tile, {link_images(source, whole, target, field.bands)}")
        tiles |= {name: Tile(name, 0, 0, np.s_[:, :], sizes[name]) for name in whole}
    if not tiles:
        raise DataError(
            f"No tile of the images in {source.absolute()} has {100 * options.min_valid:g} % valid pixels. {_REMEDY}"
        )
    return tiles, f"{len(sizes)} images, {'; '.join(how)}"


def _left_out(skipped: int) -> str:
    return f", {skipped:,} left out for too few valid pixels (--min_valid)" if skipped else ""


def _tiles_in(target: Path, folder: PurePosixPath, image: str, size: tuple[int, int], side: int) -> dict[str, Tile]:
    return {
        (folder / file).as_posix(): Tile(image, row, column, np.s_[top : top + side, left : left + side], (side, side))
        for file, (row, column, top, left) in names_of_tiles(*size, side, TILE_PREFIX).items()
        if (target / folder / file).is_file()
    }


def link_images(source: Path, names: Collection[str], target: Path, bands: BandChoice | None = None) -> str:
    """Links every image below `target`, without copying it; returns how they were linked, for the report.

    Images whose bands are chosen are converted.

    A hard link stays valid when either side is moved or deleted. A symbolic link is made where hard links do not work,
    such as between two disks.

    Raises:
        DataError: If another file is in the way, or no link can be made.
    """
    if bands is not None:
        for name in progress(names, "Writing", unit="file"):
            write_image(source / name, target / name, bands)
        return "converted to the chosen bands"
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
    return "linked (symbolic links: keep the photographs where they are)" if soft else "linked (no copies)"


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
