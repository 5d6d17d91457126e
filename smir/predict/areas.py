"""The area of every class in an image: pixels, and square metres if the image is georeferenced."""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from smir.classes import Classes, UInt8
from smir.files.pages.csv_text import csv_text

HEADER = ("image", "class", "id", "pixels", "share", "square_metres", "regions")


@dataclasses.dataclass
class Areas:
    """Counts of the classes of an image.

    Attributes:
        image: Name of the image.
        pixels: Pixels of every class (C,).
        regions: Connected regions of every class (C,).
        square_metres: Area of every class (C,); None if it is not known.
    """

    image: str
    pixels: npt.NDArray[np.int64]
    regions: npt.NDArray[np.int64]
    square_metres: npt.NDArray[np.float64] | None = None

    @classmethod
    def none_yet(cls, image: str, num_classes: int, on_ground: bool = False) -> "Areas":
        """Starts counting at 0."""
        pixels, regions = np.zeros((2, num_classes), np.int64)
        return cls(image, pixels, regions, np.zeros(num_classes) if on_ground else None)

    def add(self, labels: UInt8, pixel_areas: npt.NDArray[np.float64] | None = None, cell: int = 1) -> None:
        """Counts class ids, but not void, in labels (h, w).

        `pixel_areas` are the square metres of a pixel in each cell (ceil(h / cell), ceil(w / cell)); a cell has a side
        of `cell` pixels.
        """
        count = len(self.pixels)
        self.pixels += np.bincount(labels.ravel(), minlength=count)[:count]
        if pixel_areas is None or self.square_metres is None:
            return
        rows, columns = (np.arange(side) // cell for side in labels.shape)
        place = rows[:, None] * pixel_areas.shape[1] + columns
        class_or_void = np.minimum(labels, count)  # void comes last
        pairs = np.bincount((place * (count + 1) + class_or_void).ravel(), minlength=pixel_areas.size * (count + 1))
        self.square_metres += pixel_areas.ravel() @ pairs.reshape(-1, count + 1)[:, :count]

    def rows(self, classes: Classes) -> list[tuple[str, str, str, str, str, str, str]]:
        """Returns a row of `HEADER` for every class."""
        total = max(1, int(self.pixels.sum()))
        shares = [f"{pixels / total:.6f}" for pixels in self.pixels]
        ground = [""] * len(shares) if self.square_metres is None else [f"{area:.3f}" for area in self.square_metres]
        columns = map(str, range(len(shares))), map(str, self.pixels), shares, ground, map(str, self.regions)
        return [(self.image, *row) for row in zip(classes.names, *columns, strict=True)]


def total(areas: Sequence[Areas], name: str) -> Areas:
    """Sums over images; square metres are known if they are for all."""
    ground = [area.square_metres for area in areas if area.square_metres is not None]
    return Areas(
        name,
        np.sum([area.pixels for area in areas], axis=0),
        np.sum([area.regions for area in areas], axis=0),
        np.sum(ground, axis=0) if len(ground) == len(areas) else None,
    )


def areas_csv(areas: Iterable[Areas], classes: Classes) -> str:
    """Returns the content of `areas.csv`."""
    return csv_text([HEADER, *(row for area in areas for row in area.rows(classes))])
