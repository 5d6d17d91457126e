"""The third stage: a class-id PNG for every labelled image, in the folders and under the names of the images."""

import dataclasses
import shutil

import numpy as np

from smir.classes import VOID
from smir.data.reading.decode import read_label
from smir.data.reading.opening import has_rasterio
from smir.data.reading.parallel import in_parallel
from smir.errors import first_few
from smir.files.pictures import write_png
from smir.prepare.own.field import LABEL_TILES, NEW_MASKS, Counts, Field, Labels, mask_path
from smir.prepare.own.found_labels import find_labels


def label(field: Field) -> Field:
    """Draws the labels and cuts them as the images were cut; pixels without data in a GeoTIFF are not labelled.

    Raises:
        SmirError: If labels and images do not belong together, or a label cannot be drawn.
    """
    if field.options.labels is None:
        return field
    shutil.rmtree(field.root / NEW_MASKS, ignore_errors=True)
    (field.root / NEW_MASKS).mkdir()
    labels = _draw(field, field.labels or find_labels(field))
    shutil.rmtree(field.root / LABEL_TILES, ignore_errors=True)
    if field.tiles and has_rasterio():
        labels = _without_no_data(field, labels)
    return dataclasses.replace(field, labels=labels)


def _draw(field: Field, labels: Labels) -> Labels:
    parts = field.parts()

    def draw(image: str) -> tuple[bool, Counts]:
        """Writes the masks of an image; says whether it shows a class, and counts. A tile without any has no mask."""
        whole = labels.draw(image)
        pixels: Counts = {}
        for name in parts.get(image, ()):
            part = whole if name == image else whole[field.tiles[name].window]
            counts = np.bincount(part.ravel(), minlength=256)
            if name == image or counts[:VOID].any():
                path = mask_path(field.root / NEW_MASKS, name)
                write_png(path, part, sync=False)
            if counts[:VOID].any():
                pixels[name] = counts
        return bool((whole != VOID).any()), pixels

    pixels: Counts = {}
    bare = []
    for image, (shows, counts) in zip(labels.images, in_parallel(draw, labels.images, "Labels"), strict=True):
        pixels |= counts
        bare += [] if shows else [image]
    notes = list(labels.notes)
    if bare:
        notes.append(f"{len(bare)} labels hold nothing but {VOID} ({first_few(bare)}); these images are not labelled.")
    return dataclasses.replace(labels, pixels=pixels, notes=notes)


def _without_no_data(field: Field, labels: Labels) -> Labels:
    """Pixels flagged by alpha, mask or no-data value of a TIFF count as not labelled, as in `predict`."""
    from smir.prepare.own.geotiff import tiles_with_gaps

    pixels = dict(labels.pixels)
    for image, names in field.by_image(labels.pixels).items():
        windows = {name: field.tiles[name].window for name in names}
        for name, valid in tiles_with_gaps(field.options.folder / image, windows):
            path = mask_path(field.root / NEW_MASKS, name)
            mask = np.where(valid, read_label(path), VOID).astype(np.uint8)
            pixels[name] = np.bincount(mask.ravel(), minlength=256)
            write_png(path, mask, sync=False)
    return dataclasses.replace(labels, pixels={name: count for name, count in pixels.items() if count[:VOID].any()})
