"""Shapes drawn in an annotation tool, whichever it was, and how they become a label image."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from smir.classes import UInt8
from smir.errors import DataError
from smir.prepare.labels.classes import ClassTable
from smir.prepare.labels.shapes import Shape


@dataclass(frozen=True)
class Drawn:
    """A shape that was given a category.

    Attributes:
        category: Its name.
        shape: Its area.
        where: Its place in the file, for messages.
    """

    category: str
    shape: Shape
    where: str


@dataclass(frozen=True)
class Annotated:
    """What a file says about one image.

    Attributes:
        image: The image as the file names it.
        size: Height and width that the shapes are for; None where the file does not say.
        shapes: The shapes; later ones lie on top.
        source: The file.
    """

    image: str
    size: tuple[int, int] | None
    shapes: list[Drawn]
    source: Path


@dataclass
class Annotations:
    """All that was read of a set of annotation files.

    Attributes:
        title: Name of the format.
        images: What is said about each image.
        declared: Categories that the files declare, in their order, also those without a shape.
        left_out: Number of shapes without an area, by kind.
    """

    title: str
    images: list[Annotated] = field(default_factory=list)
    declared: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    def add(self, other: "Annotations") -> None:
        """Takes in what another file of the same format holds."""
        self.images += other.images
        self.declared += [name for name in other.declared if name not in self.declared]
        self.left_out += other.left_out

    def kinds_left_out(self) -> str:
        """Names the kinds of shapes without an area, with their numbers."""
        return ", ".join(f"{count} {kind}" for kind, count in sorted(self.left_out.items()))

    def used(self) -> Counter[str]:
        """Number of shapes of each category that has any."""
        return Counter(drawn.category for image in self.images for drawn in image.shapes)


def draw(annotated: Annotated, size: tuple[int, int], table: ClassTable) -> UInt8:
    """Draws the shapes of an image.

    Args:
        annotated: The shapes.
        size: Height and width of the image.
        table: The classes.

    Returns:
        Class ids (H, W); what no shape covers is background.

    Raises:
        DataError: If a shape cannot be one of this image.
    """
    label = np.full(size, table.background, dtype=np.uint8)
    for drawn in annotated.shapes:
        try:
            window, inside = drawn.shape.pixels(*size)
        except ValueError as error:
            height, width = size
            raise DataError(
                f"{annotated.source}: {drawn.where} ({drawn.category}) does not fit its image {annotated.image} of "
                f"{width} x {height} pixels: {error}. Was it drawn on another version of the image? Correct or delete "
                "it in the annotation tool and export again."
            ) from error
        label[window][inside] = table.ids[drawn.category]
    return label
