"""A synthetic field seen from above, about 1.5 mm a pixel: a crop in rows, five species of weeds, soil, stones, straw.

Any window of the endless field can be rendered alone, and overlapping windows agree to the byte: every grid cell seeds
the plants in it; the soil is noise hashed from pixel coordinates; and the arithmetic per pixel uses integers or single
IEEE operations, so it does not depend on array shapes.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from smir.prepare.synthetic.plants import (
    BACKGROUND,
    CROP,
    CROP_SPECIES,
    WEED,
    WEED_SPECIES,
    Species,
    Sprite,
    draw_plant,
    draw_stone,
    draw_straw,
    reach,
)

# Amplitudes of the noise from single pixels (first) to features of 2048 pixels, in int16 units.
_CLODS = (1800, 2600, 3600, 4800, 4600, 3000, 1200, 400, 0, 0, 0, 0)
_PATCHES = (0, 0, 0, 0, 300, 600, 1000, 1600, 2400, 3000, 3500, 3500)
# Plants a cell in the densest patch of weeds, which cover 2.1 % of the ground there (on average over fields 1.4 %).
_WEEDS_PER_CELL = 0.85
# Cell numbers may be negative, seeds may not.
_ORIGIN = 1 << 31


def noise(key: int, top: int, left: int, height: int, width: int, amplitudes: tuple[int, ...]) -> NDArray[np.int16]:
    """Returns seamless multi-scale noise (height, width) of the window at (top, left).

    It sums lattices of hashed values with a pitch of 2 ** level pixels, smoothed by cv2.pyrUp, which is exact on
    integers. The sum of `amplitudes` (finest first) bounds the values.
    """
    windows = [(top, left, height, width)]
    for _ in amplitudes[1:]:
        t, x, h, w = windows[-1]
        # Two more lattice points on each side keep pyrUp's treatment of the border out of the window.
        t2, x2 = t // 2 - 2, x // 2 - 2
        windows.append((t2, x2, (t + h + 1) // 2 + 2 - t2, (x + w + 1) // 2 + 2 - x2))
    total = np.zeros(windows[-1][2:], np.int16)
    for level in reversed(range(len(amplitudes))):
        t, x, h, w = windows[level]
        if level + 1 < len(windows):
            t2, x2, _, _ = windows[level + 1]
            total = np.asarray(cv2.pyrUp(total), np.int16)[t - 2 * t2 :][:h, x - 2 * x2 :][:, :w]
        if amplitudes[level]:
            rows = (np.arange(t, t + h) & 0xFFFFFFFF).astype(np.uint32)[:, None] * np.uint32(0x9E3779B1)
            columns = (np.arange(x, x + w) & 0xFFFFFFFF).astype(np.uint32) * np.uint32(0x85EBCA77)
            bits = (rows + np.uint32((key * 64 + level) * 0x27D4EB2F & 0xFFFFFFFF)) ^ columns
            for shift, factor in ((15, 0x2C1B3C6D), (12, 0x297A2D39)):
                bits ^= bits >> np.uint32(shift)
                bits *= np.uint32(factor)
            values = (bits >> np.uint32(17)).astype(np.int32) - 16384
            total = total + ((values * amplitudes[level]) >> 14).astype(np.int16)
    return total


@dataclass(frozen=True)
class _Thing:
    """A plant, stone or straw at (y, x); `identity` seeds its look and breaks ties in the drawing order."""

    layer: float
    y: float
    x: float
    radius: float
    label: int
    species: Species | None
    identity: tuple[int, ...]


class Field:
    """An endless field; its seed and number determine the direction of rows, soil and light."""

    def __init__(self, seed: int, number: int) -> None:
        self._key = (seed, number)
        rng = np.random.default_rng(self._key)
        angle = math.pi / 2 + rng.uniform(-0.3, 0.3)
        self._along = (math.sin(angle), math.cos(angle))
        self._row_gap = rng.uniform(190, 208)
        self._plant_gap = rng.uniform(94, 106)
        light = rng.uniform(0, 2 * math.pi)
        self._sun = (math.sin(light), math.cos(light))
        self._phases = rng.uniform(0, 2 * math.pi, 8)
        self._stage = rng.uniform(0.5, 0.66)
        self._soil = np.array([142.0, 117.0, 93.0]) * rng.uniform(0.9, 1.12) + rng.normal(0, 4, 3)
        self._noise_key = int(rng.integers(1 << 24))

    def render(self, top: int, left: int, height: int, width: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Renders the window whose first pixel is (top, left); memory is about 40 bytes a pixel.

        Returns:
            The image (height, width, 3) uint8, RGB, and its label (height, width) uint8: 0 background, 1 crop, 2 weed.
        """
        # One extra pixel on each side for the blur of the lens.
        top, left, height, width = top - 1, left - 1, height + 2, width + 2
        canvas = self._ground(top, left, height, width)
        label = np.full((height, width), BACKGROUND, np.uint8)
        for thing in self._things(top, left, height, width):
            self._paste(self._draw(thing), thing.label, top, left, canvas, label)
        # Broad changes of light (thin cloud, slopes) and the sensor's grain affect everything.
        light = noise(self._noise_key + 1, top, left, height, width, _PATCHES).astype(np.float32)
        grain = noise(self._noise_key + 2, top, left, height, width, (24,)).astype(np.float32)
        gain, offset = light * np.float32(1.6e-5) + np.float32(1.0), grain * np.float32(0.2)
        channels = [np.clip(canvas[..., k] * gain + offset, 0, 255).astype(np.uint8) for k in range(3)]
        image = np.asarray(cv2.merge(channels), np.uint8)
        image = np.asarray(cv2.GaussianBlur(image, (3, 3), 0), np.uint8)
        return np.ascontiguousarray(image[1:-1, 1:-1]), np.ascontiguousarray(label[1:-1, 1:-1])

    def _ground(self, top: int, left: int, height: int, width: int) -> NDArray[np.float32]:
        """Returns bare soil, (height, width, 3) float32 in 0..255: clods lit by the sun, dry and moist patches."""
        clods = noise(self._noise_key, top - 2, left - 2, height + 4, width + 4, _CLODS).astype(np.int32)
        down, right = round(self._sun[0] * 1.4), round(self._sun[1] * 1.4)
        inner = clods[2:-2, 2:-2]
        towards = clods[2 + down : 2 + down + height, 2 + right : 2 + right + width]
        # Slopes that face away from the sun and hollows are dark.
        relief = ((inner - towards) * -5 + inner * 2).astype(np.float32)
        patches = noise(self._noise_key + 3, top, left, height, width, _PATCHES).astype(np.float32)
        across = (
            np.arange(left, left + width) * self._along[0] - np.arange(top, top + height)[:, None] * self._along[1]
        ) / self._row_gap
        fraction = (across - np.floor(across)).astype(np.float32)
        # The drill leaves a shallow, darker furrow along each row (rows lie at whole numbers plus a half).
        furrow = fraction * (np.float32(1) - fraction)
        bright = (
            relief * np.float32(1.5e-5) + patches * np.float32(1.3e-5) - furrow * np.float32(0.35) + np.float32(1.05)
        )
        np.clip(bright, 0.35, 1.7, out=bright)
        tints = np.array([6e-4, 1e-4, -4e-4], np.float32)
        channels = [
            bright * soil + patches * tint for soil, tint in zip(self._soil.astype(np.float32), tints, strict=True)
        ]
        return np.asarray(cv2.merge(channels), np.float32)

    def _wave(self, u: float, v: float, pitch: float, which: int) -> float:
        """Returns a slow function of the place, in -1..1."""
        a, b = self._phases[which], self._phases[which + 1]
        return math.sin(u / pitch + a + 1.3 * math.sin(v / pitch + b)) * math.cos(0.7 * v / pitch + b)

    def _things(self, top: int, left: int, height: int, width: int) -> list[_Thing]:
        """Returns all that touches the window, in the order of drawing."""
        margin = reach(CROP_SPECIES.radius[1]) + 2
        ys = np.array([top - margin, top + height + margin])[:, None]
        xs = np.array([left - margin, left + width + margin])
        along = (ys * self._along[0] + xs * self._along[1]) / self._plant_gap
        across = (xs * self._along[0] - ys * self._along[1]) / self._row_gap
        found = []
        for row in range(math.floor(across.min()), math.floor(across.max()) + 1):
            for place in range(math.floor(along.min()), math.floor(along.max()) + 1):
                for thing in self._cell(row, place):
                    half = reach(thing.radius) + 1
                    if -half <= thing.y - top < height + half and -half <= thing.x - left < width + half:
                        found.append(thing)
        return sorted(found, key=lambda thing: (thing.layer, thing.identity))

    def _cell(self, row: int, place: int) -> Iterator[_Thing]:
        """Yields the things in the cell of one crop plant; `row` counts across the rows, `place` along them."""
        identity = (*self._key, row + _ORIGIN, place + _ORIGIN)
        rng = np.random.default_rng(identity)

        def at(u: float, v: float, radius: float, label: int, species: Species | None, layer: float) -> _Thing:
            y = u * self._along[0] - v * self._along[1]
            x = u * self._along[1] + v * self._along[0]
            return _Thing(layer, y, x, radius, label, species, (*identity, next(numbers)))

        numbers = iter(range(1000))
        u0, v0 = place * self._plant_gap, row * self._row_gap
        stage = self._stage + 0.22 * self._wave(u0, v0, 900.0, 0)
        if rng.random() > 0.06:
            low, high = CROP_SPECIES.radius
            radius = low + (high - low) * min(max(stage + rng.normal(0, 0.16), 0.0), 1.0)
            v = v0 + self._row_gap / 2 + 6 * self._wave(u0, 0.0, 400.0, 2) + rng.normal(0, 4)
            yield at(u0 + self._plant_gap * rng.uniform(0.3, 0.7), v, radius, CROP, CROP_SPECIES, 2 + radius)
        density = 0.55 + 0.45 * self._wave(u0, v0, 500.0, 4)
        for _ in range(rng.poisson(_WEEDS_PER_CELL * density)):
            species = WEED_SPECIES[int(rng.choice(len(WEED_SPECIES), p=[weed.share for weed in WEED_SPECIES]))]
            low, high = species.radius
            radius = low + (high - low) * rng.beta(1.6, 2.2)
            u, v = u0 + self._plant_gap * rng.random(), v0 + self._row_gap * rng.random()
            yield at(u, v, radius, WEED, species, 2 + radius)
        for _ in range(rng.poisson(2.2)):
            u, v = u0 + self._plant_gap * rng.random(), v0 + self._row_gap * rng.random()
            yield at(u, v, 1.5 + min(rng.exponential(2.5), 14), BACKGROUND, None, 0)
        for _ in range(rng.poisson(0.7 + 0.6 * self._wave(u0, v0, 700.0, 6))):
            u, v = u0 + self._plant_gap * rng.random(), v0 + self._row_gap * rng.random()
            yield at(u, v, rng.uniform(8, 40), BACKGROUND, None, 1)

    def _draw(self, thing: _Thing) -> Sprite:
        rng = np.random.default_rng(thing.identity)
        if thing.species is not None:
            return draw_plant(thing.species, thing.y, thing.x, thing.radius, self._sun, rng)
        draw: Callable[..., Sprite] = draw_stone if thing.layer == 0 else draw_straw
        return draw(thing.y, thing.x, thing.radius, self._sun, rng)

    @staticmethod
    def _paste(
        sprite: Sprite, value: int, top: int, left: int, canvas: NDArray[np.float32], label: NDArray[np.uint8]
    ) -> None:
        """Darkens the canvas (H, W, 3) by the sprite's shadow, then covers canvas and label (H, W) with the sprite."""
        height, width = sprite.alpha.shape
        first, start = max(sprite.top, top), max(sprite.left, left)
        last, stop = min(sprite.top + height, top + len(label)), min(sprite.left + width, left + label.shape[1])
        if first >= last or start >= stop:
            return
        source = np.s_[first - sprite.top : last - sprite.top, start - sprite.left : stop - sprite.left]
        target = np.s_[first - top : last - top, start - left : stop - left]
        below, alpha = canvas[target], sprite.alpha[source]
        below *= np.float32(1) - sprite.shadow[source][..., None] * np.float32(0.5 / 255)
        # Leaves keep some of the ground's texture as their own.
        below += (sprite.colour[source] - below) * (alpha[..., None] * np.float32(1 / 255))
        if value != BACKGROUND:
            label[target][alpha >= 128] = value
