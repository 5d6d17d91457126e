"""The last stage: links photographs, moves masks into place, and writes lists, preview, `data.yaml` and the record."""

import dataclasses
import json
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from smir.classes import VOID, Classes, UInt8
from smir.data.reading.channel_statistics import ChannelStatistics, channel_statistics
from smir.data.reading.decode import read_image, read_label
from smir.data.reading.lists import write_list
from smir.errors import counted, first_few
from smir.files.atomic import write_atomically
from smir.files.pages.overlays import entries, evenly, sheet, small_overlay
from smir.files.pictures import write_png
from smir.prepare.own.field import CONFIG, IMAGES, LEFT_OUT, MASKS, NEW_MASKS, PREVIEW, Field, Labels, Sizes, mask_path
from smir.prepare.own.options import RECORD
from smir.prepare.own.stratification import Members
from smir.prepare.own.tile import link_images
from smir.prepare.records import close_record
from smir.seeding import seed_for
from smir.terminal import columns, percent

_MOST_SHOWN = 6
"""Images in the preview."""
_MOST_FOR_STATISTICS = 1000
"""Images used for mean and deviation; more change only the third digit."""
_CROP = 256
"""Side of the crops of most recipes in experiments/folder; smaller images are enlarged to it."""
_FEW_LABELS_CROP = 192
"""Side of the crops of experiments/folder/few-labels.yaml."""
_FEW_TO_TRAIN_ON = 50
"""Labelled images below which validation images are trained on: docs/evidence.md, rows "trained on all labels"."""
_FEW = 10
"""Labelled images below which figures are mostly chance."""
_LITTLE = 0.025
"""Deviation, as a share of the range, below which images show almost nothing: 12 bits in 16 are at most 0.02."""
_PALE = (
    "The images show little contrast: the deviation is {:.1f} % of the range. Of 16 bits only the high byte is used; "
    "--bands and --value_range choose the values of TIFFs that become black and white."
)
_LARGE = 8
"""The report says how much smaller the network sees an image if its sides are this many crops or more."""


def write(field: Field) -> list[str]:
    """Writes the missing files, the record last, and returns the lines of the report."""
    options, root, names = field.options, field.root, list(field.sizes)
    source = field.source
    if not source:
        how = link_images(options.images, names, root / IMAGES, field.bands)
        source = f"{len(names)} image{'s' * (len(names) > 1)}, {how}"
    if field.labels is not None:
        _write_labels(field, field.labels)
    channels = None if options.tests_alone else _statistics(field.pictures, names)
    if channels and max(channels.std) < _LITTLE:
        field = dataclasses.replace(field, notes=(*field.notes, _PALE.format(100 * max(channels.std))))
    write_atomically(root / CONFIG, _config_text(field, channels))
    lines = _report_lines(field, f"{options.images}: {source}, in {root / IMAGES}")
    close_record(
        root / RECORD,
        field.image_settings,
        source=str(options.images),
        labels=field.label_settings,
        classes=None if field.labels is None else field.labels.classes,
        lines=lines,
    )
    return lines


def _write_labels(field: Field, labels: Labels) -> None:
    root = field.root
    (root / CONFIG).unlink(missing_ok=True)  # the field is incomplete until it is written again
    shutil.rmtree(root / MASKS, ignore_errors=True)
    (root / NEW_MASKS).rename(root / MASKS)
    for split, names in field.members.items():
        write_list(root / f"{split}.txt", names)
    if field.left_out:
        write_list(root / LEFT_OUT, field.left_out)
    else:
        (root / LEFT_OUT).unlink(missing_ok=True)
    _write_preview(field, labels)


def _write_preview(field: Field, labels: Labels) -> None:
    """Draws some images side by side with their overlaid labels, and a legend of the classes."""
    classes = Classes.named(labels.classes, labels.colors)

    def pictures() -> Iterator[tuple[str, UInt8]]:
        for name in evenly(sorted(labels.pixels), _MOST_SHOWN):
            image = read_image(field.pictures / name)
            yield name, image
            label = read_label(mask_path(field.root / MASKS, name)).astype(np.uint8)
            yield "its label", small_overlay(image, label, classes)

    legend = [*entries(classes), ("not labelled", classes.palette()[VOID].tolist())]
    write_png(field.root / PREVIEW, sheet(pictures(), 2, legend))


def _statistics(folder: Path, names: Sequence[str]) -> ChannelStatistics:
    """Returns mean and deviation over all images, so that new labels or splits do not change the normalisation."""
    chance = np.random.default_rng(seed_for("field statistics"))
    count = min(len(names), _MOST_FOR_STATISTICS)
    chosen = sorted(chance.permutation(len(names))[:count].tolist())
    return channel_statistics(folder, [names[place] for place in chosen])


