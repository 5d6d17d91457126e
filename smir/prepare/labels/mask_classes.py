"""Classes of label images: which stored value or colour is which, and what `--classes` says of them."""

from collections.abc import Mapping, Sequence

from smir.classes import VOID
from smir.errors import ConfigError
from smir.prepare.labels.classes import BACKGROUND, ClassTable, entries, of_categories, table_of
from smir.prepare.labels.masks import MaskFiles

_BLACK = "#000000"


def of_masks(given: Sequence[str] | None, masks: MaskFiles, may_lack: bool = False) -> ClassTable:
    """Classes of label images.

    Without `--classes` every value or colour is a class of its own, but 255, which is not labelled. Where the values
    are 0 and 255 alone, 255 is a class: masks of one are of no use. `may_lack` is that of `of_categories`.

    Raises:
        ConfigError: If `--classes` does not fit what the files hold, with the entries that would.
    """
    if masks.colors:
        return of_categories(given, list(masks.colors.values()), masks.values, str(masks.folder.absolute()), may_lack)
    keys = _in_order(masks)
    chosen = _named(keys) if given is None else _given(given, keys, masks)
    table = table_of(chosen, str(masks.folder.absolute()))
    table.ids.setdefault(str(VOID), VOID)
    if unknown := [key for key in keys if key not in table.ids]:
        found = ", ".join(f"{key} ({masks.values[key]:,} px)" for key in unknown[:5])
        raise ConfigError(
            f"The masks in {masks.folder.absolute()} also hold {found}, which --classes does not name. Add it, such as "
            f"void={unknown[0]} for pixels that are not labelled or {BACKGROUND}={unknown[0]}, or correct the masks."
        )
    return table


def _in_order(masks: MaskFiles) -> list[str]:
    """Values by size, colours from dark to bright: black, the usual background, comes first."""
    if masks.coding == "colors":
        return sorted(masks.values)
    return sorted(masks.values, key=int)


def _named(keys: list[str]) -> list[tuple[str, str]]:
    classes = [key for key in keys if key != str(VOID)]
    if classes == ["0"]:
        classes = keys
    names = {"0": BACKGROUND, _BLACK: BACKGROUND}
    return [(names.get(key, f"class_{key.removeprefix('#')}"), key) for key in classes]


def _given(given: Sequence[str], keys: list[str], masks: MaskFiles) -> list[tuple[str, str]]:
    pairs = entries(given)
    if all("=" in entry for entry in given):
        return [(name, source.lower()) for name, source in pairs]
    names = [name for name, _ in pairs]
    classes = [key for key in keys if key != str(VOID)]
    if masks.coding != "colors" and not any("=" in entry for entry in given):
        if keys == ["0", str(VOID)] and len(names) == 2:
            return list(zip(names, keys, strict=True))
        if all(int(key) < len(names) for key in classes):
            return [(name, str(place)) for place, name in enumerate(names)]
    raise ConfigError(
        f"--classes names {', '.join(names)}, which does not tell which is which in {masks.folder.absolute()}. "
        f"{_listing(masks.values, keys)} Say it for each: --classes '[{_suggestion(names, keys, classes)}]'"
    )


def _listing(values: Mapping[str, int], keys: Sequence[str]) -> str:
    total = sum(values.values())
    shares = ", ".join(f"{key} ({100 * values[key] / total:.1f} % of the pixels)" for key in keys[:8])
    return f"The masks hold: {shares}{' and more' if len(keys) > 8 else ''}."


def _suggestion(names: Sequence[str], keys: Sequence[str], classes: Sequence[str]) -> str:
    fitting = next((found for found in (keys, classes) if len(found) == len(names)), None)
    if fitting is None:
        return ", ".join(f"NAME={key}" for key in keys[:8])
    return ", ".join(f"{name}={key}" for name, key in zip(names, fitting, strict=True))
