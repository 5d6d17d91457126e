"""The labels of a field: written as class-id PNGs, and counted."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from smir.classes import VOID, UInt8
from smir.data.reading.parallel import in_parallel
from smir.errors import DataError, first_few
from smir.files.pictures import write_png
from smir.prepare.labels.annotations import Annotated, Annotations, draw
from smir.prepare.labels.classes import ClassTable, of_categories
from smir.prepare.labels.mask_classes import of_masks
from smir.prepare.labels.masks import MaskFiles
from smir.prepare.labels.matching import ImageNames, told_apart
from smir.terminal import percent

Sizes = Mapping[str, tuple[int, int]]
Counts = dict[str, npt.NDArray[np.int64]]
"""Pixels of each class, and of void at 255, by image (256,)."""


@dataclass(frozen=True)
class FieldLabels:
    """Labels of a field.

    Attributes:
        title: Name of the format they came in.
        classes: Class names by id.
        pixels: Pixels of each class of every labelled image.
        notes: What the user should know about them.
    """

    title: str
    classes: list[str]
    pixels: Counts
    notes: list[str]

    def shown(self) -> dict[str, frozenset[int]]:
        """Classes that each image shows."""
        return {name: frozenset(counts[:VOID].nonzero()[0].tolist()) for name, counts in self.pixels.items()}


def convert(
    labels: Annotations | MaskFiles,
    where: Path,
    given: Sequence[str] | None,
    images: ImageNames,
    sizes: Sizes,
    target: Path,
    empty: str,
    may_lack: bool = False,
) -> FieldLabels:
    """Writes a class-id PNG for every labelled image, in the folders and under the names of the images.

    Args:
        labels: What was read.
        where: Where it was read, for messages.
        given: `--classes`.
        images: The images that they may belong to.
        sizes: Height and width of every image.
        target: Folder of the PNGs; others that lie there are deleted.
        empty: What an image in an annotation file without any shape is: `unlabelled` or `background`.
        may_lack: Whether `--classes` may name categories that the labels do not have.

    Raises:
        SmirError: If labels and images do not belong together, or a label cannot be drawn.
    """
    if isinstance(labels, MaskFiles):
        table = of_masks(given, labels, may_lack)
        notes = _notes_of_masks(labels, table, given)
        found = images.match(labels.names, labels.folder)
        make = _reader(labels, table, sizes)
    else:
        annotated = _by_image(labels, empty)
        notes = _notes_of_shapes(labels, empty)
        if not annotated:
            left_out = f"It holds {_kinds(labels)}. " if labels.left_out else ""
            raise DataError(
                f"{where.absolute()} ({labels.title}) holds no shape with an area, which a label of pixels needs. "
                f"{left_out}Draw polygons or masks in the annotation tool."
            )
        table = of_categories(given, labels.declared, labels.used(), str(where), may_lack)
        found = images.match(annotated, where)
        make = _painter(annotated, table, sizes)
    if table.left_out:
        notes.append(f"Not in --classes, so counted as background: {', '.join(table.left_out)}.")
    notes += told_apart(found)
    pixels = _write(found, make, target)
    if bare := [name for name, counts in pixels.items() if not counts[:VOID].any()]:
        notes.append(f"{len(bare)} labels hold nothing but {VOID} ({first_few(bare)}); these images are not labelled.")
    labelled = {name: counts for name, counts in pixels.items() if counts[:VOID].any()}
    return FieldLabels(labels.title, table.names, labelled, notes)


def _write(found: Mapping[str, str], make: Callable[[str, str], UInt8], target: Path) -> Counts:
    wanted = {image: target / PurePosixPath(image).with_suffix(".png") for image in found}
    for stale in set(target.rglob("*.png")) - set(wanted.values()):
        stale.unlink()

    def write(image: str) -> npt.NDArray[np.int64]:
        label = make(image, found[image])
        wanted[image].parent.mkdir(parents=True, exist_ok=True)
        write_png(wanted[image], label, sync=False)
        return np.bincount(label.ravel(), minlength=256)

    return dict(zip(found, in_parallel(write, list(found), "Labels"), strict=True))


def _reader(masks: MaskFiles, table: ClassTable, sizes: Sizes) -> Callable[[str, str], UInt8]:
    def read(image: str, name: str) -> UInt8:
        label = masks.label(name, table)
        check_size(label.shape, sizes[image], masks.folder / name, image)
        return label

    return read


def _painter(annotated: Mapping[str, Annotated], table: ClassTable, sizes: Sizes) -> Callable[[str, str], UInt8]:
    def paint(image: str, name: str) -> UInt8:
        size = annotated[name].size or sizes[image]
        check_size(size, sizes[image], annotated[name].source, image)
        return draw(annotated[name], size, table)

    return paint


def check_size(label: tuple[int, ...], image: tuple[int, int], source: Path, name: str) -> None:
    """Checks that a label is for an image of that size.

    Raises:
        DataError: If not, with what is likely the reason.
    """
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


def _by_image(labels: Annotations, empty: str) -> dict[str, Annotated]:
    """What is said about each image that counts as labelled; files in two folders may each have an image `1.jpg`."""
    kept: dict[str, Annotated] = {}
    labelled = [annotated for annotated in labels.images if annotated.shapes or empty == "background"]
    folders: dict[str, set[Path]] = {}
    for annotated in labelled:
        folders.setdefault(annotated.image, set()).add(annotated.source.parent)
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


def _notes_of_shapes(labels: Annotations, empty: str) -> list[str]:
    notes = [f"Left out, having no area: {_kinds(labels)}."] if labels.left_out else []
    used = labels.used()
    if unused := [name for name in labels.declared if name not in used]:
        notes.append(f"Declared but never drawn, so no class: {', '.join(unused)}.")
    bare = [annotated.image for annotated in labels.images if not annotated.shapes]
    if bare and empty == "unlabelled":
        notes.append(
            f"{len(bare)} images in the annotations have no shape ({first_few(bare)}) and count as not labelled; "
            "--empty background counts them as background."
        )
    return notes


def _kinds(labels: Annotations) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in sorted(labels.left_out.items()))


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
