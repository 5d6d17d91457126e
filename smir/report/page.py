"""The report as one HTML page that needs nothing beside it."""

import html
from collections.abc import Iterator, Sequence
from pathlib import Path

from smir.errors import RunError
from smir.pages.markup import data_uri, escaped, plot
from smir.pages.style import frame
from smir.report.document import Figure, Picture, Section
from smir.report.tables import MISSING, Shown, Table

PICTURE_WIDTH = 960


def page(sections: Sequence[Section], summary: str) -> str:
    """Returns the whole report as a page.

    Args:
        sections: Its parts.
        summary: A sentence under the title: runs, datasets, folders.
    """
    links = "".join(f'<a href="#s{number}">{escaped(part.title)}</a>' for number, part in enumerate(sections))
    body = "\n".join(line for number, part in enumerate(sections) for line in _section(number, part))
    return frame("smir: results", escaped(summary), links, body)


def _section(number: int, section: Section) -> Iterator[str]:
    yield f'<section id="s{number}"><h2>{escaped(section.title)}</h2>'
    yield from (f"<p>{escaped(text)}</p>" for text in section.text)
    yield from (f'<p class="warning"><b>Warning.</b> {escaped(text)}</p>' for text in section.warnings)
    for table in section.tables:
        yield from _table(table)
    if section.figures:
        yield '<div class="figures">' + "".join(map(_figure, section.figures)) + "</div>"
    if section.pictures:
        yield '<div class="pictures">' + "".join(map(_picture, section.pictures)) + "</div>"
    for name, entries in section.lists.items():
        yield f"<details><summary>{escaped(name)}</summary><ul>"
        for text, commands in entries:
            code = "".join(f"<pre>{html.escape(command)}</pre>" for command in commands)
            yield f"<li>{escaped(text)}{code}</li>"
        yield "</ul></details>"
    yield "</section>"


def _table(table: Table) -> Iterator[str]:
    yield f'<h3>{escaped(table.title)}</h3><div class="scroll"><table><thead>'
    if any(column.group for column in table.columns):
        cells = (f'<th colspan="{span}" class="group">{escaped(name)}</th>' for name, span in table.groups)
        yield f"<tr>{''.join(cells)}</tr>"
    kinds = [column.kind for column in table.columns]
    heads = (f'<th class="{column.kind}">{escaped(column.head)}</th>' for column in table.columns)
    yield f"<tr>{''.join(heads)}</tr></thead><tbody>"
    for row in table.cells():
        yield "<tr>" + "".join(_cell(cell, kind) for cell, kind in zip(row, kinds, strict=True)) + "</tr>"
    yield f'</tbody></table></div><p class="note">{escaped(table.caption)}</p>'


def _cell(cell: Shown, kind: str) -> str:
    if cell.figure == MISSING:
        return f'<td class="{kind} missing">{MISSING}</td>'
    seeds = cell.seeds and f"{cell.seeds} seed" + ("" if cell.seeds == "1" or cell.seeds == "no common" else "s")
    basis = " ".join(part for part in (cell.interval, seeds) if part)
    small = f"<small>{escaped(basis)}</small>" if basis else ""
    return f'<td class="{kind}">{escaped(cell.figure)}{small}</td>'


def _figure(figure: Figure) -> str:
    return plot(figure.svg, figure.name, figure.caption)


def _picture(picture: Picture) -> str:
    caption = escaped(picture.caption)
    alt = html.escape(picture.caption)
    return f'<figure><img src="{_data(picture.path)}" alt="{alt}"><figcaption>{caption}</figcaption></figure>'


def _data(path: Path) -> str:
    """A picture as text; as JPEG, so that a page of them stays small.

    Raises:
        RunError: If it cannot be read.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            small = image.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # all that Pillow raises
        raise RunError(f"{path} is no picture that can be read: {error}. Move it away.") from error
    small.thumbnail((PICTURE_WIDTH, 10 * PICTURE_WIDTH))
    return data_uri(small)
