"""The first stage: reads the images, the labels, and the record of an earlier command."""

import dataclasses
import hashlib
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from smir.data.reading.decode import image_size
from smir.data.reading.image_files import list_images
from smir.data.reading.jpeg_damage import damaged_jpegs, note_on_damage
from smir.data.reading.lists import can_be_listed, stem
from smir.data.reading.misplaced import (
    common_ending,
    look,
    misplaced_labels,
    named_after_others,
    named_twice,
    single_bands,
)
from smir.data.reading.parallel import in_parallel
from smir.errors import ConfigError, DataError, counted, first_few
from smir.prepare.labels.color_lists import LISTS
from smir.prepare.labels.formats import read_labels
from smir.prepare.labels.vectors import polygons_of
from smir.prepare.own.bands import choose_bands, notes_on_bands, notes_on_blocks
from smir.prepare.own.field import IMAGES, Field, Sizes
from smir.prepare.own.label import find_labels
from smir.prepare.own.options import RECORD, Options, check
from smir.prepare.own.split_lists import files_of_splits
from smir.prepare.records import open_record
from smir.prepare.sources import shown_size


def read(options: Options) -> Field:
    """Reads photographs and their labels; an orthomosaic is read when it is cut.

    Raises:
        SmirError: If options contradict each other, the root holds other files, or images and labels cannot be used.
    """
    check(options)
    names = [] if options.is_map else _photographs(options)
    settings = _image_settings(options, names)
    field = Field(options, settings, _label_settings(options), _open_record(options.root, settings))
    if field.is_complete:
        return field
    files = [options.images / name for name in names] or [options.images]
    bands = choose_bands(options.bands, options.value_range, files)
    notes = [*notes_on_bands(files, bands), *notes_on_blocks(files)]
    sizes: Sizes = {}
    if options.is_map:
        _check_map(options)
    else:
        size = shown_size if options.cuts_photographs else image_size
        found = in_parallel(lambda name: size(options.images / name), names, "Sizes")
        sizes = dict(zip(names, found, strict=True))
    if damaged := damaged_jpegs(files):
        notes.append(note_on_damage(damaged))
    if bands is None and not options.is_map:
        notes += _odd_ones(options.images, names, options.pair is None)
    field = dataclasses.replace(field, bands=bands, sizes=sizes, notes=tuple(notes))
    if options.is_map or options.labels is None:
        return field
    labels = find_labels(field)
    if options.cuts_photographs:  # a wrong label must be found before an hour of cutting
        for _ in in_parallel(lambda image: labels.draw(image).shape, labels.images, "Labels"):
            pass
    return dataclasses.replace(field, labels=labels)


def _check_map(options: Options) -> None:
    """Refuses a bad header, and labels that do not fit, before all is decoded and cut."""
    height, width = shown_size(options.images)
    if options.labels is None:
        return
    if options.has_label_map:
        if (size := shown_size(options.labels)) != (height, width):
            raise DataError(
                f"The label image {options.labels.absolute()} is {size[1]} x {size[0]} pixels, its orthomosaic {width} "
                f"x {height}. Export it on the same grid: same extent, same pixel size."
            )
    elif options.has_vectors:
        polygons_of(options.labels)  # raises what it will raise after the cutting
    elif not (options.root / IMAGES).exists():  # else an earlier command has done this
        read_labels(options.labels, options.classes)


def _photographs(options: Options) -> list[str]:
    """Lists the images of a folder, excluding label images in the same folder or one below it."""
    folder, labels = options.images, options.labels
    names = list_images(folder)
    if options.names_of_pairs is not None and labels is not None and folder.resolve() == labels.resolve():
        of_labels = set(options.names_of_pairs.labels_among(names))
        names = [name for name in names if name not in of_labels]
    if labels is not None and labels.is_dir() and folder.resolve() in labels.resolve().parents:
        names = [name for name in names if not (folder / name).resolve().is_relative_to(labels.resolve())]
    if not names:
        raise DataError(f"All images in {folder.absolute()} lie in the folder of the labels, {labels}.")
    if labels is not None and (bad := [name for name in names if not can_be_listed(name)]):
        raise DataError(
            f"The lists of the splits cannot hold {first_few(map(repr, bad))}: a line is a name in UTF-8, without "
            f"blanks at its ends. Rename the images in {folder.absolute()}."
        )
    seen: dict[str, str] = {}
    for name in names:
        if (other := seen.setdefault(stem(name), name)) != name:
            raise DataError(
                f"{folder.absolute()} holds both {other} and {name}. Names must differ without their suffix; rename or "
                "move one. If one of them is a label, keep labels in a separate folder."
            )
    return names


