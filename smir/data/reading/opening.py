"""Decides whether an image is read in windows, and opens it for that, by its content."""

import contextlib
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from smir.data.predict_options import VIEW
from smir.data.reading.band_choice import BandChoice
from smir.data.reading.decode import image_size, read_image
from smir.data.reading.raster import ArrayRaster, Raster
from smir.data.reading.safe_open import FORMATS, MAX_ASPECT, MAX_PIXELS
from smir.data.reading.tiff import Tiff, has_rasterio, is_georeferenced, is_lab
from smir.errors import ConfigError, DataError
from smir.files.pictures import is_bmp, is_tiff
from smir.terminal import quiet

MUCH_LARGER = 4
"""An image is much larger if its shortest side is this many times that of the training images."""


class Choice(NamedTuple):
    """Tells the images that are read in windows from those that are seen whole, see `PredictOptions.view`.

    Attributes:
        view: The option.
        trained_side: Usual shortest side of the training images in pixels, if it is known.
        bands: Chosen bands; a TIFF is then read in windows.
    """

    view: VIEW
    trained_side: int | None
    bands: BandChoice | None = None

    def in_windows(self, path: Path) -> bool:
        """Returns whether an image is read in windows.

        A TIFF with an unreadable header counts as read in windows; opening it then gives the reason. Any other such
        file counts as seen whole, with the same effect.
        """
        if self.view == "windows":
            return True
        if not path.is_file():  # opening a pipe would wait for ever
            return False
        if self.bands is not None and is_tiff(path):
            return True
        if self.view == "whole":
            return False
        try:
            short, long = sorted(_size(path))
        except Image.DecompressionBombError:
            return True
        except Exception:  # the parsers of headers raise all kinds of errors on damaged files
            with contextlib.suppress(OSError):
                return is_tiff(path)
            return False
        much_larger = self.trained_side is not None and short >= MUCH_LARGER * self.trained_side
        return is_georeferenced(path) or much_larger or long > MAX_ASPECT * short or short * long > MAX_PIXELS

    def times_larger(self, path: Path) -> float:
        """Returns how many times as large as the training images an image is, if it is read in windows for that.

        It is 0 otherwise, and for georeferenced images, which are known to be maps.
        """
        if self.view != "auto" or self.trained_side is None or is_georeferenced(path):
            return 0
        try:
            times = min(_size(path)) / self.trained_side
        except Image.DecompressionBombError:  # no photograph is that large
            return 0
        return times if times >= MUCH_LARGER else 0


def _size(path: Path) -> tuple[int, int]:
    if is_tiff(path) and has_rasterio():
        tiff = Tiff(path)
        return tiff.height, tiff.width
    with quiet(), Image.open(path, formats=FORMATS) as image:
        width, height = image.size
        return height, width


def open_raster(path: Path, folder: Path, progress: bool = True, bands: BandChoice | None = None) -> Raster:
    """Opens an image.

    Args:
        path: The file.
        folder: Folder to which images other than TIFFs are decoded while they are needed.
        progress: Show a progress bar.
        bands: Bands of a TIFF to read; default: those of its colours.

    Raises:
        DataError: If it cannot be read.
        ConfigError: If it is georeferenced and the extra that keeps that is not installed.
    """
    if not _is_tiff(path) and not is_bmp(path):
        from smir.data.reading.decoded_raster import DecodedRaster

        return DecodedRaster(path, folder, progress)
    return tiff_raster(path, bands)


def tiff_raster(path: Path, bands: BandChoice | None = None) -> Raster:
    """Opens a TIFF to read it in place; a BMP, a TIFF in Lab, and any TIFF without rasterio are decoded to memory."""
    if not _in_place(path, bands):
        if bands is not None and not has_rasterio():
            raise ConfigError("Choosing bands needs rasterio: pip install 'smir[geo]'.")
        return ArrayRaster(read_image(path))
    from smir.data.reading.geotiff import GeoTiffRaster

    return GeoTiffRaster(path, bands)


def _in_place(path: Path, bands: BandChoice | None) -> bool:
    return has_rasterio() and not is_bmp(path) and (bands is not None or not is_lab(path))


def check_readable(path: Path, decode: bool, bands: BandChoice | None = None) -> None:
    """Refuses what `open_raster` refuses: by the header alone, or with `decode` after decoding the image to its end."""
    if not _is_tiff(path) and not is_bmp(path):
        from smir.data.reading.decoded_raster import check_picture

        check_picture(path, decode)
    elif not _in_place(path, bands):
        (read_image if decode else image_size)(path)
    else:
        from smir.data.reading.geotiff import GeoTiffRaster

        raster = GeoTiffRaster(path, bands)
        if decode:
            raster.look_through()


def _is_tiff(path: Path) -> bool:
    """Returns whether an image is a TIFF; see `open_raster` for the errors."""
    if path.exists() and not path.is_file():  # opening a pipe would wait for ever
        raise DataError(f"The image {path} is not a file but a folder, a pipe or a device. Remove it.")
    try:
        tiff = is_tiff(path)
    except OSError as error:
        raise DataError(f"The image {path} cannot be read: {error.strerror}.") from error
    if tiff and not has_rasterio() and is_georeferenced(path):
        raise ConfigError(
            f"{path} is georeferenced; reading it so that the prediction lies at the same place needs rasterio: "
            "pip install 'smir[geo]'. Or give --data.predict.view whole to see the image as a photograph."
        )
    return tiff
