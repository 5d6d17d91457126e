"""Decides whether an image is read in windows, and opens it for that, by its content."""

import contextlib
import importlib.util
from pathlib import Path

from PIL import Image

from smir.data.predict_options import VIEW
from smir.data.reading.decode import FORMATS
from smir.data.reading.pairs import MAX_ASPECT
from smir.data.reading.raster import Raster
from smir.errors import ConfigError, DataError
from smir.terminal import quiet

MUCH_LARGER = 4
"""In shortest sides of the training images."""
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_GEOTIFF_TAGS = (33550, 33922, 34264, 34735)  # scale, tie points, transformation, coordinate system


class Choice:
    """Tells the images that are read in windows from those that are seen whole, see `PredictOptions.view`.

    `trained_side` is the usual shortest side of the training images, in pixels, if it is known.
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


def has_rasterio() -> bool:
    """Returns whether the extra `geo` is installed."""
    return importlib.util.find_spec("rasterio") is not None


def open_raster(path: Path, folder: Path, progress: bool = True) -> Raster:
    """Opens an image.

    Args:
        path: The file.
        folder: Where what is not a TIFF is decoded to, while it is needed.
        progress: Whether to show how far the decoding is.

    Raises:
        DataError: If it cannot be read.
        ConfigError: If it is georeferenced and the extra that keeps that is not installed.
    """
    if _is_for_rasterio(path):
        from smir.data.reading.geotiff import GeoTiffRaster

        return GeoTiffRaster(path)
    from smir.data.reading.decoded_raster import DecodedRaster

    return DecodedRaster(path, folder, progress)


def check_readable(path: Path, decode: bool) -> None:
    """Refuses what `open_raster` refuses: by the header alone, or with `decode` after decoding the image to its end."""
    if _is_for_rasterio(path):
        from smir.data.reading.geotiff import GeoTiffRaster

        raster = GeoTiffRaster(path)
        if decode:
            raster.look_through()
    else:
        from smir.data.reading.decoded_raster import check_picture

        check_picture(path, decode)


def _is_for_rasterio(path: Path) -> bool:
    """Returns whether an image is a TIFF that rasterio reads; see `open_raster` for the errors."""
    if path.exists() and not path.is_file():  # opening a pipe would wait for ever
        raise DataError(f"The image {path} is not a file but a folder, a pipe or a device. Remove it.")
    try:
        tiff = is_tiff(path)
    except OSError as error:
        raise DataError(f"The image {path} cannot be read: {error.strerror}.") from error
    if tiff and not has_rasterio() and _says_where_it_lies(path):
        raise ConfigError(
            f"{path} is georeferenced; reading it so that the prediction lies at the same place needs rasterio: "
            "pip install 'smir[geo]'. Or give --data.predict.view whole to see the image as a photograph."
        )
    return tiff and has_rasterio()


def _says_where_it_lies(path: Path) -> bool:
    try:
        with quiet(), Image.open(path, formats=("TIFF",)) as image:
            return is_georeferenced(image)
    except Image.DecompressionBombError:
        return True  # an orthomosaic, in all likelihood
    except Exception:  # the reader of pictures says what is wrong
        return False
