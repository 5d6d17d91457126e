"""Texts, plots and pictures as HTML."""

import base64
import html
import io
import re

import numpy as np
import numpy.typing as npt
from PIL import Image


def escaped(words: str) -> str:
    """Escapes a text; what stands between backticks is code, and a minus before a number gets its own sign."""
    signed = re.sub(r"(?<![\w-])-(?=\d|\s)", "\N{MINUS SIGN}", html.escape(words))
    signed = signed.replace(" %", "&nbsp;%").replace("\N{MINUS SIGN} ", "\N{MINUS SIGN}&nbsp;")
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", signed)


def plot(svg: str, name: str, caption: str) -> str:
    """Returns a plot as a figure.

    Args:
        svg: The plot, a complete SVG file.
        name: What no other plot on the page is called.
        caption: What it shows.
    """
    inline = svg[svg.index("<svg") :]
    inline = re.sub(r' xmlns(:xlink)?="[^"]*"', "", inline)
    inline = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", inline)
    inline = inline.replace("<svg", f'<svg role="img" aria-label="{html.escape(caption)}"', 1)
    return f"<figure>{inline}<figcaption>{escaped(caption)}</figcaption></figure>"


def data_uri(image: Image.Image | npt.NDArray[np.uint8]) -> str:
    """Returns a picture as a data URI; as JPEG, so that a page of many stays small."""
    data = io.BytesIO()
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    picture.save(data, format="JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"
