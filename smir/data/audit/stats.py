"""`python -m smir stats`: exact mean, deviation and class shares of a dataset."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import numpy as np
from jsonargparse.typing import PositiveInt

from smir.classes import VOID
from smir.data import SmirDataModule
from smir.data.reading.channel_statistics import ChannelStatistics, channel_statistics
from smir.data.reading.class_counts import class_counts
from smir.data.reading.lists import Split
from smir.errors import DataError
from smir.terminal import columns, percent


def stats(data: SmirDataModule, split: Literal["pool", "train"] = "pool", threads: PositiveInt | None = None) -> None:
    """Computes mean and deviation of the channels, exact over all pixels, and the class shares of the labels.

    The output is YAML; the lines `mean` and `std` go below `init_args` of the data. Images count at their full size,
    splits before any data.label_budget.

    Args:
        data: The dataset: a class with its options, or a file of them; `--config` takes it from an experiment.
        split: Images for mean and deviation: the pretraining pool or the labelled training split.
        threads: Files to decode at a time; default: the number of cores.

    Raises:
        SmirError: If a file cannot be read, with its name.
    """
    images = data.pool() if split == "pool" else [pair.image for pair in data.pairs("train")]
    print("\n".join(yaml_lines(type(data).__name__, split, channel_statistics(data.root, images, threads))))
    print("\n".join(f"# {line}".rstrip() for line in class_lines(data, threads)))


def yaml_lines(dataset: str, split: str, found: ChannelStatistics) -> list[str]:
    """Returns mean and deviation as lines for a config."""
    return [
        f"# {dataset}, {split}: {found.images:,} images, {found.pixels:,} pixels",
        f"mean: [{', '.join(f'{value:.5f}' for value in found.mean)}]",
        f"std: [{', '.join(f'{value:.5f}' for value in found.std)}]",
    ]


def class_lines(data: SmirDataModule, threads: int | None) -> Iterator[str]:
    """Yields a table of the share of each class in the label pixels of every split, or why it is missing."""
    counts: dict[Split, Counter[int]] = {}
    for split in data.splits():
        try:
            pairs = data.pairs(split) if len(data.classes) and data.has_labels else []
        except DataError as error:
            yield f"No class shares of {split}: {error}"
            continue
        if pairs:
            labels = [data.root / pair.label for pair in pairs]
            total = sum(class_counts(labels, data.decode_label, threads), np.zeros(256, dtype=np.int64))
            counts[split] = Counter(dict(enumerate(total.tolist())))
    if not counts:
        yield "No class shares: there are no labels, or data.classes does not name their classes."
        return
    yield from columns(share_rows("share of label pixels", data.classes.names, counts))


def share_rows(title: str, names: Sequence[str], counts: Mapping[Split, Counter[int]]) -> list[list[str]]:
    """Returns a table of the share of each class in the label pixels of every split, and of void if there is any."""
    rows = [[title, *counts, ""]]
    for class_id, name in [*enumerate(names), (VOID, "void (255)")]:
        if class_id != VOID or any(pixels[VOID] for pixels in counts.values()):
            rows.append([name, *(percent(pixels[class_id], pixels.total()) for pixels in counts.values()), ""])
    return rows


COMMANDS = stats
