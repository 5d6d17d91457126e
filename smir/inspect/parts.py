"""What both pages of `inspect` are made of: galleries, sortable tables, colour scales, and the look of these."""

import html
import os
import urllib.parse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from smir.pages.markup import escaped
from smir.pages.panels import heat_map

ROWS = 500
"""Rows of a table on a page; a CSV has all."""


class Cell(NamedTuple):
    """A cell of a table.

    Attributes:
        shown: HTML.
        value: What it is sorted by; nothing where it is missing.
        shade: Red, green and blue, and a share between 0 and 1, of its background.
    """

    shown: str
    value: float | str | None
    shade: tuple[str, float] | None = None


class Links:
    """Links to the images: to where they stand on the page, else to their files.

    Args:
        out: Folder of the page.
        root: What the names of the images are relative to.
        shown: Places, in the list, of those that stand on the page.
    """

    def __init__(self, out: Path, root: Path, shown: Sequence[int]) -> None:
        self.out, self.root, self.shown = out, root, set(shown)

    def __call__(self, index: int, name: str) -> str:
        """Returns the name of an image as a link."""
        return f'<a href="#image-{index}">{html.escape(name)}</a>' if index in self.shown else self.file(name)

    def file(self, name: str, words: str = "") -> str:
        """Returns a link to the file of an image."""
        path = os.path.relpath(self.root / name, self.out)
        url = urllib.parse.quote(os.fsencode(path))
        return f'<a href="{html.escape(url)}">{html.escape(words or name)}</a>'


def table(heads: Sequence[tuple[str, str]], rows: Sequence[Sequence[Cell]], *, sortable: bool = True) -> str:
    """Returns a table.

    Args:
        heads: The heads of the columns, each with what is below it: `text` or `number`.
        rows: The cells; the first `ROWS` rows are shown.
        sortable: Whether a click on a head sorts by its column.
    """
    tag = '<button type="button">{}</button>' if sortable else "{}"
    head = "".join(f'<th class="{kind}">{tag.format(escaped(name))}</th>' for name, kind in heads)
    kinds = [kind for _, kind in heads]
    body = "\n".join(
        f"<tr>{''.join(_cell(cell, kind) for cell, kind in zip(row, kinds, strict=True))}</tr>" for row in rows[:ROWS]
    )
    more = f'<p class="note">The first {ROWS:,} of {len(rows):,}.</p>' if len(rows) > ROWS else ""
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{more}'


def _cell(cell: Cell, kind: str) -> str:
    if cell.value is None:
        return f'<td class="{kind} missing" data-v="">{cell.shown}</td>'
    style = f' style="--hue: {cell.shade[0]}; --share: {cell.shade[1]:.3f}"' if cell.shade else ""
    kind += " shade" if cell.shade else ""
    return f'<td class="{kind}" data-v="{html.escape(str(cell.value))}"{style}>{cell.shown}</td>'


def number(value: float, digits: int = 3) -> Cell:
    """Returns a figure as a cell; NaN is missing."""
    return Cell("missing", None) if value != value else Cell(f"{value:.{digits}f}", value)  # NaN differs from itself


def percent(value: float) -> Cell:
    """Returns a share as a cell, in percent; NaN is missing."""
    return Cell("missing", None) if value != value else Cell(f"{100 * value:.1f}", value)


def facts(entries: Mapping[str, str]) -> str:
    """Returns a few figures in large print, each over what it is."""
    cells = (f"<div><b>{escaped(figure)}</b><span>{escaped(what)}</span></div>" for what, figure in entries.items())
    return f'<div class="facts">{"".join(cells)}</div>'


def pictures(sources: Mapping[str, str], alt: str) -> str:
    """Returns pictures side by side with their captions; on a narrow screen they wrap."""
    figures = (
        f'<figure><img src="{source}" alt="{html.escape(f"{alt}: {caption}")}">'
        f"<figcaption>{escaped(caption)}</figcaption></figure>"
        for caption, source in sources.items()
    )
    return f'<div class="row">{"".join(figures)}</div>'


def tile(sources: Mapping[str, str], lines: Sequence[str]) -> str:
    """Returns small pictures side by side over lines of HTML."""
    images = "".join(f'<img src="{source}" alt="{html.escape(alt)}">' for alt, source in sources.items())
    return f'<div class="tile"><div>{images}</div>{"".join(f"<p>{line}</p>" for line in lines)}</div>'


def scale(low: float, high: float, words: str = "") -> str:
    """Returns the colours of a heat map with their numbers."""
    stops = heat_map(np.linspace(0, 1, 9)[None], 0, 1)[0].tolist()
    colors = ", ".join("#{:02x}{:02x}{:02x}".format(*color) for color in stops)
    return (
        f'<div class="scale"><span>{low:.2f}</span><i style="background: linear-gradient(90deg, {colors})"></i>'
        f"<span>{high:.2f}</span><span>{escaped(words)}</span></div>"
    )


def section(place: str, title: str, *parts: str) -> tuple[str, str]:
    """Returns the link to a section, and the section."""
    link = f'<a href="#{place}">{escaped(title)}</a>'
    return link, f'<section id="{place}"><h2>{escaped(title)}</h2>{"".join(parts)}</section>'


def left_out(skipped: Mapping[str, str]) -> str:
    """Returns what could not be used, with the reasons; nothing where there is nothing."""
    if not skipped:
        return ""
    entries = "".join(f"<li>{escaped(reason)}</li>" for _, reason in sorted(skipped.items()))
    count = "1 image was" if len(skipped) == 1 else f"{len(skipped)} images were"
    return (
        f'<div class="warning"><b>Warning.</b> {count} left out, because of errors.'
        f"<details><summary>Which and why</summary><ul>{entries}</ul></details></div>"
    )
