"""The third stage: finds the image of each label, and draws a class-id PNG for every labelled image or tile."""

import contextlib
import dataclasses
import itertools
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from smir.classes import VOID, UInt8
from smir.data.reading.decode import LabelFacts, invisible, label_facts, read_label
from smir.data.reading.image_files import list_images
from smir.data.reading.parallel import in_parallel
from smir.data.reading.tiff import SIDEWAYS, Tiff, has_rasterio
from smir.errors import DataError, counted, first_few, listed
from smir.files.orientation import orientation_in
from smir.files.pictures import is_tiff, write_png
from smir.prepare.labels.classes import ClassTable, class_colors, is_void, of_categories
from smir.prepare.labels.color_lists import listed_classes
from smir.prepare.labels.formats import read_labels
from smir.prepare.labels.mask_classes import of_masks
from smir.prepare.labels.masks import MaskFiles, mark_of, read_masks
from smir.prepare.labels.matching import renaming_notes
from smir.prepare.labels.shapes import Annotated, Annotations, draw
from smir.prepare.labels.vectors import read_vectors
from smir.prepare.own.bands import notes_on_blocks
from smir.prepare.own.field import IMAGES, LABEL_TILES, NEW_MASKS, Counts, Field, Labels, mask_path
from smir.prepare.own.geotiff import check_same_place, tiles_with_gaps
from smir.prepare.own.options import Options
from smir.prepare.own.split_lists import SPLIT_FOLDERS
from smir.prepare.sources import no_data_of
from smir.terminal import percent


def label(field: Field) -> Field:
    """Draws the labels and cuts them like the images; pixels without data in a GeoTIFF count as not labelled.

    Raises:
        SmirError: If labels do not match the images, or a label cannot be drawn.
    """
    if field.options.labels is None:
        return field
    shutil.rmtree(field.root / NEW_MASKS, ignore_errors=True)
    (field.root / NEW_MASKS).mkdir()
    labels = _draw(field, field.labels or find_labels(field))
    shutil.rmtree(field.root / LABEL_TILES, ignore_errors=True)
    return dataclasses.replace(field, labels=_without_no_data(field, labels))


def _draw(field: Field, labels: Labels) -> Labels:
    parts = field.parts()

    def draw(image: str) -> tuple[bool, Counts]:
        """Writes the masks of an image or its non-empty tiles; returns whether it shows a class, and pixel counts."""
        whole = labels.draw(image)
        pixels: Counts = {}
        for name in parts.get(image, ()):
            part = whole if name == image else whole[field.tiles[name].window]
            counts = np.bincount(part.ravel(), minlength=256)
            if name == image or counts[:VOID].any():
                write_png(mask_path(field.root / NEW_MASKS, name), part, sync=False)
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
        notes.append(
            f"{counted(len(bare), 'label holds', 'labels hold')} only {VOID}: {first_few(bare)}. Such images count as "
            "not labelled."
        )
    return dataclasses.replace(labels, pixels=pixels, notes=notes)


def _without_no_data(field: Field, labels: Labels) -> Labels:
    """Pixels that an image marks as missing, by alpha, mask or nodata, count as not labelled, as in `predict`.

    So do those that a mask inside the label image of an orthomosaic flags, which its tiles in colours do not keep.

    Raises:
        DataError: If no labelled pixel is left.
    """
    pixels = dict(labels.pixels)
    label_map = field.options.labels if field.options.has_label_map else None
    masked = label_map is not None and _is_read_in_place(label_map) and Tiff(label_map, "label").has_inner_mask
    for image, names in field.by_image(labels.pixels).items():
        windows = {name: field.tiles[name].window if name in field.tiles else np.s_[:, :] for name in names}
        path = field.options.images if field.options.is_map else field.options.images / image
        files = {name: path if name == image else field.root / IMAGES / name for name in names}
        gaps = tiles_with_gaps(path, windows, field.bands) if _is_read_in_place(path) else _transparent(files)
        for name, valid in itertools.chain(gaps, tiles_with_gaps(label_map, windows) if label_map and masked else ()):
            file = mask_path(field.root / NEW_MASKS, name)
            mask = np.where(valid, read_label(file), VOID).astype(np.uint8)
            pixels[name] = np.bincount(mask.ravel(), minlength=256)
            write_png(file, mask, sync=False)
    kept = {name: count for name, count in pixels.items() if count[:VOID].any()}
    empty = [name for name in pixels if name not in kept]
    if empty and not kept:
        raise DataError(
            f"The images have no data where labels are, such as {empty[0]}: the pixels are transparent, or marked as "
            "missing. If they show something, remove their alpha channel: magick mogrify -alpha off FILES"
        )
    notes = list(labels.notes)
    if empty:
        notes.append(
            f"{counted(len(empty), 'image has', 'images have')} no data where labels are (transparent, or marked as "
            f"missing): {first_few(empty)}. Such images count as not labelled."
        )
    return dataclasses.replace(labels, pixels=kept, notes=notes)


