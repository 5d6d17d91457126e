"""Chooses the classes of label images from their values and `--classes`."""

from collections import Counter
from collections.abc import Sequence

from smir.classes import BACKGROUND, VOID, is_background
from smir.data.reading.tiff_colors import MOST_IDS
from smir.errors import ConfigError, DataError, first_few
from smir.prepare.labels.classes import ClassTable, entries, of_categories, table_of
from smir.prepare.labels.masks import RANGE, TRANSPARENT, MaskFiles

_NOISE = 16
"""Distance from 0 and 255 of values that a JPEG of high quality makes of them."""
_SMOOTH = 3
"""Number of values that only lie on borders from which masks are taken to be smooth."""


def of_masks(given: Sequence[str] | None, masks: MaskFiles, may_lack: bool = False) -> ClassTable:
    """Returns the classes of label images; for `may_lack` see `of_categories`.

    Without `--classes` every value or colour is a class, except 255, which is not labelled. If all values are 0 or 255,
    255 is a class, too, since a single class is useless.

    Raises:
        ConfigError: If `--classes` does not fit the files; the message suggests entries that do.
    """
    if masks.colors:
        return of_categories(given, list(masks.colors.values()), masks.values, str(masks.folder.absolute()), may_lack)
    # Black, the usual background, comes first.
    keys = sorted(masks.values) if masks.coding == "colors" else sorted(masks.values, key=int)
    if given is None:
        keys = [key for key in keys if key not in masks.no_data]
        if masks.coding == "ids" and (odd := [key for key in keys if not 0 <= int(key) < MOST_IDS]):
            raise ConfigError(
                f"The masks in {masks.folder.absolute()} hold {odd[0]} ({masks.values[odd[0]]:,} px), which is not an "
                f"id (0 to {MOST_IDS - 1}). If such pixels are not labelled, name all classes and this: --classes "
                f"'[NAME=0, NAME=1, void={odd[0]}]'."
            )
        _refuse_smooth(masks)
    _refuse_two_scales(masks, {key for _, source in entries(given or ()) for key in _sources(source, masks)})
    chosen = _named(keys, _background(keys, masks)) if given is None else _given(given, keys, masks)
    if given is None and len(chosen) < 2 and (held := [key for key in sorted(masks.no_data) if masks.values.get(key)]):
        raise ConfigError(
            f"The masks in {masks.folder.absolute()} hold only {first_few(keys) or 'no value'} beside "
            f"{first_few(held)}, which they mark as nodata. If that is a class, too, name both: --classes "
            f"'[NAME={held[0]}, NAME={keys[0] if keys else 'VALUE'}]'."
        )
    for key, files in masks.unmarked.items():
        if files and key not in {source for _, source in chosen}:
            raise ConfigError(
                f"{len(files)} of {len(masks.names)} masks in {masks.folder.absolute()} hold {key}, which others mark "
                f"as nodata: {first_few(files)}. Name it in --classes: NAME={key} if it is a class, else void={key}."
            )
    if given is None and masks.coding == "grey colors" and keys == ["0"]:
        raise ConfigError(
            f"The masks in {masks.folder.absolute()} hold only black, which is one class; a training "
            f"needs 2. If transparency tells classes apart: --classes '[{BACKGROUND}={TRANSPARENT}, NAME=#000000]'."
        )
    table = table_of(chosen, str(masks.folder.absolute()))
    for key in (str(VOID), *masks.no_data):
        table.ids.setdefault(key, VOID)
    if unknown := [key for key in keys if key not in table.ids]:
        found = ", ".join(f"{key} ({masks.values[key]:,} px)" for key in unknown[:5])
        if unknown == keys:
            raise ConfigError(_none_named(chosen, keys, f"The masks in {masks.folder.absolute()} hold {found}"))
        raise ConfigError(
            f"The masks in {masks.folder.absolute()} also hold {found}, which --classes does not name. Add it, such as "
            f"void={unknown[0]} for pixels that are not labelled or {BACKGROUND}={unknown[0]}, or correct the masks."
        )
    shown = {table.ids[key] for key in keys} - {VOID}
    if given is not None and len(shown) < 2 and not may_lack:
        counts = ", ".join(f"{key} ({masks.values[key]:,} px)" for key in keys)
        void = f" {VOID} is only a class if it is named, as NAME={VOID}." if str(VOID) in keys else ""
        raise ConfigError(
            f"The masks in {masks.folder.absolute()} hold {counts}. With --classes '[{', '.join(given)}]' they show "
            f"{len(shown)} of its {len(table.names)} classes, and a training needs 2.{void}"
        )
    return table


def _none_named(chosen: Sequence[tuple[str, str]], keys: Sequence[str], found: str) -> str:
    """Returns a message for `--classes` that names none of the values, such as `0=crop` or colours in words."""
    turned = all(name in keys for name, _ in chosen)
    pairs = [(source, name) for name, source in chosen] if turned else [("NAME", key) for key in keys[:8]]
    right = ", ".join(f"{name}={key}" for name, key in pairs)
    sources = first_few(source for _, source in chosen)
    return f"{found}, but --classes names {sources}. Name what they hold, as NAME=VALUE: --classes '[{right}]'."


