"""The PNGs of COCO's panoptic format, whose colours are ids of segments."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from smir.data.reading.decode import label_facts, read_image
from smir.errors import DataError, first_few
from smir.prepare.labels.matching import ImageNames
from smir.prepare.labels.shapes import Bools, Window

UNLABELLED = "void"
"""Category of the pixels with id 0, which belong to no segment."""


@dataclass(frozen=True)
class Segments:
    """The segments of one category in a PNG.

    Attributes:
        path: The PNG; an id is red + 256 green + 65,536 blue.
        ids: Ids of the segments.
        known: Ids of all segments of the image.
    """

    path: Path
    ids: frozenset[int]
    known: frozenset[int]

    def pixels(self, height: int, width: int) -> tuple[Window, Bools]:
        """Returns the pixels of the segments."""
        if label_facts(self.path).kind != "colors":
            raise ValueError(f"{self.path} is a grey or palette PNG, but segments are colours")
        stored = read_image(self.path).astype(np.int32) @ np.array([1, 1 << 8, 1 << 16], np.int32)
        if stored.shape != (height, width):
            raise ValueError(f"{self.path} has {stored.shape[1]} x {stored.shape[0]} pixels")
        if lone := ({*np.unique(stored).tolist()} ^ self.known) - {0}:
            raise ValueError(f"only one of {self.path} and segments_info has the segments {first_few(sorted(lone))}")
        return (slice(0, height), slice(0, width)), np.isin(stored, list(self.ids))


@dataclass(frozen=True)
class PanopticFiles:
    """Finds the PNGs of a JSON file.

    Attributes:
        json: The file.
        folder: The folder below which its PNGs lie.
    """

    json: Path
    folder: Path

    @cached_property
    def _names(self) -> ImageNames:
        pngs = (file for file in self.folder.rglob("*") if file.suffix.lower() == ".png" and file.is_file())
        return ImageNames((file.relative_to(self.folder).as_posix() for file in pngs), self.folder)

    def segments(self, name: object, categories: Mapping[int, Any], where: str) -> dict[Any, Segments]:
        """Returns the segments of an image by category; pixels of no segment have the category `UNLABELLED`.

        Args:
            name: Name of its PNG; of several, the one in a folder named like the JSON file is taken.
            categories: Category of each segment.
            where: The annotation, for messages.

        Raises:
            DataError: If there is no such PNG.
        """
        found = self._names.find(f"{self.json.stem}/{name}") if isinstance(name, str) else None
        if found is None:
            raise DataError(
                f"{self.json}: {where} is panoptic, so its shapes are in the PNG {name}, which is not below "
                f"{self.folder.absolute()}. Put the folder of the panoptic PNGs beside the JSON file."
            )
        known = frozenset(categories)
        of_category = {key: frozenset(i for i in known if categories[i] == key) for key in categories.values()}
        of_category[UNLABELLED] = frozenset([0])
        return {key: Segments(self.folder / found, ids, known) for key, ids in of_category.items()}
