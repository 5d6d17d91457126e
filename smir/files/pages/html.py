"""HTML from templates, in which every value is escaped; and plots and pictures as parts of a page."""

import base64
import functools
import io
import re
from typing import Any

import jinja2
import numpy as np
import numpy.typing as npt
from markupsafe import Markup, escape
from PIL import Image


def render(package: str, template: str, **values: Any) -> str:
    """Fills in a template of the package's folder `templates`; values are escaped unless it is Markdown.

    The template may extend those of `smir.files.pages`.
    """
    return _environment(package).get_template(template).render(values)


@functools.cache
def _environment(package: str) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(package), jinja2.PackageLoader("smir.files.pages")]),
        autoescape=jinja2.select_autoescape(disabled_extensions=("md",), default=True),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"prose": prose, "inline": inline}
    return environment


def prose(words: str) -> Markup:
    """Escapes a text, marks text between backticks as code, and typesets minus signs."""
    signed = re.sub(r"(?<![\w-])-(?=\d|\s)", "\N{MINUS SIGN}", str(escape(words)))
    signed = signed.replace(" %", "&nbsp;%").replace("\N{MINUS SIGN} ", "\N{MINUS SIGN}&nbsp;")
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", signed))


def inline(svg: str) -> Markup:
    """Returns an SVG file as a part of a page."""
    return Markup(re.sub(r' xmlns="[^"]*"', "", svg, count=1))


def data_uri(image: Image.Image | npt.NDArray[np.uint8]) -> str:
    """Returns a picture as a data URI in JPEG, which keeps pages small."""
    data = io.BytesIO()
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    picture.save(data, format="JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"
