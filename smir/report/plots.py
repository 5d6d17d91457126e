"""The plots of the report: rows of figures, and curves of label budgets and of a pretraining's loss."""

import math
from collections.abc import Mapping, Sequence

from smir.files.pages.svg import INK, SOFT, WIDTH, Axis, Drawing, clipped, minus, spread, tick_text
from smir.report.document import signed
from smir.report.estimates import Difference, Estimate
from smir.report.stored import Point

COLORS = {
    "scratch": "#6b6b6b",
    "imagenet": "#b87800",
    "random": "#0072b2",
    "random-staged": "#3a9fd0",
    "random-fixed": "#00805f",
    "selective": "#d55e00",
    "selective-cross": "#b5588f",
}
"""Okabe and Ito's colours, which colour-blind readers can tell apart, darkened where text would be pale on white."""
NAMES, FIGURES, ROW = 126, WIDTH - 62, 22
"""Right end of the names, left end of the figures, and height of a row."""
_USUAL, _LONGEST = 16, 26
"""Letters of a name that fit in the usual size, and in a smaller one."""
LEFT, TOP, HEIGHT = 40, 38, 308
"""Left and top ends of the axes of curves, and height of the plot."""
CURVES = {
    "train/loss": ("training", "#3a9fd0", 1, ""),
    "val/mean_fill": ("mean fill", "#6b6b6b", 1.2, "2 3"),
    "val/inpaint": ("inpaint", "#6b6b6b", 1.2, "6 3"),
    "val/loss": ("validation", "#d55e00", 1.8, ""),
}
"""The curves of a pretraining: label, colour, width and dashes."""
_LARGEST = 1e30
"""Values of curves that are larger, infinite or NaN are not drawn."""
POINTS = 300
"""A longer curve is drawn as means of neighbouring epochs, because the plot is only that many pixels wide."""


def color(init: str) -> str:
    """Returns the colour of a row."""
    return COLORS.get(init, INK)


def dots(rows: Mapping[str, Estimate | None], title: str) -> str:
    """Draws every seed as a small disc, and their mean as a bar and a figure; rows without runs say so."""
    drawing = Drawing(58 + ROW * len(rows), title)
    known = [value for estimate in rows.values() if estimate for value in estimate.by_seed.values()]
    axis = _axis(drawing, known or [0.0], "mIoU in %")
    for number, (init, estimate) in enumerate(rows.items()):
        y = 42 + ROW * number
        _row_name(drawing, init, y, estimate is not None)
        if estimate is None:
            continue
        for value in estimate.by_seed.values():
            drawing.dot(axis(value), y, 3.5, color(init), 0.45)
        drawing.line(axis(estimate.mean), y - 8, axis(estimate.mean), y + 8, color(init), 3)
        drawing.text(FIGURES + 10, y + 4, f"{estimate.mean:.1f}", weight=600)
    return drawing.svg()


def forest(gains: Mapping[str, Difference | None], title: str) -> str:
    """Draws differences with their intervals around a line at zero."""
    drawing = Drawing(58 + ROW * len(gains), title)
    known = {name: gain for name, gain in gains.items() if gain and gain.by_seed}
    ends = [value for gain in known.values() for value in (gain.mean, *(gain.interval or ()))]
    axis = _axis(drawing, ends or [0.0], "points of mIoU", zero=True)
    for number, name in enumerate(gains):
        y = 42 + ROW * number
        gain = known.get(name)
        _row_name(drawing, f"\N{MINUS SIGN} {name}", y, gain is not None)
        if gain is None:
            continue
        if gain.interval:
            drawing.line(axis(gain.interval[0]), y, axis(gain.interval[1]), y, color("selective"), 3)
        drawing.dot(axis(gain.mean), y, 5, color("selective"))
        drawing.text(FIGURES + 10, y + 4, minus(signed(gain.mean)), weight=600)
    return drawing.svg()


def dumbbells(pairs: Mapping[str, tuple[Estimate | None, Estimate | None]], names: tuple[str, str], title: str) -> str:
    """Draws two figures of every class, joined by a line, and their difference."""
    drawing = Drawing(76 + 20 * len(pairs), title)
    for name, x in zip(names, (NAMES, NAMES + 90), strict=True):
        drawing.dot(x + 4, 32, 4.5, color(name))
        drawing.text(x + 14, 36, name, color(name), weight=600)
    known = [estimate.mean for pair in pairs.values() for estimate in pair if estimate]
    axis = _axis(drawing, known or [0.0], "IoU in %", top=46)
    for number, (name, (left, right)) in enumerate(pairs.items()):
        y = 60 + 20 * number
        _row_name(drawing, name, y, bool(left and right))
        if not (left and right):
            continue
        drawing.line(axis(left.mean), y, axis(right.mean), y, "#b9b9b9", 2.5)
        for init, estimate in zip(names, (left, right), strict=True):
            drawing.dot(axis(estimate.mean), y, 4.5, color(init))
        drawing.text(FIGURES + 10, y + 4, minus(signed(right.mean - left.mean)), weight=600)
    return drawing.svg()


def _row_name(drawing: Drawing, name: str, y: float, known: bool) -> None:
    size = 12 if len(name) <= _USUAL else 9  # such as `selective after imagenet`
    drawing.text(NAMES - 12, y + 4, clipped(name, _LONGEST), INK if known else SOFT, "end", size)
    if not known:
        drawing.text(NAMES + 6, y + 4, "missing", SOFT)


