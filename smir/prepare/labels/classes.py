"""Maps the categories, values or colours of label files to class ids: the option `--classes`."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from smir.classes import BACKGROUND, BLACK, VOID, WHITE, Color, is_background
from smir.errors import ConfigError, DataError, first_few
from smir.files.names import composed

NOT_LABELLED = ("void", "ignore", "unlabelled", "unlabeled")
"""Names for pixels that are not labelled."""
MOST_CLASSES = 254


@dataclass(frozen=True)
class ClassTable:
    """Classes and their sources.

    Attributes:
        names: Class names by id.
        ids: Class id, or 255 for not labelled, of every source: a category, a stored value or a colour.
        left_out: Categories that belong to no class and count as background.
    """

    names: list[str]
    ids: dict[str, int]
    left_out: tuple[str, ...] = ()

    @property
    def background(self) -> int:
        """Class id of pixels that no shape covers; 255 if they are not labelled."""
        return next((class_id for source, class_id in self.ids.items() if is_background(source)), 0)

    def notes(self) -> list[str]:
        """Returns a note about categories that belong to no class."""
        left_out = ", ".join(self.left_out)
        return [f"Not in --classes, so counted as background: {left_out}."] if left_out else []


def is_void(name: str) -> bool:
    """Returns whether a category means not labelled; Labelme calls it `__ignore__`."""
    return name.strip(" _").lower() in NOT_LABELLED


def color_of(stored: object) -> Color | None:
    """Returns a colour read from a file, `#rrggbb` or three numbers up to 255; None if it is something else."""
    if isinstance(stored, str) and re.fullmatch("#[0-9a-fA-F]{6}", stored.strip()):
        stored = list(bytes.fromhex(stored.strip()[1:]))
    if isinstance(stored, list) and len(stored) == 3 and all(type(v) is int and 0 <= v <= 255 for v in stored):
        return stored[0], stored[1], stored[2]
    return None


def class_colors(table: ClassTable, of_source: Mapping[str, Color]) -> tuple[dict[str, Color], list[str]]:
    """Returns the colours of classes that label files give to their sources, and notes on those that are not used.

    The background is black, which pictures leave as it is, unless black means something else in the files.
    """
    found: dict[str, Color] = {}
    for source, place in table.ids.items():
        if place != VOID and source in of_source and source not in table.left_out:
            found.setdefault(table.names[place], of_source[source])
    notes = []
    for name in filter(is_background, list(found) if BLACK not in of_source.values() else ()):
        del found[name]
        notes.append(f"{name} is black in pictures: they show the background without a tint.")
    kept: dict[str, Color] = {}
    for name, color in found.items():
        if color != WHITE and color not in kept.values():
            kept[name] = color
    if lost := [name for name in found if name not in kept]:
        notes.append(
            f"Pictures show {first_few(lost)} in another colour than the labels: there, its colour is white "
            "(not labelled) or that of another class."
        )
    return kept, notes


def entries(given: Sequence[str], known: Collection[str] = ()) -> list[tuple[str, str]]:
    """Splits entries `name` or `name=source` of `--classes`; without `=`, name and source are the same.

    An entry that is one of the `known` sources as a whole is that one, even if it holds a `=`.
    """
    pairs: list[tuple[str, str]] = []
    for entry in given:
        if entry in known:
            pairs.append((entry, entry))
            continue
        if mistyped := re.fullmatch(r"([^=]+?)\s*:\s*(\d+|#[0-9a-fA-F]{6})", entry):
            raise ConfigError(f"--classes holds {entry!r}. Write an equals sign: {mistyped[1]}={mistyped[2]}.")
        name, equals, source = (part.strip() for part in entry.partition("="))
        if not name or (equals and not source):
            raise ConfigError(f"--classes holds {entry!r}; an entry is NAME or NAME=SOURCE.")
        pairs.append((name, source if equals else name))
    sources = [source for _, source in pairs]
    if twice := sorted({source for source in sources if sources.count(source) > 1}):
        raise ConfigError(f"--classes names {first_few(twice)} more than once.")
    return pairs


def table_of(pairs: Iterable[tuple[str, str]], where: str, left_out: Iterable[str] = ()) -> ClassTable:
    """Numbers classes in order of appearance; sources with the same class name form one class.

    Args:
        pairs: Class names and sources.
        where: The files, for messages.
        left_out: Categories that belong to no class.

    Raises:
        ConfigError: If there are fewer than two classes, or more than 254.
    """
    names: list[str] = []
    ids: dict[str, int] = {}
    for name, source in pairs:
        if not name.strip():
            raise ConfigError(f"A class of the labels in {where} has no name. Name it in the annotation tool.")
        if is_void(name):
            ids[source] = VOID
            continue
        if name != name.encode(errors="ignore").decode():
            raise ConfigError(f"The class {name!r} in {where} holds characters that cannot be stored. Rename it.")
        if name not in names:
            names.append(name)
        ids[source] = names.index(name)
    if not 2 <= len(names) <= MOST_CLASSES:
        raise ConfigError(
            f"The labels in {where} make {len(names)} classes ({first_few(names) or 'none'}); 2 to {MOST_CLASSES} are "
            "possible. Check --classes and the labels."
        )
    table = ClassTable(names, ids, tuple(left_out))
    if table.left_out:
        table.ids.update(dict.fromkeys(table.left_out, table.background))
    return table


def of_categories(
    given: Sequence[str] | None, declared: Sequence[str], used: Iterable[str], where: str, may_lack: bool = False
) -> ClassTable:
    """Returns the classes of drawn shapes: a background, and the categories with at least one shape.

    Args:
        given: `--classes`, or None for all categories.
        declared: Categories in the order of their file.
        used: Categories that have a shape.
        where: The files, for messages.
        may_lack: Let `--classes` name missing categories, because a trained network has them.

    Raises:
        ConfigError: If `--classes` names a missing category.
        DataError: If categories differ only in capitals and spaces.
    """
    used = set(used)
    known = [*declared, *sorted(used - set(declared))]
    if given is None:
        _refuse_lookalikes([name for name in known if name in used], where)
        chosen = [(name, name) for name in known if name in used and not is_background(name)]
    else:
        chosen = entries(given, known)
        unknown = [source for _, source in chosen if source not in known and not is_background(source)]
        if unknown and not may_lack:
            raise ConfigError(
                f"--classes names {first_few(map(repr, unknown))}, but the categories in {where} are: "
                f"{', '.join(known) or 'none'}. A class gets another name as NAME=CATEGORY."
            )
    if not any(is_background(source) for _, source in chosen):
        chosen.insert(0, (BACKGROUND, BACKGROUND))
    sources = {source for _, source in chosen}
    left_out = sorted(name for name in used - sources if not is_background(name) and not is_void(name))
    table = table_of(chosen, where, left_out)
    table.ids.update({name: VOID for name in used if is_void(name) and name not in table.ids})
    table.ids.update({name: table.background for name in used if is_background(name) and name not in table.ids})
    return table


def _refuse_lookalikes(names: list[str], where: str) -> None:
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(" ".join(composed(name).lower().split()), name)
        if other != name:
            raise DataError(
                f"The categories {other!r} and {name!r} in {where} differ only in capitals, spaces or how letters "
                f"are encoded. Rename one in the tool, or join them: --classes '[{other}, {other}={name}, ...]'."
            )
