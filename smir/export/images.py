"""Images to check an exported network on: those that are given, or the test split of a dataset."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from smir.data import SmirDataModule
from smir.data.reading.decode import list_images
from smir.errors import DataError, SmirError

COUNT = 8
"""Number of images that are looked at."""


def images_to_check(given: Sequence[Path], data: SmirDataModule | None, run: Path | None) -> list[Path]:
    """Chooses some images, the first and others spread over all that there are.

    Args:
        given: Image files, and folders of them; without any those of the test split are taken.
        data: The dataset with the test split, if there is one.
        run: The run folder of the checkpoint, if it lies in one.

    Raises:
        DataError: If there is none.
    """
    paths = [path for place in given for path in ([place] if place.is_file() else _below(place))] or _of_test_split(
        data, run
    )
    chosen = np.linspace(0, len(paths) - 1, min(COUNT, len(paths))).round().astype(int)
    return [paths[place] for place in chosen]


def _below(folder: Path) -> list[Path]:
    return [folder / name for name in list_images(folder)]


def _of_test_split(data: SmirDataModule | None, run: Path | None) -> list[Path]:
    if data is None:
        where = "does not lie in a run folder" if run is None else f"has no config {run / 'config.yaml'}"
        raise DataError(
            f"ONNX and torch.export are checked on real images, and the checkpoint {where} that would name some. Give "
            "a few as they will be seen in use: --images FOLDER."
        )
    try:
        images = data.images("test")
    except SmirError as error:
        source = data.root if run is None else run / "config.yaml"
        raise DataError(
            f"The images of {source} cannot be read: {error} Give others to check on: --images FOLDER."
        ) from error
    return [images.path(place) for place in range(len(images))]
