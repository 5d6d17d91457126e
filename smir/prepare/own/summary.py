"""The report at the end of `prepare folder`."""

from collections import Counter
from pathlib import Path

import numpy as np

from smir.classes import VOID
from smir.errors import first_few
from smir.prepare.own.config import CROP
from smir.prepare.own.field import PREVIEW, Field, Labels, Sizes
from smir.prepare.own.stratification import Members
from smir.terminal import columns, percent

FEW = 10
"""Labelled images below which figures are mostly chance."""
LARGE = 8
"""In crops: for images of this size or more, the report says how much smaller the network sees them."""
_NOT_READ = (".heic", ".heif", ".avif", ".jxl", ".jp2", ".gif", ".dng", ".nef", ".cr2", ".cr3", ".arw", ".raf", ".rw2")
"""Suffixes of pictures from phones and cameras that smir does not read."""


def report_lines(field: Field, source: str) -> list[str]:
    """Says what a field is made of.

    Args:
        field: The field.
        source: Where its images come from, how many there are, and where they lie.
    """
    labels, members = field.labels, field.members
    notes = [*field.notes, *_notes_on_sizes(field.sizes, cut=bool(field.tiles))]
    notes += [] if field.options.is_map else _not_read(field.options.images)
    if labels is None:
        return [source, "No labels: this field serves pretraining.", *(f"Note: {note}" for note in notes)]
    without = len(field.sizes) - len(labels.pixels)
    rest = f"; {without} are for pretraining alone"
    if "train" not in members:
        rest = f"; {without} are not, and not tested on" if without else ""
    lines = [source, f"{len(labels.pixels)} of them are labelled ({labels.title}){rest}", *_table(labels, members)]
    notes = [*labels.notes, *_lacking(labels, members), *notes]
    if len(labels.pixels) < FEW:
        notes.append(f"Only {len(labels.pixels)} images are labelled; test figures will be mostly chance.")
    lines += [f"Note: {note}" for note in notes]
    return [*lines, f"Look at {field.root / PREVIEW}: do the labels lie on what they name?"]


def _table(labels: Labels, members: Members) -> list[str]:
    total = np.sum(list(labels.pixels.values()), axis=0)
    rows = [["class", *members, "of the pixels", ""], ["images", *(str(len(members[s])) for s in members), "", ""]]
    for class_id, name in [*enumerate(labels.classes), (VOID, "not labelled")]:
        if class_id == VOID and not total[VOID]:
            continue
        shown = [str(sum(labels.pixels[n][class_id] > 0 for n in members[split])) for split in members]
        rows.append([name, *shown, percent(int(total[class_id]), int(total.sum())), ""])
    return [f"  {line}" for line in columns(rows)]


def _lacking(labels: Labels, members: Members) -> list[str]:
    """Names the classes that a split does not show."""
    shown = labels.shown()
    return [
        f"No image of {split} shows {name}"
        + {"train": ", so it cannot be learned.", "val": ".", "test": ", so it has no test figure."}[split]
        for split in members
        for class_id, name in enumerate(labels.classes)
        if not any(class_id in shown[image] for image in members[split])
    ]


def _notes_on_sizes(sizes: Sizes, cut: bool) -> list[str]:
    """Names images that the network sees enlarged, or so small that much is lost."""
    notes = []
    if small := [name for name, size in sizes.items() if min(size) < CROP]:
        notes.append(
            f"{len(small)} images have a side below {CROP} pixels ({first_few(small)}); they are enlarged to that."
        )
    large = [name for name, size in sizes.items() if min(size) >= LARGE * CROP]
    if large and not cut:
        notes.append(
            f"{len(large)} images have no side below {LARGE * CROP} pixels ({first_few(large)}) and are seen at a "
            f"shortest side of {CROP}, {LARGE} times smaller or more. If what you look for is then too small, --tile "
            f"{4 * CROP} and another --root cut them, with their labels."
        )
    return notes


def _not_read(folder: Path) -> list[str]:
    kinds = Counter(path.suffix.lower() for path in folder.rglob("*") if path.suffix.lower() in _NOT_READ)
    found = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    return (
        [f"Pictures in {folder} that are not read: {found}. Convert them to JPEG or PNG to use them."] if kinds else []
    )
