"""Notices label images that lie among photographs, and photographs that lie there twice."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from smir.classes import UInt8
from smir.data.reading.decode import image_size, label_facts, read_image, read_label
from smir.data.reading.label_values import MOST_VALUES, thick
from smir.data.reading.parallel import cores, in_parallel
from smir.errors import SmirError, first_few
from smir.terminal import say

_SOME = 4096
_LOSSY = (".jpg", ".jpeg", ".jfif", ".jpe")
_LARGEST = 64_000_000
"""Pixels of an image that is decoded only to look at it. That takes 20 bytes a pixel, so maps are not looked at."""
_AT_A_TIME = 4
_SEVERAL = 3
"""Images named after others by the same word that are more than chance."""


class Look(NamedTuple):
    """The look of an image file.

    Attributes:
        grey: True if it has one channel.
        flat: True if it has few colours, as labels do.
        deep: True if its one channel has 16 bits.
        areas: True if several of its few colours fill areas, unlike the noise of a dark photograph.
    """

    grey: bool = False
    flat: bool = False
    deep: bool = False
    areas: bool = False


PHOTOGRAPH = Look()


def look(path: Path, image: UInt8 | None = None) -> Look:
    """Looks at an image; `image` is its RGB (H, W, 3) if it is decoded already.

    JPEGs and damaged files count as photographs. So do files in colours with a byte or more for each pixel, unless
    `image` is given, because decoding all of them would take long.
    """
    try:
        facts = label_facts(path)
        grey, deep = facts.kind != "colors", facts.kind == "ids" and facts.bits > 8
        if deep:  # its high byte may hold few values
            return Look(grey, len(np.unique(read_label(path))) <= MOST_VALUES, deep)
        if image is None and not grey and path.stat().st_size >= math.prod(image_size(path)):
            return PHOTOGRAPH
        image = read_image(path) if image is None else image
    except SmirError:
        return PHOTOGRAPH
    some = image.reshape(-1, 3)[:: 1 + image.size // _SOME]
    if len(np.unique(some, axis=0)) > MOST_VALUES:
        return Look(grey)
    colors = image.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)
    few, areas = len(np.unique(colors)) <= MOST_VALUES, len(thick(colors)) > 1
    return Look(grey, few and (grey or areas), areas=few and areas)


def photographs_among(folder: Path, names: list[str]) -> list[str]:
    """Returns the images of a folder without those that look like labels, and says which are left out.

    Only files that may hold labels are opened, and none of more than 64 million pixels.
    """
    lossless = [name for name in names if not name.lower().endswith(_LOSSY)]
    looks = dict.fromkeys(names, PHOTOGRAPH)
    seen = in_parallel(lambda name: _quick_look(folder / name), lossless, "Images", min(cores(), _AT_A_TIME))
    looks.update(zip(lossless, seen, strict=True))
    found = set(misplaced_labels(looks))
    if found:
        say(
            f"{len(found):,} of {len(names):,} images look like label images and are left out: "
            f"{first_few(sorted(found))}. They have few values, and one channel or the name of a photograph. If they "
            "are photographs, put them in a separate folder, and give that."
        )
    return [name for name in names if name not in found]


def _quick_look(path: Path) -> Look:
    try:
        return PHOTOGRAPH if math.prod(image_size(path)) > _LARGEST else look(path)
    except SmirError:
        return PHOTOGRAPH


def single_bands(looks: Mapping[str, Look]) -> list[str]:
    """Returns images of one channel of 16 bits among images in colours, as multispectral cameras write them."""
    in_colors = not all(seen.grey for seen in looks.values())
    return [name for name, seen in looks.items() if seen.deep and not seen.flat and in_colors]


def misplaced_labels(looks: Mapping[str, Look]) -> list[str]:
    """Returns images that look like labels: grey ones among colours, and flat ones named after a photograph.

    Such names are `1_mask` of `1`, and `1_mask` of `1_sat`.
    """
    in_colors = not all(seen.grey for seen in looks.values())
    photographs = {_stem(name) for name, seen in looks.items() if not seen.flat}
    alike = Counter(part for stem in photographs for part in _without_a_word(stem))

    def is_label(name: str, seen: Look) -> bool:
        if not seen.flat or (seen.grey and in_colors):
            return seen.flat
        stem = _stem(name)
        # Two cameras may give grey photographs one name, and one of them may see little.
        parts = _parts_of(stem) - ({stem} if seen.grey else set())
        named = not photographs.isdisjoint(parts) or any(alike[part] == 1 for part in _without_a_word(stem))
        return named and (seen.areas or not seen.grey)

    return [name for name, seen in looks.items() if is_label(name, seen)]


def common_ending(labels: Iterable[str], images: Iterable[str]) -> str:
    """Returns what all labels add to the name of a photograph, as the `_mask` of `1_mask`; empty if they differ.

    `10_mask` belongs to `10`, also where there is a photograph `1`.
    """
    labels = list(labels)
    photographs = {_stem(name) for name in images} - {_stem(label) for label in labels}
    endings = {
        next((stem[at:] for at in range(len(stem) - 1, 0, -1) if stem[:at] in photographs), "")
        for stem in map(_stem, labels)
    }
    return endings.pop() if len(endings) == 1 else ""


def _parts_of(stem: str) -> set[str]:
    """Returns a name, and what is left of it without words at its end or beginning."""
    breaks = [found.span() for found in re.finditer(r"[-_ .]+", stem)]
    return {stem, *(stem[:start] for start, _ in breaks), *(stem[end:] for _, end in breaks)}


def _without_a_word(stem: str) -> set[str]:
    """Returns what is left of a name without its first or its last word, unless that is a number."""
    first = re.fullmatch(r"[^\W\d_]+[-_ .]+(.+)", stem)
    last = re.fullmatch(r"(.+?)[-_ .]+[^\W\d_]+", stem)
    return {found[1] for found in (first, last) if found}


def named_twice(looks: Mapping[str, Look]) -> list[str]:
    """Returns pairs of photographs with the same name and different suffixes, in two folders."""
    firsts: dict[str, str] = {}
    pairs = [(firsts.setdefault(_stem(name), name), name) for name in looks]
    return [f"{first} and {name}" for first, name in pairs if _suffix(first) != _suffix(name)]


def named_after_others(names: Iterable[str]) -> list[str]:
    """Returns images with the name of another one and a word, such as `1_overlay`, if several have the same word."""
    by_stem = {PurePosixPath(name).with_suffix("").as_posix(): name for name in names}
    of_word: dict[str, list[str]] = {}
    for stem, name in by_stem.items():
        found = re.fullmatch(r"(.+?)[-_ .]+([^\W\d_]+)", stem)
        if found is not None and found[1] in by_stem:
            of_word.setdefault(found[2].lower(), []).append(name)
    return [name for of_one in of_word.values() for name in of_one if len(of_one) >= _SEVERAL]


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _stem(name: str) -> str:
    return PurePosixPath(name).stem
