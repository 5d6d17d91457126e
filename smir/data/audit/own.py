"""Finds what is odd about own files that can be read: labels among the images, palettes that differ, and the like."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from smir.classes import VOID, UInt8
from smir.data.reading.decode import invisible, label_facts
from smir.data.reading.label_values import thick
from smir.data.reading.listing import Pair
from smir.data.reading.misplaced import PHOTOGRAPH, Look, misplaced_labels, named_twice
from smir.errors import first_few
from smir.files.pictures import is_tiff

Kinds = Iterator[tuple[str, str]]
"""Kinds of problems, each with a text that names a file."""


@dataclass
class Seen:
    """Facts about one image and its label.

    Attributes:
        look: Whether the image looks like a label.
        colors: Colour of every stored value of the label, if it has a palette.
        shown: Classes of the label.
        thick: Those that fill a square of 3 x 3 pixels.
        hidden: Labelled pixels where the image has no data.
    """

    look: Look = PHOTOGRAPH
    colors: Mapping[int, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    shown: frozenset[int] = frozenset()
    thick: frozenset[int] = frozenset()
    hidden: int = 0

    def see_label(self, image: Path, label: Path, stored: Iterable[int], ids: UInt8) -> None:
        """Looks at a label with these stored values and class ids (H, W)."""
        palette = label_facts(label).palette
        if palette is not None:
            self.colors = {value: tuple(palette[value].tolist()) for value in stored if value < len(palette)}
        self.shown, self.thick = frozenset(np.unique(ids).tolist()), frozenset(thick(ids.astype(np.int32)))
        hidden = invisible(image) if is_tiff(image) else None  # other transparency is dropped, see docs/files.md
        if hidden is not None and hidden.shape == ids.shape:
            self.hidden = int((hidden & (ids != VOID)).sum())


def own_problems(root: Path, seen: Mapping[Pair, Seen]) -> Kinds:
    """Yields what is most likely wrong."""
    for name in misplaced_labels({pair.image: one.look for pair, one in seen.items()}):
        yield "label images among the images", str(root / name)
    first: dict[int, tuple[tuple[int, ...], str]] = {}
    for pair, one in seen.items():
        for value, color in one.colors.items():
            before, other = first.setdefault(value, (color, pair.label))
            if color != before:
                text = f"{root / pair.label}: {value} is {color}, in {other} {before}"
                yield "labels whose palette differs from another's", text
                break


def own_notes(root: Path, names: Sequence[str], seen: Mapping[Pair, Seen]) -> Kinds:
    """Yields what may be wrong; `names` are the classes."""
    for text in named_twice({pair.image: one.look for pair, one in seen.items()}):
        yield "images with one name but two suffixes", text
    for pair, one in seen.items():
        if one.hidden:
            yield "labels of pixels that the image marks as missing", f"{root / pair.label} ({one.hidden:,} px)"
    for class_id, name in enumerate(names):
        labels = [pair.label for pair, one in seen.items() if class_id in one.shown]
        if labels and not any(class_id in one.thick for one in seen.values()):
            yield "classes that only lie on borders between others", f"{name} ({first_few(labels)})"
