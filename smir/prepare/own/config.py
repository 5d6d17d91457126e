"""The config of a field, `data.yaml`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from smir.data.audit.statistics import ChannelStatistics, channel_statistics
from smir.data.folder import Folder
from smir.prepare.own.field import IMAGES, MASKS, Field
from smir.seeding import seed_for

MOST_FOR_STATISTICS = 1000
"""Images that mean and deviation are taken of; more change the third digit."""
CROP = 256
"""Side of the crops of experiments/folder; smaller images are enlarged to it."""


def statistics(root: Path, images: str, names: Sequence[str]) -> ChannelStatistics:
    """Mean and deviation of all images, so that more labels, and so other splits, leave the normalisation as it is."""
    chance = np.random.default_rng(seed_for("field statistics"))
    count = min(len(names), MOST_FOR_STATISTICS)
    chosen = sorted(chance.permutation(len(names))[:count].tolist())
    return channel_statistics(Folder(root, task="pretrain"), [f"{images}/{names[place]}" for place in chosen])


def config_text(field: Field, channels: ChannelStatistics | None) -> str:
    """The config of the data, to be read after one of experiments/folder.

    Args:
        field: The field, with its splits.
        channels: Mean and deviation of its images; None where nothing trains on them, and the normalisation is that of
            the network.
    """
    options: dict[str, Any] = {"root": str(field.root), "images": IMAGES}
    if field.labels is not None:
        options |= {"labels": MASKS, "classes": field.labels.classes, "partial_labels": True}
        options["split_files"] = {split: f"{split}.txt" for split in field.members}
    if channels is None:
        options["label_map"] = None  # that of the run's config is for other files
    else:
        options["mean"] = [round(value, 5) for value in channels.mean]
        options["std"] = [max(round(value, 5), 1e-5) for value in channels.std]
    if (smallest := min(map(min, field.sizes.values()))) < CROP:
        options["min_side"] = smallest
    if field.tiles:
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
    assert yaml.safe_load(text)["data"]["init_args"]["root"] == str(field.root)
    return text
