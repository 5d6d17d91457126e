"""Puts the measures of all images together: which are chosen, and the table of all."""

import dataclasses
from collections.abc import Collection, Iterator, Sequence

from smir.choose.coverage import Nearest, most, nearest, representatives
from smir.choose.measures import PATCH_LOSS, UNCERTAINTY, Measured
from smir.errors import DataError
from smir.files.pages.csv_text import MISSING, figure

OF_THE_UNCERTAIN = 5
"""With a segmentation, the choice is among this many times `count` images: those that it is least sure of."""
COLUMNS = ("image", "rank", "cluster", "distance", UNCERTAINTY, PATCH_LOSS, "labelled")


@dataclasses.dataclass(frozen=True)
class Choice:
    """A choice among measured images.

    Attributes:
        chosen: Places of the chosen images in the list of all, the best first.
        measured: All images that could be read.
        nearest: For each of them, its nearest image in the list of the chosen ones followed by the labelled ones.
    """

    chosen: list[int]
    measured: Measured
    nearest: Nearest


def choice(measured: Measured, labelled: Collection[int], count: int) -> Choice:
    """Chooses images without labels.

    Images with a high patch loss count more: a chosen image should be like them. With uncertainty, the choice is among
    the `OF_THE_UNCERTAIN` times `count` least certain images, which count by their uncertainty.

    Args:
        measured: All images.
        labelled: Places of those with labels, which count as chosen.
        count: Images to choose.

    Raises:
        DataError: If no image without a label could be read.
    """
    old = [row for row, place in enumerate(measured.places) if place in labelled]
    new = [row for row, place in enumerate(measured.places) if place not in labelled]
    if not new:
        raise DataError("No image without a label could be read, so there is nothing to choose.")
    values, features = measured.values, measured.features
    if measured.name == UNCERTAINTY:
        new = [new[place] for place in most(values[new], OF_THE_UNCERTAIN * count)]
    found = [new[place] for place in representatives(features[new], count, values[new], features[old])]
    chosen = [measured.places[row] for row in found]
    return Choice(chosen, measured, nearest(features, features[found + old]))


def rows(made: Choice, names: Sequence[str], labelled: Collection[int]) -> Iterator[Sequence[object]]:
    """Yields the table, chosen images first.

    `cluster` is the rank of the nearest chosen image; 0 if a labelled one is nearer.
    """
    yield COLUMNS
    ranks = {place: rank for rank, place in enumerate(made.chosen, 1)}
    order = sorted(enumerate(made.measured.places), key=lambda entry: (ranks.get(entry[1], len(names) + 1), entry[1]))
    for row, place in order:
        near = int(made.nearest.place[row]) + 1
        cluster = near if near <= len(made.chosen) else 0
        value = {made.measured.name: float(made.measured.values[row])}
        figures = [figure(value.get(name)) for name in (UNCERTAINTY, PATCH_LOSS)]
        rank, distance = ranks.get(place, MISSING), figure(float(made.nearest.distance[row]))
        yield names[place], rank, cluster, distance, *figures, "yes" if place in labelled else "no"
