"""Plots with one row for each thing compared."""

from collections.abc import Mapping

from smir.pages.svg import INK, SOFT, WIDTH, Axis, Drawing, clipped, minus, tick_text
from smir.report.colors import color
from smir.report.estimates import Difference, Estimate
from smir.report.tables import signed

LEFT, RIGHT = 126, WIDTH - 62
"""Where the axis begins and ends; left of it are the names, right of it the figures."""
ROW = 22


def dots(rows: Mapping[str, Estimate | None], title: str) -> str:
    """Shows every seed small, their mean as a bar and in figures; rows without runs say so."""
    drawing = Drawing(58 + ROW * len(rows), title)
    known = [value for estimate in rows.values() if estimate for value in estimate.by_seed.values()]
    axis = _axis(drawing, known or [0.0], "mIoU in %")
    for number, (init, estimate) in enumerate(rows.items()):
        y = 42 + ROW * number
        drawing.text(LEFT - 12, y + 4, clipped(init), INK if estimate else SOFT, "end")
        if estimate is None:
            drawing.text(LEFT + 6, y + 4, "missing", SOFT)
            continue
        for value in estimate.by_seed.values():
            drawing.dot(axis(value), y, 3.5, color(init), 0.45)
        drawing.line(axis(estimate.mean), y - 8, axis(estimate.mean), y + 8, color(init), 3)
        drawing.text(RIGHT + 10, y + 4, f"{estimate.mean:.1f}", weight=600)
    return drawing.svg()


def forest(gains: Mapping[str, Difference | None], title: str) -> str:
    """Shows differences with their intervals around a line at zero."""
    drawing = Drawing(58 + ROW * len(gains), title)
    known = {name: gain for name, gain in gains.items() if gain and gain.by_seed}
    ends = [value for gain in known.values() for value in (gain.mean, *(gain.interval or ()))]
    axis = _axis(drawing, ends or [0.0], "points of mIoU", zero=True)
    for number, name in enumerate(gains):
        y = 42 + ROW * number
        gain = known.get(name)
        drawing.text(LEFT - 12, y + 4, clipped(f"\N{MINUS SIGN} {name}"), INK if gain else SOFT, "end")
        if gain is None:
            drawing.text(LEFT + 6, y + 4, "missing", SOFT)
            continue
        if gain.interval:
            drawing.line(axis(gain.interval[0]), y, axis(gain.interval[1]), y, color("selective"), 3)
        drawing.dot(axis(gain.mean), y, 5, color("selective"))
        drawing.text(RIGHT + 10, y + 4, minus(signed(gain.mean)), weight=600)
    return drawing.svg()


def dumbbells(pairs: Mapping[str, tuple[Estimate | None, Estimate | None]], names: tuple[str, str], title: str) -> str:
    """Shows two figures of every class, joined by a line, and their difference."""
    drawing = Drawing(76 + 20 * len(pairs), title)
    for name, x, anchor in ((names[0], LEFT, "start"), (names[1], LEFT + 90, "start")):
        drawing.dot(x + 4, 32, 4.5, color(name))
        drawing.text(x + 14, 36, name, color(name), anchor, weight=600)
    known = [estimate.mean for pair in pairs.values() for estimate in pair if estimate]
    axis = _axis(drawing, known or [0.0], "IoU in %", top=46)
    for number, (name, (left, right)) in enumerate(pairs.items()):
        y = 60 + 20 * number
        drawing.text(LEFT - 12, y + 4, clipped(name), INK if left and right else SOFT, "end")
        if not (left and right):
            drawing.text(LEFT + 6, y + 4, "missing", SOFT)
            continue
        drawing.line(axis(left.mean), y, axis(right.mean), y, "#b9b9b9", 2.5)
        for init, estimate in zip(names, (left, right), strict=True):
            drawing.dot(axis(estimate.mean), y, 4.5, color(init))
        drawing.text(RIGHT + 10, y + 4, minus(signed(right.mean - left.mean)), weight=600)
    return drawing.svg()


def _axis(drawing: Drawing, values: list[float], unit: str, top: float = 28, zero: bool = False) -> Axis:
    """Draws the ticks below the rows."""
    bottom = drawing.height - 30
    axis = Axis(values, LEFT, RIGHT, around=0.0 if zero else None)
    for tick in axis.ticks(5):
        is_zero = zero and abs(tick) < 1e-9
        drawing.line(axis(tick), top, axis(tick), bottom, *((SOFT, 1.5) if is_zero else ()))
        drawing.text(axis(tick), bottom + 13, tick_text(tick, signed=zero), SOFT, "middle", 11)
    drawing.text((LEFT + RIGHT) / 2, bottom + 27, unit, SOFT, "middle", 11)
    return axis
