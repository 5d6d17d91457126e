"""Draws SVG: the few shapes and the axis that the plots need."""

import math
from collections.abc import Sequence

from markupsafe import Markup

INK, SOFT, GRID = "#222222", "#5f5f5f", "#dcdcdc"
WIDTH = 420
"""Width of all plots: a phone shows it without shrinking the text."""


class Drawing:
    """Collects shapes below a title, which screen readers read; coordinates are pixels from the top left."""

    def __init__(self, height: float, title: str) -> None:
        self.height, self.title = height, title
        self.parts: list[Markup] = []
        self.text(0, 14, title, weight=600, size=14)

    def _add(self, shape: str, *values: float | str) -> None:
        self.parts.append(Markup(shape).format(*values))  # which escapes the values

    def line(self, x1: float, y1: float, x2: float, y2: float, stroke: str = GRID, width: float = 1) -> None:
        """Draws a straight line."""
        shape = '<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" stroke="{}" stroke-width="{}"/>'
        self._add(shape, x1, y1, x2, y2, stroke, width)

    def bar(self, left: float, top: float, right: float, bottom: float, fill: str) -> None:
        """Draws a filled rectangle."""
        shape = '<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" fill="{}"/>'
        self._add(shape, left, top, right - left, bottom - top, fill)

    def dot(self, x: float, y: float, radius: float, fill: str, opacity: float = 1) -> None:
        """Draws a disc."""
        shape = '<circle cx="{:.1f}" cy="{:.1f}" r="{}" fill="{}"' + (' fill-opacity="{}"/>' if opacity < 1 else "/>")
        self._add(shape, x, y, radius, fill, opacity)

    def path(self, points: Sequence[tuple[float, float]], stroke: str, width: float = 1.5, dashes: str = "") -> None:
        """Draws a line through points."""
        places = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        shape = '<polyline points="{}" fill="none" stroke="{}" stroke-width="{}" stroke-linejoin="round"'
        self._add(shape + (' stroke-dasharray="{}"/>' if dashes else "/>"), places, stroke, width, dashes)

    def text(
        self, x: float, y: float, text: str, fill: str = INK, anchor: str = "start", size: float = 12, weight: int = 400
    ) -> None:
        """Writes a text; `y` is its baseline."""
        shape = '<text x="{:.1f}" y="{:.1f}" fill="{}" text-anchor="{}" font-size="{}" font-weight="{}">{}</text>'
        self._add(shape, x, y, fill, anchor, size, weight, text)

    def svg(self) -> str:
        """Returns the whole file."""
        head = Markup(
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {} {:.0f}" role="img" aria-label="{}"'
            ' font-family="system-ui, sans-serif">'
        ).format(WIDTH, self.height, self.title)
        return str("\n".join([head, *self.parts, Markup("</svg>\n")]))


class Axis:
    """Maps values to pixels from `start` (lowest) to `end` (highest), with round ticks; includes `around` if given."""

    def __init__(self, values: Sequence[float], start: float, end: float, around: float | None = None) -> None:
        known = [*values, *([around] if around is not None else [])]
        low, high = min(known), max(known)
        margin = 0.04 * (high - low) or max(abs(high) * 0.05, 0.5)
        self.low, self.high = low - margin, high + margin
        self.start, self.end = start, end

    def __call__(self, value: float) -> float:
        """Returns the pixel of a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, about: int = 5) -> list[float]:
        """Returns multiples of 1, 2 or 5 times a power of ten that lie on the axis."""
        rough = (self.high - self.low) / about
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(step * power for step in (1, 2, 5, 10) if step * power >= rough)
        first = math.ceil(self.low / step - 1e-9)
        return [step * number for number in range(first, math.floor(self.high / step + 1e-9) + 1)]


def tick_text(value: float, signed: bool = False) -> str:
    """Formats a tick without superfluous zeros and without a negative zero."""
    text = f"{value:+.6g}" if signed and abs(value) > 1e-12 else f"{value:.6g}" if abs(value) > 1e-12 else "0"
    return minus(text)


def clipped(text: str, length: int) -> str:
    """Cuts a name that is too long."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def minus(text: str) -> str:
    """Returns a number's text with a typographic minus sign."""
    return text.replace("-", "\N{MINUS SIGN}")


def spread(places: Sequence[float], gap: float) -> list[float]:
    """Moves labels apart to at least `gap`, keeping their order and moving each as little as possible."""
    order = sorted(range(len(places)), key=lambda index: places[index])
    blocks: list[tuple[list[int], float]] = []  # labels that touch, and the place of their first one
    for index in order:
        members, first = [index], places[index]
        while blocks and blocks[-1][1] + gap * len(blocks[-1][0]) > first:
            members = blocks.pop()[0] + members
            first = sum(places[m] - gap * number for number, m in enumerate(members)) / len(members)
        blocks.append((members, first))
    moved = [0.0] * len(places)
    for members, first in blocks:
        for number, index in enumerate(members):
            moved[index] = first + gap * number
    return moved
