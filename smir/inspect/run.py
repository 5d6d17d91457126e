"""Runs `python -m smir inspect`: reads a checkpoint and images, and writes a page and CSV files."""

import contextlib
import itertools
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from smir.errors import ConfigError, RunError, first_few
from smir.files.atomic import TEMPORARY, remove_unfinished, replacing, write_atomically
from smir.files.pages.csv_text import csv_text, figure
from smir.files.pages.folder import OwnFiles
from smir.files.pages.html import render
from smir.inspect.batches import Walk
from smir.inspect.labels import REGION_COLUMNS, Predictions
from smir.inspect.labels_page import labels_page, predictions_page
from smir.inspect.labels_page import ranked as ranked_results
from smir.inspect.losses import PATCH_COLUMNS, PatchLosses
from smir.inspect.losses_page import losses_page
from smir.inspect.losses_page import ranked as ranked_losses
from smir.inspect.parts import Links
from smir.runs.checkpoint_record import Checkpoint
from smir.training.from_checkpoint import Trained, trained_module

IMAGES, PATCHES, REGIONS, CONFUSION = "images.csv", "patches.csv", "regions.csv", "confusion.csv"
PAGE = "index.html"
RECORD = "inspect.json"
"""The list of the files that an inspection has written to its folder."""


def claim(out: Path) -> None:
    """Raises RunError unless the folder is new, empty, or holds only an earlier inspection."""
    own = {*OwnFiles(out, RECORD).earlier(), RECORD}
    there = sorted(entry.name for entry in out.glob("*") if not entry.match(TEMPORARY)) if out.is_dir() else []
    if foreign := [name for name in there if name not in own]:
        raise RunError(
            f"The folder {out.absolute()} holds other files than an inspection's: {first_few(foreign)}. Give a folder "
            "that is empty or does not exist: --out FOLDER"
        )
    remove_unfinished(out)


def load(path: Path, device: str) -> tuple[Trained, int]:
    """Returns the module of a checkpoint of either task, in eval mode on a device, and the seed of its run, or 0."""
    checkpoint = Checkpoint.read(path)
    seed = checkpoint.record.origin.get("seed", 0)
    return trained_module(checkpoint).to(device_of(device)), seed if isinstance(seed, int) else 0


def device_of(name: str) -> torch.device:
    """Returns the device of the option `--device`."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:  # the latter where torch was built without CUDA
        reason = str(error).split("\n")[0]
        raise ConfigError(f"There is no device {name!r}: {reason} Take cpu, cuda, cuda:1, ... or auto.") from error


def inspect_losses(found: PatchLosses, walk: Walk, checkpoint: Path, out: Path) -> Path:
    """Scores all images, writes the page and the CSV files, and returns the page."""
    inspection = Inspection(out, [PATCHES, IMAGES, PAGE])
    inspection.stream(PATCHES, PATCH_COLUMNS, map(found.add, walk))
    columns = ("mean", "lowest", "highest", "mean_fill", "inpaint")
    rows = ((i.name, *(figure(getattr(i, name)) for name in columns)) for i in ranked_losses(found.images))
    inspection.table(IMAGES, [("image", *columns), *rows])
    shown = [image.loss.index for top in (found.hardest, found.easiest) for image in top.ranked()]
    values = losses_page(found, Links(out, walk.source.files.root, shown))
    return inspection.page("losses.html", "what the pretraining finds hard", checkpoint, walk, values)


def inspect_labels(found: Predictions, walk: Walk, checkpoint: Path, out: Path) -> Path:
    """Segments all images, compares them with their labels, writes page and CSV files, and returns the page."""
    names = found.module.classes.names
    inspection = Inspection(out, [REGIONS, IMAGES, CONFUSION, PAGE])
    inspection.stream(REGIONS, REGION_COLUMNS, map(found.add, walk))
    rows = (
        (i.name, *map(figure, (i.miou, i.errors)), i.counted, *map(figure, (i.confidence, *i.iou)))
        for i in ranked_results(found)
    )
    columns = ("image", "miou", "errors", "labelled_pixels", "confidence", *(f"iou {name}" for name in names))
    inspection.table(IMAGES, [columns, *rows])
    counts = ((name, *row) for name, row in zip(names, found.confusion.tolist(), strict=True))
    inspection.table(CONFUSION, [("label \\ prediction (pixels)", *names), *counts])
    values = labels_page(found, _links(found, walk, out))
    return inspection.page("labels.html", "what the network gets wrong", checkpoint, walk, values)


def inspect_predictions(found: Predictions, walk: Walk, checkpoint: Path, out: Path) -> Path:
    """Segments images without labels, writes the page and the CSV file, and returns the page."""
    for views in walk:
        deque(found.add(views), maxlen=0)
    inspection = Inspection(out, [IMAGES, PAGE])
    rows = ((i.name, *map(figure, (i.confidence, *i.shares))) for i in ranked_results(found))
    columns = ("image", "confidence", *(f"share {name}" for name in found.module.classes.names))
    inspection.table(IMAGES, [columns, *rows])
    values = predictions_page(found, _links(found, walk, out))
    return inspection.page("labels.html", "what the network predicts", checkpoint, walk, values)


def _links(found: Predictions, walk: Walk, out: Path) -> Links:
    return Links(out, walk.source.files.root, [shown.result.index for shown in found.shown.ranked()])


class Inspection:
    """Writes the named files of an inspection, the page last."""

    def __init__(self, out: Path, names: Sequence[str]) -> None:
        self.out, self.names, self.own = out, names, OwnFiles(out, RECORD)

    def stream(self, name: str, columns: Sequence[str], parts: Iterable[Iterable[Sequence[object]]]) -> None:
        """Writes a CSV file part by part; it appears when complete. On failure a new folder is removed."""
        try:
            with replacing(self.out / name) as file:
                for rows in itertools.chain([[columns]], parts):
                    file.write(csv_text(rows).encode(errors="backslashreplace"))  # a name may hold any bytes
                self.own.begin(self.names)
        except BaseException:
            with contextlib.suppress(OSError):  # it holds an earlier inspection, or was never made
                self.out.rmdir()
            raise

    def table(self, name: str, rows: Iterable[Sequence[object]]) -> None:
        """Writes a CSV file."""
        self.own.begin(self.names)
        write_atomically(self.out / name, csv_text(rows))

    def page(self, template: str, title: str, checkpoint: Path, walk: Walk, values: dict[str, Any]) -> Path:
        """Writes the page and returns its path; deletes files that only an earlier inspection has written."""
        summary = f"{checkpoint} on {len(walk.source) - len(walk.skipped):,} images: {walk.source.title}"
        head = {"title": f"smir: {title}", "summary": summary, "skipped": walk.skipped}
        write_atomically(self.out / PAGE, render("smir.inspect", template, **head, **values))
        self.own.finish(self.names)
        return self.out / PAGE