def _is_read_in_place(path: Path) -> bool:
    return is_tiff(path) and has_rasterio()


def _transparent(files: Mapping[str, Path]) -> Iterator[tuple[str, npt.NDArray[np.bool_]]]:
    """Yields the names of images and tiles with fully transparent pixels, and which pixels are visible (H, W)."""
    for name, path in files.items():
        if (hidden := invisible(path, by_alpha=True)) is not None and hidden.any():
            yield name, ~hidden


def find_labels(field: Field) -> Labels:
    """Reads labels of any format, and finds the image of each."""
    options = field.options
    assert options.labels is not None
    if options.has_label_map:
        tiles = options.root / LABEL_TILES
        names = [name for name in list_images(tiles) if name in field.sizes]
        masks = dataclasses.replace(read_masks(tiles, names, {}, options.classes), scales=None)  # of one file
        if (marked := no_data_of(options.labels)) is not None:
            mark = mark_of(LabelFacts("ids", no_data=marked), masks.coding)
            masks = dataclasses.replace(masks, no_data=frozenset([mark or str(marked)]))
        return _of_masks(field, masks, [options.labels])
    if options.has_vectors:
        windows = {name: tile.window for name, tile in field.tiles.items()}
        return _of_shapes(field, read_vectors(options.labels, options.images, windows), options.labels)
    found = read_labels(options.labels, options.classes, options.names_of_pairs)
    if isinstance(found, MaskFiles):
        return _of_masks(field, found, [found.folder / name for name in found.names])
    return _of_shapes(field, found, options.labels)


def _of_masks(field: Field, masks: MaskFiles, files: list[Path]) -> Labels:
    options = field.options
    listed = listed_classes(masks) if options.classes is None else None
    given = listed[0] if listed else options.classes
    table = of_masks(given, masks, options.tests_alone)
    names = field.names.match(masks.names, masks.folder, options.names_of_pairs)

    def draw_mask(image: str) -> UInt8:
        label, file = masks.label(names[image], table), masks.folder / names[image]
        _check_size(label.shape, field.sizes[image], file, image)
        if not options.is_map:  # the images of a map are its tiles
            check_same_place(file, options.images / image)
        return label

    colors, on_colors = class_colors(table, masks.shades)
    notes = [f"The names of the classes are from {listed[1]}."] if listed else []
    notes += [*_notes_of_masks(masks, table, given), *on_colors, *table.notes(), *renaming_notes(names)]
    if options.pair is not None and (others := sorted({*list_images(masks.folder)} - {*masks.names, *field.sizes})):
        notes.append(
            f"--pair leaves out {counted(len(others), 'file', 'files')} in {masks.folder}: {first_few(others)}."
        )
    notes += [*_notes_on_folders(names, table), *_notes_on_turned(field, names), *notes_on_blocks(files)]
    notes += _notes_on_white_first(masks, table, files)
    return Labels(masks.title, table.names, list(names), draw_mask, notes, colors)


def _notes_on_white_first(masks: MaskFiles, table: ClassTable, files: Iterable[Path]) -> list[str]:
    """Returns a note about TIFFs of one bit that show 0 in white: what looks like a plant may be the background."""
    if masks.coding != "ids":
        return []
    inverted = [file.name for file in files if is_tiff(file) and label_facts(file).is_white_first]
    if not inverted:
        return []
    place = table.ids.get("0", VOID)
    of_zero = "not labelled" if place == VOID else table.names[place]
    return [
        f"{counted(len(inverted), 'mask shows', 'masks show')} the value 0 in white and 1 in black: "
        f"{first_few(inverted)}. Are the white pixels {of_zero}? If not, exchange the two values in --classes, or in "
        "these files."
    ]