def _config_text(field: Field, channels: ChannelStatistics | None) -> str:
    """Returns `data.yaml`, a config to use after one of experiments/folder.

    Without `channels`, nothing trains on the images, and the network's normalisation is used.
    """
    options: dict[str, Any] = {"root": str(field.root), "images": IMAGES}
    if field.labels is not None:
        options |= {"labels": MASKS, "classes": field.labels.classes, "partial_labels": True}
        if field.labels.colors:
            options["colors"] = field.labels.colors
        options["split_files"] = {split: f"{split}.txt" for split in field.members}
        if field.left_out:
            options["left_out"] = LEFT_OUT
    if channels is None:
        options["label_map"] = None  # the label_map in the run's config is for other files
    else:
        options["mean"] = [round(value, 5) for value in channels.mean]
        options["std"] = [max(round(value, 5), 1e-5) for value in channels.std]
        if field.labels is not None:
            options["fill_batches"] = True  # a few labels are too precious to drop the last batch
            if _trains_on_val(field):
                options["train_on_val"] = True
    if (smallest := min(map(min, field.sizes.values()))) < _CROP:
        options["min_side"] = smallest
    if field.tiles:
        options["predict"] = {"view": "windows"}  # at the scale of the tiles, whatever the size
    if field.bands is not None:
        options.setdefault("predict", {}).update(dataclasses.asdict(field.bands))
    lines = [f"    {name}: {_yaml(value)}" for name, value in options.items()]
    name = [] if channels is None else [f"run: {{field: {_yaml(name_of(field.root))}}}"]
    after = "any recipe of the group folder" if channels else "the config.yaml of a trained run, to test it"
    head = [
        f"# Written by `python -m smir prepare folder`: your images, as a second --config after {after}.",
        "# The root is relative to where commands are run; change it if you move the folder.",
        *name,
        "data:",
        "  class_path: Folder",
        "  init_args:",
    ]
    text = "\n".join([*head, *lines, ""])
    assert yaml.safe_load(text)["data"]["init_args"]["root"] == str(field.root)
    return text


def _yaml(value: Any) -> str:
    """Returns a value in one line of YAML; JSON leaves some characters as they are that YAML takes only escaped."""
    text = json.dumps(value, ensure_ascii=False)
    return re.sub(r"[\x7f-\x9f\ud800-\udfff\ufffe\uffff]", lambda found: f"\\u{ord(found[0]):04x}", text)


def name_of(root: Path) -> str:
    """Returns the name of a field: its folder, with the folders above it that the root names."""
    parts = [part for part in root.parts if part not in (root.anchor, "..")]
    words = (parts[-1:] if root.is_absolute() else parts) or [root.resolve().name]
    return re.sub(r"[^\w.-]+", "-", "-".join(words))


def _trains_on_val(field: Field) -> bool:
    """Returns whether labels are so few that validation images are worth more in training."""
    counts = {split: len(names) for split, names in field.members.items() if split != "test"}
    return bool(counts) and sum(counts.values()) < _FEW_TO_TRAIN_ON


def _report_lines(field: Field, source: str) -> list[str]:
    """Returns the report about a field; `source` describes its images."""
    labels, members = field.labels, field.members
    notes = [*field.notes, *_notes_on_sizes(field.sizes, cut=bool(field.tiles))]
    if labels is None:
        return [source, "No labels: this field is for pretraining only.", *(f"Note: {note}" for note in notes)]
    without = len(field.sizes) - len(labels.pixels)
    rest = f"; {without} are for pretraining only" if without else ""
    if "train" not in members:
        rest = f"; {counted(without, 'is not, and is', 'are not, and are')} not tested on" if without else ""
    lines = [
        source,
        f"{counted(len(labels.pixels), 'of them is', 'of them are')} labelled ({labels.title}){rest}",
        *_table(labels, members),
    ]
    notes = [*labels.notes, *_lacking(labels, members), *notes]
    if _trains_on_val(field):
        notes.append("Labels are few, so validation images are trained on, too; train_on_val in data.yaml says so.")
    if len(labels.pixels) < _FEW:
        notes.append(
            f"Only {counted(len(labels.pixels), 'image is', 'images are')} labelled; test figures will mostly be "
            "chance."
        )
    lines += [f"Note: {note}" for note in notes]
    return [*lines, f"Look at {field.root / PREVIEW}: do the labels match the images?"]


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
    """Returns a note for every class that is missing in a split."""
    shown = labels.shown()
    return [
        f"No image of {split} shows {name}"
        + {"train": ", so it cannot be learned.", "val": ".", "test": ", so it has no test figure."}[split]
        for split in members
        for class_id, name in enumerate(labels.classes)
        if not any(class_id in shown[image] for image in members[split])
    ]


def _notes_on_sizes(sizes: Sizes, cut: bool) -> list[str]:
    """Returns notes about images that are enlarged, or shrunk so much that detail is lost."""
    notes = []
    if small := [name for name, size in sizes.items() if min(size) < _CROP]:
        notes.append(
            f"{counted(len(small), 'image has', 'images have')} a side below {_CROP} pixels ({first_few(small)}). smir "
            f"enlarges an image whose shortest side is below data.crop_size to that size: {_CROP} in most recipes, "
            f"{_FEW_LABELS_CROP} in folder/few-labels."
        )
    large = [name for name, size in sizes.items() if min(size) >= _LARGE * _CROP]
    if large and not cut:
        notes.append(
            f"{counted(len(large), 'image has', 'images have')} no side below {_LARGE * _CROP} pixels "
            f"({first_few(large)}). Seen at a shortest side of {_CROP}, such an image is at least {_LARGE} times "
            "smaller. If what you look for is then too small, cut these images and their labels: "
            f"--tile {4 * _CROP} and another --root."
        )
    return notes
