"""The page of a pretraining: hardest patches, distribution of their losses, hardest and easiest images, ranking."""

from collections.abc import Sequence
from typing import Any

import torch

from smir.files.pages.html import data_uri
from smir.files.pages.overlays import heat_map
from smir.files.pages.svg import INK, SOFT, WIDTH, Axis, Drawing, tick_text
from smir.inspect.losses import PATCHES_OF_AN_IMAGE, ImageLoss, PatchLosses, ShownImage
from smir.inspect.parts import Cell, Links, heat_colors, number
from smir.inspect.ranking import Histogram

BARS = 40
HEIGHT, TOP, BOTTOM = 230, 46, 190


def ranked(images: Sequence[ImageLoss]) -> list[ImageLoss]:
    """The images, the hardest first."""
    return sorted(images, key=lambda image: (-image.mean, image.index))


def losses_page(found: PatchLosses, links: Links) -> dict[str, Any]:
    """Returns the values of `losses.html`."""
    images = ranked(found.images)
    low, high = found.losses.quantile(0.01), found.losses.quantile(0.99)
    parts = [(image.mean, image.mean_fill, image.inpaint) for image in images]
    mean, fill, interpolated = (sum(part) / len(images) for part in zip(*parts, strict=True))
    places = {image.index: place for place, image in enumerate(images, start=1)}
    hardest = found.hardest.ranked()
    shown = {image.loss.index for image in hardest}
    easiest = [image for image in found.easiest.ranked() if image.loss.index not in shown]
    columns = ("mean loss", "lowest patch", "highest patch", "mean fill", "inpaint")
    groups = {"hardest": ("Hardest images", hardest), "easiest": ("Easiest images", easiest)}
    groups = {name: group for name, group in groups.items() if group[1]}
    return {
        "sections": {
            "losses": "Patch losses",
            "patches": "Hardest patches",
            **{name: title for name, (title, _) in groups.items()},
            "images": "All images",
        },
        "links": links,
        "figures": {
            "images": f"{len(images):,}",
            "patches": f"{found.losses.bins.total():,}",
            "mean loss": f"{mean:.3f}",
            "mean loss if masked patches get the mean colour": f"{fill:.3f}",
            "mean loss if they are interpolated": f"{interpolated:.3f}",
        },
        "no_better_than": "mean" if mean >= fill else "inpaint" if mean >= interpolated else "",
        "distribution": _distribution(found.losses),
        "most": PATCHES_OF_AN_IMAGE,
        "patches": found.patches.ranked(),
        "images": {
            name: [_article(image, places[image.loss.index], low, high) for image in members]
            for name, (_, members) in groups.items()
        },
        "explained": _explained(found),
        "colors": heat_colors(),
        "low": low,
        "high": high,
        "heads": [("place", "number"), ("image", "text"), *((name, "number") for name in columns)],
        "rows": [
            [
                Cell(str(place), place),
                links.cell(image.index, image.name),
                *map(number, (image.mean, image.lowest, image.highest, image.mean_fill, image.inpaint)),
            ]
            for place, image in enumerate(images, start=1)
        ],
    }


def _explained(found: PatchLosses) -> str:
    samples = "one random mask" if found.num_samples == 1 else f"{found.num_samples} random masks"
    return (
        f"The loss of a patch is its mean over {samples}; the mask that an image would get is that of "
        f"{found.policy!r}. A colour means the same loss in all images; the scale ends at the lowest and highest "
        "1 % of the patches."
    )


def _article(shown: ShownImage, place: int, low: float, high: float) -> tuple[object, ...]:
    """Returns place in the ranking, image, row and column of the hardest patch, and pictures."""
    heat = heat_map(shown.grid.to_pixels(torch.from_numpy(shown.scores)).numpy(), low, high)
    first, *others = shown.pictures.items()
    pictures = dict([first, *others[:2], ("loss of every patch", data_uri(heat)), *others[2:]])
    return place, shown, divmod(int(shown.scores.argmax()), shown.grid.cols), pictures


def _distribution(losses: Histogram) -> str:
    """Draws a histogram up to the 99.5 % quantile, with the median."""
    drawing = Drawing(HEIGHT, "Loss of the patches")
    low, end = min(losses.bins), max(losses.bins)
    high = max(min(end, int(losses.quantile(0.995) / losses.width)), low + 1)
    wide = -(-(high + 1 - low) // BARS)
    counts = [0] * (-(-(high + 1 - low) // wide))
    for place, count in losses.bins.items():
        counts[min((place - low) // wide, len(counts) - 1)] += count
    x = Axis([low * losses.width, (low + wide * len(counts)) * losses.width], 8, WIDTH - 8)
    highest = max(counts)
    for number_, count in enumerate(counts):
        left, right = (x((low + wide * (number_ + step)) * losses.width) for step in (0, 1))
        drawing.bar(left, BOTTOM - (BOTTOM - TOP) * count / highest, right - 0.6, BOTTOM, "#0072b2")
    for tick in x.ticks():
        drawing.text(x(tick), BOTTOM + 16, tick_text(tick), SOFT, "middle", 11)
    median = losses.quantile(0.5)
    drawing.line(x(median), TOP - 6, x(median), BOTTOM, INK, 1.2)
    drawing.text(x(median) + 5, TOP - 2, f"median {median:.2f}", INK, size=11)
    drawing.text(WIDTH / 2, BOTTOM + 34, "loss", SOFT, "middle", 11)
    return drawing.svg()
