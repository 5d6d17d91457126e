"""Files to arrays, and stored label values to class ids.

Orientation tags are applied to images and labels alike (METHOD.md section 8).
"""

from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from smir.classes import UInt8
from smir.data.reading.safe_open import decoded, guarded, open_picture, open_tiff
from smir.data.reading.tiff import SIDEWAYS
from smir.data.reading.tiff_colors import (
    color_bands,
    id_of_no_data,
    kind_of_label,
    palette,
    read_colors,
    read_ids,
    refuse_fractions,
)
from smir.errors import DataError
from smir.files.orientation import orientation_of

_LABEL_MODES = ("1", "L", "P", "I", "I;16", "I;16B", "I;16L")


def image_size(path: Path) -> tuple[int, int]:
    """Returns height and width of an image as it is shown, from its header alone.

    Raises:
        DataError: If the file cannot be read as an image.
    """

    def shown(image: Image.Image) -> tuple[int, int]:
        width, height = image.size
        if image.format == "TIFF":
            width, height = image.tag_v2[256], image.tag_v2[257]  # type: ignore[attr-defined]  # `size` is that of the rotated image already
        return (width, height) if orientation_of(image) in SIDEWAYS else (height, width)

    if tiff := open_tiff(path, "image"):
        return tiff.height, tiff.width
    with open_picture(path, "image") as image:
        return guarded(lambda: shown(image), path, "image")


def read_image(path: str | Path) -> UInt8:
    """Decodes an image to RGB.

    Grey, palette, CMYK and 16-bit images are converted, transparency is dropped, of an animation the first frame is
    taken.

    Returns:
        Array (H, W, 3) uint8.

    Raises:
        DataError: If the file cannot be read as an image, or holds numbers that are not colours.
    """
    path = Path(path)
    if tiff := open_tiff(path, "image"):
        bands = color_bands(tiff)
        return _rgb(read_colors(tiff, bands, (0, 0, tiff.height, tiff.width)), path)
    with open_picture(path, "image") as file:
        return guarded(lambda: _rgb(_colors(decoded(file)), path), path, "image")


def _colors(image: Image.Image) -> npt.NDArray[Any]:
    deep = image.mode.startswith("I") or image.mode == "F"  # Pillow's own conversion would clip them at 255
    return np.asarray(image) if deep else np.array(image.convert("RGB"))


def _rgb(pixels: npt.NDArray[Any], path: Path) -> UInt8:
    """Returns RGB (H, W, 3) for RGB or grey of 8 or 16 bits."""
    if pixels.dtype.kind not in "iu":
        raise DataError(f"The image {path} holds floating-point numbers, not colours. Convert it to 8 or 16 bits.")
    if pixels.dtype != np.uint8:
        low, high = int(pixels.min()), int(pixels.max())
        if low < 0 or high > np.iinfo(np.uint16).max:
            raise DataError(
                f"The image {path} holds whole numbers from {low} to {high}; colours are 8 or 16 bits, 0 to 65535. "
                "Convert it."
            )
        pixels = np.right_shift(pixels, 8, out=np.empty(pixels.shape, np.uint8), casting="unsafe")
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=-1)


def read_label(path: Path) -> npt.NDArray[np.int32]:
    """Decodes a label image to its stored values: palette indices, 8-bit or 16-bit ids.

    Pixels that a TIFF marks as missing, in another way than by an id, are `NO_DATA`.

    Returns:
        Array (H, W) int32.

    Raises:
        DataError: If the file cannot be read, has colours in place of ids, or is a JPEG.
    """
    if tiff := open_tiff(path, "label"):
        return read_ids(tiff)
    with open_picture(path, "label") as file:
        refuse_losses(path, file.format)
        return guarded(lambda: _stored(file, path), path, "label")


def invisible(path: Path, by_alpha: bool = False) -> npt.NDArray[np.bool_] | None:
    """Returns which pixels of an image are fully transparent (H, W); None if it has no transparency.

    Unless `by_alpha` is set, pixels that a TIFF marks as missing by a mask or a value count, too.
    """
    if tiff := open_tiff(path, "image"):
        has_such = "alpha" in tiff.meanings if by_alpha else tiff.has_mask
        return ~tiff.valid(0, 0, tiff.height, tiff.width) if has_such else None
    with open_picture(path, "image") as file:
        if "A" not in file.mode and "transparency" not in file.info:
            return None
        alpha = guarded(lambda: np.asarray(decoded(file).convert("RGBA"))[..., 3], path, "image")
        return np.asarray(alpha == 0, np.bool_)


