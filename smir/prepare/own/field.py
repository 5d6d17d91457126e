"""The value that the stages of `prepare folder` hand on."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from smir.classes import VOID, UInt8
from smir.prepare.labels.matching import ImageNames
from smir.prepare.own.options import Options
from smir.prepare.own.stratification import Members

CONFIG = "data.yaml"
PREVIEW = "preview.png"
IMAGES, MASKS, NEW_MASKS, LABEL_TILES = "images", "masks", "new_masks", "label_tiles"
"""Folders of a field; the last two are there only while it is made."""

Sizes = Mapping[str, tuple[int, int]]
"""Height and width of images by name."""
Counts = dict[str, npt.NDArray[np.int64]]
"""Pixels of each class, and of void at 255, by image (256,)."""


@dataclass(frozen=True)
class Tile:
    """A part of an image.

    Attributes:
        image: Name of the image.
        row: Row in the grid of its tiles, from 0.
        column: Column in that grid.
        window: Rows and columns of its pixels.
        size: Height and width.
    """

    image: str
    row: int
    column: int
    window: tuple[slice, slice]
    size: tuple[int, int]


@dataclass(frozen=True)
class Labels:
    """Labels that belong to images.

    Attributes:
        title: Name of the format they came in.
        classes: Class names by id.
        images: Names of the images that they are for.
        draw: Makes the class ids and void (H, W) of such an image.
        notes: What the user should know about them.
        pixels: Pixels of each class of every labelled image; empty until they are drawn and cut.
    """

    title: str
    classes: list[str]
    images: list[str]
    draw: Callable[[str], UInt8]
    notes: list[str]
    pixels: Counts = dataclasses.field(default_factory=dict)

    def shown(self) -> dict[str, frozenset[int]]:
        """Classes that each image shows."""
        return {name: frozenset(counts[:VOID].nonzero()[0].tolist()) for name, counts in self.pixels.items()}


@dataclass(frozen=True)
class Field:
    """A dataset of someone's own images, as far as it is made; each stage returns a copy that holds more.

    Attributes:
        options: What the command was told.
        image_settings: What the images depend on; a field of other images is another field.
        label_settings: What masks and splits depend on; with other labels they are made anew. None without labels.
        record: What an earlier command made of the same images.
        sizes: Height and width of every image, as it is shown; after tiling, of every tile.
        tiles: Place of every image, if the field is cut into tiles; images smaller than a tile stay whole.
        source: How many images there are and how they were cut, for the report.
        labels: The labels: those of photographs from reading on, those of an orthomosaic when it is cut.
        members: Labelled images of each split, from splitting on.
        notes: What the user should know about the splits.
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
    notes: tuple[str, ...] = ()

    @property
    def root(self) -> Path:
        """Folder of the field."""
        return self.options.root

    @property
    def is_complete(self) -> bool:
        """Whether an earlier command has made all of it."""
        made = self.record is not None and self.label_settings in (None, self.record["labels"])
        return made and (self.root / CONFIG).is_file()

    @property
    def names(self) -> ImageNames:
        """The images, where they lie: photographs, or the tiles that were cut."""
        return ImageNames(self.sizes, self.root / IMAGES if self.tiles else self.options.images)

    def parts(self) -> dict[str, list[str]]:
        """The images of the field by what labels are drawn on: the tiles of a photograph, or the image itself."""
        return self.by_image(self.tiles) if self.options.cuts_photographs else {name: [name] for name in self.sizes}

    def by_image(self, tiles: Iterable[str]) -> dict[str, list[str]]:
        """Groups tiles by the image that they were cut from."""
        groups: dict[str, list[str]] = {}
        for name in tiles:
            groups.setdefault(self.tiles[name].image, []).append(name)
        return groups


def mask_path(folder: Path, image: str) -> Path:
    """The class-id PNG of an image in a folder of them."""
    return folder / PurePosixPath(image).with_suffix(".png")
