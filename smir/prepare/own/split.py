"""The fourth stage: assigns the labelled images to train, val and test."""

import dataclasses
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from smir.data.reading.lists import SPLITS, Split
from smir.errors import DataError, counted, first_few
from smir.prepare.labels.matching import ImageNames
from smir.prepare.own.copies import kinds, originals
from smir.prepare.own.copies import versions as find_versions
from smir.prepare.own.field import LEFT_OUT, Field, Labels, Tile
from smir.prepare.own.options import RECORD
from smir.prepare.own.split_lists import folders_of_splits, listed
from smir.prepare.own.stratification import TEST_ALONE, Members, draw_splits


def split(field: Field) -> Field:
    """Uses given splits, keeps the splits of an earlier command, or draws new ones.

    Raises:
        DataError: If given splits do not fit, or earlier labels are missing.
    """
    options, labels = field.options, field.labels
    if labels is None:
        return field
    earlier = field.record if field.record is not None and field.record["labels"] is not None else None
    if earlier is not None and options.tests_alone != (tuple(earlier["labels"]["shares"]) == TEST_ALONE):
        kind = "are for training, validation and testing" if options.tests_alone else "are only for testing"
        how = "" if options.tests_alone else ", or --shares '[0, 0, 1]' as before"
        raise DataError(f"The images in {options.root} {kind}. Give another --root{how}.")
    alike = _alike(field)
    lists = options.splits or (None if earlier is None or options.tests_alone else options.root)
    if lists is None:
        shown = labels.shown()
        groups = _groups(field.tiles, shown, 2 * len(SPLITS)) if field.tiles else {name: name for name in shown}
        first = kinds(*alike)  # all of a kind go to one split, with their tiles
        joined = {name: first.get(_photograph(field, name), group) for name, group in groups.items()}
        enough = len(set(joined.values())) >= len(SPLITS)
        members = draw_splits(shown, options.shares, options.seed, joined if enough else groups)
        return _with_members(field, members, alike, _unused_folders(field, labels))
    given = _listed(field, labels, lists)
    names = {name for split in SPLITS for name in given[split]}
    new = sum(name not in names for name in labels.pixels)
    bare = sorted(names - labels.pixels.keys())
    if options.splits is None and bare:
        here = f"labelled in {options.root}"
        lacking = counted(len(bare), f"image that is {here} has", f"images that are {here} have")
        raise DataError(
            f"{lacking} no label in {options.labels}: {first_few(bare)}. --labels needs all labels, earlier and new "
            f"ones: put the exports into one folder and give that. To drop labels, add --splits {options.root}."
        )
    members = _follow(labels.pixels, given)
    if options.splits is not None:
        parts = []
        if new:
            unlisted = counted(new, "labelled image is", "labelled images are")
            parts.append(f"{unlisted} on none of its lists, so for training")
        if bare:
            parts.append(f"{counted(len(bare), 'name on them has', 'names on them have')} no label")
        notes = [f"Splits as in {lists}{': ' if parts else ''}{'; '.join(parts)}."]
    else:
        more = f"; {counted(new, 'newly labelled image is', 'newly labelled images are')} for training" if new else ""
        notes = [f"The splits stay as they were{more}."]
        if earlier is not None and (classes := earlier.get("classes")) not in (None, labels.classes):
            named = earlier["labels"].get("classes") if options.classes is None else None
            keep = f" To keep them: --classes {shlex.quote('[' + ', '.join(named) + ']')}." if named else ""
            notes.append(
                f"The classes were {', '.join(classes)}, and are now {', '.join(labels.classes)}: networks trained to "
                f"segment before do not fit.{keep}"
            )
    return _with_members(field, members, alike, notes)


def _photograph(field: Field, name: str) -> str:
    """Returns the photograph that a tile was cut from, or the image itself."""
    return field.tiles[name].image if name in field.tiles else name


_Alike = tuple[Mapping[str, str], Mapping[str, str]]


def _alike(field: Field) -> _Alike:
    """Returns the original of every copy, and the first version of every further one."""
    if field.options.is_map:
        return {}, {}
    photographs = sorted({_photograph(field, name) for name in field.sizes})
    return originals(field.options.images, photographs), find_versions(photographs)


