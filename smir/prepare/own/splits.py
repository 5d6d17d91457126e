"""Which labelled images of a field train, which validate and which test."""

from collections.abc import Mapping
from typing import Any

from smir.data.reading.lists import read_list
from smir.errors import DataError, first_few
from smir.prepare.labels.matching import ImageNames
from smir.prepare.own.drawn_splits import SPLITS, TEST_ALONE, Members, draw_splits, follow_splits
from smir.prepare.own.labels import FieldLabels
from smir.prepare.own.options import Options
from smir.prepare.own.tiles import Tiles, together


def choose_splits(
    options: Options, labels: FieldLabels, images: ImageNames, tiles: Tiles, earlier: Mapping[str, Any] | None
) -> tuple[Members, list[str]]:
    """Splits that are given, that a field with fewer labels has already, or new ones; and what to say of it.

    Args:
        options: What the command was told.
        labels: The labels of the field.
        images: Its images.
        tiles: Where those lie that are tiles.
        earlier: The record of the labels that were there before, if there were any.

    Raises:
        DataError: If the splits that are given do not fit, or labels of before are missing.
    """
    if earlier is not None and options.tests_alone != (tuple(earlier["labels"]["shares"]) == TEST_ALONE):
        kind = "train, validate and test" if options.tests_alone else "are to test on alone"
        how = "" if options.tests_alone else ", or --shares '[0, 0, 1]' as before"
        raise DataError(f"The images in {options.root} {kind}. Give another --root{how}.")
    lists = options.splits or (None if earlier is None or options.tests_alone else options.root)
    if lists is None:
        shown = labels.shown()
        groups = together(tiles, shown, 2 * len(SPLITS)) if tiles else None
        return draw_splits(shown, options.shares, options.seed, groups), []
    entries = {split: read_list(lists / f"{split}.txt") for split in SPLITS}
    of_photograph: dict[str, list[str]] = {tile.image: [] for tile in tiles.values()}
    for name in labels.pixels if tiles else ():
        of_photograph[tiles[name].image].append(name)
    photographs = ImageNames(of_photograph, options.images)

    def meant(entry: str) -> list[str]:
        """An image, or the labelled tiles of a photograph."""
        if (name := images.find(entry)) is not None:
            return [name]
        photograph = photographs.find(entry)
        return [] if photograph is None else of_photograph[photograph]

    known = {split: [name for entry in entries[split] for name in meant(entry)] for split in SPLITS}
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
