"""Cuts an image that does not fit in memory into tiles."""

import itertools
import os
import shlex
import threading
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyvips
from numpy.typing import NDArray
from tqdm import tqdm

from smir.errors import ConfigError, DataError, first_few
from smir.files.pictures import write_png
from smir.prepare.records import close_record, has_record, open_record

RECORD_NAME = "tiles.json"
_SIDEWAYS = 5
"""First EXIF orientation that swaps height and width."""


@dataclass(frozen=True)
class TileReport:
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


def _strips(image: pyvips.Image, tops: list[int], tile: int) -> Generator[NDArray[np.uint8], None, None]:
    """Yields rows [top, top + tile) of a sequential image as one reused (tile, width, bands) uint8 array.

    libvips decodes in a thread and sends the rows through a pipe. (pyvips.Region would be simpler, but its cache takes
    0.5 GB at a width of 90,600 pixels, and single crops lose rows that do not fit the decoder's blocks.)
    """
    reading, writing = os.pipe()
    errors: list[pyvips.Error] = []

    def send(chunk: bytes) -> int:
        try:
            return os.write(writing, chunk)
        except BrokenPipeError:  # the reader has stopped; -1 ends the decoding
            return -1

    def decode() -> None:
        try:
            target = pyvips.TargetCustom()
            target.on_write(send)
            image.rawsave_target(target)
        except pyvips.Error as error:
            errors.append(error)
        finally:
            os.close(writing)

    thread = threading.Thread(target=decode, daemon=True)
    thread.start()
    strip = np.empty((tile, image.width, image.bands), np.uint8)
    end = 0
    try:
        with os.fdopen(reading, "rb") as pipe:
            for top in tops:
                # Each row comes once, so rows shared with the previous strip are moved, not read.
                if kept := end - top:
                    strip[:kept] = strip[tile - kept :]
                if pipe.readinto(strip[kept:].data.cast("B")) < strip[kept:].nbytes:
                    thread.join()
                    raise errors[0] if errors else pyvips.Error("the decoder stopped early")
                end = top + tile
                yield strip
    finally:
        thread.join()


