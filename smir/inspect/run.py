"""Puts together what `python -m smir inspect` does: images in; a page and CSV files out."""

from collections import deque
from pathlib import Path

from smir.inspect.batches import Walk
from smir.inspect.labels import REGION_COLUMNS, Predictions
from smir.inspect.labels_page import labels_page, predictions_page
from smir.inspect.labels_page import ranked as ranked_results
from smir.inspect.losses import PATCH_COLUMNS, PatchLosses
from smir.inspect.losses_page import losses_page
from smir.inspect.losses_page import ranked as ranked_losses
from smir.inspect.parts import Links
from smir.inspect.written import PAGE, Written
from smir.pages.csv_text import figure

IMAGES, PATCHES, REGIONS, CONFUSION = "images.csv", "patches.csv", "regions.csv", "confusion.csv"


def inspect_losses(found: PatchLosses, walk: Walk, checkpoint: Path, out: Path) -> Path:
    """Scores all images, and writes the page, which is returned, and the CSV files."""
    written = Written(out, [PATCHES, IMAGES, PAGE])
    written.stream(PATCHES, PATCH_COLUMNS, map(found.add, walk))
    rows = ((i.name, *map(figure, (i.mean, i.lowest, i.highest, i.mean_fill))) for i in ranked_losses(found.images))
    written.table(IMAGES, [("image", "mean", "lowest", "highest", "mean_fill"), *rows])
    shown = [image.loss.index for top in (found.hardest, found.easiest) for image in top.ranked()]
    values = losses_page(found, Links(out, walk.source.files.root, shown))
    return written.page("losses.html", "what the pretraining finds hard", checkpoint, walk, values)


def inspect_labels(found: Predictions, walk: Walk, checkpoint: Path, out: Path) -> Path:
    """Segments all images, compares with their labels, and writes the page, which is returned, and the CSV files."""
    names = found.module.classes.names
    written = Written(out, [REGIONS, IMAGES, CONFUSION, PAGE])
    written.stream(REGIONS, REGION_COLUMNS, map(found.add, walk))
    rows = (
        (i.name, *map(figure, (i.miou, i.errors)), i.counted, *map(figure, (i.confidence, *i.iou)))
        for i in ranked_results(found)
    )
    columns = ("image", "miou", "errors", "labelled_pixels", "confidence", *(f"iou {name}" for name in names))
    written.table(IMAGES, [columns, *rows])
    counts = ((name, *row) for name, row in zip(names, found.confusion.tolist(), strict=True))
    written.table(CONFUSION, [("label \\ prediction (pixels)", *names), *counts])
    values = labels_page(found, _links(found, walk, out))
    return written.page("labels.html", "what the network gets wrong", checkpoint, walk, values)


def inspect_predictions(found: Predictions, walk: Walk, checkpoint: Path, out: Path) -> Path:
    """Segments all images, which have no labels, and writes the page, which is returned, and the CSV file."""
    for views in walk:
        deque(found.add(views), maxlen=0)
    written = Written(out, [IMAGES, PAGE])
    rows = ((i.name, *map(figure, (i.confidence, *i.shares))) for i in ranked_results(found))
    columns = ("image", "confidence", *(f"share {name}" for name in found.module.classes.names))
    written.table(IMAGES, [columns, *rows])
    values = predictions_page(found, _links(found, walk, out))
    return written.page("labels.html", "what the network predicts", checkpoint, walk, values)


def _links(found: Predictions, walk: Walk, out: Path) -> Links:
    return Links(out, walk.source.files.root, [shown.result.index for shown in found.shown.ranked()])
