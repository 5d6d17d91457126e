"""The page of a segmentation: figures per class, confusion, likely label errors, worst images, ranking."""

import html
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from smir.classes import Classes
from smir.inspect.labels import REGIONS_OF_AN_IMAGE, ImageResult, Predictions, ShownRegion, ShownResult, badness_of
from smir.inspect.parts import Cell, Links, facts, number, percent, pictures, scale, section, table, tile
from smir.inspect.regions import THINNEST
from smir.models.iou import iou_from_confusion
from smir.pages.markup import escaped

RIGHT, WRONG = "0 114 178", "213 94 0"
"""Colours of the confusion matrix, on its diagonal and off it."""


def ranked(found: Predictions) -> list[ImageResult]:
    """The images, the worst first."""
    return sorted(found.images, key=lambda image: (-badness_of(image, found.worst), image.index))


def labels_sections(found: Predictions, link: Links) -> Iterator[tuple[str, str]]:
    """Yields links to the sections, and the sections, for images that have labels."""
    classes = found.module.classes
    yield section("classes", "Classes", _figures(found), _classes(classes, found.confusion))
    yield section("confusion", "Confusion", *_confusion(classes, found.confusion))
    yield section("regions", "Label or network: who is wrong?", *_regions(found, link))
    order = "lowest mIoU" if found.worst == "iou" else "highest share of wrong pixels"
    words = f"Those of the {order} first. Wrong pixels are red where the network was sure, yellow where it was not."
    yield section("worst", "Worst images", f"<p>{words}</p>", *_shown(found, link))
    yield section("images", "All images", _ranking(found, link, labelled=True))


def predictions_sections(found: Predictions, link: Links) -> Iterator[tuple[str, str]]:
    """Yields links to the sections, and the sections, for images without labels."""
    yield section("classes", "Classes", facts({"images": f"{len(found.images):,}"}), _shares(found))
    words = "Those of the lowest mean confidence first: the probability of the class that is predicted."
    bar = scale(1 / len(found.module.classes), 1.0, "confidence")
    yield section("worst", "Least sure", f"<p>{words}</p>{bar}", *_shown(found, link))
    yield section("images", "All images", _ranking(found, link, labelled=False))


def _shown(found: Predictions, link: Links) -> Iterator[str]:
    yield key(found.module.classes)
    places = {image.index: place for place, image in enumerate(ranked(found), start=1)}
    yield from (_article(shown, places[shown.result.index], link) for shown in found.shown.ranked())


def precision_and_recall(confusion: Tensor) -> tuple[Tensor, Tensor]:
    """Right pixels among those predicted, and among those labelled, of every class.

    Args:
        confusion: (C, C), rows = labels.

    Returns:
        Precision (C,) and recall (C,), NaN for a class that is never predicted, or never labelled.
    """
    pixels = confusion.double()
    return pixels.diag() / pixels.sum(dim=0), pixels.diag() / pixels.sum(dim=1)


def key(classes: Classes) -> str:
    """Says which colour is which class."""
    chips = (
        f"<span>{_chip(color)}{html.escape(name)}{'' if any(color) else ' (image unchanged)'}</span>"
        for name, color in zip(classes.names, classes.colors, strict=True)
    )
    return f'<div class="key">{"".join(chips)}<span>void: white</span></div>'


def _chip(color: Sequence[int]) -> str:
    if not any(color):  # shown as it is, so the chip is empty
        return '<i class="chip"></i>'
    return f'<i class="chip" style="background: rgb({" ".join(map(str, color))})"></i>'


def _figures(found: Predictions) -> str:
    counts = found.confusion.double()
    total = counts.sum()
    without = sum(not image.counted for image in found.images)
    entries = {
        "images": f"{len(found.images):,}",
        "mIoU in %": percent(float(iou_from_confusion(found.confusion).mean)).shown,
        "pixels that are right, in %": percent(float(counts.diag().sum() / total)).shown,
    }
    return facts(entries | ({"images without a labelled pixel": f"{without:,}"} if without else {}))


def _classes(classes: Classes, confusion: Tensor) -> str:
    figures = ("IoU", "precision", "recall", "share of the labels", "share of the predictions")
    iou = iou_from_confusion(confusion).per_class
    pixels = confusion.double()
    shares = (pixels.sum(dim=1) / pixels.sum(), pixels.sum(dim=0) / pixels.sum())
    columns = torch.stack([iou, *precision_and_recall(confusion), *shares], dim=1).tolist()
    rows = [[_class(classes, place), *map(percent, row)] for place, row in enumerate(columns)]
    note = (
        '<p class="note">In percent of the pixels of all images at the size at which the network sees them, void left '
        "out: the same as <code>test/view</code> of <code>python -m smir test</code>. Precision: right pixels among "
        "those predicted; recall: among those labelled.</p>"
    )
    return table([("class", "text"), *((name, "number") for name in figures)], rows) + note


