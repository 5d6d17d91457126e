"""Sprites of plants, stones and straw for the synthetic field: small drawings with soft edges.

A sprite depends only on its random generator and sub-pixel position, never on the window it is pasted into.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

BACKGROUND, CROP, WEED = 0, 1, 2

# Fixed-point bits of OpenCV's drawing functions: outlines are placed to 1/16 pixel.
_SHIFT = 4
# Points along a leaf from base to tip, and the indices of those where side veins start.
_STEPS = np.linspace(0.0, 1.0, 22)
_VEINS = np.arange(8, 17, 3)


@dataclass(frozen=True)
class Species:
    """The look of a kind of plant from above; lengths are in pixels, colours are RGB in 0..255.

    Attributes:
        name: Name for readers of this file.
        share: Share of the weeds that belong to it (1 for the crop).
        radius: Smallest and largest distance of a leaf tip from the centre.
        leaves: Smallest and largest number of leaves.
        turn: Angle from one leaf to the next, in degrees (137.5 is the golden angle of a rosette).
        width: Half width of a leaf as a share of the plant's radius.
        belly: Position of the widest part: below 1 towards the base, above 1 towards the tip.
        petiole: Share of the leaf's length that is bare stalk.
        tooth: Depth of the notches of the margin, as a share of the width.
        teeth: Number of notches along one side.
        bend: Standard deviation of the leaf's bending, in radians.
        colour: Colour of the blade.
        rib: Colour of midrib and stalk.
    """

    name: str
    share: float
    radius: tuple[float, float]
    leaves: tuple[int, int]
    turn: float
    width: float
    belly: float
    petiole: float
    tooth: float
    teeth: float
    bend: float
    colour: tuple[float, float, float]
    rib: tuple[float, float, float]


# fmt: off
CROP_SPECIES = Species("crop", 1.0, (26, 64), (6, 10), 137.5, 0.25, 0.95, 0.30, 0.09, 2.5, 0.25,
                       (84, 132, 58), (158, 182, 118))
WEED_SPECIES = (
    # The same rosette in nearly the same green: size, stalk, margin and place tell it from a young crop plant.
    Species("lookalike", 0.34, (17, 38), (6, 9), 137.5, 0.22, 0.80, 0.20, 0.16, 5.0, 0.25,
            (82, 126, 64), (140, 162, 112)),
    Species("broadleaf", 0.32, (15, 32), (4, 8), 92.0, 0.27, 0.75, 0.25, 0.03, 2.0, 0.10,
            (104, 146, 66), (150, 170, 104)),
    Species("grass", 0.29, (22, 46), (6, 13), 101.0, 0.050, 0.55, 0.00, 0.00, 1.0, 0.65,
            (104, 142, 62), (150, 172, 98)),
    Species("thistle", 0.03, (22, 42), (7, 11), 137.5, 0.19, 1.00, 0.05, 0.55, 5.0, 0.15,
            (92, 124, 84), (172, 184, 152)),
    Species("trefoil", 0.02, (15, 30), (3, 3), 120.0, 0.42, 1.70, 0.30, 0.02, 2.0, 0.05,
            (78, 112, 62), (136, 112, 92)),
)
# fmt: on


@dataclass(frozen=True)
class Sprite:
    """A drawing to paste at row `top` and column `left` of the field.

    Attributes:
        colour: RGB (h, w, 3), also defined outside the plant, so that soft edges mix in no black.
        alpha: (h, w), 255 where it covers the ground.
        shadow: (h, w), 255 where it blocks all direct light.
    """

    top: int
    left: int
    colour: NDArray[np.uint8]
    alpha: NDArray[np.uint8]
    shadow: NDArray[np.uint8]


def _fixed(points: NDArray[np.float64]) -> NDArray[np.int32]:
    return np.rint(points * (1 << _SHIFT)).astype(np.int32)


def _shade(colour: NDArray[np.float64], factor: float) -> list[float]:
    return [min(max(value * factor, 0.0), 255.0) for value in colour.tolist()]


def _canvas(half: int, base: NDArray[np.float64], factor: float) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    colour = np.empty((2 * half, 2 * half, 3), np.uint8)
    colour[:] = _shade(base, factor)
    return colour, np.zeros((2 * half, 2 * half), np.uint8)


def _finish(
    y: float, x: float, colour: NDArray[np.uint8], alpha: NDArray[np.uint8], cast: tuple[float, float]
) -> Sprite:
    """Adds a shadow, shifted by `cast` (rows, columns), and places the centre of the drawing at pixel (y, x)."""
    half = alpha.shape[0] // 2
    rows, columns = round(cast[0]), round(cast[1])
    moved = np.zeros_like(alpha)
    height, width = alpha.shape
    moved[max(rows, 0) : height + min(rows, 0), max(columns, 0) : width + min(columns, 0)] = alpha[
        max(-rows, 0) : height + min(-rows, 0), max(-columns, 0) : width + min(-columns, 0)
    ]
    kernel = 2 * max(1, round(math.hypot(*cast) * 0.7)) + 1
    shadow = np.asarray(cv2.blur(cv2.blur(moved, (kernel, kernel)), (kernel, kernel)), np.uint8)
    return Sprite(math.floor(y) - half, math.floor(x) - half, colour, alpha, shadow)


def reach(radius: float) -> int:
    """Returns half the side of the canvas that holds a plant of this radius and its shadow, in pixels."""
    return math.ceil(radius * 1.5) + 6


def draw_plant(
    species: Species, y: float, x: float, radius: float, sun: tuple[float, float], rng: np.random.Generator
) -> Sprite:
    """Draws a plant at pixel (y, x) of the field.

    Args:
        species: Its look.
        y: Row of its centre.
        x: Column of its centre.
        radius: Distance of its longest leaf tip from the centre, in pixels.
        sun: Unit vector (rows, columns) in the direction of shadows.
        rng: Generator for this plant only.
    """
    half = reach(radius)
    centre = np.array([half + x - math.floor(x), half + y - math.floor(y)])
    base = np.array(species.colour) * rng.uniform(0.86, 1.14) + rng.normal(0.0, 5.0, 3)
    rib = np.array(species.rib) * rng.uniform(0.92, 1.08)
    colour, alpha = _canvas(half, base, 0.8)

    count = int(rng.integers(species.leaves[0], species.leaves[1] + 1))
    order = np.arange(count) / max(count - 1, 1)
    # The first leaves are the oldest: long and at the bottom; the last are short, bright and in the middle.
    # In a plant with few leaves, or in grass, they are of similar length.
    spread = 0.5 if count > 3 and species.petiole > 0 else 0.25
    length = radius * (1 - spread * order) * rng.uniform(0.85, 1.0, count)
    angle = rng.uniform(0, 2 * math.pi) + np.deg2rad(species.turn) * np.arange(count) + rng.normal(0, 0.18, count)
    bend = rng.normal(0.0, species.bend, count)
    heading = angle[:, None] + bend[:, None] * _STEPS
    direction = np.stack([np.cos(heading), np.sin(heading)], -1)
    axis = centre + np.cumsum(direction, 1) * (length[:, None, None] / len(_STEPS))
    blade = np.clip((_STEPS - species.petiole) / (1 - species.petiole), 0, 1)
    outline = np.sin(math.pi * blade**species.belly) ** 0.75
    phase = rng.uniform(0, 2 * math.pi, (count, 2, 1))
    margin = 1 + species.tooth * np.sin(2 * math.pi * species.teeth * blade + phase)
    # Leaves are seen at different angles, so some look slimmer.
    size = length**0.8 * radius**0.2 * species.width * rng.uniform(0.8, 1.1, count)
    half_width = np.maximum(size[:, None, None] * outline * margin, 0.55)
    normal = np.stack([-direction[..., 1], direction[..., 0]], -1)
    sides = (axis + normal * half_width[:, 0, :, None], axis - normal * half_width[:, 1, :, None])

    whole = _fixed(np.concatenate([sides[0], sides[1][:, ::-1]], 1))
    half_blade = _fixed(np.concatenate([sides[0], axis[:, ::-1]], 1))
    middle = _fixed(axis)
    start, tips = axis[:, _VEINS], [axis[:, _VEINS + 3] + 0.8 * (side - axis)[:, _VEINS] for side in sides]
    veins = _fixed(np.concatenate([np.stack([start, tip], 2) for tip in tips], 1))
    for leaf in range(count):
        tone = (0.88 + 0.24 * order[leaf]) * rng.uniform(0.94, 1.06)
        # The half of the blade that faces the sun is brighter.
        lit = 1.07 if normal[leaf, 8, 1] * sun[0] + normal[leaf, 8, 0] * sun[1] < 0 else 0.92
        # A dark line around a leaf is its contact shadow on the leaves below; it does not change alpha.
        cv2.polylines(colour, [whole[leaf]], True, _shade(base, 0.52), 3, cv2.LINE_AA, _SHIFT)
        cv2.fillPoly(colour, [whole[leaf]], _shade(base, tone), cv2.LINE_AA, _SHIFT)
        cv2.fillPoly(colour, [half_blade[leaf]], _shade(base, tone * lit), cv2.LINE_AA, _SHIFT)
        if size[leaf] > 3:
            paint = _shade(0.75 * base + 0.25 * rib, tone)
            cv2.polylines(colour, list(veins[leaf]), False, paint, 1, cv2.LINE_AA, _SHIFT)
            cv2.polylines(colour, [middle[leaf]], False, _shade(rib, 1.0), 1, cv2.LINE_AA, _SHIFT)
        cv2.fillPoly(alpha, [whole[leaf]], [255.0], cv2.LINE_AA, _SHIFT)
    cast = 0.13 * radius * (1 if species.petiole else 0.5)
    return _finish(y, x, colour, alpha, (sun[0] * cast, sun[1] * cast))


def draw_stone(y: float, x: float, radius: float, sun: tuple[float, float], rng: np.random.Generator) -> Sprite:
    """Draws a stone or clod of the given radius in pixels; arguments as for `draw_plant`."""
    half = reach(radius)
    angles = np.sort(rng.uniform(0, 2 * math.pi, 9))
    ring = (
        np.stack([np.cos(angles), np.sin(angles) * rng.uniform(0.6, 0.95)], -1) * rng.uniform(0.75, 1, (9, 1)) * radius
    )
    base = np.array([158.0, 146.0, 132.0]) * rng.uniform(0.7, 1.2) + rng.normal(0, 4, 3)
    colour, alpha = _canvas(half, base, 0.85)
    cv2.fillPoly(alpha, [_fixed(ring + half)], [255.0], cv2.LINE_AA, _SHIFT)
    offset = np.array([sun[1], sun[0]]) * radius * 0.22
    cv2.fillPoly(colour, [_fixed(0.75 * ring + half - offset)], _shade(base, 1.1), cv2.LINE_AA, _SHIFT)
    return _finish(y, x, colour, alpha, (sun[0] * radius * 0.35, sun[1] * radius * 0.35))


def draw_straw(y: float, x: float, radius: float, sun: tuple[float, float], rng: np.random.Generator) -> Sprite:
    """Draws a dry stalk of 2 `radius` pixels; arguments as for `draw_plant`."""
    half = reach(radius)
    angle = rng.uniform(0, math.pi)
    span = np.linspace(-radius, radius, 5)[:, None] * np.array([math.cos(angle), math.sin(angle)])
    line = _fixed(half + span + np.cumsum(rng.normal(0, radius * 0.03, (5, 2)), 0))
    base = np.array([188.0, 168.0, 126.0]) * rng.uniform(0.75, 1.15)
    colour, alpha = _canvas(half, base, 1.0)
    cv2.polylines(alpha, [line], False, [255.0], 1 + int(rng.random() < 0.3), cv2.LINE_AA, _SHIFT)
    return _finish(y, x, colour, alpha, (sun[0] * 2, sun[1] * 2))
