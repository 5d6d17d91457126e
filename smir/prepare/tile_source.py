"""Images of any size, opened to be read once from top to bottom."""

import shlex
from pathlib import Path

import pyvips

from smir.errors import DataError

_SIDEWAYS = 5
"""Orientation from which on height and width are swapped."""


def shown_size(source: Path) -> tuple[int, int]:
    """Returns height and width of an image of any size as it is shown, from its header.

    Raises:
        DataError: If it cannot be read.
    """
    image = _header(source)
    return (image.width, image.height) if _orientation(image) >= _SIDEWAYS else (image.height, image.width)


def _header(source: Path, access: str = "sequential") -> pyvips.Image:
    where = source.resolve()
    if not source.is_file():
        raise DataError(f"The image to tile, {where}, is not there.")
    try:
        # By default libvips fills what it cannot decode with black and carries on.
        return pyvips.Image.new_from_file(str(source), access=access, fail_on="error")
    except pyvips.Error as error:
        raise DataError(
            f"{where} cannot be read as an image: {line_of(error)}. Check or fetch the file again."
        ) from error


def _orientation(image: pyvips.Image) -> int:
    return int(image.get("orientation")) if image.get_typeof("orientation") else 1


def open_source(source: Path, tile: int, grey: bool) -> pyvips.Image:
    """Opens an image, as it is shown, for reading once from top to bottom, and checks that it can be tiled.

    Args:
        source: The image.
        tile: Side of the tiles in pixels.
        grey: Whether an image of one band is taken, too.

    Raises:
        DataError: If it cannot be read, is smaller than a tile, or is not of 8-bit colours; with how to convert it.
    """
    where = source.resolve()
    image = _header(source)
    if _orientation(image) > 1:  # turning needs all of it at once
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
    """The command that makes an image one that can be tiled; of class ids it must not change any."""
    if image.interpretation == "cmyk":
        return f"vips colourspace {shlex.quote(name)} converted.png srgb"
    named = image.interpretation in ("srgb", "rgb", "rgb16")  # else libvips does not tell which number a colour has
    bands = "" if image.bands < 3 else "-b 1 -b 2 -b 3 " if named else "-b RED -b GREEN -b BLUE "
    if not bands and not grey:
        bands = "-b 1 -b 1 -b 1 "
    span = "0 65535" if image.format == "ushort" else "LOWEST HIGHEST"  # else each band is stretched by itself
    scale = "" if (grey and image.bands == 1) or image.format == "uchar" else f"-scale {span} 0 255 "
    return f"gdal_translate {bands}-ot Byte {scale}{shlex.quote(name)} converted.tif"


def line_of(error: pyvips.Error) -> str:
    """Returns libvips' message, which spans several lines, as one."""
    return "; ".join(str(error).split("\n")).strip("; ")
