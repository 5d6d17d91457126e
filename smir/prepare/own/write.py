"""The last stage: photographs are linked, masks take their place, and lists, preview and config are written."""

import shutil
from collections.abc import Iterator

import numpy as np

from smir.classes import VOID, Classes, UInt8
from smir.data.reading.decode import read_image, read_label
from smir.data.reading.lists import write_list
from smir.files.atomic import write_atomically
from smir.files.pictures import write_png
from smir.pages.overlays import entries, evenly, sheet, small_overlay
from smir.prepare.own.config import config_text, statistics
from smir.prepare.own.field import CONFIG, IMAGES, MASKS, NEW_MASKS, PREVIEW, Field, Labels, mask_path
from smir.prepare.own.links import link_images
from smir.prepare.own.options import RECORD
from smir.prepare.own.summary import report_lines
from smir.prepare.records import close_record

MOST_SHOWN = 6
"""Images in the preview."""


def write(field: Field) -> list[str]:
    """Writes what the folder lacks; the record comes last and says that all is there.

    Returns:
        The report, a line each.

    Raises:
        DataError: If an image cannot be linked or read.
    """
    options, root, names = field.options, field.root, list(field.sizes)
    source = field.source or f"{len(names)} images, {link_images(options.images, names, root / IMAGES)}"
    if field.labels is not None:
        _write_labels(field, field.labels)
    channels = None if options.tests_alone else statistics(root, IMAGES, names)
    write_atomically(root / CONFIG, config_text(field, channels))
    lines = report_lines(field, f"{options.images}: {source}, in {root / IMAGES}")
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
    (root / CONFIG).unlink(missing_ok=True)  # from here to its end the field is not whole
    shutil.rmtree(root / MASKS, ignore_errors=True)
    (root / NEW_MASKS).rename(root / MASKS)
    for split, names in field.members.items():
        write_list(root / f"{split}.txt", names)
    _write_preview(field, labels)


def _write_preview(field: Field, labels: Labels) -> None:
    """Shows some images beside the same with their labels over them, and the colours of the classes."""
    classes = Classes.named(labels.classes)

    def pictures() -> Iterator[tuple[str, UInt8]]:
        for name in evenly(sorted(labels.pixels), MOST_SHOWN):
            image = read_image(field.root / IMAGES / name)
            yield name, image
            label = read_label(mask_path(field.root / MASKS, name)).astype(np.uint8)
            yield "its label", small_overlay(image, label, classes)

    legend = [*entries(classes), ("not labelled", classes.palette()[VOID].tolist())]
    write_png(field.root / PREVIEW, sheet(pictures(), 2, legend))