def _refuse_two_scales(masks: MaskFiles, named: set[str]) -> None:
    """Refuses masks of 0 and 1 beside masks of 0 and 255, or the like, unless `--classes` names these values."""
    if masks.scales is None:
        return
    one, other, both = masks.scales
    if named.issuperset((*both, *both.values())):
        return
    joined = ", ".join(f"class_{low}={low}, class_{low}={high}" for low, high in both.items())
    void = f"If {VOID} is for pixels that are not labelled: '[{BACKGROUND}=0, class_1=1, void={VOID}]'."
    raise ConfigError(
        f"The masks in {masks.folder.absolute()} seem to have two scales: {one} holds {first_few(both)}, and {other} "
        f"{first_few(both.values())}. Give equal classes one name: --classes '[{BACKGROUND}=0, {joined}]'. "
        + (void if both == {"1": str(VOID)} else "Or give each value a name.")
    )


def _refuse_smooth(masks: MaskFiles) -> None:
    """Refuses masks with smooth borders: many values that only lie between others, or bright ones between 0 and 255."""
    two = masks.values.keys() - set(masks.thin) == {"0", str(VOID)}
    thin = [int(key) for key in masks.thin] if two else []
    noisy = any(value <= _NOISE for value in thin) and any(value >= VOID - _NOISE for value in thin)  # as of a JPEG
    if not noisy and (len(masks.thin) < _SMOOTH or 2 * len(masks.thin) < len(masks.values)):
        return
    raise DataError(
        f"The masks in {masks.folder.absolute()} hold {len(masks.values)} values, {len(masks.thin)} of which only lie "
        f"on the borders between others ({first_few(masks.thin)}): their borders are smooth. Export the masks without "
        "smoothing (antialiasing), or name every value in --classes; equal names are one class."
    )


def _background(keys: list[str], masks: MaskFiles) -> str:
    """Returns the value that is called background: that which a palette shows in black, or else 0."""
    return masks.black if masks.black in keys and masks.black != str(VOID) else "0"


def _named(keys: list[str], background: str) -> list[tuple[str, str]]:
    classes = [key for key in keys if key != str(VOID)]
    if classes == ["0"]:
        classes = keys
    names = {background: BACKGROUND, "#000000": BACKGROUND, TRANSPARENT: BACKGROUND}
    classes.sort(key=lambda key: key not in names)  # the background comes first
    return [(names.get(key, f"class_{key.removeprefix('#')}"), key) for key in classes]


def _given(given: Sequence[str], keys: list[str], masks: MaskFiles) -> list[tuple[str, str]]:
    pairs = entries(given)
    if all("=" in entry for entry in given):
        sources = [(name, key) for name, source in pairs for key in _sources(source.lower(), masks)]
        if twice := [key for key, count in Counter(key for _, key in sources).items() if count > 1]:
            raise ConfigError(f"--classes names {first_few(twice)} more than once.")
        return sources
    names = [name for name, _ in pairs]
    void = {str(VOID), *(key for key in masks.no_data if not key.isdigit() or int(key) >= len(names))}
    classes = [key for key in keys if key not in void]
    if masks.coding != "colors" and not any("=" in entry for entry in given):
        if keys == ["0", str(VOID)] and len(names) == 2:
            return list(zip(names, keys, strict=True))
        black = _background(keys, masks) if is_background(names[0]) else "0"
        if all(int(key) < len(names) for key in classes) and black == "0":
            return [(name, str(place)) for place, name in enumerate(names)]
        keys = sorted(keys, key=lambda key: (key != black, int(key)))
        classes = [key for key in keys if key not in void]
    total = sum(masks.values.values())
    shown = {key: f"#{bytes(color).hex()}, " for key, color in masks.palette.items()}
    shares = ", ".join(
        f"{key} ({shown.get(key, '')}{100 * masks.values[key] / total:.1f} % of the pixels)" for key in keys[:8]
    )
    fitting = next((found for found in (keys, classes) if len(found) == len(names)), None)
    suggested = zip(names, fitting, strict=True) if fitting else (("NAME", key) for key in keys[:8])
    suggestion = ", ".join(f"{name}={key}" for name, key in suggested)
    pair = (BACKGROUND, *names)[-2:]
    objects = f". If the values number objects: '[{pair[0]}=0, {pair[1]}=1-{keys[-1]}]'"
    objects = objects if masks.counted and len(names) <= 2 else ""
    raise ConfigError(
        f"--classes names {', '.join(names)}, but not the value of each in {masks.folder.absolute()}. The masks hold: "
        f"{shares}{' and more' if len(keys) > 8 else ''}. Give each a value: --classes '[{suggestion}]'{objects}"
    )


def _sources(source: str, masks: MaskFiles) -> list[str]:
    """Returns the values that an entry means: those of the masks in a range, such as 1-255, or the one it names."""
    ends = RANGE.fullmatch(source)
    if ends is None or masks.coding == "colors":
        return [source]
    low, high = int(ends[1]), int(ends[2])
    numbers = {str(VOID - 1), str(VOID + 1)} <= masks.values.keys()
    void = {*masks.no_data, *([] if numbers else [str(VOID)])}  # 255 is a class if named alone, or one of many numbers
    found = [key for key in masks.values if key not in void and low <= int(key) <= high]
    if not found:
        raise ConfigError(f"--classes names {source}, but no mask in {masks.folder.absolute()} holds such a value.")
    return found
