"""The fourth stage: assigns the labelled images to train, val and test."""

import dataclasses
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from smir.data.reading.lists import SPLITS, Split
from smir.errors import DataError, counted, first_few
from smir.prepare.labels.matching import ImageNames
from smir.prepare.own.copies import originals
from smir.prepare.own.field import Field, Labels, Tile
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
    lists = options.splits or (None if earlier is None or options.tests_alone else options.root)
    if lists is None:
        shown = labels.shown()
        groups = _groups(field.tiles, shown, 2 * len(SPLITS)) if field.tiles else {name: name for name in shown}
        copies = _copies(field, labels)
        copied = copies | {name: name for name in copies.values()}  # all of a kind go to one split, with their tiles
        joined = {name: copied.get(_photograph(field, name), group) for name, group in groups.items()}
        enough = len(set(joined.values())) >= len(SPLITS)
        members = draw_splits(shown, options.shares, options.seed, joined if enough else groups)
        notes = [*_notes_on_copies(field, copies, members), *_unused_folders(field, labels)]
        return dataclasses.replace(field, members=members, notes=(*field.notes, *notes))
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
            notes.append(
                f"The classes were {', '.join(classes)}, and are now {', '.join(labels.classes)}: networks trained to "
                "segment before do not fit."
            )
    notes += _notes_on_copies(field, _copies(field, labels), members)
    return dataclasses.replace(field, members=members, notes=(*field.notes, *notes))


def _photograph(field: Field, name: str) -> str:
    """Returns the photograph that a tile was cut from, or the image itself."""
    return field.tiles[name].image if name in field.tiles else name


def _copies(field: Field, labels: Labels) -> dict[str, str]:
    """Returns the first photograph of equal content for every labelled one that is a copy."""
    if field.options.is_map:
        return {}
    return originals(field.options.images, sorted({_photograph(field, name) for name in labels.pixels}))


def _notes_on_copies(field: Field, copies: Mapping[str, str], members: Members) -> list[str]:
    where = {_photograph(field, name): split for split, names in members.items() for name in names}
    apart = {one: other for one, other in copies.items() if where[one] != where[other]}
    notes = []
    for found, others in (
        (copies.items() - apart.items(), "others in the same split"),
        (apart.items(), "images in another split, which flatters the figures"),
    ):
        pairs = first_few(f"{one} of {other}" for one, other in sorted(found))
        number = counted(len(found), "labelled image is a copy", "labelled images are copies")
        notes += [f"{number} of {others}: {pairs}."] if found else []
    return notes


def _unused_folders(field: Field, labels: Labels) -> list[str]:
    """Returns a note if the images lie in a folder for each split, which a drawn split mixes."""
    folders = folders_of_splits({name.partition("/")[0] for name in labels.pixels})
    if not folders or field.options.is_map or field.options.tests_alone:
        return []
    images = shlex.quote(str(field.options.images))
    return [
        f"The images lie in folders {', '.join(folders.values())}, but the splits are drawn from all of them. To keep "
        f"those of the folders, run this again with --splits {images}."
    ]


def _listed(field: Field, labels: Labels, lists: Path) -> Members:
    """Returns the images on each list; an entry may also name a photograph and mean its labelled tiles."""
    images = field.names
    labelled = field.by_image(labels.pixels) if field.tiles else {}
    photographs = ImageNames(dict.fromkeys(tile.image for tile in field.tiles.values()), field.options.images)

    def meant(entry: str) -> list[str]:
        if (name := images.find(entry)) is not None:
            return [name]
        return labelled.get(photographs.find(entry) or "", [])

    return {split: [name for entry in listed(lists, split) for name in meant(entry)] for split in SPLITS}


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