def _of_shapes(field: Field, found: Annotations, where: Path) -> Labels:
    options = field.options
    annotated = _by_image_path(_by_image(found, where, options), field)
    if not annotated:
        left_out = f"It holds {found.kinds_left_out()}. " if found.left_out else ""
        raise DataError(
            f"{where.absolute()} ({found.title}) holds no shape with an area, which pixel labels need. "
            f"{left_out}Draw polygons or masks in the annotation tool."
        )
    table = of_categories(options.classes, found.declared, found.used(), str(where), options.tests_alone)
    names = field.names.match(annotated, where, options.names_of_pairs)
    for image, label in names.items():
        _refuse_two_names(field, image, annotated[label])

    def draw_shapes(image: str) -> UInt8:
        of_image = annotated[names[image]]
        size = of_image.size or field.sizes[image]
        _check_size(size, field.sizes[image], of_image.source, image)
        return draw(of_image, size, table)

    colors, on_colors = class_colors(table, found.colors)
    notes = [*_notes_on_turned(field, names)]
    notes += [*found.notes, *_notes_of_shapes(found, options), *on_colors, *table.notes(), *renaming_notes(names)]
    return Labels(found.title, table.names, list(names), draw_shapes, notes, colors)


def _refuse_two_names(field: Field, image: str, label: Annotated) -> None:
    """Refuses a file named after one image whose `imagePath` names another one that exists."""
    other = None
    if label.also is not None:
        with contextlib.suppress(DataError):  # several images have the name
            other = field.names.find(label.also)
    of_folder = [PurePosixPath(name.replace("\\", "/")).parts[-2:-1] for name in (label.also or "", other or "")]
    in_other_folder = other != image and of_folder[0] == of_folder[1] != ()
    if other is not None and (PurePosixPath(other).stem != PurePosixPath(image).stem or in_other_folder):
        raise DataError(
            f"{label.source.absolute()} is named after {image}, but its imagePath is {label.also}, which also "
            "exists. Rename the file after the image that it labels, or correct imagePath."
        )


def _by_image_path(annotated: dict[str, Annotated], field: Field) -> dict[str, Annotated]:
    """Returns the annotations by their `imagePath`, if no file has the name of an image and all these paths differ."""
    if field.options.pair or any(map(field.names.find, annotated)):
        return annotated
    images = [field.names.find(label.also) if label.also else None for label in annotated.values()]
    by_image = {image: label for image, label in zip(images, annotated.values(), strict=True) if image}
    return annotated if len(by_image) < len(annotated) else by_image


def _check_size(label: tuple[int, ...], image: tuple[int, int], source: Path, name: str) -> None:
    if label == image:
        return
    if label == image[::-1]:
        reason = (
            "Height and width are swapped. If the image is stored on its side, with an EXIF orientation, the labelling "
            "tool ignored that: save the images upright (exiftran -ai *.jpg, or mogrify -auto-orient) and label "
            "those, or turn the labels. Otherwise correct the size in the labels."
        )
    else:
        reason = "Export the labels at the full size of the image, or give the images that were labelled."
    raise DataError(
        f"{source.absolute()} is for an image of {label[1]} x {label[0]} pixels, but {name} is {image[1]} x {image[0]} "
        f"as displayed. {reason}"
    )


def _notes_on_turned(field: Field, images: Iterable[str]) -> list[str]:
    """Returns a note if images are stored turned, and their labels could be so, too, by their size."""
    if field.options.is_map:
        return []
    stored = ((name, orientation_in(field.options.images / name)) for name in images)
    turned = [
        name
        for name, orientation in stored
        if orientation != 1 and (orientation not in SIDEWAYS or field.sizes[name][0] == field.sizes[name][1])
    ]
    if not turned:
        return []
    return [
        f"{counted(len(turned), 'labelled image is', 'labelled images are')} stored turned or mirrored (EXIF "
        f"orientation): {first_few(turned)}. smir shows images upright. If the labelling tool did not, these labels "
        "are turned, and their size does not show it: look at them."
    ]


