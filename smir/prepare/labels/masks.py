"""Reads label images: class ids in grey, palette indices, or colours, with or without CVAT's list of colours."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from smir.classes import VOID, UInt8
from smir.data.reading.decode import label_kind, read_image, read_label
from smir.data.reading.parallel import in_parallel
from smir.errors import ConfigError, DataError, first_few
from smir.prepare.labels.classes import BACKGROUND, ClassTable, entries, of_categories, table_of

COLOR_LIST = "labelmap.txt"
MOST_VALUES = 64
"""Largest number of values in a label image; photographs and smoothly resized masks have more. VOC has 22."""

Coding = Literal["ids", "colors", "grey colors"]


@dataclass(frozen=True)
class MaskFiles:
    """Label images, one for each image.

    Attributes:
        folder: Their folder.
        names: Their paths below it.
        colors: Name of every colour `#rrggbb` in CVAT's list, if there is one.
        coding: What distinguishes classes: stored values, colours, or colours that are all grey.
        values: Number of pixels of each value (`7`), colour (`#00ff00`) or, with `colors`, name.
    """

    folder: Path
    names: list[str]
    colors: Mapping[str, str]
    coding: Coding
    values: Counter[str]

    @property
    def title(self) -> str:
        """The name of the format."""
        if self.colors:
            return f"masks in the colours of {COLOR_LIST} (CVAT, segmentation mask)"
        return "masks in colours" if self.coding == "colors" else "masks of class ids"

    def label(self, name: str, table: ClassTable) -> UInt8:
        """Returns class ids and void (H, W) of a file."""
        pixels = _stored(self.folder / name, self.coding)
        values, places = np.unique(pixels, return_inverse=True)
        ids = np.array([table.ids[_key_of(value, self.coding, self.colors)] for value in values.tolist()], np.uint8)
        return np.asarray(ids[places].reshape(pixels.shape), np.uint8)


def read_masks(folder: Path, names: list[str], colors: Mapping[str, str], given: Sequence[str] | None) -> MaskFiles:
    """Counts the values of label images; palette indices are ids unless `colors` or `--classes` name colours.

    Raises:
        DataError: If a file is not a label image, or the files are of two kinds.
    """
    by_color = bool(colors) or any("=#" in entry.replace(" ", "") for entry in given or ())
    kinds = list(in_parallel(lambda name: label_kind(folder / name), names, "Labels"))
    of_kind = {kind: [n for n, k in zip(names, kinds, strict=True) if k == kind] for kind in dict.fromkeys(kinds)}
    grey = [] if by_color else [name for kind in ("ids", "palette") for name in of_kind.get(kind, [])]
    if "colors" in of_kind and grey:
        raise DataError(
            f"{folder.absolute()} holds {len(of_kind['colors'])} masks in colours ({first_few(of_kind['colors'])}) and "
            f"{len(grey)} of class ids ({first_few(grey)}). Export all of them in the same format."
        )
    coding: Coding = "colors" if "colors" in of_kind or (by_color and "palette" in of_kind) else "ids"
    values: Counter[str] = Counter()
    for part in in_parallel(lambda name: _count(folder / name, coding, colors), names, "Label values"):
        values += part
    if coding == "colors" and not by_color and all(key[1:3] == key[3:5] == key[5:7] for key in values):
        coding, values = "grey colors", Counter({str(int(key[1:3], 16)): count for key, count in values.items()})
    return MaskFiles(folder, names, colors, coding, values)


def _stored(path: Path, coding: Coding) -> npt.NDArray[np.int32]:
    """Returns the stored values of a file (H, W), or its colours as 0xRRGGBB."""
    if coding == "ids":
        return read_label(path)
    image = read_image(path)
    if coding == "grey colors":
        return image[..., 0].astype(np.int32)
    return image.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)


def _key_of(value: int, coding: Coding, colors: Mapping[str, str]) -> str:
    """Returns the name, colour or number for a stored value."""
    if coding != "colors":
        return str(value)
    color = f"#{value:06x}"
    return colors.get(color, color)


def _count(path: Path, coding: Coding, colors: Mapping[str, str]) -> Counter[str]:
    values, counts = np.unique(_stored(path, coding), return_counts=True)
    if len(values) > MOST_VALUES:
        raise DataError(
            f"The label {path} holds {len(values)} different {'values' if coding == 'ids' else 'colours'}; a label "
            "image has one for each class. It is a photograph, shows labels over a photograph, or was resized with "
            "smooth borders. Export the masks again, as PNG and at full size."
        )
    found: Counter[str] = Counter()
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        key = _key_of(value, coding, colors)
        if colors and key.startswith("#"):
            raise DataError(
                f"The label {path} has {count} pixels of the colour {key}, which {COLOR_LIST} does not name. It names: "
                f"{first_few((f'{name} {color}' for color, name in colors.items()), 8)}."
            )
        found[key] += count
    return found


def read_color_list(path: Path) -> dict[str, str]:
    """Reads CVAT's list of colours, lines of `name:red,green,blue:parts:actions`.

    Returns:
        The name of every colour `#rrggbb`.

    Raises:
        DataError: If a line is malformed, or a colour has two names.
    """
    colors: dict[str, str] = {}
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as text: {error}.") from error
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = re.fullmatch(r"(.+?):\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*(:.*)?", line.strip())
        channels = [int(value) for value in match.groups()[1:4]] if match else []
        if match is None or max(channels) > 255:
            raise DataError(f"Line {number} of {path} should be name:red,green,blue:: but is {line[:80]!r}.")
        color = "#" + "".join(f"{value:02x}" for value in channels)
        if colors.setdefault(color, match[1]) != match[1]:
            raise DataError(f"{path} gives the colour {color} to {colors[color]!r} and {match[1]!r}.")
    if not colors:
        raise DataError(f"{path} names no colour.")
    return colors


def of_masks(given: Sequence[str] | None, masks: MaskFiles, may_lack: bool = False) -> ClassTable:
    """Returns the classes of label images; for `may_lack` see `of_categories`.

    Without `--classes` every value or colour is a class, except 255, which is not labelled. If all values are 0 or 255,
    255 is a class, too, since a single class is useless.

    Raises:
        ConfigError: If `--classes` does not fit the files; the message suggests entries that do.
    """
    if masks.colors:
        return of_categories(given, list(masks.colors.values()), masks.values, str(masks.folder.absolute()), may_lack)
    # Black, the usual background, comes first.
    keys = sorted(masks.values) if masks.coding == "colors" else sorted(masks.values, key=int)
    chosen = _named(keys) if given is None else _given(given, keys, masks)
    table = table_of(chosen, str(masks.folder.absolute()))
    table.ids.setdefault(str(VOID), VOID)
    if unknown := [key for key in keys if key not in table.ids]:
        found = ", ".join(f"{key} ({masks.values[key]:,} px)" for key in unknown[:5])
        raise ConfigError(
            f"The masks in {masks.folder.absolute()} also hold {found}, which --classes does not name. Add it, such as "
            f"void={unknown[0]} for pixels that are not labelled or {BACKGROUND}={unknown[0]}, or correct the masks."
        )
    return table


def _named(keys: list[str]) -> list[tuple[str, str]]:
    classes = [key for key in keys if key != str(VOID)]
    if classes == ["0"]:
        classes = keys
    names = {"0": BACKGROUND, "#000000": BACKGROUND}
    return [(names.get(key, f"class_{key.removeprefix('#')}"), key) for key in classes]


def _given(given: Sequence[str], keys: list[str], masks: MaskFiles) -> list[tuple[str, str]]:
    pairs = entries(given)
    if all("=" in entry for entry in given):
        return [(name, source.lower()) for name, source in pairs]
    names = [name for name, _ in pairs]
    classes = [key for key in keys if key != str(VOID)]
    if masks.coding != "colors" and not any("=" in entry for entry in given):
        if keys == ["0", str(VOID)] and len(names) == 2:
            return list(zip(names, keys, strict=True))
        if all(int(key) < len(names) for key in classes):
            return [(name, str(place)) for place, name in enumerate(names)]
    total = sum(masks.values.values())
    shares = ", ".join(f"{key} ({100 * masks.values[key] / total:.1f} % of the pixels)" for key in keys[:8])
    fitting = next((found for found in (keys, classes) if len(found) == len(names)), None)
    suggested = zip(names, fitting, strict=True) if fitting else (("NAME", key) for key in keys[:8])
    suggestion = ", ".join(f"{name}={key}" for name, key in suggested)
    raise ConfigError(
        f"--classes names {', '.join(names)}, but not the value of each in {masks.folder.absolute()}. The masks hold: "
        f"{shares}{' and more' if len(keys) > 8 else ''}. Give each a value: --classes '[{suggestion}]'"
    )
