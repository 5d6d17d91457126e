"""Writes the XML that CVAT imports as "CVAT for images 1.1": polygons, or masks where a region has holes."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from smir.classes import VOID, Classes
from smir.files.atomic import replacing
from smir.predict.polygons.kept import VOID_NAME, ImageRegions, Outlined
from smir.predict.polygons.outlines import runs

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_cvat(path: Path, images: Sequence[ImageRegions], classes: Classes, background: int | None) -> None:
    """Writes a file, region by region; each has its confidence as an attribute."""
    names = [name for number, name in enumerate(classes.names) if number != background]
    colors = [color for number, color in enumerate(classes.colors) if number != background]
    with replacing(path) as file:
        file.write(b'<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n')
        file.write(b"<meta><task><labels>\n")
        for name, color in zip([*names, VOID_NAME], [*colors, (VOID,) * 3], strict=True):
            hexadecimal = "#{:02x}{:02x}{:02x}".format(*color)
            text = escape(_storable(name), {"\r": "&#13;"})
            attribute = "<name>confidence</name><mutable>False</mutable><input_type>text</input_type>"
            attribute = f"<attributes><attribute>{attribute}</attribute></attributes>"
            file.write(f"<label><name>{text}</name><color>{hexadecimal}</color>{attribute}</label>\n".encode())
        file.write(b"</labels></task></meta>\n")
        for number, image in enumerate(images):
            size = f'width="{image.width}" height="{image.height}"'
            file.write(f'<image id="{number}" name={_quoted(image.image)} {size}>\n'.encode())
            file.writelines(line.encode() for line in _shapes(image, classes))
            file.write(b"</image>\n")
        file.write(b"</annotations>\n")


def _shapes(image: ImageRegions, classes: Classes) -> Iterator[str]:
    for region in image:
        kind, place = _shape(region)
        common = f'label={_quoted(region.name(classes))} source="auto" occluded="0" z_order="0"'
        score = "" if region.confidence is None else f'<attribute name="confidence">{region.confidence}</attribute>'
        yield f"<{kind} {common} {place}>{score}</{kind}>\n"


def _shape(region: Outlined) -> tuple[str, str]:
    if not region.needs_mask:
        return "polygon", f'points="{";".join(f"{x},{y}" for x, y in region.rings[0])}"'
    left, top, width, height = region.box
    lengths = ", ".join(map(str, runs(region.polygon, region.box)))
    return "mask", f'rle="{lengths}" left="{left}" top="{top}" width="{width}" height="{height}"'


def _storable(text: str) -> str:
    """Returns a text without what XML cannot hold."""
    return _NOT_XML.sub("?", text.encode(errors="backslashreplace").decode())


def _quoted(text: str) -> str:
    return quoteattr(_storable(text))