def _by_image(found: Annotations, where: Path, options: Options) -> dict[str, Annotated]:
    """Returns the annotations of every labelled image; files in two folders of `where` may each have a `1.jpg`."""
    labelled = [annotated for annotated in found.images if annotated.shapes or options.empty == "background"]
    folders: dict[str, set[Path]] = {}
    for annotated in labelled:
        folders.setdefault(annotated.image, set()).add(annotated.source.parent)
    kept: dict[str, Annotated] = {}
    for annotated in labelled:
        name = annotated.image
        if len(folders[name]) > 1:
            name = (annotated.source.parent.relative_to(where) / name).as_posix()
        other = kept.get(name)
        if other is not None and other.shapes and annotated.shapes:
            same = other.source == annotated.source
            raise DataError(
                f"The image {annotated.image} is labelled twice, "
                f"{f'both in {other.source}' if same else f'in {other.source} and in {annotated.source}'}, as happens "
                "when two people label it. Merge the two in the annotation tool, or remove one."
            )
        if other is None or annotated.shapes:
            kept[name] = annotated
    return kept


def _notes_of_shapes(found: Annotations, options: Options) -> list[str]:
    left_out = f"Left out, because their pixels are not known: {found.kinds_left_out()}."
    notes = [left_out] if found.left_out else []
    used = found.used()
    if unused := [name for name in found.declared if name not in used and not is_void(name)]:
        notes.append(f"Declared but never drawn, so not a class: {', '.join(unused)}.")
    bare = [annotated.image for annotated in found.images if not annotated.shapes]
    if bare and options.empty == "unlabelled":
        notes.append(
            f"{counted(len(bare), 'image in the annotations has', 'images in the annotations have')} no shape "
            f"({first_few(bare)}). Such images count as not labelled; with --empty background, as background."
        )
    return notes


def _notes_on_folders(labels: Mapping[str, str], table: ClassTable) -> list[str]:
    """Returns a note if masks of one class lie in several folders, each of which may stand for another class.

    `labels` has the label of every image. Folders of a split, or as those of the images, stand for no class.
    """
    pairs = [(PurePosixPath(label).parent.name, PurePosixPath(image).parent.name) for image, label in labels.items()]
    folders = sorted({own for own, of_image in pairs if own != of_image and own.lower() not in SPLIT_FOLDERS})
    if len(folders) < 2 or len(table.names) > 2:
        return []
    return [
        f"The masks in the folders {first_few(folders)} have the same values ({listed(table.names)}), so they count as "
        "the same class. If each folder is for another class: give the masks of each folder another value, and say "
        f"which: --classes '[background=0, {folders[0]}=1, {folders[1]}=2]'."
    ]


def _notes_of_masks(masks: MaskFiles, table: ClassTable, given: Sequence[str] | None) -> list[str]:
    notes = []
    if few := [key for key in masks.thin if key in table.ids and table.ids[key] != VOID]:
        notes.append(f"Found only on the borders between other values: {first_few(few)}. Are the borders smooth?")
    if given is None and (held := [key for key in sorted(masks.no_data) if masks.values.get(key)]):
        notes.append(
            f"The files mark {', '.join(held)} as nodata, so not labelled. If it is a class, name it in --classes."
        )
    if given is None and not masks.colors:
        names = [name.replace("class_", "NAME_") for name in table.names]
        named = ", ".join(f"{names[place]}={key}" for key, place in table.ids.items() if place != VOID)
        notes.append(f"The classes are named after their values. Give them names with --classes '[{named}]'.")
    if given is None and masks.counted is not None:
        low, high = masks.counted
        notes.append(
            f"The values run from 1 to a number that differs between masks ({low} to {high}). If they number objects, "
            f"give all of them one class: --classes '[background=0, NAME=1-{high}]'."
        )
    if masks.values.get(str(VOID)) and table.ids[str(VOID)] == VOID:
        share = percent(masks.values[str(VOID)], sum(masks.values.values()))
        notes.append(
            f"The value 255 ({share} of the pixels) counts as not labelled. If it is a class, add it to --classes: "
            "NAME=255."
        )
    return notes
