"""Plots with curves: label budgets, and the loss of a pretraining."""

import math
from collections.abc import Mapping, Sequence

from smir.pages.svg import SOFT, WIDTH, Axis, Drawing, clipped, spread, tick_text
from smir.report.colors import color
from smir.report.estimates import Estimate
from smir.report.stored import Point

LEFT, TOP, HEIGHT = 40, 38, 308
POINTS = 300
"""Of a longer curve, means of neighbouring epochs are drawn: it has no more pixels."""


def lines(curves: Mapping[str, Mapping[int, Estimate]], title: str) -> str:
    """Shows figures by number of labelled images, on a logarithmic axis, with their deviations.

    Args:
        curves: Every row's figures by number of labelled images.
        title: Heading.
    """
    drawing, right, bottom = Drawing(HEIGHT, title), WIDTH - 112, HEIGHT - 36
    points = [estimate for curve in curves.values() for estimate in curve.values()]
    y = Axis([e.mean + sign * (e.deviation or 0.0) for e in points for sign in (-1, 1)], bottom, TOP)
    x = Axis([math.log(labels) for curve in curves.values() for labels in curve], LEFT, right)
    _levels(drawing, y, right)
    labelled = sorted({labels for curve in curves.values() for labels in curve})
    free = -math.inf
    for labels in labelled:
        place = x(math.log(labels))
        drawing.line(place, bottom, place, bottom + 4, SOFT)
        if place - free > 34:
            drawing.text(place, bottom + 16, f"{labels:,}", SOFT, "middle", 11)
            free = place
    drawing.text((LEFT + right) / 2, bottom + 31, "labelled training images (log scale)", SOFT, "middle", 11)
    drawing.text(LEFT, TOP - 4, "mIoU in %", SOFT, size=11)
    for init, curve in curves.items():
        for labels, estimate in curve.items():
            place, deviation = x(math.log(labels)), estimate.deviation or 0.0
            drawing.line(place, y(estimate.mean - deviation), place, y(estimate.mean + deviation), color(init), 1.2)
            drawing.dot(place, y(estimate.mean), 3.5, color(init))
        drawing.path([(x(math.log(labels)), y(e.mean)) for labels, e in curve.items()], color(init), 2)
    ends = {init: list(curve.items())[-1] for init, curve in curves.items()}
    places = spread([y(estimate.mean) for _, estimate in ends.values()], 14)
    for (init, _), place in zip(ends.items(), places, strict=True):
        drawing.text(right + 8, place + 4, clipped(init, 15), color(init), weight=600)
    return drawing.svg()


def stages(runs: Sequence[Mapping[str, Sequence[Point]]], title: str) -> str:
    """Shows the losses of a pretraining over its epochs, with a line where a stage begins.

    Args:
        runs: For every seed, the curves `val/loss`, `train/loss` and `val/mean_fill_loss`.
        title: Heading.
    """
    drawing, right, bottom = Drawing(HEIGHT, title), WIDTH - 74, HEIGHT - 36
    drawn = {
        name: [thinned(curves[name]) for curves in runs] for name in ("train/loss", "val/mean_fill_loss", "val/loss")
    }
    values = [
        point.value for curves in drawn.values() for curve in curves for point in curve if point.value is not None
    ]
    finite = [value for value in values if math.isfinite(value)] or [0.0]
    epochs = [point.epoch for curves in runs for point in curves["val/loss"]] or [0]
    x, y = Axis(epochs, LEFT, right), Axis(finite, bottom, TOP + 14)
    _levels(drawing, y, right)
    _stage_marks(drawing, runs[0]["val/loss"], x, bottom)
    for tick in x.ticks(4):
        if tick >= 0 and tick == int(tick):
            drawing.text(x(tick), bottom + 16, f"{int(tick):,}", SOFT, "middle", 11)
    drawing.text((LEFT + right) / 2, bottom + 31, "epoch", SOFT, "middle", 11)
    drawing.text(LEFT, TOP - 2, "loss", SOFT, size=11)
    styles = {
        "train/loss": ("training", "#3a9fd0", 1, ""),
        "val/mean_fill_loss": ("mean fill", "#6b6b6b", 1.2, "2 3"),
        "val/loss": ("validation", "#d55e00", 1.8, ""),
    }
    ends = {}
    for name, curves in drawn.items():
        label, stroke, width, dashes = styles[name]
        for curve in curves:
            pieces = _pieces(curve)
            for piece in pieces:
                drawing.path([(x(epoch), y(value)) for epoch, value in piece], stroke, width, dashes)
                if len(piece) == 1:
                    drawing.dot(x(piece[0][0]), y(piece[0][1]), 1 + width, stroke)
            if pieces:
                ends[label] = (y(pieces[-1][-1][1]), stroke)
    for (label, (_, stroke)), place in zip(
        ends.items(), spread([place for place, _ in ends.values()], 14), strict=True
    ):
        drawing.text(right + 6, place + 4, label, stroke, weight=600, size=11)
    return drawing.svg()


def thinned(curve: Sequence[Point]) -> list[Point]:
    """Returns a curve of at most about `POINTS` points: means of neighbouring epochs that share their stage."""
    width = math.ceil(len(curve) / POINTS)
    buckets: dict[tuple[int, int], list[Point]] = {}
    for point in curve:
        if point.value is not None and math.isfinite(point.value):
            buckets.setdefault((point.stage, point.epoch // width), []).append(point)
    return [
        Point(members[len(members) // 2].epoch, stage, sum(p.value or 0.0 for p in members) / len(members))
        for (stage, _), members in buckets.items()
    ]


def _pieces(curve: Sequence[Point]) -> list[list[tuple[int, float]]]:
    """Cuts a curve where a stage ends: what is on either side does not compare."""
    pieces: dict[int, list[tuple[int, float]]] = {}
    for point in curve:
        if point.value is not None:
            pieces.setdefault(point.stage, []).append((point.epoch, point.value))
    return list(pieces.values())


def _levels(drawing: Drawing, y: Axis, right: float) -> None:
    for tick in y.ticks():
        drawing.line(LEFT, y(tick), right, y(tick))
        drawing.text(LEFT - 6, y(tick) + 4, tick_text(tick), SOFT, "end", 11)


def _stage_marks(drawing: Drawing, curve: Sequence[Point], x: Axis, bottom: float) -> None:
    """Marks where stages begin and numbers them, where there are several and room for the numbers."""
    first: dict[int, int] = {}
    for point in curve:
        first.setdefault(point.stage, point.epoch)
    if len(first) < 2:
        return
    ends = [*list(first.values())[1:], curve[-1].epoch + 1]
    room = (x(curve[-1].epoch) - x(curve[0].epoch)) / len(first)
    every = math.ceil((7 * len(str(max(first))) + 6) / room)
    for (stage, begin), end in zip(first.items(), ends, strict=True):
        if begin:
            drawing.line(x(begin - 0.5), TOP + 4, x(begin - 0.5), bottom, "#c4c4c4")
        if stage % every == 0:
            drawing.text(x((begin + end - 1) / 2), TOP + 10, str(stage), SOFT, "middle", 10)
