"""Labels of a field as they are found: read in any format, given class ids, and matched to the images."""

from collections.abc import Sequence
from pathlib import Path

from smir.classes import VOID, UInt8
from smir.data.reading.decode import list_images
from smir.errors import DataError, first_few
from smir.prepare.labels.annotations import Annotated, Annotations, draw
from smir.prepare.labels.classes import ClassTable, of_categories
from smir.prepare.labels.formats import read_labels
from smir.prepare.labels.masks import MaskFiles, of_masks, read_masks
from smir.prepare.labels.matching import told_apart
from smir.prepare.own.field import LABEL_TILES, Field, Labels
from smir.prepare.own.options import Options
from smir.terminal import percent


def find_labels(field: Field) -> Labels:
    """Reads the labels and finds the image of each.

    Raises:
        SmirError: If the labels cannot be read, or do not belong to the images.
    """
    options = field.options
    assert options.labels is not None
    if options.has_label_map:
        tiles = options.root / LABEL_TILES
        names = [name for name in list_images(tiles) if name in field.sizes]
        return _of_masks(field, read_masks(tiles, names, {}, options.classes))
    found = read_labels(options.labels, options.classes)
    return _of_masks(field, found) if isinstance(found, MaskFiles) else _of_shapes(field, found, options.labels)


def _of_masks(field: Field, masks: MaskFiles) -> Labels:
    options = field.options
    table = of_masks(options.classes, masks, options.tests_alone)
    names = field.names.match(masks.names, masks.folder)

    def draw_mask(image: str) -> UInt8:
        label = masks.label(names[image], table)
        _check_size(label.shape, field.sizes[image], masks.folder / names[image], image)
        return label

    notes = [*_notes_of_masks(masks, table, options.classes), *table.notes(), *told_apart(names)]
    return Labels(masks.title, table.names, list(names), draw_mask, notes)


def _of_shapes(field: Field, found: Annotations, where: Path) -> Labels:
    options = field.options
    annotated = _by_image(found, options)
    if not annotated:
        left_out = f"It holds {found.kinds_left_out()}. " if found.left_out else ""
        raise DataError(
            f"{where.absolute()} ({found.title}) holds no shape with an area, which a label of pixels needs. "
            f"{left_out}Draw polygons or masks in the annotation tool."
        )
    table = of_categories(options.classes, found.declared, found.used(), str(where), options.tests_alone)
    names = field.names.match(annotated, where)

    def draw_shapes(image: str) -> UInt8:
        of_image = annotated[names[image]]
        size = of_image.size or field.sizes[image]
        _check_size(size, field.sizes[image], of_image.source, image)
        return draw(of_image, size, table)

    notes = [*_notes_of_shapes(found, options), *table.notes(), *told_apart(names)]
    return Labels(found.title, table.names, list(names), draw_shapes, notes)


def _check_size(label: tuple[int, ...], image: tuple[int, int], source: Path, name: str) -> None:
    if label == image:
        return
    if label == image[::-1]:
        reason = (
            "Height and width are swapped. If the image is stored on its side, with an EXIF orientation, it was "
            "labelled without regard to that: save the images upright (exiftran -ai *.jpg, or mogrify -auto-orient) "
            "and label those, or turn the labels. Else correct the size in the labels."
        )
    else:
        reason = "Export the labels at the full size of the image, or give the images that were labelled."
    raise DataError(
        f"{source.absolute()} is for an image of {label[1]} x {label[0]} pixels, but {name} is {image[1]} x {image[0]} "
        f"as it is shown. {reason}"
    )


def _by_image(found: Annotations, options: Options) -> dict[str, Annotated]:
    """What is said about each image that counts as labelled; files in two folders may each have an image `1.jpg`."""
    labelled = [annotated for annotated in found.images if annotated.shapes or options.empty == "background"]
    folders: dict[str, set[Path]] = {}
    for annotated in labelled:
        folders.setdefault(annotated.image, set()).add(annotated.source.parent)
    kept: dict[str, Annotated] = {}
    for annotated in labelled:
        name = annotated.image
        if len(folders[name]) > 1:
            name = (annotated.source.parent / name).as_posix()
        other = kept.setdefault(name, annotated)
        if other is not annotated:
            raise DataError(
                f"The image {annotated.image} is labelled twice, in {other.source} and in {annotated.source}. Join "
                "the two in the annotation tool, or remove one."
            )
    return kept


def _notes_of_shapes(found: Annotations, options: Options) -> list[str]:
    notes = [f"Left out, having no area: {found.kinds_left_out()}."] if found.left_out else []
    used = found.used()
    if unused := [name for name in found.declared if name not in used]:
        notes.append(f"Declared but never drawn, so no class: {', '.join(unused)}.")
    bare = [annotated.image for annotated in found.images if not annotated.shapes]
    if bare and options.empty == "unlabelled":
        notes.append(
            f"{len(bare)} images in the annotations have no shape ({first_few(bare)}) and count as not labelled; "
            "--empty background counts them as background."
        )
    return notes


def _notes_of_masks(masks: MaskFiles, table: ClassTable, given: Sequence[str] | None) -> list[str]:
    notes = []
    if given is None and not masks.colors:
        named = ", ".join(f"{table.names[place]}={key}" for key, place in table.ids.items() if place != VOID)
        notes.append(f"The classes are called after their values. Give them names with --classes '[{named}]'.")
    if masks.values.get(str(VOID)) and table.ids[str(VOID)] == VOID:
        share = percent(masks.values[str(VOID)], sum(masks.values.values()))
        notes.append(
            f"The value 255 ({share} of the pixels) is taken for not labelled. If it is a class, add it to --classes: "
            "NAME=255."
        )
    return notes
