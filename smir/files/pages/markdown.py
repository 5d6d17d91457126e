"""Foreign texts in Markdown: names of classes, files and runs must not become links, tags, tables or headings."""

import re


def prose(text: object) -> str:
    """Returns a text of one line without links, pictures, tags and table cells; code between backticks stays code."""
    return _escaped(text, r"[\\|]|\](?=[(\[:])")


def name(text: object) -> str:
    """Returns a name of one line that Markdown shows as it is."""
    return _escaped(text, r"[\\|\[\]`*#~]")


def _escaped(text: object, special: str) -> str:
    return re.sub(special, r"\\\g<0>", " ".join(str(text).split())).replace("<", "&lt;")


def code(text: object) -> str:
    """Returns a text of one line between backticks; it may hold backticks itself."""
    line = " ".join(str(text).split())
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    pad = " " if "`" in line else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def block(text: str, language: str = "") -> str:
    """Returns a block of code, fenced by more backticks than it holds."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"
