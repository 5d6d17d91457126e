"""`python -m smir check`: is the dataset complete, readable, legal, and free of overlaps?"""

from collections import Counter
from collections.abc import Iterator, Sequence

from jsonargparse.typing import NonNegativeInt, PositiveInt

from smir.classes import VOID
from smir.data import SmirDataModule
from smir.data.audit.audit import LISTS, Audit, Problem, audit, legal
from smir.data.audit.stats import share_rows
from smir.data.reading.lists import SPLITS
from smir.data.reading.tiff_colors import NO_DATA
from smir.errors import first_few
from smir.terminal import columns, percent

SHOWN_VALUES = 40


def check(data: SmirDataModule, show: NonNegativeInt = 20, threads: PositiveInt | None = None) -> None:
    """Decodes every file of a dataset and reports counts, sizes, classes, overlaps and all problems.

    It reads the pool and all labelled splits, for any data.task and before any data.label_budget. The exit code is 0 if
    there is no problem and 1 otherwise. Counts that differ from the published ones are only a warning.

    Args:
        data: The dataset: a class with its options, or a file of them; `--config` takes it from an experiment.
        show: Lines to show of each kind of problem; 0 shows all.
        threads: Files to decode at a time; default: the number of cores.
    """
    found = audit(data, threads)
    print("\n".join(report(data, found, show)))
    if found.problems:
        raise SystemExit(1)


def report(data: SmirDataModule, found: Audit, show: int) -> Iterator[str]:
    """Yields the lines of the report."""
    protocol = getattr(data, "protocol", None)
    yield f"{type(data).__name__} in {data.root.absolute()}" + (f", protocol: {protocol}" if protocol else "")
    yield from ["", *columns(_counts(found))]
    splits = [name for name in SPLITS if name in found.lists]
    if splits:
        if len(data.classes):
            pixels = {split: found.pixels(split, "classes") for split in splits}
            yield from ["", *columns(share_rows("class", data.classes.names, pixels))]
        yield from ["", *columns(_stored(data, found, splits))]
    if len(found.lists) > 1:
        yield from ["", *columns(_overlaps(found))]
    warnings = [*_warnings(found, show), *_differences(found)]
    if warnings:
        yield from ["", *(f"warning: {text}" for text in warnings)]
    for kind, texts in _by_kind(found.problems).items():
        shown = texts if show == 0 else texts[:show]
        yield from ["", f"{kind}: {len(texts):,}", *(f"  {text}" for text in shown)]
        if len(texts) > len(shown):
            yield f"  and {len(texts) - len(shown):,} more (--show 0 shows all)"
    yield ""
    yield f"Problems: {len(found.problems):,}" if found.problems else "All is well."


def _by_kind(problems: Sequence[Problem]) -> dict[str, list[str]]:
    by_kind: dict[str, list[str]] = {}
    for problem in problems:
        by_kind.setdefault(problem.kind, []).append(problem.text)
    return by_kind


def _warnings(found: Audit, show: int) -> Iterator[str]:
    """Yields one line for each kind, with a few names, or with all names if `show` is 0."""
    for kind, texts in _by_kind(found.notes).items():
        if kind:
            yield f"{kind} ({len(texts):,}): {first_few(texts, 3 if show else len(texts))}"
        else:
            yield from texts


def _counts(found: Audit) -> list[list[str]]:
    rows = [["list", "images", "published", "width x height"]]
    for name in LISTS:
        published = _number(getattr(found.expected, name) if found.expected else None)
        listed = name in found.lists
        images, sizes = (_number(len(found.lists[name])), _sizes(found.sizes(name))) if listed else ("none", "")
        rows.append([name, images, published, sizes])
    for folder, count in found.folders.items():
        rows.append([folder, _number(count), _number(found.expected.files[folder] if found.expected else None), ""])
    return rows


def _number(count: int | None) -> str:
    return "-" if count is None else f"{count:,}"


def _sizes(sizes: Counter[tuple[int, int]]) -> str:
    """Lists up to three sizes; otherwise gives range and median of each side."""
    if len(sizes) <= 3:
        return ", ".join(f"{w} x {h}" + (f" ({n:,})" if len(sizes) > 1 else "") for (h, w), n in sizes.most_common())
    sides = []
    for place in (1, 0):
        side = sorted(size[place] for size in sizes.elements())
        sides.append(f"{side[0]} to {side[-1]}, median {side[len(side) // 2]}")
    return f"{len(sizes)} sizes: width {sides[0]}; height {sides[1]}"


def _stored(data: SmirDataModule, found: Audit, splits: Sequence[str]) -> list[list[str]]:
    """Counts the stored label values, before any translation; the encoding of Nassar's labels is not documented."""
    pixels = {split: found.pixels(split, "stored") for split in splits}
    values = sorted(set().union(*pixels.values()))
    rows = [["stored value", *splits, "taken for"]]
    for value in values[:SHOWN_VALUES]:
        shares = [percent(pixels[split][value], pixels[split].total()) for split in splits]
        rows.append(["missing" if value == NO_DATA else str(value), *shares, _meaning(data, value)])
    if len(values) > SHOWN_VALUES:
        rows.append([f"and {len(values) - SHOWN_VALUES} more", *("" for _ in splits), ""])
    return rows


def _meaning(data: SmirDataModule, value: int) -> str:
    if not len(data.classes):
        return "-"
    class_id = legal(data, value)
    if class_id is None:
        return "ILLEGAL"
    return "void" if class_id == VOID else data.classes.names[class_id]


def _overlaps(found: Audit) -> list[list[str]]:
    rows = [["shared images", "by name", "by content alone", "published", "verdict"]]
    for overlap in found.overlaps:
        counts = [_number(len(overlap.by_name)), _number(len(overlap.by_content)), _number(overlap.published)]
        shared = overlap.by_name or overlap.by_content
        verdict = "ERROR" if overlap.wrong else overlap.reason if shared else "none"
        rows.append([f"{overlap.left} and {overlap.right}", *counts, verdict])
    return rows


def _differences(found: Audit) -> Iterator[str]:
    """Reports counts that differ from the published ones; a part of a dataset is allowed."""
    if found.expected is None:
        return
    counts = {name: (len(pairs), getattr(found.expected, name)) for name, pairs in found.lists.items()}
    counts |= {folder: (count, found.expected.files[folder]) for folder, count in found.folders.items()}
    differ = [f"{name} {n:,} (published: {published:,})" for name, (n, published) in counts.items() if n != published]
    if differ:
        yield f"counts differ from the published ones: {first_few(differ, len(differ))}"


COMMANDS = check
