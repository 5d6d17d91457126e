"""The options of `python -m smir prepare folder`, and their checks."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from smir.data.reading.image_files import ARCHIVES, IMAGE_SUFFIXES
from smir.data.reading.lists import SPLITS
from smir.errors import ConfigError, DataError, first_few
from smir.prepare.labels.matching import Pair
from smir.prepare.labels.vectors import SUFFIXES
from smir.prepare.own.geotiff import check_same_place
from smir.prepare.own.split_lists import files_of_splits
from smir.prepare.own.stratification import TEST_ALONE
from smir.prepare.records import has_record

RECORD = "prepared.json"
MAP_TILE = 512
"""Default side of the tiles of an orthomosaic."""


@dataclass(frozen=True)
class Options:
    """The options of the command; see `smir.prepare.command.folder`."""

    images: Path
    labels: Path | None
    classes: list[str] | None
    root: Path
    tile: int | None
    min_valid: float
    shares: tuple[float, float, float]
    splits: Path | None
    empty: Literal["unlabelled", "background"]
    seed: int
    bands: str | None = None
    value_range: str | None = None
    pair: str | None = None

    @property
    def names_of_pairs(self) -> Pair | None:
        """The difference between names of images and labels, if `--pair` gives one."""
        return None if self.pair is None else Pair(self.pair)

    @property
    def tests_alone(self) -> bool:
        """True if the images are only for testing."""
        return tuple(self.shares) == TEST_ALONE

    @property
    def is_map(self) -> bool:
        """True if the images are one orthomosaic file."""
        return self.images.is_file()

    @property
    def cuts_photographs(self) -> bool:
        """True if each photograph is cut into tiles."""
        return bool(self.side) and not self.is_map

    @property
    def has_label_map(self) -> bool:
        """True if the labels are one label image of an orthomosaic."""
        labels = self.labels
        return self.is_map and labels is not None and labels.is_file() and labels.suffix.lower() in IMAGE_SUFFIXES

    @property
    def has_vectors(self) -> bool:
        """True if the labels are polygons of a GIS over an orthomosaic."""
        labels = self.labels
        return self.is_map and labels is not None and labels.is_file() and labels.suffix.lower() in SUFFIXES

    @property
    def side(self) -> int:
        """Side of the tiles in pixels; 0 if images stay whole."""
        return self.tile if self.tile is not None else MAP_TILE if self.is_map else 0


def check(options: Options) -> None:
    """Checks the options before anything is read.

    Raises:
        ConfigError: If options contradict each other.
        DataError: If a file is missing, or the root holds other files.
    """
    images, root = options.images.resolve(), options.root.resolve()
    if not images.exists():
        raise DataError(f"There is no folder or file {options.images.absolute()} with images.")
    for option, path in (("labels", options.labels), ("splits", options.splits)):
        if path is not None and not path.exists():
            raise DataError(f"There is no file or folder {path.absolute()}, which --{option} names.")
    _check_splits(options)
    if not 0 <= options.min_valid <= 1:
        raise ConfigError(f"--min_valid is a share of pixels, from 0 to 1; got {options.min_valid:g}.")
    if options.names_of_pairs is not None and (options.labels is None or options.is_map):
        raise ConfigError("--pair is for a folder of --images and its --labels.")
    label, image = options.labels, options.images
    if label is not None and label.is_file() and image.is_file():
        check_same_place(label, image)
    if options.is_map and options.images.suffix.lower() in ARCHIVES:
        raise ConfigError(f"--images {options.images} is an archive. Unpack it, and give the folder.")
    if options.is_map and options.images.suffix.lower() not in IMAGE_SUFFIXES:
        raise ConfigError(
            f"--images is a folder of images, or an orthomosaic as TIFF or PNG; got {options.images}. Convert another "
            f"raster first: {shlex.join(['gdal_translate', str(options.images), f'{options.images.stem}.tif'])}"
        )
    if root.is_relative_to(images) or images.is_relative_to(root):
        raise ConfigError(
            f"--root {options.root} and --images {options.images} overlap. The images stay in place; give a folder "
            "beside them."
        )
    if options.tile is not None and options.tile < 1:
        raise ConfigError(f"--tile is the side of tiles in pixels, 1 or more; got {options.tile}.")
    if label is not None and label.is_dir() and root.is_relative_to(label.resolve()):
        raise ConfigError(
            f"--root {options.root} lies in the folder of the labels, {label}, and would be read as labels. Give a "
            "folder beside it."
        )
    there = sorted(entry.name for entry in root.iterdir()) if root.is_dir() else []
    if there and not has_record(root / RECORD):
        raise DataError(
            f"{root} holds files that this command did not write: {first_few(there)}. Give a new folder as --root."
        )


def _check_splits(options: Options) -> None:
    if options.tests_alone and (options.splits is not None or options.labels is None):
        raise ConfigError(
            "--shares '[0, 0, 1]' makes all labelled images test images: give --labels, and no --splits with it."
        )
    if options.splits is None:
        return
    missing = [f"{split}.txt" for split in SPLITS if not (options.splits / f"{split}.txt").is_file()]
    if not options.splits.is_dir() or not files_of_splits(options.splits):
        raise DataError(
            f"--splits {options.splits.absolute()} needs train.txt, val.txt and test.txt, or folders train, val and "
            f"test of images; there is no {' and no '.join(missing)}. To test on all labelled images, leave --splits "
            "out and give --shares '[0, 0, 1]'."
        )