def _confusion(classes: Classes, confusion: Tensor) -> Iterator[str]:
    shares = confusion.double() / confusion.sum(dim=1, keepdim=True)
    heads = [("label ↓ prediction →", "text"), *((name, "number") for name in classes.names)]
    places = range(len(classes))
    for title, values, digits in (("In percent of each label", 100 * shares, 1), ("In pixels", confusion, 0)):
        rows = [
            [_class(classes, row), *(_entry(values, shares, row, column, digits) for column in places)]
            for row in places
        ]
        yield f"<h3>{title}</h3>{table(heads, rows, sortable=False)}"
    yield '<p class="note">A row is what becomes of the pixels with that label. Blue is right, orange wrong.</p>'


def _entry(values: Tensor, shares: Tensor, row: int, column: int, digits: int) -> Cell:
    value, share = float(values[row, column]), float(shares[row, column])
    if share != share:  # no pixel has this label
        return Cell("missing", None)
    return Cell(f"{value:,.{digits}f}", value, (RIGHT if row == column else WRONG, share))


def _regions(found: Predictions, link: Links) -> Iterator[str]:
    yield (
        f"<p>Regions where the network gives another class a probability of {found.confidence:g} or more, the largest "
        "and surest first. From left: the image, its label, what the network says. Look at the label: often it is the "
        "one that is wrong. Seams thinner than "
        f"{THINNEST} pixels are left out, and of one image at most {REGIONS_OF_AN_IMAGE} regions are shown; "
        "<code>regions.csv</code> has all.</p>"
    )
    regions = found.regions.ranked()
    tiles = [_region(shown, found.module.classes, link) for shown in regions]
    yield f'{key(found.module.classes)}<div class="sheet wide">{"".join(tiles)}</div>' if regions else "<p>None.</p>"


def _region(shown: ShownRegion, classes: Classes, link: Links) -> str:
    region = shown.region
    lines = [
        f"label <b>{html.escape(classes.names[region.label])}</b>, network "
        f"<b>{html.escape(classes.names[region.predicted])}</b>",
        f"{region.area:,} pixels, confidence {region.confidence:.2f}",
        link(shown.index, shown.name),
    ]
    return tile(shown.pictures, lines)


def _article(shown: ShownResult, place: int, link: Links) -> str:
    result = shown.result
    figures = f"Mean confidence {result.confidence:.3f}."
    if result.counted:
        figures = f"mIoU {100 * result.miou:.1f} %, wrong pixels {100 * result.errors:.1f} %. {figures}"
    return (
        f'<article id="image-{result.index}"><h3>{place}. {link.file(result.name)}</h3>'
        f'<p class="note">{escaped(figures)}</p>{pictures(shown.pictures, result.name)}</article>'
    )


def _shares(found: Predictions) -> str:
    classes = found.module.classes
    means = torch.tensor([image.shares for image in found.images]).mean(dim=0).tolist()
    rows = [[_class(classes, place), percent(share)] for place, share in enumerate(means)]
    return table([("class", "text"), ("mean share of an image, in %", "number")], rows)


def _class(classes: Classes, place: int) -> Cell:
    name = classes.names[place]
    return Cell(f'<span class="class">{_chip(classes.colors[place])}{html.escape(name)}</span>', name)


def _ranking(found: Predictions, link: Links, *, labelled: bool) -> str:
    figures = [*(["mIoU", "wrong pixels"] if labelled else []), "confidence"]
    figures += [f"{'IoU' if labelled else 'share'} {name}" for name in found.module.classes.names]
    rows = []
    for place, image in enumerate(ranked(found), start=1):
        cells = [Cell(str(place), place), Cell(link(image.index, image.name), image.name)]
        cells += [percent(image.miou), percent(image.errors)] if labelled else []
        rows.append([*cells, number(image.confidence), *map(percent, image.iou if labelled else image.shares)])
    heads = [("place", "number"), ("image", "text"), *((name, "number") for name in figures)]
    words = "Shares and IoU in percent. A click on a head sorts. <code>images.csv</code> has all."
    return f"<p>{words}</p>{table(heads, rows)}"
