"""What a report consists of, before it is written as any format."""

import dataclasses
from pathlib import Path

from smir.report.tables import Table


@dataclasses.dataclass(frozen=True)
class Figure:
    """A plot.

    Attributes:
        name: File name without ending.
        caption: What it shows, with protocol and seeds.
        svg: The plot, a complete SVG file.
    """

    name: str
    caption: str
    svg: str


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture that a run has written.

    Attributes:
        path: The file.
        caption: What it shows.
    """

    path: Path
    caption: str


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of the report under one heading.

    Attributes:
        title: The heading.
        text: Paragraphs.
        warnings: What a reader must know before trusting the figures.
        tables: In their order.
        figures: In their order.
        pictures: In their order.
        lists: Lists of lines, each under a name; a line is a text and the commands that belong to it.
    """

    title: str
    text: list[str] = dataclasses.field(default_factory=list)
    warnings: list[str] = dataclasses.field(default_factory=list)
    tables: list[Table] = dataclasses.field(default_factory=list)
    figures: list[Figure] = dataclasses.field(default_factory=list)
    pictures: list[Picture] = dataclasses.field(default_factory=list)
    lists: dict[str, list[tuple[str, list[str]]]] = dataclasses.field(default_factory=dict)
