"""Makes a field of someone's own images ready: what `python -m smir prepare folder` does."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from smir.data.reading.decode import IMAGE_SUFFIXES, image_size, list_images
from smir.data.reading.lists import write_list
from smir.data.reading.opening import has_rasterio
from smir.errors import DataError
from smir.files.atomic import write_atomically
from smir.prepare.labels.annotations import Annotations
from smir.prepare.labels.masks import MaskFiles, read_masks
from smir.prepare.labels.matching import ImageNames
from smir.prepare.labels.recognise import read_labels
from smir.prepare.own.config import config_text, large_note, small_note, statistics
from smir.prepare.own.drawn_splits import SPLITS, Members
from smir.prepare.own.images import cut_label_map, cut_tiles, link_images, not_read, photographs, sizes
from smir.prepare.own.labels import FieldLabels, convert
from smir.prepare.own.options import RECORD, Options, check, images_settings, labels_settings
from smir.prepare.own.preview import write_preview
from smir.prepare.own.splits import choose_splits
from smir.prepare.own.summary import report_lines
from smir.prepare.own.tiles import Tiles, cut_labels, cut_photographs, tiles_of_map
from smir.prepare.records import close_record, open_record
from smir.prepare.tile_source import shown_size

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
    tiles: Tiles = {}
    if options.is_map:
        where = root / IMAGES
        how = cut_tiles(options.images, where, options.side, options.min_valid)
        tiles = tiles_of_map(where, options.images.name, options.side)
        names = list(tiles)
    shapes = sizes(where, names, shown_size if options.cuts_photographs else image_size)
    labels, members = None, None
    notes: list[str] = []
    try:
        if options.labels is not None:  # before the images, so that wrong labels leave little behind
            labels = _labels(options, ImageNames(names, where), shapes)
        if options.cuts_photographs:
            tiles, how = cut_photographs(where, shapes, root / IMAGES, options.side, options.min_valid)
            labels = None if labels is None else cut_labels(labels, root / NEW_MASKS, tiles)
            names, where, shapes = list(tiles), root / IMAGES, {name: tile.size for name, tile in tiles.items()}
        if labels is not None and tiles and has_rasterio():
            from smir.prepare.own.nodata import without_no_data

            labels = without_no_data(labels, root / NEW_MASKS, tiles, options.folder)
        if labels is not None:
            members, notes = choose_splits(options, labels, ImageNames(names, where), tiles, earlier)
    except BaseException:
        shutil.rmtree(root / NEW_MASKS, ignore_errors=True)
        raise
    if not options.side:
        how = f"{len(names)} images, {link_images(options.images, names, root / IMAGES)}"
    if labels is not None and members is not None:
        _put_labels(root, labels, members)
    channels = None if options.tests_alone else statistics(root, IMAGES, names)
    classes = None if labels is None else labels.classes
    config = config_text(
        root, IMAGES, MASKS, classes, list(members or ()), channels, min(map(min, shapes.values())), cut=bool(tiles)
    )
    write_atomically(root / CONFIG, config)
    notes += small_note(shapes) + ([] if tiles else large_note(shapes))
    notes += [] if options.is_map else not_read(options.images)
    source = f"{options.images}: {how}, in {root / IMAGES}"
    return labels, report_lines(source, root, names, labels, members, notes)


def _put_labels(root: Path, labels: FieldLabels, members: Members) -> None:
    (root / CONFIG).unlink(missing_ok=True)  # from here to its end the field is not whole
    shutil.rmtree(root / MASKS, ignore_errors=True)
    (root / NEW_MASKS).rename(root / MASKS)
    for split in members:
        write_list(root / f"{split}.txt", members[split])
    write_preview(root / PREVIEW, root / IMAGES, root / MASKS, sorted(labels.pixels), labels.classes)


def _labels(options: Options, images: ImageNames, shapes: Mapping[str, tuple[int, int]]) -> FieldLabels:
    assert options.labels is not None
    tiles = options.root / LABEL_TILES
    found: Annotations | MaskFiles
    if options.is_map and options.labels.is_file() and options.labels.suffix.lower() in IMAGE_SUFFIXES:
        cut_label_map(options.labels, tiles, options.root / IMAGES, options.side)
        found = read_masks(tiles, [name for name in list_images(tiles) if name in shapes], {}, options.classes)
    else:
        found = read_labels(options.labels, options.classes)
    target, alone = options.root / NEW_MASKS, options.tests_alone
    labels = convert(found, options.labels, options.classes, images, shapes, target, options.empty, may_lack=alone)
    shutil.rmtree(tiles, ignore_errors=True)
    return labels
