"""The report as one HTML page that needs nothing beside it."""

import base64
import html
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from smir.errors import RunError
from smir.report.document import Figure, Picture, Section
from smir.report.style import PAGE
from smir.report.tables import MISSING, Shown, Table

PICTURE_WIDTH = 960


def page(sections: Sequence[Section], summary: str) -> str:
    """Returns the whole report as a page.

    Args:
        sections: Its parts.
        summary: A sentence under the title: runs, datasets, folders.
    """
    links = "".join(f'<a href="#s{number}">{_text(part.title)}</a>' for number, part in enumerate(sections))
    body = "\n".join(line for number, part in enumerate(sections) for line in _section(number, part))
    return PAGE.replace("SUMMARY", _text(summary)).replace("LINKS", links).replace("BODY", body)


def _text(text: str) -> str:
    """Escapes a text; what stands between backticks is code, and a minus before a number gets its own sign."""
    escaped = re.sub(r"(?<![\w-])-(?=\d|\s)", "−", html.escape(text))  # noqa: RUF001  # the sign is meant
    escaped = escaped.replace(" %", "&nbsp;%").replace("− ", "−&nbsp;")  # noqa: RUF001  # the sign is meant
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped)


def _section(number: int, section: Section) -> Iterator[str]:
    yield f'<section id="s{number}"><h2>{_text(section.title)}</h2>'
    yield from (f"<p>{_text(text)}</p>" for text in section.text)
    yield from (f'<p class="warning"><b>Warning.</b> {_text(text)}</p>' for text in section.warnings)
    for table in section.tables:
        yield from _table(table)
    if section.figures:
        yield '<div class="figures">' + "".join(map(_figure, section.figures)) + "</div>"
    if section.pictures:
        yield '<div class="pictures">' + "".join(map(_picture, section.pictures)) + "</div>"
    for name, entries in section.lists.items():
        yield f"<details><summary>{_text(name)}</summary><ul>"
        for text, commands in entries:
            code = "".join(f"<pre>{html.escape(command)}</pre>" for command in commands)
            yield f"<li>{_text(text)}{code}</li>"
        yield "</ul></details>"
    yield "</section>"


def _table(table: Table) -> Iterator[str]:
    yield f'<h3>{_text(table.title)}</h3><div class="scroll"><table><thead>'
    if any(column.group for column in table.columns):
        cells = (f'<th colspan="{span}" class="group">{_text(name)}</th>' for name, span in table.groups)
        yield f"<tr>{''.join(cells)}</tr>"
    kinds = [column.kind for column in table.columns]
    heads = (f'<th class="{column.kind}">{_text(column.head)}</th>' for column in table.columns)
    yield f"<tr>{''.join(heads)}</tr></thead><tbody>"
    for row in table.cells():
        yield "<tr>" + "".join(_cell(cell, kind) for cell, kind in zip(row, kinds, strict=True)) + "</tr>"
    yield f'</tbody></table></div><p class="note">{_text(table.caption)}</p>'


def _cell(cell: Shown, kind: str) -> str:
    if cell.figure == MISSING:
        return f'<td class="{kind} missing">{MISSING}</td>'
    seeds = cell.seeds and f"{cell.seeds} seed" + ("" if cell.seeds == "1" or cell.seeds == "no common" else "s")
    basis = " ".join(part for part in (cell.interval, seeds) if part)
    small = f"<small>{_text(basis)}</small>" if basis else ""
    return f'<td class="{kind}">{_text(cell.figure)}{small}</td>'


def _figure(figure: Figure) -> str:
    """A plot, with names that no other plot on the page has."""
    svg = figure.svg[figure.svg.index("<svg") :]
    svg = re.sub(r' xmlns(:xlink)?="[^"]*"', "", svg)
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{figure.name}-", svg)
    svg = svg.replace("<svg", f'<svg role="img" aria-label="{html.escape(figure.caption)}"', 1)
    return f"<figure>{svg}<figcaption>{_text(figure.caption)}</figcaption></figure>"


def _picture(picture: Picture) -> str:
    caption = _text(picture.caption)
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
    data = io.BytesIO()
    small.save(data, format="JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"
