"""Images to check an exported network on: those that are given, or those of the run's own config."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from smir.data.reading.decode import list_images
from smir.errors import ConfigError, DataError, SmirError

COUNT = 8
"""Number of images that are looked at."""


def images_to_check(given: Sequence[Path], run: Path | None) -> list[Path]:
    """Chooses some images, the first and others spread over all that there are.

    Args:
        given: Image files, and folders of them; without any those of the run's test split are taken.
        run: The run folder of the checkpoint, if it lies in one.

    Raises:
        DataError: If there is none.
    """
    paths = [path for place in given for path in ([place] if place.is_file() else _below(place))] or _of_run(run)
    chosen = np.linspace(0, len(paths) - 1, min(COUNT, len(paths))).round().astype(int)
    return [paths[place] for place in chosen]


def _below(folder: Path) -> list[Path]:
    return [folder / name for name in list_images(folder)]


def _of_run(run: Path | None) -> list[Path]:
    if run is None or not (config := run / "config.yaml").is_file():
        where = "does not lie in a run folder" if run is None else f"has no config {run / 'config.yaml'}"
        raise DataError(
            f"ONNX and torch.export are checked on real images, and the checkpoint {where} that would name some. Give "
            "a few as they will be seen in use: --images FOLDER."
        )
    try:
        return _listed(config)
    except SmirError as error:
        raise DataError(
            f"The images of {config} cannot be read: {error} Give others to check on: --images FOLDER."
        ) from error


def _listed(config: Path) -> list[Path]:
    """The images of the test split of a config."""
    from smir.cli.parsing import DataParser
    from smir.cli.trust import PACKAGES, scan_file
    from smir.data import SmirDataModule

    scan_file(config, PACKAGES)
    parser = DataParser(exit_on_error=False)
    parser.add_argument("--config", action="config")
    parser.add_argument("--data", type=SmirDataModule, required=True)
    try:
        data = parser.instantiate(parser.parse_args([f"--config={config}"])).data
    except SmirError:
        raise
    except Exception as error:  # a parser that does not end the process raises what its readers raise
        raise ConfigError(str(error)) from error
    images = data.images("test")
    return [images.path(place) for place in range(len(images))]
