"""The config of a field, `data.yaml`."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from smir.data.audit.statistics import ChannelStatistics, channel_statistics
from smir.data.folder import Folder
from smir.data.reading.listing import Split
from smir.errors import first_few
from smir.seeding import seed_for

MOST_FOR_STATISTICS = 1000
"""Images that mean and deviation are taken of; more change the third digit."""
CROP = 256
"""Side of the crops of experiments/folder; smaller images are enlarged to it."""
LARGE = 8
"""In crops: from this size on it is said how much smaller the network sees an image."""


def statistics(root: Path, images: str, names: Sequence[str]) -> ChannelStatistics:
    """Mean and deviation of all images, so that more labels, and so other splits, leave the normalisation as it is."""
    chance = np.random.default_rng(seed_for("field statistics"))
    count = min(len(names), MOST_FOR_STATISTICS)
    chosen = sorted(chance.permutation(len(names))[:count].tolist())
    return channel_statistics(Folder(root, task="pretrain"), [f"{images}/{names[place]}" for place in chosen])


def config_text(
    root: Path,
    images: str,
    masks: str,
    classes: list[str] | None,
    splits: Sequence[Split],
    channels: ChannelStatistics | None,
    small: int,
    cut: bool,
) -> str:
    """The config of the data, to be read after one of experiments/folder.

    Args:
        root: Folder of the field.
        images: Folder of its images, below it.
        masks: Folder of its label images.
        classes: Class names by id; None where there are no labels.
        splits: Splits that have images.
        channels: Mean and deviation of the images; None where nothing trains on them, and the normalisation is that of
            the network.
        small: Side in pixels of the smallest image.
        cut: Whether the images are tiles of what is going to be predicted.
    """
    options: dict[str, Any] = {"root": str(root), "images": images}
    if classes is not None:
        options |= {"labels": masks, "classes": classes, "partial_labels": True}
        options["split_files"] = {split: f"{split}.txt" for split in splits}
    if channels is None:
        options["label_map"] = None  # that of the run's config is for other files
    else:
        options["mean"] = [round(value, 5) for value in channels.mean]
        options["std"] = [max(round(value, 5), 1e-5) for value in channels.std]
    if small < CROP:
        options["min_side"] = small
    if cut:
        options["predict"] = {"view": "windows"}  # at the scale of the tiles, whatever the size
    lines = [f"    {name}: {json.dumps(value, ensure_ascii=False)}" for name, value in options.items()]
    after = "any config of experiments/folder" if channels else "the config.yaml of a trained run, to test it"
    head = [
        f"# Written by `python -m smir prepare folder`: your images, as a second --config after {after}.",
        "# The root is relative to where commands are run; change it if you move the folder.",
        "data:",
        "  class_path: Folder",
        "  init_args:",
    ]
    text = "\n".join([*head, *lines, ""])
    assert yaml.safe_load(text)["data"]["init_args"]["root"] == str(root)
    return text


def large_note(sizes: Mapping[str, tuple[int, int]]) -> list[str]:
    """What to say of images of which much is lost when they are seen whole, by their sizes."""
    large = [name for name, size in sizes.items() if min(size) >= LARGE * CROP]
    if not large:
        return []
    return [
        f"{len(large)} images have no side below {LARGE * CROP} pixels ({first_few(large)}) and are seen at a shortest "
        f"side of {CROP}, {LARGE} times smaller or more. If what you look for is then too small, --tile {4 * CROP} and "
        "another --root cut them, with their labels."
    ]


def small_note(sizes: Mapping[str, tuple[int, int]]) -> list[str]:
    """What to say of images smaller than a crop, by their sizes."""
    small = [name for name, size in sizes.items() if min(size) < CROP]
    if not small:
        return []
    return [f"{len(small)} images have a side below {CROP} pixels ({first_few(small)}); they are enlarged to that."]
