"""The value that the stages of `prepare folder` pass on."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from smir.classes import VOID, Color, UInt8
from smir.data.reading.band_choice import BandChoice
from smir.prepare.labels.matching import ImageNames
from smir.prepare.own.options import Options
from smir.prepare.own.stratification import Members

CONFIG = "data.yaml"
PREVIEW = "preview.png"
LEFT_OUT = "left_out.txt"
IMAGES, MASKS, NEW_MASKS, LABEL_TILES = "images", "masks", "new_masks", "label_tiles"
"""Folders of a field; the last two exist only while it is made."""

Sizes = Mapping[str, tuple[int, int]]
"""Height and width of images by name."""
Counts = dict[str, npt.NDArray[np.int64]]
"""Pixels of each class, and of void at 255, by image (256,)."""


@dataclass(frozen=True)
class Tile:
    """A part of an image: its place in the grid of tiles, its rows and columns of pixels, and its height and width."""

    image: str
    row: int
    column: int
    window: tuple[slice, slice]
    size: tuple[int, int]


@dataclass(frozen=True)
class Labels:
    """Labels that belong to images.

    Attributes:
        title: Name of their format.
        classes: Class names by id.
        images: Names of the images that they are for.
        draw: Returns the class ids and void (H, W) of such an image.
        notes: Notes for the report.
        colors: Colours of classes by name, where the labels give some.
        pixels: Pixels of each class of every labelled image; empty until the labels are drawn and cut.
    """

    title: str
    classes: list[str]
    images: list[str]
    draw: Callable[[str], UInt8]
    notes: list[str]
    colors: Mapping[str, Color] = dataclasses.field(default_factory=dict)
    pixels: Counts = dataclasses.field(default_factory=dict)

    def shown(self) -> dict[str, frozenset[int]]:
        """Returns the classes that each image shows."""
        return {name: frozenset(counts[:VOID].nonzero()[0].tolist()) for name, counts in self.pixels.items()}


@dataclass(frozen=True)
class Field:
    """A dataset of a user's own images while it is made; each stage returns a more complete copy.

    Attributes:
        options: Options of the command.
        image_settings: Settings of the images; other images need another field.
        label_settings: Settings of masks and splits, which are made again when these change. None without labels.
        record: Record of an earlier command for the same images.
        sizes: Height and width of every image, as displayed; after tiling, of every tile.
        tiles: Every tile, if the source was tiled; images smaller than a tile stay whole.
        source: Number of images and how they were cut, for the report.
        labels: The labels: of photographs after reading, of an orthomosaic after tiling.
        members: Labelled images of each split, after splitting.
        left_out: Images that pretraining must not see: unlabelled copies and versions of val and test images.
        notes: Notes about bands and splits, for the report.
        bands: Bands of the images that are used, if they are chosen.
    """

    options: Options
    image_settings: Mapping[str, Any]
    label_settings: Mapping[str, Any] | None
    record: Mapping[str, Any] | None
    sizes: Sizes = dataclasses.field(default_factory=dict)
    tiles: Mapping[str, Tile] = dataclasses.field(default_factory=dict)
    source: str = ""
    labels: Labels | None = None
    members: Members = dataclasses.field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    bands: BandChoice | None = None

    @property
    def root(self) -> Path:
        """The folder of the field."""
        return self.options.root

    @property
    def only_links(self) -> bool:
        """True if its images are links to the photographs, and not copies or tiles."""
        return self.bands is None and not (self.options.is_map or self.options.cuts_photographs)

    @property
    def pictures(self) -> Path:
        """Folder to read images from: of linked photographs, their own, so that errors name them."""
        return self.options.images if self.only_links else self.root / IMAGES

    @property
    def is_complete(self) -> bool:
        """True if an earlier command has finished it."""
        made = self.record is not None and self.label_settings in (None, self.record["labels"])
        return made and (self.root / CONFIG).is_file()

    @functools.cached_property  # every Labelme file asks
    def names(self) -> ImageNames:
        """Image paths, or tile paths if the source was tiled."""
        return ImageNames(self.sizes, self.root / IMAGES if self.tiles else self.options.images)

    def parts(self) -> dict[str, list[str]]:
        """Returns, for every image that labels refer to, its tiles, or the image itself."""
        return self.by_image(self.tiles) if self.options.cuts_photographs else {name: [name] for name in self.sizes}

    def by_image(self, tiles: Iterable[str]) -> dict[str, list[str]]:
        """Groups tiles by the image that they were cut from."""
        groups: dict[str, list[str]] = {}
        for name in tiles:
            groups.setdefault(self.tiles[name].image if name in self.tiles else name, []).append(name)
        return groups


def mask_path(folder: Path, image: str) -> Path:
    """Returns the path of an image's class-id PNG."""
    return folder / PurePosixPath(image).with_suffix(".png")
