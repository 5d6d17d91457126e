"""Reads the lists of names and colours that come with masks: CVAT's, and those of public datasets such as CamVid."""

import re
from pathlib import Path

from smir.errors import DataError, first_few
from smir.prepare.labels.masks import COLOR_LIST, MaskFiles

_LONGEST = 1 << 20
"""Bytes of a list of colours above which it is refused."""
_RED, _GREEN, _BLUE = (rf"(?P<{channel}>\d{{1,3}})" for channel in "rgb")
_LINES = {
    COLOR_LIST: (rf"(?P<name>.+?):\s*{_RED}\s*,\s*{_GREEN}\s*,\s*{_BLUE}\s*(:.*)?", "name:red,green,blue::"),
    "class_dict.csv": (rf'"?(?P<name>.+?)"?\s*,\s*{_RED}\s*,\s*{_GREEN}\s*,\s*{_BLUE}', "name,red,green,blue"),
    "label_colors.txt": (rf"{_RED}\s+{_GREEN}\s+{_BLUE}\s+(?P<name>.+)", "red green blue name"),
}
"""The pattern of a line in each list, and its words."""
_NO_ENTRY = re.compile(r"\s*(#.*|name\s*,\s*r\s*,\s*g\s*,\s*b\s*)?", re.IGNORECASE)


def read_color_list(path: Path) -> dict[str, str]:
    """Reads a list of colours; its name tells the format.

    Returns:
        The name of every colour `#rrggbb`.

    Raises:
        DataError: If a line is malformed, or a colour has two names.
    """
    colors: dict[str, str] = {}
    pattern, words = _LINES[path.name]
    try:
        if (size := path.stat().st_size) > _LONGEST:
            raise ValueError(f"it has {size:,} bytes; lists of colours are not that long")
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as text: {error}.") from error
    for number, line in enumerate(lines, 1):
        if _NO_ENTRY.fullmatch(line):
            continue
        match = re.fullmatch(pattern, line.strip())
        channels = [int(match[channel]) for channel in "rgb"] if match else []
        if match is None or max(channels) > 255:
            raise DataError(f"Line {number} of {path} should be {words} but is {line[:80]!r}.")
        color, name = "#" + "".join(f"{value:02x}" for value in channels), match["name"].strip()
        if colors.setdefault(color, name) != name:
            raise DataError(f"{path} gives the colour {color} to {colors[color]!r} and {name!r}.")
    if not colors:
        raise DataError(f"{path} names no colour.")
    return colors


def named_colors(masks: MaskFiles) -> tuple[list[str], Path] | None:
    """Returns the classes `NAME=#rrggbb` of masks in colours, and the dataset's list in or beside their folder.

    Raises:
        DataError: If the list cannot be read, or lacks colours of the masks.
    """
    places = (folder / name for folder in (masks.folder, masks.folder.parent) for name in list(_LINES)[1:])
    path = next((place for place in places if place.is_file()), None)
    if path is None or masks.colors or masks.coding != "colors":
        return None
    colors = read_color_list(path)
    if unknown := [f"{key} ({masks.values[key]:,} px)" for key in masks.values if key not in (*colors, *masks.no_data)]:
        raise DataError(
            f"The masks in {masks.folder.absolute()} also hold {first_few(unknown)}, which {path} does not name. Add "
            "them there, or name all colours: --classes '[NAME=#rrggbb, ...]'."
        )
    return [f"{name}={color}" for color, name in colors.items() if color in masks.values], path
