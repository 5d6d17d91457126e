"""Reads label images: class ids in grey, palette indices, or colours, with or without CVAT's list of colours."""

import dataclasses
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from smir.classes import BLACK, VOID, Color, UInt8, is_background
from smir.data.reading.decode import LabelFacts, invisible, label_facts, masked_out, read_image, read_label
from smir.data.reading.label_values import MOST_VALUES, thick
from smir.data.reading.parallel import in_parallel
from smir.data.reading.tiff_colors import MOST_IDS, NO_DATA
from smir.errors import DataError, first_few
from smir.prepare.labels.classes import ClassTable, color_of, entries, is_void

COLOR_LIST = "labelmap.txt"

TRANSPARENT = "transparent"
"""The source of pixels that are invisible in a mask of colours, and not black."""
RANGE = re.compile(r"(\d+)-(\d+)")
"""A source of `--classes` that stands for several values."""
_FACTORS = (*(VOID // classes for classes in range(1, 11)), 256, 257, 65535)
"""Factors by which programs enlarge values: so that the last class is white, and to 16 bits."""
_MISSING, _TRANSPARENT, _BLACK = "missing", 1 << 24, "#000000"
Coding = Literal["ids", "colors", "grey colors"]


@dataclass(frozen=True)
class MaskFiles:
    """Label images, one for each image.

    Attributes:
        folder: Their folder.
        names: Their paths below it.
        colors: Name of every colour `#rrggbb` in CVAT's list, if there is one.
        coding: Feature that distinguishes classes: stored values, colours, or colours that are all grey.
        values: Number of pixels of each value (`7`), colour (`#00ff00`) or, with `colors`, name.
        factors: Factor of the grey values of each file: 1, or that which spreads few bits over 0 to 255.
        no_data: Values that files mark as missing.
        unmarked: Files that hold such a value without marking it, by value.
        thin: Values that only lie between others, and never fill a square of 3 x 3 pixels.
        palette: Colours of the values, if the files have a palette with more than greys.
        apart: True if transparent black, too, is the source `transparent`; otherwise it is black.
        black: The only value that these palettes show in black. Entries that a program may have left unset, as all
            TIFFs have them, are black, too, and do not count.
        counted: Lowest and highest number of values of a file, if they run from 1 to it and differ between files, as
            numbers of objects do.
        scales: Two files, and the value in the second of each value in the first, if the second seems to hold the same
            classes times a factor.
    """

    folder: Path
    names: list[str]
    colors: Mapping[str, str]
    coding: Coding
    values: Counter[str]
    factors: Mapping[str, int] = dataclasses.field(default_factory=dict)
    no_data: frozenset[str] = frozenset()
    unmarked: Mapping[str, list[str]] = dataclasses.field(default_factory=dict)
    thin: tuple[str, ...] = ()
    palette: Mapping[str, Color] = dataclasses.field(default_factory=dict)
    scales: tuple[str, str, Mapping[str, str]] | None = None
    counted: tuple[int, int] | None = None
    black: str | None = None
    apart: bool = False

    @property
    def shades(self) -> dict[str, Color]:
        """The colours of names, values or colours."""
        names = self.colors or {key: key for key in self.values if self.coding == "colors"}
        return dict(self.palette) | {name: color for key, name in names.items() if (color := color_of(key))}

    @property
    def title(self) -> str:
        """The name of the format."""
        if self.colors:
            return f"masks in the colours of {COLOR_LIST} (CVAT, segmentation mask)"
        return "masks in colours" if self.coding == "colors" else "masks of class ids"

    def label(self, name: str, table: ClassTable) -> UInt8:
        """Returns class ids and void (H, W) of a file."""
        pixels = _stored(self.folder / name, self.coding, self.factors.get(name, 1), self.apart)
        values, places = np.unique(pixels, return_inverse=True)
        keys = [_key_of(value, self.coding, self.colors) for value in values.tolist()]
        ids = np.array([VOID if key == _MISSING else table.ids[key] for key in keys], np.uint8)
        return np.asarray(ids[places].reshape(pixels.shape), np.uint8)


def read_masks(folder: Path, names: list[str], colors: Mapping[str, str], given: Sequence[str] | None) -> MaskFiles:
    """Counts the values of label images; palette indices are ids unless `colors` or `--classes` name colours.

    Raises:
        DataError: If a file is not a label image, or the files are of two kinds.
    """
    by_color = bool(colors) or any("=#" in entry.replace(" ", "") for entry in given or ())
    sources = {source.lower(): name for name, source in entries(given or ())}
    all_facts = list(in_parallel(lambda name: label_facts(folder / name), names, "Labels"))
    facts = dict(zip(names, all_facts, strict=True))
    of_kind = {kind: [n for n in names if facts[n].kind == kind] for kind in ("colors", "ids", "palette")}
    grey = [] if by_color else [*of_kind["ids"], *of_kind["palette"]]
    if of_kind["colors"] and grey:
        raise DataError(
            f"{folder.absolute()} holds {len(of_kind['colors'])} masks in colours ({first_few(of_kind['colors'])}) and "
            f"{len(grey)} of class ids ({first_few(grey)}). If these are several kinds of pictures, give the folder of "
            "the labels alone, or say how their names differ, such as --pair '{}_image.png={}_labels.png'. Otherwise "
            "export all of them in the same format."
        )

    most = MOST_IDS if any(map(RANGE.fullmatch, sources)) else MOST_VALUES

    def count(coding: Coding, apart: bool = False) -> dict[str, _Found]:
        found = in_parallel(lambda name: _count(folder / name, coding, colors, apart, most), names, "Label values")
        return dict(zip(names, found, strict=True))

    coding: Coding = "colors" if colors or of_kind["colors"] or (by_color and of_kind["palette"]) else "ids"
    if coding == "colors":
        _refuse_deep(folder, facts)
    apart = TRANSPARENT in sources
    found = count(coding, apart)
    if coding == "colors" and not apart and _is_class(sources.get(_BLACK)):
        told_apart = count(coding, True)
        if apart := {_BLACK, TRANSPARENT} <= {key for part in told_apart.values() for key in part.values}:
            found = told_apart  # black is visible and hidden, and need not mean the same
    palette = _palette_colors(facts, found)
    if coding == "ids" and _palettes_differ(palette, bool(of_kind["ids"])):
        _refuse_deep(folder, facts)
        coding = "colors"
        found = count(coding, apart)
    factors = _factors(folder, facts, found) if coding == "ids" else {}
    if factors:
        found = {name: part.spread(factors[name]) for name, part in found.items()}
    keys = {key for part in found.values() for key in part.values}
    if coding == "colors" and not by_color and all(key[1:3] == key[3:5] == key[5:7] for key in keys):
        coding, found = "grey colors", {name: part.greys() for name, part in found.items()}
    values = sum((part.values for part in found.values()), Counter[str]())
    thin = tuple(key for key in values if not any(key in part.thick for part in found.values()))
    marks = {name: mark_of(fact, coding) for name, fact in facts.items()}
    missing = frozenset(mark for mark in marks.values() if mark is not None)
    unmarked = {
        key: [name for name, part in found.items() if part.values[key] and marks[name] != key]
        for key in missing - {str(VOID)}
    }
    shown = {key: next(iter(these)) for key, these in palette.items()} if coding == "ids" and not factors else {}
    shown = shown if _says_more_than_ids(shown) else {}
    numbers = {} if coding == "colors" else {name: {*map(int, part.values)} for name, part in found.items()}
    palettes = [fact.palette for fact in facts.values() if fact.palette is not None]
    blacks = [key for key, color in shown.items() if color == BLACK]
    blacks = [key for key in blacks if not any(_may_be_unset(palette, int(key)) for palette in palettes)]
    black = blacks[0] if len(blacks) == 1 else None
    scales, counted = _two_scales(numbers), _counted(numbers)
    return MaskFiles(
        folder, names, colors, coding, values, factors, missing, unmarked, thin, shown, scales, counted, black, apart
    )


def _refuse_deep(folder: Path, facts: Mapping[str, LabelFacts]) -> None:
    """Refuses masks of 16 bits that are read by colour, which is their high byte."""
    if deep := [name for name, fact in facts.items() if fact.bits > 8]:
        raise DataError(
            f"{len(deep)} masks in {folder.absolute()} have more than 8 bits a channel ({first_few(deep)}); colours of "
            "masks have 8. Save them again as PNG of 8 bits, or class ids in one channel of 8 or 16 bits."
        )


def _is_class(name: str | None) -> bool:
    return not (name is None or is_background(name) or is_void(name))


def _counted(values: Mapping[str, set[int]]) -> tuple[int, int] | None:
    """Finds files whose values run from 1 to different numbers; see `MaskFiles.counted`."""
    used = [of_file - {0} for of_file in values.values()]
    highest = {max(of_file, default=0) for of_file in used}
    if any(len(of_file) != max(of_file, default=0) for of_file in used) or len(highest) < 3 or max(highest) < 4:
        return None
    return min(highest), max(highest)


def _two_scales(values: Mapping[str, set[int]]) -> tuple[str, str, Mapping[str, str]] | None:
    """Finds files of 0, 1, 2 beside files of 0, 127, 254, or of 8 beside 16 bits; see `MaskFiles.scales`."""
    used = {name: of_file - {0} for name, of_file in values.items() if of_file - {0}}
    for factor in _FACTORS:
        small = {name: of_file for name, of_file in used.items() if max(of_file) < factor}
        large = {name: of_file for name, of_file in used.items() if all(value % factor == 0 for value in of_file)}
        if small and large and len(small) + len(large) == len(used):
            low, high = set().union(*small.values()), {value // factor for value in set().union(*large.values())}
            # Beside other values, 255 means not labelled, and a few values can be equal by chance.
            if low == high and len(low) >= VOID // factor if factor <= VOID else low <= high or high <= low:
                both = {str(value): str(value * factor) for value in sorted(low & high)}
                return next(iter(small)), next(iter(large)), both
    return None


class _Found(NamedTuple):
    """Pixels of every value of a file, and the values that fill a square of 3 x 3 pixels."""

    values: Counter[str]
    thick: frozenset[str]

    def spread(self, factor: int) -> "_Found":
        """Returns the same for grey values times a factor."""
        return self._renamed({key: str(int(key) * factor) for key in self.values})

    def greys(self) -> "_Found":
        """Returns the same for grey colours, by their value."""
        return self._renamed({key: str(int(key[1:3], 16)) for key in self.values})

    def _renamed(self, names: Mapping[str, str]) -> "_Found":
        values = Counter({names[key]: count for key, count in self.values.items()})
        return _Found(values, frozenset(names[key] for key in self.thick & names.keys()))  # not of missing pixels


def _palette_colors(facts: Mapping[str, LabelFacts], found: Mapping[str, _Found]) -> dict[str, set[Color]]:
    """Returns the colours of every index in the palettes."""
    colors: dict[str, set[Color]] = {}
    for name, fact in facts.items():
        if fact.palette is None:
            continue
        for key in found[name].values:
            if key.isdigit() and int(key) < len(fact.palette):
                colors.setdefault(key, set()).add(tuple(fact.palette[int(key)].tolist()))
    return colors


def _says_more_than_ids(shown: Mapping[str, Color]) -> bool:
    """Returns whether the colours of values are hues, or greys such as white for 0 and black for 1.

    Programs give plain ids greys that become brighter.
    """
    shades = [shown[key] for key in sorted(shown, key=int)]
    return any(len(set(color)) > 1 for color in shades) or (shades != sorted(shades) and len({*shades}) == len(shades))


def _may_be_unset(palette: UInt8, index: int) -> bool:
    """Returns whether a black entry could be one that a program has left unset, as the last ones of a long palette."""
    is_black = (palette == 0).all(axis=1)
    return bool(is_black.sum() > 1 and is_black[index:].all())


def _palettes_differ(colors: Mapping[str, set[Color]], beside_grey: bool) -> bool:
    """Returns whether one index has two colours, so that only colours tell the classes.

    Beside grey files, a palette of greys is what a program made of grey values.
    """
    of_all = {color for these in colors.values() for color in these}
    made_grey = beside_grey and all(len(set(color)) == 1 for color in of_all) and len(of_all) > 1
    return made_grey or any(len(these) > 1 for these in colors.values())


def _factors(folder: Path, facts: Mapping[str, LabelFacts], found: Mapping[str, _Found]) -> dict[str, int]:
    """Returns the factor of every file, if some have few bits and others more: a program may have reduced them.

    Raises:
        DataError: If their values fit those of the others neither as they are nor spread over 0 to 255, or both.
    """
    few = [name for name, fact in facts.items() if fact.bits < 8]
    if len({min(fact.bits, 8) for fact in facts.values()}) < 2:
        return {}
    full = {key for name, part in found.items() if name not in few for key in part.values}
    spread = {name: 255 // ((1 << facts[name].bits) - 1) if name in few else 1 for name in facts}
    fits = [
        all(found[name].spread(factors[name]).values.keys() <= full for name in few)
        for factors in (dict.fromkeys(facts, 1), spread)
    ]
    if fits[0] == fits[1]:
        other = next((name for name in facts if name not in few), few[-1])
        raise DataError(
            f"The masks in {folder.absolute()} have different bit depths: {first_few(few)} have fewer than 8 bits, "
            f"unlike {other}, and their values do not tell if they are ids or shades of grey. Write all with 8 bits."
        )
    return spread if fits[1] else {}


def _stored(path: Path, coding: Coding, factor: int = 1, apart: bool = False) -> npt.NDArray[np.int32]:
    """Returns the stored values of a file (H, W), or its colours as 0xRRGGBB; for `apart` see `MaskFiles`."""
    if coding == "ids":
        ids = read_label(path)
        return np.where(ids == NO_DATA, ids, ids * factor)
    image = read_image(path).astype(np.int32)
    colors = image[..., 0] if coding == "grey colors" else image @ np.array([1 << 16, 1 << 8, 1], np.int32)
    if (missing := masked_out(path)) is not None:
        colors[missing] = NO_DATA
    elif coding == "colors" and (hidden := invisible(path, by_alpha=True)) is not None:
        colors[hidden if apart else hidden & (colors != 0)] = _TRANSPARENT
    return colors


def mark_of(fact: LabelFacts, coding: Coding) -> str | None:
    """Returns the value or colour that a file marks as missing."""
    if fact.no_data is None or coding == "ids" or fact.no_data > 255:
        return None if fact.no_data is None else str(fact.no_data)
    color = [fact.no_data] * 3 if fact.palette is None else fact.palette[fact.no_data].tolist()
    return str(color[0]) if coding == "grey colors" else f"#{bytes(color).hex()}"


def _key_of(value: int, coding: Coding, colors: Mapping[str, str]) -> str:
    """Returns the name, colour or number for a stored value."""
    if value == NO_DATA:
        return _MISSING
    if coding != "colors":
        return str(value)
    if value == _TRANSPARENT:
        return TRANSPARENT
    color = f"#{value:06x}"
    return colors.get(color, color)


def _count(path: Path, coding: Coding, colors: Mapping[str, str], apart: bool, most: int) -> _Found:
    pixels = _stored(path, coding, apart=apart)
    values, counts = np.unique(pixels, return_counts=True)
    if len(values) > most:
        objects = f" If it numbers objects, give them one class: --classes '[background=0, NAME=1-{values.max()}]'."
        raise DataError(
            f"The label {path} holds {len(values)} different {'values' if coding == 'ids' else 'colours'}; a label "
            "image has one for each class. It is a photograph, shows labels over a photograph, was resized with smooth "
            f"borders{', or numbers objects' if coding == 'ids' else ''}. Export the masks again, as PNG and at full "
            f"size.{objects * (coding == 'ids')}"
        )
    found: Counter[str] = Counter()
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        key = _key_of(value, coding, colors)
        if colors and key.startswith("#"):
            grey = (
                f" It is grey, and may hold class ids: export it again as 'Segmentation mask', or remove {COLOR_LIST} "
                "and give --classes."
            )
            raise DataError(
                f"The label {path} has {count} pixels of the colour {key}, which {COLOR_LIST} does not name. It names: "
                f"{first_few((f'{name} {color}' for color, name in colors.items()), 8)}."
                f"{grey * (label_facts(path).kind == 'ids')}"
            )
        if key != _MISSING:
            found[key] += count
    return _Found(found, frozenset(_key_of(value, coding, colors) for value in thick(pixels)))
