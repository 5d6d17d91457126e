"""The colours and the class ids of a TIFF."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from smir.classes import UInt8
from smir.data.reading.band_choice import BandChoice
from smir.data.reading.tiff import Tiff, pages
from smir.errors import DataError, counted

NO_DATA = 1 - (1 << 31)
"""The stored value of label pixels that a TIFF marks as missing in another way than by an id."""
MOST_IDS = 1 << 16
"""Labels hold 8 or 16 bits."""
_COLORS = ("red", "green", "blue")
_INK = ("cyan", "magenta", "yellow", "black")
Place = tuple[int, int, int, int]
"""Top, left, height and width of a rectangle."""


def color_bands(tiff: Tiff) -> list[int]:
    """Returns the numbers of the bands that hold the colours: one of grey or a palette, three of RGB, four of ink.

    Raises:
        DataError: If the file does not say which bands these are, or they are not whole numbers of 8 or 16 bits.
    """
    meanings = tiff.meanings
    if tiff.file.dtypes[0] not in ("uint8", "uint16", "int16"):
        raise DataError(refusal(tiff))
    if set(_COLORS) <= set(meanings):
        return [meanings.index(color) + 1 for color in _COLORS]
    if tuple(meanings[:4]) == _INK and tiff.file.dtypes[0] != "int16":
        return [1, 2, 3, 4]
    if meanings == ["palette"] or (meanings[0] == "gray" and set(meanings[1:]) <= {"alpha"}) or tiff.is_inverted:
        return [1]
    raise DataError(refusal(tiff))


def chosen_bands(tiff: Tiff, choice: BandChoice) -> list[int]:
    """Returns the numbers of chosen bands.

    Raises:
        DataError: If the file lacks one, or they do not have 8 bits and no range is given.
    """
    refuse_missing_bands(tiff, choice)
    if choice.value_range or all(tiff.file.dtypes[band - 1] == "uint8" for band in choice.bands):
        return list(choice.bands)
    raise DataError(refusal(tiff))


def refuse_missing_bands(tiff: Tiff, choice: BandChoice) -> None:
    """Raises a `DataError` if a file lacks a chosen band; programs for microscopes write bands as pages."""
    if (last := max(choice.bands)) > tiff.file.count:
        of_pages = (
            f" and {count} pages. Save its pages as bands of one image" if (count := pages(tiff.path)) > 1 else ""
        )
        raise DataError(
            f"{tiff.name} has no band {last}, but only {counted(tiff.file.count, 'band', 'bands')}{of_pages}."
        )


def unused_bands(tiff: Tiff) -> list[int]:
    """Returns the numbers of bands that are neither colours nor alpha."""
    used = color_bands(tiff)
    return [number for number, name in enumerate(tiff.meanings, 1) if number not in used and name != "alpha"]


def refusal(tiff: Tiff) -> str:
    """Returns a message that names the bands of a file, and the options that choose three of them."""
    found = ", ".join(f"{meaning} ({dtype})" for meaning, dtype in zip(tiff.meanings, tiff.file.dtypes, strict=True))
    three = [3, 2, 1] if tiff.file.count > 2 else [1, 1, 1]
    return (
        f"{tiff.name} has {counted(tiff.file.count, 'band', 'bands')}: {found}. Red, green and blue (or grey alone) of "
        "8 bits are needed; alpha and further bands may stand beside them. Or choose bands, and for more than 8 bits "
        f"the values that become black and white: --bands {','.join(map(str, three))} --value_range 0,4000 with "
        f"prepare folder (also 2%,98%), --data.predict.bands '{three}' --data.predict.value_range '[0, 4000]' with "
        "predict."
    )


def read_colors(tiff: Tiff, bands: Sequence[int], place: Place) -> npt.NDArray[Any]:
    """Reads a rectangle as RGB (h, w, 3), or grey (h, w), of the type in which it is stored; `bands` of `color_bands`.

    Raises:
        DataError: If it cannot be read.
    """
    pixels = tiff.read(bands, *place)
    if len(bands) == 4:
        if pixels.dtype != np.uint8:
            pixels = (pixels >> 8).astype(np.uint8)
        return np.asarray(Image.fromarray(pixels, "CMYK").convert("RGB"))
    if len(bands) == 1:
        pixels = pixels[..., 0]
    if tiff.meanings == ["palette"]:
        return np.asarray(palette(tiff)[pixels])
    if tiff.bits:
        pixels = pixels * (255 // tiff.highest) if tiff.bits < 8 else pixels << (8 * pixels.itemsize - tiff.bits)
    return np.iinfo(pixels.dtype).max - pixels if tiff.is_inverted else pixels


def palette(tiff: Tiff) -> UInt8:
    """Returns red, green and blue of every value of a TIFF that has a colour table."""
    colors = tiff.file.colormap(1)
    return np.array(
        [colors.get(value, (0, 0, 0, 0))[:3] for value in range(256 if max(colors) < 256 else 1 << 16)], np.uint8
    )


def kind_of_label(tiff: Tiff) -> Literal["ids", "palette", "colors"]:
    """Tells how a label holds its classes.

    Raises:
        DataError: If it has lossy compression, its bands are neither ids nor colours, or it has several pages.
    """
    tags = tiff.structure
    codec = tags.get("COMPRESSION", "")
    if "JPEG" in codec or "MAX_Z_ERROR" in tags or tags.get("COMPRESSION_REVERSIBILITY") == "LOSSY":
        raise DataError(
            f"{tiff.name} has lossy compression ({codec}), which changes class ids along every border. Export the "
            "labels again with another compression, such as Deflate, from the program that they were drawn in."
        )
    if (count := pages(tiff.path)) > 1:
        raise DataError(
            f"{tiff.name} has {count} pages, of which readers show the first. Save the classes in one image, such as "
            "one PNG for each label."
        )
    if len(tiff.meanings) == 1 or tiff.meanings[1:] == ["alpha"]:
        return "palette" if tiff.meanings[0] == "palette" and tiff.bits != 1 else "ids"
    if not (set(_COLORS) <= set(tiff.meanings) or tuple(tiff.meanings[:4]) == _INK):
        raise DataError(
            f"{tiff.name} has {tiff.file.count} bands ({', '.join(tiff.meanings)}); a label has one band of class ids, "
            "or red, green and blue. Save the band of the classes alone."
        )
    return "colors"


def read_ids(tiff: Tiff, place: Place | None = None) -> npt.NDArray[np.int32]:
    """Reads the class ids of a label, or of a rectangle of it, as they are stored (h, w).

    Pixels that the file marks as missing are `NO_DATA`, unless the mark is an id, see `id_of_no_data`.

    Raises:
        DataError: If it cannot be read, holds no ids, or has lossy compression.
    """
    if kind_of_label(tiff) == "colors":
        raise DataError(
            f"{tiff.name} has {tiff.file.count} bands; a label has one that holds class ids. Convert colours to ids "
            "first."
        )
    place = place or (0, 0, tiff.height, tiff.width)
    values = tiff.read([1], *place)[..., 0]
    missing = ~tiff.valid(*place) & (values != id_of_no_data(tiff))
    refuse_fractions(values[~missing], tiff.name)
    if values.dtype.itemsize > 2:  # others fit; a label may have gigabytes
        _refuse_too_long(values[~missing], tiff.name)
    ids = np.where(missing, 0, values).astype(np.int32)
    ids[missing] = NO_DATA
    return ids


def id_of_no_data(tiff: Tiff) -> int | None:
    """Returns the nodata value of a label, if it could be a class id."""
    value = tiff.file.nodata
    return int(value) if value is not None and value in range(MOST_IDS) else None


def _refuse_too_long(values: npt.NDArray[Any], name: str) -> None:
    """Refuses whole numbers that 32 bits with a sign do not hold, or that stand for `NO_DATA` in them."""
    odd = values[(values == NO_DATA) | (values < -1 << 31) | (values >= 1 << 31)]
    if odd.size:
        raise DataError(
            f"{name} holds {int(odd[0])} ({odd.size:,} px), which is not an id (0 to {MOST_IDS - 1}). If such pixels "
            "are not labelled, write 255 there, or mark the value as nodata."
        )


def refuse_fractions(values: npt.NDArray[Any], name: str) -> None:
    """Refuses complex numbers, and floating-point numbers that are not whole numbers of 32 bits."""
    if values.dtype.kind == "c":
        raise DataError(f"{name} holds complex numbers; class ids are whole. Export the labels again.")
    if values.dtype.kind != "f":
        return
    odd = values[~(np.isfinite(values) & (values == np.round(values)) & (abs(values) < 1 << 31))]
    if odd.size:
        raise DataError(
            f"{name} holds floating-point numbers such as {odd[0]:g} ({odd.size} px); class ids are whole. Round them, "
            "or export the labels again as whole numbers."
        )