def masked_out(path: Path) -> npt.NDArray[np.bool_] | None:
    """Returns which pixels of a label the mask inside a TIFF marks as missing (H, W); None if it has no mask."""
    tiff = open_tiff(path, "label")
    return ~tiff.valid(0, 0, tiff.height, tiff.width) if tiff and tiff.has_inner_mask else None


def refuse_losses(path: Path, form: str | None) -> None:
    """Refuses a label of a format that changes ids; `form` is Pillow's name of it."""
    if form in ("JPEG", "MPO"):
        raise DataError(
            f"The label {path} is a JPEG, whose compression changes class ids along every border. Export the "
            "labels again as PNG, from the program that they were drawn in. A mask of black and white alone can be "
            "saved: make values below 128 black and others white, and save it as PNG."
        )
    if form == "WEBP" and b"VP8L" not in path.read_bytes():
        raise DataError(
            f"The label {path} is a lossy WebP, whose compression changes classes along every border. Export it as PNG."
        )


class LabelFacts(NamedTuple):
    """The meaning of the values of a label file.

    Attributes:
        kind: Form of the classes: ids, indices of a palette, or colours.
        bits: Bits of a grey value in a PNG or TIFF of fewer than 8; 16 if a channel has more than 8; else 8.
        palette: Red, green and blue of the values (N, 3), if it has a palette.
        no_data: The id that the file marks as missing.
        is_white_first: True if it has one bit, of which 0 is shown in white.
    """

    kind: Literal["ids", "palette", "colors"]
    bits: int = 8
    palette: UInt8 | None = None
    no_data: int | None = None
    is_white_first: bool = False


def label_facts(path: Path) -> LabelFacts:
    """Reads from the header of a label image what its values mean.

    Raises:
        DataError: If the file cannot be read as an image, or has lossy compression.
    """
    if tiff := open_tiff(path, "label"):
        kind = kind_of_label(tiff)
        bits = tiff.bits if 0 < tiff.bits < 8 and kind == "ids" else 8
        bits = bits if kind == "palette" or "int8" in tiff.file.dtypes[0] else 16
        entries = palette(tiff) if kind == "palette" else None
        return LabelFacts(kind, bits, entries, id_of_no_data(tiff), tiff.is_inverted and tiff.bits == 1)
    with open_picture(path, "label") as file:
        refuse_losses(path, file.format)
        if file.mode == "P":
            colors = file.getpalette("RGB") or []
            return LabelFacts("palette", palette=np.array(colors, np.uint8).reshape(-1, 3))
        raw = str(file.tile[0].args) if file.tile else ""
        deep = file.mode[0] in "IF" or (file.format in ("PNG", "TIFF") and ";16" in raw)
        bits = 16 if deep else {"1": 1, "L;2": 2, "L;4": 4}.get(raw, 8)
        kind = "ids" if file.mode in (*_LABEL_MODES, "F") else "colors"
        return LabelFacts(kind, bits, is_white_first=file.format == "TIFF" and "1;I" in raw)


def _stored(file: Image.Image, path: Path) -> npt.NDArray[np.int32]:
    args = file.tile[0].args if file.tile else ""  # type: ignore[attr-defined]  # of the subclass that Image.open returns
    raw = str(args[0] if isinstance(args, tuple) else args)
    image = decoded(file)
    if image.mode == "F":
        refuse_fractions(np.asarray(image), f"The label {path}")
    elif image.mode not in _LABEL_MODES:
        raise DataError(
            f"The label {path} has mode {image.mode} ({len(image.getbands())} channels); a label has one channel "
            "that holds class ids (a grey or palette PNG). Convert colours to ids first."
        )
    # Pillow spreads grey of 2 and 4 bits of a PNG over 0 to 255, and inverts TIFFs whose 0 is white.
    stretch = {"L;2": 85, "L;4": 17}.get(raw, 1) if file.format == "PNG" else 1
    stored = np.asarray(image).astype(np.int32)
    if file.format == "TIFF" and raw.startswith(("1;I", "L;I")):
        return (1 if image.mode == "1" else 255) - stored
    return stored // stretch if stretch > 1 else stored
