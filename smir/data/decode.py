"""Files to arrays. Orientation tags are applied to images and labels alike (METHOD.md section 8)."""

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from smir.errors import DataError
from smir.preprocessing import UInt8

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")
_ORIENTATION = 0x0112
_SIDEWAYS = (5, 6, 7, 8)  # orientations that swap height and width
_LABEL_MODES = ("1", "L", "P", "I", "I;16", "I;16B", "I;16L")


def _open(path: Path, kind: str) -> Image.Image:
    try:
        return Image.open(path)
    except FileNotFoundError:
        raise DataError(f"The {kind} {path} does not exist; it was there when the dataset was listed.") from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        size = path.stat().st_size if path.exists() else 0
        raise DataError(
            f"The {kind} {path} ({size:,} bytes) is not an image that can be read: {error}. Replace or remove the file."
        ) from error


def _orientation(image: Image.Image) -> int:
    """Orientation tag as far as the header holds it; `getexif` would decode a whole PNG to look behind the pixels."""
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    return int(image.getexif().get(_ORIENTATION, 1))


def _decoded(image: Image.Image, path: Path, kind: str) -> Image.Image:
    try:
        oriented = _orientation(image) != 1
        if image.format == "TIFF":
            # Else Pillow maps an uncompressed file into memory with the sides of the rotated image.
            image.filename = ""  # type: ignore[attr-defined]  # of the subclass that Image.open returns
        image.load()
        return ImageOps.exif_transpose(image) if oriented else image
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise DataError(
            f"The {kind} {path} is damaged: {error}. Copy it again from its source, or remove it."
        ) from error


def image_size(path: Path) -> tuple[int, int]:
    """Returns height and width of an image as it is shown, from its header alone.

    Raises:
        DataError: If the file cannot be read as an image.
    """
    with _open(path, "image") as image:
        width, height = image.size
        if image.format == "TIFF":
            width, height = image.tag_v2[256], image.tag_v2[257]  # `size` is that of the rotated image already
        return (width, height) if _orientation(image) in _SIDEWAYS else (height, width)


def read_image(path: Path) -> UInt8:
    """Decodes an image to RGB.

    Grey, palette, CMYK and 16-bit images are converted, transparency is dropped, of an animation the first frame is
    taken.

    Returns:
        Array (H, W, 3) uint8.

    Raises:
        DataError: If the file cannot be read as an image.
    """
    with _open(path, "image") as file:
        image = _decoded(file, path, "image")
        if image.mode.startswith("I"):  # 16-bit grey; Pillow's own conversion would clip it at 255
            grey = np.asarray(image, dtype=np.int64)
            return np.repeat((grey >> 8).clip(0, 255).astype(np.uint8)[..., None], 3, axis=-1)
        return np.array(image.convert("RGB"))


def read_label(path: Path) -> npt.NDArray[np.int32]:
    """Decodes a label image to its stored values: palette indices, 8-bit or 16-bit ids.

    Returns:
        Array (H, W) int32.

    Raises:
        DataError: If the file cannot be read, or has colours in place of ids.
    """
    with _open(path, "label") as file:
        raw = file.tile[0].args if file.format == "PNG" and file.tile else None
        image = _decoded(file, path, "label")
        if image.mode not in _LABEL_MODES:
            raise DataError(
                f"The label {path} has mode {image.mode} ({len(image.getbands())} channels); a label has one channel "
                "that holds class ids (a grey or palette PNG). Convert colours to ids first."
            )
        stretch = {"L;2": 85, "L;4": 17}.get(str(raw), 1)  # Pillow spreads grey of 2 and 4 bits over 0 to 255
        return np.asarray(image).astype(np.int32) // stretch


def list_images(folder: Path) -> list[str]:
    """Lists the image files below a folder, sorted, as paths relative to it with forward slashes.

    Links to folders are not followed, so that circles cannot trap the walk; hidden files are passed over.

    Raises:
        DataError: If the folder is missing or holds no image.
    """
    if not folder.is_dir():
        parent = next((p for p in folder.absolute().parents if p.is_dir()), Path("/"))
        there = sorted(entry.name for entry in parent.iterdir())[:8]
        raise DataError(
            f"There is no folder {folder.absolute()}. The nearest that exists is {parent}, which holds: "
            f"{', '.join(there) or 'nothing'}."
        )
    names: list[str] = []
    for base, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        relative = Path(base).relative_to(folder)
        names += [(relative / f).as_posix() for f in files if f.lower().endswith(IMAGE_SUFFIXES) and f[0] != "."]
    if not names:
        raise DataError(
            f"The folder {folder.absolute()} holds no image (looked for {', '.join(IMAGE_SUFFIXES)}, also in folders "
            "below it)."
        )
    return sorted(names)
