"""Photographs that are cut into tiles, with their labels, so that small things stay large enough to be seen."""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from smir.classes import VOID
from smir.data.reading.decode import read_label
from smir.data.reading.lists import stem
from smir.data.reading.parallel import in_parallel
from smir.errors import DataError
from smir.files.pictures import write_png
from smir.prepare.own.images import TILE_PREFIX, link_images, recorded
from smir.prepare.own.labels import FieldLabels, Sizes
from smir.prepare.tiling import names_of_tiles, tile_image


@dataclasses.dataclass(frozen=True)
class Tile:
    """A part of an image.

    Attributes:
        image: Name of the image.
        row: Row in the grid of its tiles, from 0.
        column: Column in that grid.
        window: Rows and columns of its pixels.
        size: Height and width.
    """

    image: str
    row: int
    column: int
    window: tuple[slice, slice]
    size: tuple[int, int]


Tiles = dict[str, Tile]
"""All images of a field by name: tiles, and images that are none and stay whole."""


def cut_photographs(source: Path, sizes: Sizes, target: Path, tile: int, min_valid: float) -> tuple[Tiles, str]:
    """Cuts each image in which a tile has room into tiles, and links the others.

    The tiles of `a/b.jpg` lie in a folder `a/b`. An interrupted cutting is completed.

    Args:
        source: Folder of the images.
        sizes: Height and width of every image, as it is shown.
        target: Folder of the tiles.
        tile: Their side in pixels.
        min_valid: Tiles with a smaller share of valid pixels are left out; see `tile_image`.

    Returns:
        What lies in the target, and how many there are, for the report.

    Raises:
        DataError: If an image cannot be cut or linked, or nothing is left.
    """
    large = [name for name, size in sizes.items() if min(size) >= tile]
    whole = [name for name in sizes if min(sizes[name]) < tile]

    def cut(name: str) -> Tiles:
        folder = PurePosixPath(stem(name))
        tile_image(source / name, target / folder, tile, min_valid=min_valid, prefix=TILE_PREFIX, bar=False)
        return _tiles_in(target, folder, name, sizes[name], tile)

    tiles: Tiles = {}
    for part in in_parallel(cut, large, "Tiling"):
        tiles |= part
    how = [f"{len(large)} cut into {len(tiles):,} tiles of {tile} x {tile} pixels"] if large else []
    if whole:
        how.append(f"{len(whole)} in which no tile has room, {link_images(source, whole, target)}")
        tiles |= {name: Tile(name, 0, 0, np.s_[:, :], sizes[name]) for name in whole}
    if not tiles:
        raise DataError(
            f"No tile of the images in {source.absolute()} has {100 * min_valid:g} % valid pixels. Lower --min_valid, "
            "or use smaller tiles (--tile)."
        )
    return tiles, f"{len(sizes)} images, {'; '.join(how)}"


def tiles_of_map(target: Path, source: str, tile: int) -> Tiles:
    """The tiles of an orthomosaic, cut by `cut_tiles`."""
    grid = recorded(target)
    return _tiles_in(target, PurePosixPath(), source, (grid["height"], grid["width"]), tile)


def _tiles_in(target: Path, folder: PurePosixPath, image: str, size: tuple[int, int], tile: int) -> Tiles:
    return {
        (folder / file).as_posix(): Tile(image, row, column, np.s_[top : top + tile, left : left + tile], (tile, tile))
        for file, (row, column, top, left) in names_of_tiles(*size, tile, TILE_PREFIX).items()
        if (target / folder / file).is_file()
    }


def cut_labels(labels: FieldLabels, folder: Path, tiles: Tiles) -> FieldLabels:
    """Cuts the class-id PNGs of whole images in a folder as the images were; a tile that shows no class has none.

    Returns:
        The labels of the tiles.
    """
    of_image: dict[str, list[str]] = {}
    for name, tile in tiles.items():
        if tile.image in labels.pixels:
            of_image.setdefault(tile.image, []).append(name)

    def cut(image: str) -> dict[str, npt.NDArray[np.int64]]:
        if of_image.get(image) == [image]:  # it stays whole
            return {image: labels.pixels[image]}
        whole = folder / PurePosixPath(image).with_suffix(".png")
        label = read_label(whole).astype(np.uint8)
        counts = {}
        for name in of_image.get(image, ()):
            part = label[tiles[name].window]
            count = np.bincount(part.ravel(), minlength=256)
            if count[:VOID].any():
                path = folder / PurePosixPath(name).with_suffix(".png")
                write_png(path, part, sync=False)
                counts[name] = count
        whole.unlink()
        return counts

    pixels: dict[str, npt.NDArray[np.int64]] = {}
    for counts in in_parallel(cut, list(labels.pixels), "Tiling labels"):
        pixels |= counts
    return dataclasses.replace(labels, pixels=pixels)


def together(tiles: Mapping[str, Tile], names: Iterable[str], enough: int) -> dict[str, str]:
    """Groups tiles that show the same or lie side by side, so that those that train do not surround those that test.

    Args:
        tiles: Where each of them lies.
        names: Those to group.
        enough: Number of groups that are wanted. A group is a whole image where there are so many, else a block of its
            tiles, as large as that allows and at most 4 x 4.

    Returns:
        The group of each tile.
    """
    places = {name: tiles[name] for name in names}
    groups = {name: tile.image for name, tile in places.items()}
    for side in (4, 2, 1):
        if len(set(groups.values())) >= enough:
            break
        groups = {name: f"{tile.image} {tile.row // side} {tile.column // side}" for name, tile in places.items()}
    return groups