def _axis(drawing: Drawing, values: list[float], unit: str, top: float = 28, zero: bool = False) -> Axis:
    """Draws the ticks below the rows."""
    bottom = drawing.height - 30
    axis = Axis(values, NAMES, FIGURES, around=0.0 if zero else None)
    for tick in axis.ticks(5):
        is_zero = zero and abs(tick) < 1e-9
        drawing.line(axis(tick), top, axis(tick), bottom, *((SOFT, 1.5) if is_zero else ()))
        drawing.text(axis(tick), bottom + 13, tick_text(tick, signed=zero), SOFT, "middle", 11)
    drawing.text((NAMES + FIGURES) / 2, bottom + 27, unit, SOFT, "middle", 11)
    return axis


def lines(curves: Mapping[str, Mapping[int, Estimate]], title: str) -> str:
    """Draws every row's figures by number of labelled images, on a logarithmic axis, with their deviations."""
    drawing, right, bottom = Drawing(HEIGHT, title), WIDTH - 112, HEIGHT - 36
    points = [estimate for curve in curves.values() for estimate in curve.values()]
    labelled = sorted({labels for curve in curves.values() for labels in curve})
    y = Axis([e.mean + sign * (e.deviation or 0.0) for e in points for sign in (-1, 1)], bottom, TOP)
    x = Axis([math.log(labels) for labels in labelled], LEFT, right)
    _levels(drawing, y, right)
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
    ends = {init: y(list(curve.values())[-1].mean) for init, curve in curves.items()}
    for init, place in zip(ends, spread(list(ends.values()), 14), strict=True):
        drawing.text(right + 8, place + 4, clipped(init, 15), color(init), weight=600)
    return drawing.svg()


def stages(runs: Sequence[Mapping[str, Sequence[Point]]], title: str) -> str:
    """Draws the curves that `CURVES` names of every seed of a pretraining, with a line where a stage begins."""
    drawing, right, bottom = Drawing(HEIGHT, title), WIDTH - 74, HEIGHT - 36
    drawn = {name: [thinned(curves[name]) for curves in runs] for name in CURVES}
    values = [point.value for curves in drawn.values() for curve in curves for point in curve]
    epochs = [point.epoch for curves in runs for point in curves["val/loss"]] or [0]
    x, y = Axis(epochs, LEFT, right), Axis([v for v in values if v is not None] or [0.0], bottom, TOP + 14)
    _levels(drawing, y, right)
    _stage_marks(drawing, runs[0]["val/loss"], x, bottom)
    for tick in Axis([epoch + 1 for epoch in epochs], LEFT, right).ticks(4):
        if tick >= 1 and tick == int(tick):
            drawing.text(x(tick - 1), bottom + 16, f"{int(tick):,}", SOFT, "middle", 11)
    drawing.text((LEFT + right) / 2, bottom + 31, "epoch", SOFT, "middle", 11)
    drawing.text(LEFT, TOP - 2, "loss", SOFT, size=11)
    ends = {}
    for name, curves in drawn.items():
        label, stroke, width, dashes = CURVES[name]
        for piece in (piece for curve in curves for piece in _pieces(curve)):
            places = [(x(epoch), y(value)) for epoch, value in piece]
            drawing.path(places, stroke, width, dashes)
            if len(places) == 1:
                drawing.dot(*places[0], 1 + width, stroke)
            ends[label] = (places[-1][1], stroke)
    for (label, (_, stroke)), place in zip(ends.items(), spread([end for end, _ in ends.values()], 14), strict=True):
        drawing.text(right + 6, place + 4, label, stroke, weight=600, size=11)
    return drawing.svg()


def thinned(curve: Sequence[Point]) -> list[Point]:
    """Returns a curve of at most about `POINTS` points: means of neighbouring epochs that share their stage."""
    width = math.ceil(len(curve) / POINTS)
    buckets: dict[tuple[int, int], list[Point]] = {}
    for point in curve:
        if point.value is not None and abs(point.value) < _LARGEST:
            buckets.setdefault((point.stage, point.epoch // width), []).append(point)
    return [
        Point(members[len(members) // 2].epoch, stage, sum(p.value or 0.0 for p in members) / len(members))
        for (stage, _), members in buckets.items()
    ]


def _pieces(curve: Sequence[Point]) -> list[list[tuple[int, float]]]:
    """Cuts a curve where a stage ends, since losses of two stages do not compare."""
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
    """Marks and numbers the stages, if there are several and room for the numbers."""
    first: dict[int, int] = {}
    for point in curve:
        first.setdefault(point.stage, point.epoch)
    if len(first) < 2:
        return
    ends = [*list(first.values())[1:], curve[-1].epoch + 1]
    room = (x(curve[-1].epoch) - x(curve[0].epoch)) / len(first)
    every = math.ceil((7 * len(str(max(first) + 1)) + 6) / room)
    for (stage, begin), end in zip(first.items(), ends, strict=True):
        if begin:
            drawing.line(x(begin - 0.5), TOP + 4, x(begin - 0.5), bottom, "#c4c4c4")
        if stage % every == 0:
            drawing.text(x((begin + end - 1) / 2), TOP + 10, str(stage + 1), SOFT, "middle", 10)
