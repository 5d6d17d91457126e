"""Finds oddities in a user's readable files: labels among the images, palettes that differ, and the like."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from smir.classes import VOID, UInt8
from smir.data.reading.decode import invisible, label_facts
from smir.data.reading.label_values import thick
from smir.data.reading.listing import Pair
from smir.data.reading.misplaced import PHOTOGRAPH, Look, misplaced_labels, named_twice, single_bands
from smir.data.reading.tiff import Tiff, has_rasterio, lacks_blocks
from smir.data.reading.tiff_colors import unused_bands
from smir.errors import first_few
from smir.files.pictures import is_tiff

Kinds = Iterator[tuple[str, str]]
"""Kinds of problems, each with a text that names a file."""


@dataclass
class Seen:
    """Facts about one image and its label.

    Attributes:
        look: The look of the image, which may be that of a label.
        colors: Colour of every stored value of the label, if it has a palette.
        shown: Classes of the label.
        thick: Those that fill a square of 3 x 3 pixels.
        hidden: Labelled pixels where the image has no data.
        missing: The value that the label marks as missing, by nodata, although it stands for a class there.
        unused: Bands of the image that are not used.
        lacking: The image and the label, if a TIFF lacks blocks without a value for missing pixels.
    """

    look: Look = PHOTOGRAPH
    colors: Mapping[int, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    shown: frozenset[int] = frozenset()
    thick: frozenset[int] = frozenset()
    hidden: int = 0
    missing: int | None = None
    unused: list[int] = dataclasses.field(default_factory=list)
    lacking: list[Path] = dataclasses.field(default_factory=list)

    def see_tiff(self, path: Path, is_label: bool = False) -> None:
        """Looks at an image or label if it is a TIFF."""
        if is_tiff(path) and has_rasterio():
            tiff = Tiff(path)
            self.unused += [] if is_label else unused_bands(tiff)
            self.lacking += [path] if lacks_blocks(path) and not tiff.has_mask else []

    def see_label(self, image: Path, label: Path, stored: npt.NDArray[Any], ids: UInt8) -> None:
        """Looks at a label with these stored values and class ids, both (H, W)."""
        facts = label_facts(label)
        if facts.palette is not None:
            palette = facts.palette.tolist()
            self.colors = {
                value: tuple(palette[value]) for value in np.unique(stored).tolist() if 0 <= value < len(palette)
            }
        if facts.no_data is not None and (ids[stored == facts.no_data] != VOID).any():
            self.missing = facts.no_data
        self.shown, self.thick = frozenset(np.unique(ids).tolist()), frozenset(thick(ids.astype(np.int32)))
        hidden = invisible(image) if is_tiff(image) else None  # other transparency is dropped, see docs/files.md
        if hidden is not None and hidden.shape == ids.shape:
            self.hidden = int((hidden & (ids != VOID)).sum())


def own_problems(root: Path, colors: Sequence[tuple[int, ...]], seen: Mapping[Pair, Seen]) -> Kinds:
    """Yields what is most likely wrong; `colors` are those of the classes, if labels hold their ids."""
    looks = {pair.image: one.look for pair, one in seen.items()}
    for name in misplaced_labels(looks):
        yield "label images among the images", str(root / name)
    for name in single_bands(looks):
        yield "images of one channel of 16 bits among images in colours", str(root / name)
    first: dict[int, tuple[tuple[int, ...], str]] = {}
    # A program that makes a palette of grey ids may give them other places.
    meant: dict[tuple[int, ...], int] = {(value,) * 3: value for value in range(1, len(colors))}
    meant |= {color: value for value, color in enumerate(colors) if len(set(color)) > 1}
    for pair, one in seen.items():
        for value, color in one.colors.items():
            if (other_id := meant.get(color, value)) != value:
                text = f"{root / pair.label}: {value} is {color}, which stands for {other_id}"
                yield "labels whose palette exchanges classes", text
                break
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
        if one.missing is not None:
            yield "labels that mark a class as missing, by nodata", f"{root / pair.label} ({one.missing})"
        if one.unused:
            yield "images with bands that are not used", f"{root / pair.image} ({first_few(one.unused)})"
        for path in one.lacking:
            yield "TIFFs that lack blocks (SPARSE_OK), which count as 0", str(path)
        if one.hidden:
            yield "labels of pixels that the image marks as missing", f"{root / pair.label} ({one.hidden:,} px)"
    bare = [pair.label for pair, one in seen.items() if VOID in one.shown and one.shown <= {0, VOID}]
    if bare and sum(VOID in one.shown for one in seen.values()) == len(bare):
        for label in bare:
            yield "labels that hold only 0 and 255 (not labelled), unlike the others", str(root / label)
    for class_id, name in enumerate(names):
        labels = [pair.label for pair, one in seen.items() if class_id in one.shown]
        if labels and not any(class_id in one.thick for one in seen.values()):
            yield "classes that only lie on borders between others", f"{name} ({first_few(labels)})"
