"""Pictures: class colours over images, sheets of many small pictures, captioned columns, legends, and heat maps."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from smir.classes import VOID, Classes, UInt8
from smir.files.names import composed

BOX = (360, 270)
"""Width and height in pixels of a picture of a sheet."""
GAP, CAPTION = 6, 22
"""White pixels between pictures, and the height of the captions of a panel."""
_LINE, _SWATCH, _NAME = 26, 18, 20
_WHITE = 255
_LINES = 250
_WIDTHS = 200, 800
"""Least and largest width of the pictures of a panel."""
_FAR, _LETTER, _LETTERS = 700, 8, 24
"""The width of a picture up to which text has its usual size (wider ones are seen smaller), the width of a letter, both
in pixels, and the letters that a caption has room for."""
_OF_CLASS, _OF_VOID = 0.25, 0.7
"""Opacity of the colours inside their outlines."""

Float32 = npt.NDArray[np.float32]
Item = TypeVar("Item")
Entry = tuple[str, Sequence[int]]
"""A line of a legend: its text and its colour."""


def blend(image: UInt8, label: UInt8, classes: Classes) -> UInt8:
    """Outlines the classes (H, W) in their colours over an image (H, W, 3), and tints them.

    A tint alone cannot be seen on leaves of the same colour. Void is covered with white; a black class (a background)
    stays as it is.
    """
    return np.rint(blended(image, label, classes)).astype(np.uint8)


def blended(image: UInt8, label: UInt8, classes: Classes, line: int | None = None) -> Float32:
    """Blends as `blend` does, and returns float32 (H, W, 3), from 0 to 255.

    The outlines are `line` pixels wide; default: a 250th of the longest side.
    """
    reach = line or -(-max(label.shape) // _LINES)
    edge = cv2.getStructuringElement(cv2.MORPH_RECT, (2 * reach + 1, 2 * reach + 1))
    ids = label.astype(np.uint8)
    outline = cv2.erode(ids, edge) != cv2.dilate(ids, edge)
    shades = classes.palette().astype(np.float32)
    opacity = np.array([[_OF_CLASS], [1.0]], dtype=np.float32).repeat(len(shades), axis=1)
    opacity[:, VOID], opacity[:, ~shades.any(axis=-1)] = _OF_VOID, 0
    # A row for each class inside, then at its outline: a table is several times as fast as arithmetic on every pixel.
    places = ids + outline * np.uint16(len(shades))
    kept: Float32 = (1 - opacity).reshape(-1, 1).repeat(3, axis=1).take(places, axis=0)
    added: Float32 = (opacity[..., None] * shades).reshape(-1, 3).take(places, axis=0)
    return kept * image + added


def small_overlay(image: UInt8, label: UInt8, classes: Classes) -> UInt8:
    """Blends like `blend`, but first reduces the image to what a sheet needs, which saves memory."""
    scale = 4 * min(side / length for side, length in zip(BOX, image.shape[1::-1], strict=True))
    if scale < 1:
        size = round(image.shape[1] * scale) or 1, round(image.shape[0] * scale) or 1
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        label = np.asarray(cv2.resize(label, size, interpolation=cv2.INTER_NEAREST_EXACT), dtype=np.uint8)
    return blend(image, label, classes)


def evenly(items: Sequence[Item], most: int) -> list[Item]:
    """Returns at most `most` of the items, evenly spread from the first to the last."""
    places = np.linspace(0, len(items) - 1, min(most, len(items)))
    return [items[round(place)] for place in places]


def entries(classes: Classes) -> list[Entry]:
    """Returns the class names as lines of a legend."""
    return list(zip(classes.names, classes.colors, strict=True))


def sheet(pictures: Iterable[tuple[str, UInt8]], per_row: int, lines: Sequence[Entry]) -> UInt8:
    """Lays out named pictures of any size in rows below a legend, if it has lines.

    Each is fitted into `BOX`, which is turned if most pictures are upright.
    """
    square = max(BOX), max(BOX)
    fitted = [(name, _fitted(picture, square)) for name, picture in pictures]  # one at a time: they may be large
    upright = sum(picture.shape[0] > picture.shape[1] for _, picture in fitted)
    box = BOX[::-1] if 2 * upright > len(fitted) else BOX
    per_row = min(per_row, len(fitted)) or 1
    width = per_row * (box[0] + GAP)
    cells = [_cell(name, picture, _larger(width), box) for name, picture in fitted]
    rows = [np.concatenate(cells[start : start + per_row], axis=1) for start in range(0, len(cells), per_row)]
    return stacked([*([legend(lines, width)] if lines else []), *rows])


def _larger(width: int) -> int:
    """Returns how many times its usual size a text needs: a wide picture is shown reduced, and its text with it."""
    return max(1, width // _FAR)


def _fitted(picture: UInt8, box: tuple[int, int]) -> UInt8:
    scale = min(side / length for side, length in zip(box, picture.shape[1::-1], strict=True))
    size = [max(1, int(length * scale)) for length in picture.shape[1::-1]]
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST_EXACT
    return np.asarray(cv2.resize(picture, size, interpolation=way), dtype=np.uint8)


def _cell(name: str, picture: UInt8, larger: int, box: tuple[int, int]) -> UInt8:
    if picture.shape[0] > box[1] or picture.shape[1] > box[0]:
        picture = _fitted(picture, box)
    head, most = larger * _NAME, box[0] * 48 // (BOX[0] * larger)
    canvas = np.full((box[1] + head + GAP, box[0] + GAP, 3), _WHITE, dtype=np.uint8)
    canvas[head : head + picture.shape[0], : picture.shape[1]] = picture
    write(canvas, end_of(name, most), 2, head - 6 * larger, 0.4 * larger, larger)
    return canvas


def legend(lines: Sequence[Entry], width: int) -> UInt8:
    """Draws colours with their texts in columns, wider than asked for if an entry needs it."""
    larger = _larger(width)
    line, swatch, margin = larger * _LINE, larger * _SWATCH, 4 * larger
    column = 9 * larger * max(len(text) for text, _ in lines) + 2 * swatch
    width = max(width, column)
    per_line = width // column
    canvas = np.full((-(-len(lines) // per_line) * line + 2 * margin, width, 3), _WHITE, dtype=np.uint8)
    for place, (text, color) in enumerate(lines):
        left, top = margin + place % per_line * column, margin + place // per_line * line
        corner = left + swatch, top + swatch
        cv2.rectangle(canvas, (left, top), corner, [int(value) for value in color], cv2.FILLED)
        cv2.rectangle(canvas, (left, top), corner, (128, 128, 128))
        write(canvas, text, left + swatch + 2 * margin, top + 14 * larger, 0.45 * larger, larger)
    return canvas


def stacked(parts: Sequence[UInt8]) -> UInt8:
    """Stacks pictures (h, w, 3) on white."""
    width = max(part.shape[1] for part in parts)
    wide = [np.pad(part, [(0, 0), (0, width - part.shape[1]), (0, 0)], constant_values=_WHITE) for part in parts]
    return np.concatenate(wide)


def end_of(text: str, most: int) -> str:
    """Shortens a text that is too long to its end, which says the most in the path of a file."""
    return text if len(text) <= most else f"...{text[3 - most :]}"


def write(canvas: UInt8, text: str, left: int, baseline: int, scale: float, thickness: int = 1) -> None:
    """Writes a text on a picture; before OpenCV 5, characters outside ASCII become `?`."""
    letters = "utf-8" if int(cv2.__version__.partition(".")[0]) >= 5 else "ascii"
    plain = composed(text).encode(letters, "replace").decode(letters)
    cv2.putText(canvas, plain, (left, baseline), cv2.FONT_HERSHEY_SIMPLEX, scale, (0, 0, 0), thickness, cv2.LINE_AA)


def overlay_panel(name: str, image: UInt8, label: UInt8, prediction: UInt8, classes: Classes) -> UInt8:
    """Shows an image, its label (white where there is none) and its prediction over it, side by side above a legend."""
    columns = {
        name: [image],
        "label (white = not labelled)": [blend(image, label, classes)],
        "prediction": [blend(image, prediction, classes)],
    }
    pictures = panel(columns)
    return stacked([pictures, legend(entries(classes), pictures.shape[1])])


def panel(columns: Mapping[str, Sequence[UInt8]]) -> UInt8:
    """Lays out pictures of one size in columns, at a size at which the captions above them can be read."""
    columns = {caption: list(map(_readable, pictures)) for caption, pictures in columns.items()}
    height, width = next(iter(columns.values()))[0].shape[:2]
    rows, total = len(next(iter(columns.values()))), len(columns) * (width + GAP) - GAP
    larger = max(1, min(_larger(total), width // (_LETTER * _LETTERS)))  # a page shows wide panels smaller
    head = larger * CAPTION
    canvas = np.full((head + rows * (height + GAP), total, 3), _WHITE, dtype=np.uint8)
    for place, (caption, pictures) in enumerate(columns.items()):
        left = place * (width + GAP)
        most = width // (_LETTER * larger)
        write(canvas, end_of(caption, most), left + 2, 15 * larger, 0.45 * larger, larger)
        for row, picture in enumerate(pictures):
            top = head + row * (height + GAP)
            canvas[top : top + height, left : left + width] = picture
    return canvas


def _readable(picture: UInt8) -> UInt8:
    """Enlarges the pixels of a small picture, or reduces a large one, to a width between those of `_WIDTHS`."""
    width, least, most = picture.shape[1], *_WIDTHS
    factor = -(-least // width) if width < least else min(1, most / width)
    way = cv2.INTER_NEAREST_EXACT if factor > 1 else cv2.INTER_AREA
    return picture if factor == 1 else np.asarray(cv2.resize(picture, None, fx=factor, fy=factor, interpolation=way))


def heat_map(values: npt.NDArray[Any], low: float, high: float) -> UInt8:
    """Colours values (H, W), dark at `low` and below, bright at `high` and above, as RGB (H, W, 3)."""
    shown = np.nan_to_num(values, nan=high)  # of a network that has diverged
    levels = np.clip((shown - low) / max(high - low, 1e-8) * 255, 0, 255).round().astype(np.uint8)
    return np.asarray(cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB), dtype=np.uint8)
