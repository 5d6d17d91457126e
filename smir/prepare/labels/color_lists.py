"""Reads lists that name the colours or values of masks: of CVAT, Roboflow, and datasets such as CamVid."""

import re
from pathlib import Path

from smir.classes import VOID
from smir.errors import DataError, first_few
from smir.prepare.labels.masks import COLOR_LIST, MaskFiles

_LONGEST = 1 << 20
"""Bytes of a list above which it is refused."""
_ID_LIST = "_classes.csv"
"""Roboflow's list of values; there is one in each folder of its splits."""
_RED, _GREEN, _BLUE = (rf"(?P<{channel}>\d{{1,3}})" for channel in "rgb")
_LINES = {
    COLOR_LIST: (rf"(?P<name>.+?):\s*{_RED}\s*,\s*{_GREEN}\s*,\s*{_BLUE}\s*(:.*)?", "name:red,green,blue::"),
    "class_dict.csv": (rf"(?P<name>.+?)\s*,\s*{_RED}\s*,\s*{_GREEN}\s*,\s*{_BLUE}(\s*,.*)?", "name,red,green,blue"),
    "label_colors.txt": (rf"{_RED}\s+{_GREEN}\s+{_BLUE}\s+(?P<name>.+)", "red green blue name"),
    _ID_LIST: (r"(?P<value>\d{1,5})\s*,\s*(?P<name>.+)", "value, name"),
}
"""The pattern of a line in each list, and its words."""
LISTS = tuple(_LINES)
"""Names of all lists, which may also lie beside the folder of the masks."""
_OF_DATASETS = ("class_dict.csv", "label_colors.txt")
_NO_ENTRY = re.compile(r"\s*(#.*|name\s*,\s*r\s*,\s*g\s*,\s*b\s*(,.*)?|pixel value\s*,\s*class\s*)?", re.IGNORECASE)


def read_color_list(path: Path) -> dict[str, str]:
    """Reads a list of colours or values; its name tells the format.

    Returns:
        The name of every colour `#rrggbb`, or of every value.

    Raises:
        DataError: If a line is malformed, or a colour or value has two names.
    """
    names: dict[str, str] = {}
    pattern, words = _LINES[path.name]
    try:
        if (size := path.stat().st_size) > _LONGEST:
            raise ValueError(f"it has {size:,} bytes; such lists are not that long")
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as text: {error}.") from error
    for number, line in enumerate(lines, 1):
        plain = line.replace('"', "") if path.suffix == ".csv" else line
        if _NO_ENTRY.fullmatch(plain):
            continue
        match = re.fullmatch(pattern, plain.strip())
        key = _key(match) if match else None
        if match is None or key is None:
            raise DataError(f"Line {number} of {path} should be {words} but is {line[:80]!r}.")
        name = match["name"].strip()
        if "=" in name:
            raise DataError(f"Line {number} of {path} names a class {name!r}. Rename it without =.")
        if names.setdefault(key, name) != name:
            kind = "colour" if key.startswith("#") else "value"
            raise DataError(f"{path} gives the {kind} {key} to {names[key]!r} and {name!r}.")
    if not names:
        raise DataError(f"{path} names no {'value' if path.name == _ID_LIST else 'colour'}.")
    return names


def _names_values(path: Path) -> bool:
    """Returns whether a `_classes.csv` lists values; Roboflow's exports for classification have one of images."""
    if not path.is_file():
        return False
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        return re.match(r"\s*(pixel value\s*,|\d+\s*,)", file.readline().replace('"', ""), re.IGNORECASE) is not None


def _key(match: re.Match[str]) -> str | None:
    """Returns the value or colour `#rrggbb` of a line; None if a channel is above 255."""
    if "value" in match.groupdict():
        return str(int(match["value"]))
    channels = [int(match[channel]) for channel in "rgb"]
    return None if max(channels) > 255 else "#" + "".join(f"{value:02x}" for value in channels)


def listed_classes(masks: MaskFiles) -> tuple[list[str], Path] | None:
    """Returns the classes `NAME=SOURCE` of masks, and the list in or beside their folder that names their sources.

    Raises:
        DataError: If a list cannot be read or lacks what the masks hold, or if two lists differ.
    """
    if masks.colors:
        return None
    if masks.coding == "colors":
        places = (folder / name for folder in (masks.folder, masks.folder.parent) for name in _OF_DATASETS)
        paths = list(filter(Path.is_file, places))[:1]
    else:
        folders = {masks.folder.parent, masks.folder, *((masks.folder / name).parent for name in masks.names)}
        paths = [folder / _ID_LIST for folder in sorted(folders) if _names_values(folder / _ID_LIST)]
    if not paths:
        return None
    names, *others = (read_color_list(path) for path in paths)
    if differing := [path for path, other in zip(paths[1:], others, strict=True) if other != names]:
        raise DataError(f"{differing[0]} differs from {paths[0]}. Correct one, or name all values with --classes.")
    known = {*names, *masks.no_data} if masks.coding == "colors" else {*names, *masks.no_data, str(VOID)}
    if unknown := [f"{key} ({count:,} px)" for key, count in masks.values.items() if key not in known]:
        kind, sign = ("colours", "#rrggbb") if masks.coding == "colors" else ("values", "VALUE")
        raise DataError(
            f"The masks in {masks.folder.absolute()} also hold {first_few(unknown)}, which {paths[0]} does not name. "
            f"Add them there, or name all {kind}: --classes '[NAME={sign}, ...]'."
        )
    return [f"{name}={key}" for key, name in names.items() if key in masks.values], paths[0]