def _with_members(field: Field, members: Members, alike: _Alike, notes: Iterable[str]) -> Field:
    """Adds the splits, notes on copies and versions, and the names that pretraining must leave out for them."""
    where = {_photograph(field, name): split for split, names in members.items() for name in names}
    copies, versions = alike
    notes = [
        *notes,
        *_notes_on(copies, where, "a copy", "copies"),
        *_notes_on(versions, where, "a version", "versions"),
    ]
    kind = {} if field.options.tests_alone else kinds(copies, versions)
    held_out = {kind[name] for name, split in where.items() if name in kind and split != "train"}
    left_out = sorted(name for name, first in kind.items() if first in held_out and name not in where)
    if left_out:
        number = counted(len(left_out), "unlabelled image is", "unlabelled images are")
        notes.append(
            f"{number} left out of pretraining ({LEFT_OUT}), as copies or versions of val and test images: "
            f"{first_few(left_out)}."
        )
    parts = field.parts()
    names = tuple(part for name in left_out for part in parts.get(name, ()))
    return dataclasses.replace(field, members=members, left_out=names, notes=(*field.notes, *notes))


def _notes_on(alike: Mapping[str, str], where: Mapping[str, Split], one: str, several: str) -> list[str]:
    """Returns notes on labelled images that are copies or versions of other labelled ones."""
    first: dict[str, str] = {}
    pairs = [(first.setdefault(kind, name), name) for name, kind in sorted(kinds(alike).items()) if name in where]
    pairs = [(other, name) for other, name in pairs if other != name]
    together = [pair for pair in pairs if where[pair[0]] == where[pair[1]]]
    apart = [pair for pair in pairs if where[pair[0]] != where[pair[1]]]
    notes = []
    for found, others in (
        (together, "others in the same split"),
        (apart, "images in another split, which flatters the figures"),
    ):
        number = counted(len(found), f"labelled image is {one}", f"labelled images are {several}")
        named = first_few(f"{name} of {other}" for other, name in found)
        notes += [f"{number} of {others}: {named}."] if found else []
    return notes


def _unused_folders(field: Field, labels: Labels) -> list[str]:
    """Returns a note if the images lie in a folder for each split, which a drawn split mixes."""
    folders = folders_of_splits({name.partition("/")[0] for name in labels.pixels})
    if not folders or field.options.is_map or field.options.tests_alone:
        return []
    images = shlex.quote(str(field.options.images))
    return [
        f"The images lie in folders {', '.join(folders.values())}, but the splits are drawn from all of them. To keep "
        f"those of the folders, run this again with this option: --splits {images}"
    ]


def _listed(field: Field, labels: Labels, lists: Path) -> Members:
    """Returns the images on each list; an entry may also name a photograph and mean its labelled tiles."""
    images = field.names
    labelled = field.by_image(labels.pixels) if field.tiles else {}
    photographs = ImageNames(dict.fromkeys(tile.image for tile in field.tiles.values()), field.options.images)

    def meant(entry: str) -> list[str]:
        if (name := images.find(entry)) is not None:
            return [name]
        if (photograph := photographs.find(entry)) is not None:
            return labelled.get(photograph, [])
        unknown.append(entry)
        return []

    unknown: list[str] = []
    members = {split: [name for entry in listed(lists, split) for name in meant(entry)] for split in SPLITS}
    # Folders may hold label images, too, and images of an earlier field may be gone.
    if unknown and (lists / f"{SPLITS[0]}.txt").is_file() and not (lists / RECORD).is_file():
        raise DataError(
            f"{counted(len(unknown), 'entry', 'entries')} on the lists in {lists.absolute()} name no image in "
            f"{field.options.images.absolute()}: {first_few(map(repr, unknown))}. A line names one image, such as "
            f"{next(iter(field.sizes))}. Correct these lines, or delete them if the images are gone."
        )
    return members


def _follow(labelled: Iterable[str], lists: Mapping[Split, Sequence[str]]) -> Members:
    """Puts every labelled image into the split that lists it, or into train."""
    where: dict[str, Split] = {}
    for split in SPLITS:
        for name in lists[split]:
            if (other := where.setdefault(name, split)) != split:
                raise DataError(f"{name} is on the list of {other} and on that of {split}; take it off one of them.")
    members: Members = {split: [] for split in SPLITS}
    for name in sorted(labelled):
        members[where.get(name, "train")].append(name)
    if empty := [split for split in SPLITS if not members[split]]:
        count = sum(map(len, members.values()))
        raise DataError(
            f"None of the {count} labelled images is on the list of {' and '.join(empty)}. Label some that are, or "
            "draw new splits in another --root, without --splits."
        )
    return members


def _groups(tiles: Mapping[str, Tile], names: Iterable[str], enough: int) -> dict[str, str]:
    """Groups neighbouring tiles, so that train tiles do not surround test tiles.

    A group is a whole image if there are `enough` images, or else the largest block of tiles, up to 4 x 4, that gives
    `enough` groups.
    """
    places = {name: tiles[name] for name in names}
    groups = {name: tile.image for name, tile in places.items()}
    for side in (4, 2, 1):
        if len(set(groups.values())) >= enough:
            break
        groups = {name: f"{tile.image} {tile.row // side} {tile.column // side}" for name, tile in places.items()}
    return groups
