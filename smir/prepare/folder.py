"""Makes a field of someone's own images ready: what `python -m smir prepare folder` does."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from smir.atomic import write_atomically
from smir.data.decode import IMAGE_SUFFIXES, list_images
from smir.data.lists import read_list, write_list
from smir.errors import DataError, first_few
from smir.labels.annotations import Annotations
from smir.labels.masks import MaskFiles, read_masks
from smir.labels.matching import ImageNames
from smir.labels.recognise import read_labels
from smir.prepare.field_config import config_text, small_note, statistics
from smir.prepare.field_images import (
    blocks,
    cut_label_map,
    cut_tiles,
    link_images,
    not_read,
    photographs,
    sizes,
)
from smir.prepare.field_labels import FieldLabels, convert
from smir.prepare.field_options import RECORD, Options, check, images_settings, labels_settings
from smir.prepare.field_preview import write_preview
from smir.prepare.field_report import report_lines
from smir.prepare.records import close_record, open_record
from smir.prepare.splits import SPLITS, TEST_ALONE, Members, draw_splits, follow_splits

CONFIG = "data.yaml"
PREVIEW = "preview.png"
IMAGES, MASKS, NEW_MASKS, LABEL_TILES = "images", "masks", "new_masks", "label_tiles"


def prepare(options: Options) -> list[str]:
    """Makes the field, or what is missing of it.

    Returns:
        The report, a line each.

    Raises:
        SmirError: If the folder holds other things, or images and labels cannot be used.
    """
    check(options)
    names = [] if options.is_map else photographs(options.images, options.labels)
    images, labels = images_settings(options, names), labels_settings(options)
    options.root.mkdir(parents=True, exist_ok=True)
    if not (options.root / IMAGES).exists():  # an earlier command failed before it had done anything
        (options.root / RECORD).with_suffix(".partial.json").unlink(missing_ok=True)
    before = _before(options.root, images)
    if before is not None and labels in (None, before["labels"]) and (options.root / CONFIG).is_file():
        return [*before["lines"], "All of this was there already; nothing has changed."]
    made, lines = _make(options, names, before if before is not None and before["labels"] is not None else None)
    classes = None if made is None else made.classes
    close_record(options.root / RECORD, images, source=str(options.images), labels=labels, classes=classes, lines=lines)
    return lines


def _before(root: Path, images: Mapping[str, Any]) -> dict[str, Any] | None:
    """What an earlier command made of the same images."""
    try:
        return open_record(root / RECORD, images)
    except DataError as error:
        if not (root / f"{SPLITS[0]}.txt").is_file():
            raise
        raise DataError(
            f"{error} Other images are another field: give a new --root, and --splits {root} to test on the same ones."
        ) from error


def _make(
    options: Options, names: Sequence[str], earlier: Mapping[str, Any] | None
) -> tuple[FieldLabels | None, list[str]]:
    """Makes images, masks, splits and config; `earlier` is the record of the labels that were there before."""
    root, where = options.root, options.images
    how = ""
    if options.is_map:
        where = root / IMAGES
        how = cut_tiles(options.images, where, options.tile, options.min_valid)
        names = photographs(where, None)
    shapes = sizes(where, names)
    labels, members = None, None
    notes: list[str] = []
    if options.labels is not None:  # before the links, so that wrong labels leave little behind
        try:
            labels = _labels(options, ImageNames(names, where), shapes)
            members, notes = _splits(options, labels, ImageNames(names, where), earlier)
        except BaseException:
            shutil.rmtree(root / NEW_MASKS, ignore_errors=True)
            raise
    if not options.is_map:
        how = f"{len(names)} images, {link_images(options.images, names, root / IMAGES)}"
    if labels is not None and members is not None:
        (root / CONFIG).unlink(missing_ok=True)  # from here to its end the field is not whole
        shutil.rmtree(root / MASKS, ignore_errors=True)
        (root / NEW_MASKS).rename(root / MASKS)
        for split in members:
            write_list(root / f"{split}.txt", members[split])
        write_preview(root / PREVIEW, root / IMAGES, root / MASKS, sorted(labels.pixels), labels.classes)
    small = min(min(shape) for shape in shapes.values())
    classes = None if labels is None else labels.classes
    channels = None if options.tests_alone else statistics(root, IMAGES, names)
    write_atomically(root / CONFIG, config_text(root, IMAGES, MASKS, classes, list(members or ()), channels, small))
    notes += small_note(shapes) + ([] if options.is_map else not_read(options.images))
    source = f"{options.images}: {how}, in {root / IMAGES}"
    return labels, report_lines(source, root, names, labels, members, notes)


def _labels(options: Options, images: ImageNames, shapes: Mapping[str, tuple[int, int]]) -> FieldLabels:
    assert options.labels is not None
    tiles = options.root / LABEL_TILES
    found: Annotations | MaskFiles
    if options.is_map and options.labels.is_file() and options.labels.suffix.lower() in IMAGE_SUFFIXES:
        cut_label_map(options.labels, tiles, options.root / IMAGES, options.tile)
        found = read_masks(tiles, [name for name in list_images(tiles) if name in shapes], {}, options.classes)
    else:
        found = read_labels(options.labels, options.classes)
    target, alone = options.root / NEW_MASKS, options.tests_alone
    labels = convert(found, options.labels, options.classes, images, shapes, target, options.empty, may_lack=alone)
    shutil.rmtree(tiles, ignore_errors=True)
    return labels


def _splits(
    options: Options, labels: FieldLabels, images: ImageNames, earlier: Mapping[str, Any] | None
) -> tuple[Members, list[str]]:
    """Splits that are given, that a field with fewer labels has already, or new ones; and what to say of it."""
    if earlier is not None and options.tests_alone != (tuple(earlier["labels"]["shares"]) == TEST_ALONE):
        kind = "train, validate and test" if options.tests_alone else "are to test on alone"
        how = "" if options.tests_alone else ", or --shares '[0, 0, 1]' as before"
        raise DataError(f"The images in {options.root} {kind}. Give another --root{how}.")
    lists = options.splits or (None if earlier is None or options.tests_alone else options.root)
    if lists is None:
        shown = labels.shown()
        groups = blocks(options.root / IMAGES, shown, 2 * len(SPLITS)) if options.is_map else None
        return draw_splits(shown, options.shares, options.seed, groups), []
    entries = {split: read_list(lists / f"{split}.txt") for split in SPLITS}
    known = {split: [n for entry in entries[split] if (n := images.find(entry)) is not None] for split in SPLITS}
    listed = {name for split in SPLITS for name in known[split]}
    new = sum(name not in listed for name in labels.pixels)
    bare = sorted(listed - labels.pixels.keys())
    if options.splits is None and bare:
        raise DataError(
            f"{len(bare)} images that are labelled in {options.root} have no label in {options.labels}: "
            f"{first_few(bare)}. --labels is all labels, those of before and new ones: put the exports into one "
            f"folder and give that. If labels are to go, add --splits {options.root}."
        )
    members = follow_splits(labels.shown(), known)
    if options.splits is not None:
        parts = [f"{new} labelled images that are on none of its lists train"] if new else []
        parts += [f"{len(bare)} names on them have no label"] if bare else []
        return members, [f"Splits as in {lists}{': ' if parts else ''}{'; '.join(parts)}."]
    more = f"; {new} images that were not labelled before train" if new else ""
    notes = [f"The splits stay as they were{more}."]
    if earlier is not None and (classes := earlier.get("classes")) not in (None, labels.classes):
        notes.append(
            f"The classes were {', '.join(classes)}, and are now {', '.join(labels.classes)}: what was trained to "
            "segment before does not fit."
        )
    return members, notes
