"""Stored label values to class ids: every value is known, or refused by name."""

import itertools
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from smir.classes import VOID, UInt8
from smir.data.reading.tiff_colors import MOST_IDS, NO_DATA
from smir.errors import ConfigError, DataError

MOST_VALUES = 64
"""Largest number of values in a label image; photographs and smoothly resized masks have more. VOC has 22."""
_AT_A_TIME = 1 << 22
"""Pixels that are translated at a time."""


def class_ids(
    stored: npt.NDArray[np.int32],
    path: Path,
    num_classes: int,
    label_map: dict[int, int] | None = None,
    remedy: str = "Name every class in data.classes, or translate values",
) -> UInt8:
    """Turns stored label values into class ids and void, refusing any other value.

    Values that `label_map` does not name stay as they are. `remedy` begins the advice of a refusal.

    Raises:
        DataError: If a value is neither a class nor void, with the values found.
        ConfigError: If `label_map` maps a value to something that is not a class.
    """
    for value, class_id in (label_map or {}).items():
        if not (0 <= value < MOST_IDS and (0 <= class_id < num_classes or class_id == VOID)):
            raise ConfigError(
                f"data.label_map translates {value} to {class_id}: the first must lie between 0 and {MOST_IDS - 1}, "
                f"the second be a class (0 to {num_classes - 1}) or void ({VOID})."
            )
    ids, unknown = _translated(stored, {**{n: n for n in range(num_classes)}, VOID: VOID, **(label_map or {})})
    if unknown:
        raise DataError(
            f"The label {path} holds values outside the classes 0 to {num_classes - 1} and void {VOID}: "
            f"{_counted(unknown)}. {remedy} with data.label_map, e.g. {{{min(unknown)}: 1}}."
        )
    return ids


def by_table(stored: npt.NDArray[np.int32], path: Path, table: Mapping[int, int], dataset: str) -> UInt8:
    """Translates stored label values (H, W) by a table that names every value, to class ids and void (255).

    Returns:
        Class ids and void (H, W).

    Raises:
        DataError: If the file holds a value that the table lacks, with file, values and pixel counts.
    """
    ids, unknown = _translated(stored, table)
    if unknown:
        raise DataError(
            f"The label {path} holds values that {dataset} does not define: {_counted(unknown)}. It defines "
            f"{', '.join(_ranges(table))}. Is it a label file of another kind, or from another dataset?"
        )
    return ids


def _translated(stored: npt.NDArray[np.int32], table: Mapping[int, int]) -> tuple[UInt8, dict[int, int]]:
    """Returns class ids and void (H, W), and how many pixels have each value that the table does not name."""
    lookup = np.full(MOST_IDS + 1, -1, dtype=np.int16)  # the last place stands for all values that no file should hold
    lookup[list(table)] = list(table.values())
    ids, unknown = np.empty(stored.shape, np.uint8), Counter[int]()
    step = max(1, _AT_A_TIME // stored.shape[1])
    for top in range(0, len(stored), step):
        part = stored[top : top + step]
        found = lookup[np.where((part >= 0) & (part < MOST_IDS), part, MOST_IDS)]
        found[part == NO_DATA] = VOID
        values, counts = np.unique(part[found < 0], return_counts=True)
        unknown.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
        ids[top : top + step] = found
    return ids, dict(sorted(unknown.items()))


def _counted(unknown: Mapping[int, int]) -> str:
    return ", ".join(f"{value} ({count} px)" for value, count in list(unknown.items())[:5])


def thick(pixels: npt.NDArray[np.int32]) -> list[int]:
    """Returns the values that fill a square of 3 x 3 pixels."""
    height, width = (max(side - 2, 0) for side in pixels.shape)
    middle = pixels[1 : 1 + height, 1 : 1 + width]
    alone = np.ones(middle.shape, dtype=bool)
    for down, across in itertools.product(range(3), repeat=2):
        alone &= pixels[down : down + height, across : across + width] == middle
    return [int(value) for value in np.unique(middle[alone])]


def _ranges(values: Mapping[int, int]) -> list[str]:
    """Writes runs of consecutive numbers as `first to last`."""
    runs: list[list[int]] = []
    for value in sorted(values):
        if runs and value == runs[-1][-1] + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    return [f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs]
