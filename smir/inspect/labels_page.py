"""The page of a segmentation: figures per class, confusion, likely label errors, worst images, ranking."""

import math
from typing import Any

import torch
from torch import Tensor

from smir.classes import Classes
from smir.inspect.labels import REGIONS_OF_AN_IMAGE, ImageResult, Predictions, badness_of
from smir.inspect.parts import Cell, Links, class_cell, heat_colors, number, percent
from smir.inspect.regions import THINNEST
from smir.models.iou import iou_from_confusion

RIGHT, WRONG = "0 114 178", "213 94 0"
"""Colours of the confusion matrix, on its diagonal and off it."""

Table = tuple[list[tuple[str, str]], list[list[Cell]]]


def ranked(found: Predictions) -> list[ImageResult]:
    """Returns the images, the worst first."""
    return sorted(found.images, key=lambda image: (-badness_of(image, found.worst), image.index))


def labels_page(found: Predictions, links: Links) -> dict[str, Any]:
    """Returns the values of `labels.html` for images with labels."""
    classes = found.module.classes
    return _page(found, links, labelled=True) | {
        "sections": {
            "classes": "Classes",
            "confusion": "Confusion",
            "regions": "Label or network: who is wrong?",
            "worst": "Worst images",
            "images": "All images",
        },
        "figures": _figures(found),
        "shares": _classes(classes, found.confusion),
        "confusion_heads": [("label ↓ prediction →", "text"), *((name, "number") for name in classes.names)],
        "confusion": _confusion(classes, found.confusion),
        "confidence": found.confidence,
        "thinnest": THINNEST,
        "most": REGIONS_OF_AN_IMAGE,
        "regions": found.regions.ranked(),
        "order": "lowest mIoU" if found.worst == "iou" else "highest share of wrong pixels",
    }


def predictions_page(found: Predictions, links: Links) -> dict[str, Any]:
    """Returns the values of `labels.html` for images without labels."""
    return _page(found, links, labelled=False) | {
        "sections": {"classes": "Classes", "worst": "Least sure", "images": "All images"},
        "figures": {"images": f"{len(found.images):,}"},
        "shares": _shares(found),
        "colors": heat_colors(),
    }


def _page(found: Predictions, links: Links, *, labelled: bool) -> dict[str, Any]:
    images, classes = ranked(found), found.module.classes
    figures = [*(["mIoU", "wrong pixels"] if labelled else []), "confidence"]
    figures += [f"{'IoU' if labelled else 'share'} {name}" for name in classes.names]
    rows = []
    for place, image in enumerate(images, start=1):
        cells = [Cell(str(place), place), links.cell(image.index, image.name)]
        cells += [percent(image.miou), percent(image.errors)] if labelled else []
        rows.append([*cells, number(image.confidence), *map(percent, image.iou if labelled else image.shares)])
    places = {image.index: place for place, image in enumerate(images, start=1)}
    return {
        "labelled": labelled,
        "links": links,
        "classes": classes,
        "worst": [(places[shown.result.index], shown) for shown in found.shown.ranked()],
        "heads": [("place", "number"), ("image", "text"), *((name, "number") for name in figures)],
        "rows": rows,
    }


def precision_and_recall(confusion: Tensor) -> tuple[Tensor, Tensor]:
    """Returns precision and recall per class (C,) of a confusion matrix (C, C) with labels in rows.

    NaN stands for a class that is never predicted, or never labelled.
    """
    pixels = confusion.double()
    return pixels.diag() / pixels.sum(dim=0), pixels.diag() / pixels.sum(dim=1)


def _figures(found: Predictions) -> dict[str, str]:
    counts = found.confusion.double()
    shares = {
        "mIoU in %": float(iou_from_confusion(found.confusion).mean),
        "pixels that are right, in %": float(counts.diag().sum() / counts.sum()),
    }
    shown = {name: "missing" if math.isnan(share) else f"{100 * share:.1f}" for name, share in shares.items()}
    without = sum(not image.counted for image in found.images)
    last = {"images without a labelled pixel": f"{without:,}"} if without else {}
    return {"images": f"{len(found.images):,}", **shown, **last}


def _classes(classes: Classes, confusion: Tensor) -> Table:
    figures = ("IoU", "precision", "recall", "share of the labels", "share of the predictions")
    iou = iou_from_confusion(confusion).per_class
    pixels = confusion.double()
    shares = (pixels.sum(dim=1) / pixels.sum(), pixels.sum(dim=0) / pixels.sum())
    columns = torch.stack([iou, *precision_and_recall(confusion), *shares], dim=1).tolist()
    rows = [[class_cell(classes, place), *map(percent, row)] for place, row in enumerate(columns)]
    return [("class", "text"), *((name, "number") for name in figures)], rows


def _shares(found: Predictions) -> Table:
    means = torch.tensor([image.shares for image in found.images]).mean(dim=0).tolist()
    rows = [[class_cell(found.module.classes, place), percent(share)] for place, share in enumerate(means)]
    return [("class", "text"), ("mean share of an image, in %", "number")], rows


def _confusion(classes: Classes, confusion: Tensor) -> dict[str, list[list[Cell]]]:
    shares = confusion.double() / confusion.sum(dim=1, keepdim=True)
    places = range(len(classes))
    return {
        title: [
            [class_cell(classes, row), *(_entry(values, shares, row, column, digits) for column in places)]
            for row in places
        ]
        for title, values, digits in (("In percent of each label", 100 * shares, 1), ("In pixels", confusion, 0))
    }


def _entry(values: Tensor, shares: Tensor, row: int, column: int, digits: int) -> Cell:
    value, share = float(values[row, column]), float(shares[row, column])
    if math.isnan(share):  # no pixel has this label
        return Cell("", None)
    return Cell(f"{value:,.{digits}f}", value, (RIGHT if row == column else WRONG, share))
