"""What `prepare folder` says at its end."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from smir.classes import VOID
from smir.prepare.own.drawn_splits import Members
from smir.prepare.own.labels import FieldLabels
from smir.terminal import columns, percent

FEW = 10
"""Labelled images below which figures are mostly chance."""


def report_lines(
    source: str, root: Path, names: Sequence[str], labels: FieldLabels | None, members: Members | None, notes: list[str]
) -> list[str]:
    """Says what a field is made of.

    Args:
        source: Where its images come from and how many there are.
        root: Its folder.
        names: All of its images.
        labels: Its labels, if it has any.
        members: Its splits, if it has labels.
        notes: What else the user should know.
    """
    if labels is None or members is None:
        return [source, "No labels: this field serves pretraining.", *_notes(notes)]
    without = len(names) - len(labels.pixels)
    rest = f"; {without} are for pretraining alone"
    if "train" not in members:
        rest = f"; {without} are not, and not tested on" if without else ""
    lines = [source, f"{len(labels.pixels)} of them are labelled ({labels.title}){rest}"]
    lines += _table(labels, members)
    notes = [*labels.notes, *_lacking(labels, members), *notes]
    if len(labels.pixels) < FEW:
        notes.append(f"Only {len(labels.pixels)} images are labelled; test figures will be mostly chance.")
    return [*lines, *_notes(notes), f"Look at {root / 'preview.png'}: do the labels lie on what they name?"]


def _table(labels: FieldLabels, members: Members) -> list[str]:
    total = np.sum(list(labels.pixels.values()), axis=0)
    rows = [["class", *members, "of the pixels", ""], ["images", *(str(len(members[s])) for s in members), "", ""]]
    for class_id, name in [*enumerate(labels.classes), (VOID, "not labelled")]:
        if class_id == VOID and not total[VOID]:
            continue
        shown = [str(sum(labels.pixels[n][class_id] > 0 for n in members[split])) for split in members]
        rows.append([name, *shown, percent(int(total[class_id]), int(total.sum())), ""])
    return [f"  {line}" for line in columns(rows)]


def _lacking(labels: FieldLabels, members: Members) -> list[str]:
    """Which split has nothing of a class."""
    shown = labels.shown()
    return [
        f"No image of {split} shows {name}"
        + {"train": ", so it cannot be learned.", "val": ".", "test": ", so it has no test figure."}[split]
        for split in members
        for class_id, name in enumerate(labels.classes)
        if not any(class_id in shown[image] for image in members[split])
    ]


def _notes(notes: Sequence[str]) -> list[str]:
    return [f"Note: {note}" for note in notes]
