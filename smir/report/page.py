"""The report as one HTML page that needs nothing beside it."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from smir.errors import RunError
from smir.pages.html import data_uri, render
from smir.report.document import Section

PICTURE_WIDTH = 960


def page(parts: Sequence[Section], summary: str) -> str:
    """Returns the whole report as a page.

    Args:
        parts: Its sections.
        summary: A sentence under the title: runs, datasets, folders.
    """
    sections = {f"s{number}": part.title for number, part in enumerate(parts)}
    values = {"title": "smir: results", "summary": summary, "sections": sections, "parts": parts}
    return render("smir.report", "report.html", **values, picture_uri=_picture_uri)


def _picture_uri(path: Path) -> str:
    """A picture as text; as JPEG, so that a page of them stays small.

    Raises:
        RunError: If it cannot be read.
    """
    try:
        with Image.open(path) as image:
            small = image.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # all that Pillow raises
        raise RunError(f"{path} is no picture that can be read: {error}. Move it away.") from error
    small.thumbnail((PICTURE_WIDTH, 10 * PICTURE_WIDTH))
    return data_uri(small)
