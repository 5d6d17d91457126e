"""Where an orthomosaic has no data there is nothing to label. Needs rasterio, the extra `geo`."""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

import numpy as np
import rasterio
from rasterio.enums import MaskFlags
from rasterio.windows import Window

from smir.classes import VOID
from smir.data.reading.choice import is_tiff
from smir.data.reading.decode import read_label
from smir.data.reading.raster import Bool
from smir.errors import DataError
from smir.files.pictures import write_png
from smir.prepare.own.labels import FieldLabels
from smir.prepare.own.tiles import Tiles
from smir.terminal import progress, quiet


def without_no_data(labels: FieldLabels, folder: Path, tiles: Tiles, sources: Path) -> FieldLabels:
    """Marks as not labelled what alpha, mask or no-data value of a TIFF say is no data, as `predict` does.

    Args:
        labels: Labels of tiles.
        folder: Folder of their class-id PNGs, which are written anew.
        tiles: Where each tile lies.
        sources: Folder of the images that they were cut from.

    Returns:
        The labels of the tiles that still show a class.

    Raises:
        DataError: If a TIFF cannot be read.
    """
    of_image: dict[str, list[str]] = {}
    for name in labels.pixels:
        of_image.setdefault(tiles[name].image, []).append(name)
    pixels = dict(labels.pixels)
    for image, names in of_image.items():
        for name, valid in _valid(sources / image, {name: tiles[name].window for name in names}):
            path = folder / PurePosixPath(name).with_suffix(".png")
            label = np.where(valid, read_label(path), VOID).astype(np.uint8)
            pixels[name] = np.bincount(label.ravel(), minlength=256)
            write_png(path, label, sync=False)
    return dataclasses.replace(labels, pixels={name: count for name, count in pixels.items() if count[:VOID].any()})


def _valid(path: Path, windows: Mapping[str, tuple[slice, slice]]) -> Iterator[tuple[str, Bool]]:
    """Yields the tiles of a TIFF that lack data somewhere, and where they have it (h, w)."""
    if not is_tiff(path):
        return
    try:
        with quiet(rasterio.errors.NotGeoreferencedWarning):
            opened = rasterio.open(path)
        with opened as file:
            if all(flags == [MaskFlags.all_valid] for flags in file.mask_flag_enums):
                return
            for name, (rows, columns) in progress(windows.items(), f"No data of {path.name}", unit="tile"):
                valid = file.dataset_mask(window=Window.from_slices(rows, columns, file.height, file.width)) > 0
                if not valid.all():
                    yield name, valid
    except rasterio.errors.RasterioError as error:
        raise DataError(
            f"The image {path.absolute()} does not say where it has data: {error.__cause__ or error}. Copy it again."
        ) from error
