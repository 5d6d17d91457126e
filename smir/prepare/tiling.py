"""Cuts an image that does not fit in memory into tiles."""

import itertools
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from smir.classes import UInt8
from smir.data.reading.band_choice import BandChoice
from smir.data.reading.raster import Bool
from smir.errors import ConfigError, DataError, first_few
from smir.files.pictures import write_png
from smir.prepare.records import close_record, has_record, open_record
from smir.prepare.sources import open_source
from smir.terminal import progress

RECORD_NAME = "tiles.json"


class TileReport(NamedTuple):
    """The numbers of tiles in the target folder, and of tiles that were left out for too few valid pixels."""

    written: int
    skipped: int


def starts(size: int, tile: int, stride: int) -> list[int]:
    """Returns the start of each tile along a side, in pixels; the last one ends at the border."""
    starts = list(range(0, size - tile + 1, stride))
    return starts if starts[-1] + tile == size else [*starts, size - tile]


def names_of_tiles(
    height: int, width: int, tile: int, prefix: str, overlap: int = 0
) -> dict[str, tuple[int, int, int, int]]:
    """Returns row and column in the grid, and top and left in pixels, of every tile of an image by its file name."""
    tops, lefts = (starts(side, tile, tile - overlap) for side in (height, width))
    digits = max(5, len(str(len(tops) * len(lefts) - 1)))
    places = itertools.product(enumerate(tops), enumerate(lefts))
    return {
        f"{prefix}{number:0{digits}d}.png": (row, column, top, left)
        for number, ((row, top), (column, left)) in enumerate(places)
    }


def _valid_share(pixels: NDArray[Any], valid: NDArray[np.bool_] | None) -> float:
    """Returns the share of valid pixels.

    If the file does not mark them, pure black and pure white are nodata: mosaicking programs fill gaps with them.
    """
    if valid is not None:
        return float(valid.mean())
    return float(1 - ((pixels == 0).all(-1) | (pixels == 255).all(-1)).mean())


def tile_image(
    source: Path,
    target: Path,
    tile: int = 256,
    overlap: int = 0,
    min_valid: float = 0.0,
    prefix: str = "nassar_",
    grey: bool = False,
    bar: bool = True,
    bands: BandChoice | None = None,
    gaps: bool = False,
) -> TileReport:
    """Cuts an image of any size, as displayed, into square PNG tiles, reading it once from top to bottom.

    The grid has a stride of `tile - overlap`; its last row and column are aligned to the border, so every tile is full.
    Tiles are numbered by their place in the grid (`nassar_00000.png`), row by row, whether or not some are left out.
    Memory holds a few strips of `tile` rows. A finished target returns at once, an interrupted one is completed.

    Args:
        source: A JPEG, PNG, WebP, TIFF or BMP in colours; with `grey`, also a label of class ids.
        target: Folder of the tiles; made if needed.
        tile: Side of a tile in pixels.
        overlap: Pixels that neighbouring tiles share, 0 to tile - 1.
        min_valid: Smallest share of valid pixels of a tile, 0 to 1. Pixels are valid unless fully transparent or, in
            an image without alpha, pure black or pure white.
        prefix: Start of the tiles' names.
        grey: True if the source is a label image; its tiles keep class ids as they are, with any palette.
        bar: Show a progress bar.
        bands: Bands of a TIFF to use; default: those of its colours.
        gaps: Keep fully transparent pixels transparent in the tiles; otherwise, the colours below them are visible.

    Raises:
        ConfigError: If tile, overlap or min_valid is out of range.
        DataError: If the source cannot be tiled, or the target holds tiles of another source or other settings.
    """
    if tile < 1 or not 0 <= overlap < tile or not 0 <= min_valid <= 1:
        raise ConfigError(
            f"tile {tile}, overlap {overlap}, min_valid {min_valid}: tile must be at least 1, overlap at least 0 and "
            "below tile, min_valid between 0 and 1."
        )
    image = open_source(source, tile, grey, bands)
    if (smallest := min(image.width, image.height)) < tile:
        raise DataError(
            f"{source.resolve()} is {image.width} x {image.height} pixels, smaller than a tile of {tile} x {tile}. "
            f"Use a tile of at most {smallest}."
        )
    stat = source.stat()
    settings = {"source": source.name, "bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    settings |= {"tile": tile, "overlap": overlap, "min_valid": min_valid, "prefix": prefix}
    settings |= {} if bands is None else {name: list(value or ()) for name, value in asdict(bands).items()}
    target.mkdir(parents=True, exist_ok=True)
    record_path = target / RECORD_NAME
    present = {path.name for path in target.glob(f"{prefix}*.png")}
    if present and not has_record(record_path):
        raise DataError(
            f"{target.resolve()} holds {len(present)} tiles ({first_few(sorted(present))}) but no {RECORD_NAME}, so "
            "they were made elsewhere. Delete the folder to make them again, or choose another folder."
        )
    record = open_record(record_path, settings, deep=False)
    if record is not None and len(present) == record["written"]:
        return TileReport(record["written"], record["skipped"])

    tops, lefts = starts(image.height, tile, tile - overlap), starts(image.width, tile, tile - overlap)
    names = iter(names_of_tiles(image.height, image.width, tile, prefix, overlap))
    written = skipped = 0
    with (
        progress(None, f"Tiling {source.name}", len(tops) * len(lefts), unit="tile", disable=not bar) as progress_bar,
        closing(image.strips(tops)) as strips,
    ):
        for strip, valid in strips:
            for left, name in zip(lefts, names, strict=False):
                part = np.s_[:, left : left + tile]
                if min_valid > 0 and _valid_share(strip[part], None if valid is None else valid[part]) < min_valid:
                    skipped += 1
                    continue
                if name not in present:
                    alpha = valid[part] if image.has_alpha and valid is not None and (grey or gaps) else None
                    alpha = alpha if grey or alpha is None or not alpha.all() else None
                    write_png(target / name, _picture(strip[part], alpha, image.palette), sync=False)
                written += 1
            progress_bar.update(len(lefts))
    close_record(record_path, settings, width=image.width, height=image.height, written=written, skipped=skipped)
    return TileReport(written, skipped)


def _picture(pixels: NDArray[Any], alpha: Bool | None, palette: UInt8 | None) -> NDArray[Any] | Image.Image:
    if alpha is not None:  # invisible pixels have no class
        return Image.fromarray(np.dstack([pixels, 255 * alpha.astype(np.uint8)]))
    if palette is None:
        return pixels
    picture = Image.fromarray(pixels)
    picture.putpalette(palette.tobytes())
    return picture