def _odd_ones(folder: Path, names: list[str], may_pair: bool) -> list[str]:
    """Refuses label images among photographs; returns notes on photographs that lie there twice, or seem to be none.

    The refusal suggests --pair if the command `may_pair`.
    """
    looks = dict(zip(names, in_parallel(lambda name: look(folder / name), names, "Images"), strict=True))
    if found := misplaced_labels(looks):
        ending = common_ending(found, names) if may_pair else ""
        pair = shlex.join(["--labels", str(folder), "--pair", f"{{}}={{}}{ending}"])
        raise DataError(
            f"{len(found)} of {len(names)} images in {folder.absolute()} look like label images, with few values and "
            f"one channel or the name of a photograph: {first_few(found)}. They would be trained on as photographs. "
            "Move label images to a separate folder, also those of other splits, or give --images a folder of "
            f"photographs alone.{f' Or let their names tell them apart: {pair}' if ending else ''}"
        )
    if bands := single_bands(looks):
        raise DataError(
            f"{len(bands)} of {len(names)} images in {folder.absolute()} have one channel of 16 bits, beside images in "
            f"colours: {first_few(bands)}. They may be single bands of a multispectral camera, and would be trained on "
            "as photographs. Move them to a separate folder. To train on bands, join those of a photograph in one TIFF "
            "(gdal_merge.py -separate), and choose three with --bands."
        )
    twice = named_twice(looks)
    pairs = counted(len(twice), "pair of images has", "pairs of images have")
    notes = [f"{pairs} one name but two suffixes: {first_few(twice)}. Are they copies?"] if twice else []
    if derived := named_after_others(names):
        notes.append(
            f"{len(derived)} images are named after others: {first_few(derived)}. If these are not photographs, or "
            "show the same as another, move them elsewhere: pretraining uses all images."
        )
    return notes


def _image_settings(options: Options, names: Sequence[str]) -> dict[str, Any]:
    settings: dict[str, Any] = {"images": options.images.name}
    if not options.is_map:
        settings["files"] = _digest(options.images, names)
    settings |= {name: value for name in ("bands", "value_range") if (value := getattr(options, name)) is not None}
    return settings | ({"tile": options.side, "min_valid": options.min_valid} if options.side else {})


def _label_settings(options: Options) -> dict[str, Any] | None:
    if options.labels is None:
        return None
    where = options.labels
    files = sorted(f.relative_to(where).as_posix() for f in where.rglob("*") if f.is_file()) if where.is_dir() else []
    settings: dict[str, Any] = {} if options.pair is None else {"pair": options.pair}
    if lists := [name for name in LISTS if where.is_dir() and (where.parent / name).is_file()]:
        settings["lists"] = _digest(where.parent, lists)
    return settings | {
        "files": _digest(where, files) if files else _digest(where.parent, [where.name]),
        "classes": options.classes,
        "shares": list(options.shares),
        "splits": None if options.splits is None else _digest(options.splits, files_of_splits(options.splits)),
        "empty": options.empty,
        "seed": options.seed,
    }


def _digest(folder: Path, names: Sequence[str]) -> str:
    """Returns the number of files, and a hash of their names, sizes and times."""
    sha256 = hashlib.sha256()
    for name in names:
        path = folder / name
        try:
            status = path.stat()
        except FileNotFoundError as error:
            raise DataError(f"{path.absolute()} is a link to a file that does not exist. Remove it.") from error
        sha256.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode(errors="surrogateescape"))
    return f"{len(names)} files, {sha256.hexdigest()[:12]}"


def _open_record(root: Path, settings: dict[str, Any]) -> dict[str, Any] | None:
    """Returns the record of an earlier command for the same images."""
    try:
        root.mkdir(parents=True, exist_ok=True)
    except FileNotFoundError as error:  # a system's own folder, such as /proc
        raise ConfigError(f"No folder can be made at --root {root.absolute()}. Give another place.") from error
    if not (root / IMAGES).exists():  # an earlier command failed before it did anything
        (root / RECORD).with_suffix(".partial.json").unlink(missing_ok=True)
    try:
        return open_record(root / RECORD, settings)
    except DataError as error:
        if not (root / RECORD).is_file():  # an unfinished folder, whose splits no training has seen
            raise
        raise DataError(
            f"{root} was made of other images or settings. Give a new --root, and --splits {root} to test on the same "
            f"images. In detail: {error}"
        ) from error
