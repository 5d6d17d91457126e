"""Chooses by the header of an image whether it is read in windows."""

import contextlib
from pathlib import Path

from PIL import Image

from smir.data.predict_options import VIEW
from smir.data.reading.decode import FORMATS
from smir.data.reading.pairs import MAX_ASPECT
from smir.terminal import quiet

MUCH_LARGER = 4
"""In shortest sides of the training images."""
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_GEOTIFF_TAGS = (33550, 33922, 34264, 34735)  # scale, tie points, transformation, coordinate system


class Choice:
    """Tells the images that are read in windows from those that are seen whole.

    Args:
        view: The setting, see `PredictOptions`.
        trained_side: Usual shortest side of the training images, in pixels, if it is known.
    """

    def __init__(self, view: VIEW, trained_side: int | None) -> None:
        self.view, self.trained_side = view, trained_side

    def in_windows(self, path: Path) -> bool:
        """Returns whether an image is read in windows.

        A TIFF whose header is beyond Pillow (many bands, floating point) is: the reader of GeoTIFFs knows more kinds.
        Any other file whose header cannot be read is not: seeing it whole says why.
        """
        if self.view != "auto":
            return self.view == "windows"
        if not path.is_file():  # opening a pipe would wait for ever
            return False
        try:
            with quiet(), Image.open(path, formats=FORMATS) as image:
                short, long = sorted(image.size)
                georeferenced = is_georeferenced(image)
        except Image.DecompressionBombError:
            return True
        except Exception:  # the parsers of headers raise all kinds of errors on damaged files
            with contextlib.suppress(OSError):
                return is_tiff(path)
            return False
        much_larger = self.trained_side is not None and short >= MUCH_LARGER * self.trained_side
        return georeferenced or much_larger or long > MAX_ASPECT * short


def is_tiff(path: Path) -> bool:
    """Returns whether a file starts like a TIFF.

    Raises:
        OSError: If it cannot be read.
    """
    with path.open("rb") as file:
        return file.read(4) in _TIFF


def is_georeferenced(image: Image.Image) -> bool:
    """Returns whether a TIFF is georeferenced."""
    return image.format == "TIFF" and any(tag in image.tag_v2 for tag in _GEOTIFF_TAGS)  # type: ignore[attr-defined]  # of the subclass that Image.open returns
