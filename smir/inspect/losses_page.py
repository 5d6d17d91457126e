"""The page of a pretraining: hardest patches, distribution of their losses, hardest and easiest images, ranking."""

from collections.abc import Iterator, Sequence

import torch

from smir.inspect.losses import PATCHES_OF_AN_IMAGE, ImageLoss, PatchLosses, ShownImage
from smir.inspect.parts import Cell, Links, facts, number, pictures, scale, section, table, tile
from smir.inspect.ranking import Histogram
from smir.pages.markup import data_uri, escaped, plot
from smir.pages.panels import heat_map
from smir.pages.svg import INK, SOFT, WIDTH, Axis, Drawing, tick_text

BARS = 40
HEIGHT, TOP, BOTTOM = 230, 46, 190


def ranked(images: Sequence[ImageLoss]) -> list[ImageLoss]:
    """The images, the hardest first."""
    return sorted(images, key=lambda image: (-image.mean, image.index))


def losses_sections(found: PatchLosses, link: Links) -> Iterator[tuple[str, str]]:
    """Yields links to the sections, and the sections."""
    images = ranked(found.images)
    low, high = found.losses.quantile(0.01), found.losses.quantile(0.99)
    mean = sum(image.mean for image in images) / len(images)
    fill = sum(image.mean_fill for image in images) / len(images)
    yield section(
        "losses",
        "Patch losses",
        facts(
            {
                "images": f"{len(images):,}",
                "patches": f"{found.losses.bins.total():,}",
                "mean loss": f"{mean:.3f}",
                "of answering the mean colour everywhere": f"{fill:.3f}",
            }
        ),
        _useful(mean, fill),
        '<div class="figures">',
        plot(_distribution(found.losses), "losses", "How many patches have which loss; the last bar has all above."),
        "</div>",
    )
    tiles = [
        tile(
            {"what is there": patch.truth, "what the network makes of it": patch.answer},
            [f"<b>{patch.loss:.3f}</b> row {patch.row}, column {patch.column}", link(patch.index, patch.name)],
        )
        for patch in found.patches.ranked()
    ]
    yield section(
        "patches",
        "Hardest patches",
        "<p>Left what is there, right what the network makes of it when the chosen mask hides it. At most "
        f"{PATCHES_OF_AN_IMAGE} patches of an image are shown; <code>patches.csv</code> has all.</p>",
        f'<div class="sheet">{"".join(tiles)}</div>',
    )
    places = {image.index: place for place, image in enumerate(images, start=1)}
    hardest = found.hardest.ranked()
    shown = {image.loss.index for image in hardest}
    easiest = [image for image in found.easiest.ranked() if image.loss.index not in shown]
    explained = f"<p>{escaped(_explained(found))}</p>"
    for place, title, members in (("hardest", "Hardest images", hardest), ("easiest", "Easiest images", easiest)):
        if members:
            articles = (_article(member, places[member.loss.index], low, high, link) for member in members)
            yield section(place, title, explained, *articles)
    yield section("images", "All images", _ranking(images, link))


def _useful(mean: float, fill: float) -> str:
    if mean < fill:
        return ""
    return (
        '<p class="warning"><b>Warning.</b> The network is no better than the mean colour: it has not learnt to '
        "reconstruct these images, and what it finds hard says nothing of them.</p>"
    )


def _explained(found: PatchLosses) -> str:
    samples = "one random mask" if found.num_samples == 1 else f"{found.num_samples} random masks"
    return (
        f"The loss of a patch is its mean over {samples}; the mask that an image would get is that of "
        f"{found.policy!r}. The colours of a loss are the same in all images; they end at the lowest and the highest "
        "1 % of the patches."
    )


def _article(shown: ShownImage, place: int, low: float, high: float, link: Links) -> str:
    loss = shown.loss
    row, column = divmod(int(shown.scores.argmax()), shown.grid.cols)
    heat = heat_map(shown.grid.to_pixels(torch.from_numpy(shown.scores)).numpy(), low, high)
    first, *others = shown.pictures.items()
    ordered = dict([first, *others[:2], ("loss of every patch", data_uri(heat)), *others[2:]])
    return (
        f'<article id="image-{loss.index}"><h3>{place}. {link.file(loss.name)}</h3><p class="note">Mean loss '
        f"{loss.mean:.3f} (mean colour: {loss.mean_fill:.3f}); patches from {loss.lowest:.3f} to {loss.highest:.3f}, "
        f"the highest in row {row}, column {column}.</p>{pictures(ordered, loss.name)}"
        f"{scale(low, high, 'loss of a patch')}</article>"
    )


def _ranking(images: Sequence[ImageLoss], link: Links) -> str:
    figures = ("mean loss", "lowest patch", "highest patch", "mean colour")
    heads = [("place", "number"), ("image", "text"), *((name, "number") for name in figures)]
    rows = [
        [
            Cell(str(place), place),
            Cell(link(image.index, image.name), image.name),
            *map(number, (image.mean, image.lowest, image.highest, image.mean_fill)),
        ]
        for place, image in enumerate(images, start=1)
    ]
    return f"<p>A click on a head sorts. <code>images.csv</code> has all.</p>{table(heads, rows)}"


def _distribution(losses: Histogram) -> str:
    """Bars from the lowest loss to the 99.5 % quantile, with the median."""
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
