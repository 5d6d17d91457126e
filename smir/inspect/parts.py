"""Cells and links of the pages of `inspect`, which `templates/parts.html` renders."""

import math
import os
import urllib.parse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from smir.classes import Classes
from smir.files.names import relative
from smir.files.pages.overlays import heat_map


class Cell(NamedTuple):
    """A cell of a table.

    Attributes:
        shown: Its text.
        value: Its sort key; None if missing.
        shade: Red, green and blue, and a share between 0 and 1, of its background.
        link: Target of its link.
        color: Colour of the class that it names.
    """

    shown: str
    value: float | str | None
    shade: tuple[str, float] | None = None
    link: str = ""
    color: Sequence[int] = ()


class Links:
    """Links to images: to their place on the page if they are shown, else to their files below `root`."""

    def __init__(self, out: Path, root: Path, shown: Sequence[int]) -> None:
        self.out, self.root, self.shown = out, root, set(shown)

    def place(self, index: int, name: str) -> str:
        """Returns the link to an image."""
        return f"#image-{index}" if index in self.shown else self.file(name)

    def file(self, name: str) -> str:
        """Returns the URL of the file of an image."""
        return urllib.parse.quote(os.fsencode(relative(self.root / name, self.out)))

    def cell(self, index: int, name: str) -> Cell:
        """Returns the name of an image as a cell that links to it."""
        return Cell(name, name, link=self.place(index, name))


def number(value: float) -> Cell:
    """Returns a figure as a cell; NaN is missing."""
    return Cell(f"{value:.3f}", None if math.isnan(value) else value)


def percent(value: float) -> Cell:
    """Returns a share as a cell, in percent; NaN is missing."""
    return Cell(f"{100 * value:.1f}", None if math.isnan(value) else value)


def class_cell(classes: Classes, place: int) -> Cell:
    """Returns the name of a class as a cell with its colour."""
    return Cell(classes.names[place], classes.names[place], color=classes.colors[place])


def heat_colors() -> list[str]:
    """The colours of a heat map from its lowest to its highest value, for a scale."""
    stops = heat_map(np.linspace(0, 1, 9)[None], 0, 1)[0].tolist()
    return ["#{:02x}{:02x}{:02x}".format(*color) for color in stops]