def _valid_share(pixels: NDArray[np.uint8]) -> float:
    """Returns the share of valid pixels (H, W, 3 or 4).

    Fully transparent pixels are nodata. Without an alpha channel, pure black and pure white are, with which mosaicking
    programs fill gaps.
    """
    if pixels.shape[2] == 4:
        return float((pixels[..., 3] > 0).mean())
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
) -> TileReport:
    """Cuts an image of any size, as displayed, into square PNG tiles (RGB uint8), reading it once from top to bottom.

    The grid has a stride of `tile - overlap`; its last row and column are aligned to the border, so every tile is full.
    Tiles are numbered by their place in the grid (`nassar_00000.png`), row by row, whether or not some are left out.
    Memory holds a few strips of `tile` rows. A finished target returns at once, an interrupted one is completed.

    Args:
        source: An 8-bit RGB or RGBA image in any format that libvips reads.
        target: Folder of the tiles; made if needed.
        tile: Side of a tile in pixels.
        overlap: Pixels that neighbouring tiles share, 0 to tile - 1.
        min_valid: Smallest share of valid pixels of a tile, 0 to 1. Pixels are valid unless fully transparent or, in
            an image without alpha, pure black or pure white.
        prefix: Start of the tiles' names.
        grey: Whether to accept an image of one band, too; its tiles are grey.
        bar: Whether to show a progress bar.

    Raises:
        ConfigError: If tile, overlap or min_valid is out of range.
        DataError: If the source cannot be tiled, or the target holds tiles of another source or other settings.
    """
    if tile < 1 or not 0 <= overlap < tile or not 0 <= min_valid <= 1:
        raise ConfigError(
            f"tile {tile}, overlap {overlap}, min_valid {min_valid}: tile must be at least 1, overlap at least 0 and "
            "below tile, min_valid between 0 and 1."
        )
    image = _open_source(source, tile, grey)
    stat = source.stat()
    settings = {"source": source.name, "bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    settings |= {"tile": tile, "overlap": overlap, "min_valid": min_valid, "prefix": prefix}
    target.mkdir(parents=True, exist_ok=True)
    record_path = target / RECORD_NAME
    present = {path.name for path in target.glob(f"{prefix}*.png")}
    if present and not has_record(record_path):
        raise DataError(
            f"{target.resolve()} holds {len(present)} tiles ({first_few(sorted(present))}) but no {RECORD_NAME}, so "
            "they were made elsewhere. Delete the folder to make them anew, or choose another folder."
        )
    record = open_record(record_path, settings)
    if record is not None and len(present) == record["written"]:
        return TileReport(record["written"], record["skipped"])

    tops, lefts = starts(image.height, tile, tile - overlap), starts(image.width, tile, tile - overlap)
    names = list(names_of_tiles(image.height, image.width, tile, prefix, overlap))
    written = skipped = 0
    try:
        with (
            tqdm(total=len(tops) * len(lefts), desc=f"Tiling {source.name}", unit="tile", disable=not bar) as progress,
            closing(_strips(image, tops, tile)) as strips,
        ):
            for strip in strips:
                for left in lefts:
                    pixels, name = strip[:, left : left + tile], names[written + skipped]
                    if min_valid > 0 and _valid_share(pixels) < min_valid:
                        skipped += 1
                        continue
                    if name not in present:
                        shown = pixels[..., 0] if image.bands == 1 else pixels[..., :3]
                        write_png(target / name, shown, sync=False)
                    written += 1
                progress.update(len(lefts))
    except pyvips.Error as error:
        raise DataError(
            f"{source.resolve()} cannot be decoded below row {tops[(written + skipped) // len(lefts)]}: "
            f"{_line_of(error)}. The file is damaged or cut short; fetch it again and delete {target.resolve()}."
        ) from error
    close_record(record_path, settings, width=image.width, height=image.height, written=written, skipped=skipped)
    return TileReport(written, skipped)


def shown_size(source: Path) -> tuple[int, int]:
    """Returns height and width of an image of any size, as displayed, from its header."""
    image = _header(source)
    return (image.width, image.height) if _orientation(image) >= _SIDEWAYS else (image.height, image.width)


def _header(source: Path, access: str = "sequential") -> pyvips.Image:
    where = source.resolve()
    if not source.is_file():
        raise DataError(f"The image to tile, {where}, does not exist.")
    try:
        # By default libvips fills parts that it cannot decode with black.
        return pyvips.Image.new_from_file(str(source), access=access, fail_on="error")
    except pyvips.Error as error:
        raise DataError(f"{where} cannot be read as an image: {_line_of(error)}. Check or replace the file.") from error


def _orientation(image: pyvips.Image) -> int:
    return int(image.get("orientation")) if image.get_typeof("orientation") else 1


def _open_source(source: Path, tile: int, grey: bool) -> pyvips.Image:
    """Opens an image, as displayed, for reading once from top to bottom, and checks that it can be tiled."""
    where = source.resolve()
    image = _header(source)
    if _orientation(image) > 1:  # rotation needs the whole image at once
        image = _header(source, "random").autorot()
    colored = image.interpretation in ("srgb", "rgb") and image.bands in (3, 4)
    if image.format != "uchar" or not (colored or (grey and image.bands == 1)):
        raise DataError(
            f"{where} has {image.bands} bands of {image.format} ({image.interpretation}); 8-bit RGB, with or without "
            f"alpha, is needed{' for colours, or one band of 8 bits for class ids' if grey else ''}. Convert it: "
            f"{_conversion(image, source.name, grey)}"
        )
    if image.width < tile or image.height < tile:
        raise DataError(
            f"{where} is {image.width} x {image.height} pixels, smaller than a tile of {tile} x {tile}. "
            f"Use a tile of at most {min(image.width, image.height)}."
        )
    return image


def _conversion(image: pyvips.Image, name: str, grey: bool) -> str:
    """Returns a command that converts an image so that it can be tiled; it must not change class ids."""
    if image.interpretation == "cmyk":
        return f"vips colourspace {shlex.quote(name)} converted.png srgb"
    named = image.interpretation in ("srgb", "rgb", "rgb16")  # otherwise the order of the bands is unknown
    bands = "" if image.bands < 3 else "-b 1 -b 2 -b 3 " if named else "-b RED -b GREEN -b BLUE "
    if not bands and not grey:
        bands = "-b 1 -b 1 -b 1 "
    span = "0 65535" if image.format == "ushort" else "LOWEST HIGHEST"  # otherwise each band is stretched separately
    scale = "" if (grey and image.bands == 1) or image.format == "uchar" else f"-scale {span} 0 255 "
    return f"gdal_translate {bands}-ot Byte {scale}{shlex.quote(name)} converted.tif"


def _line_of(error: pyvips.Error) -> str:
    """Returns libvips' message, which spans several lines, as one."""
    return "; ".join(str(error).split("\n")).strip("; ")
