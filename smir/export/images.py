"""Chooses images to check an exported network on: the given ones, or the test split of a dataset."""

import itertools
from collections.abc import Sequence
from pathlib import Path

from smir.data import SmirDataModule
from smir.data.reading.image_files import list_images
from smir.errors import DataError, SmirError
from smir.files.pages.overlays import evenly

COUNT = 8


def images_to_check(given: Sequence[Path], data: SmirDataModule | None, run: Path | None) -> list[Path]:
    """Chooses some of the given images, or of the test split of the dataset, evenly spread over all.

    The message of an error names the `run` of the checkpoint, if it lies in one.

    Raises:
        DataError: If no image is found.
    """
    nested = [[place] if place.is_file() else [place / name for name in list_images(place)] for place in given]
    return evenly([*itertools.chain(*nested)] or _of_test_split(data, run), COUNT)


def _of_test_split(data: SmirDataModule | None, run: Path | None) -> list[Path]:
    if data is None:
        where = "does not lie in a run folder" if run is None else f"has no config {run / 'config.yaml'}"
        raise DataError(
            f"ONNX and torch.export are checked on real images, and the checkpoint {where} that would name some. Give "
            "a few that look like those of later use: --images FOLDER."
        )
    try:
        images = data.images("test")
    except SmirError as error:
        source = data.root if run is None else run / "config.yaml"
        raise DataError(
            f"The images of {source} cannot be read: {error} Give others to check on: --images FOLDER."
        ) from error
    return [images.path(place) for place in range(len(images))]
