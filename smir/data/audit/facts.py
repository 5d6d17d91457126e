"""Facts about a single image and its label, and the problems with them."""

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from smir.classes import UInt8
from smir.data.base import SmirDataModule
from smir.data.folder import Folder
from smir.data.reading.decode import read_image, read_label
from smir.data.reading.listing import Pair
from smir.data.reading.pairs import MAX_ASPECT
from smir.errors import DataError, SmirError

_STRIP = f"one side is more than {MAX_ASPECT} times the other, which makes a whole view too large; cut it into tiles"


class Problem(NamedTuple):
    """Something wrong.

    Attributes:
        kind: Heading under which it is told, such as `unreadable files`.
        text: What it is, with the file's name.
    """

    kind: str
    text: str


@dataclasses.dataclass
class Facts:
    """Facts about an image and its label.

    Attributes:
        size: Height and width of the image; None if it cannot be read.
        digest: Hash of the decoded pixels; None if it cannot be read or has a single colour, as no-data tiles do.
        stored: Pixels by stored value of the label.
        classes: Pixels by class of the label, void at 255; empty if it holds an illegal value.
        problems: What is wrong with the two.
    """

    size: tuple[int, int] | None = None
    digest: bytes | None = None
    stored: dict[int, int] = dataclasses.field(default_factory=dict)
    classes: dict[int, int] = dataclasses.field(default_factory=dict)
    problems: list[Problem] = dataclasses.field(default_factory=list)


def examine(data: SmirDataModule, pair: Pair) -> Facts:
    """Decodes an image and, where there is one, its label."""
    facts = Facts()
    path = data.root / pair.image
    image = _attempt(lambda: read_image(path), path, facts)
    if image is not None:
        facts.size, facts.digest = image.shape[:2], _digest(image)
        if min(facts.size) < data.min_side:
            text = f"{path} is {_shape(facts.size)}; data.min_side is {data.min_side}"
            facts.problems.append(Problem("images that are too small", text))
        if max(facts.size) > MAX_ASPECT * min(facts.size):
            facts.problems.append(Problem("images that are strips", f"{path} is {_shape(facts.size)}; {_STRIP}"))
    if pair.label:
        _examine_label(data, pair, facts)
    return facts


def _examine_label(data: SmirDataModule, pair: Pair, facts: Facts) -> None:
    path = data.root / pair.label
    stored = _attempt(lambda: read_label(path), path, facts)
    if stored is None:
        return
    if facts.size is not None and facts.size != stored.shape:
        text = f"{path} is {_shape(stored.shape)}, its image {data.root / pair.image} is {_shape(facts.size)}"
        facts.problems.append(Problem("labels of another size than their image", text))
    facts.stored = _count(stored)
    if len(data.classes):
        try:
            facts.classes = _count(data.decode_label(stored, path))
        except DataError as error:
            facts.problems.append(Problem("illegal label values", str(error)))


def has_labels(data: SmirDataModule) -> bool:
    """Returns whether the dataset has labels; a `Folder` may have none."""
    return not (isinstance(data, Folder) and data.label_folder is None)


def legal(data: SmirDataModule, value: int) -> int | None:
    """Class (or 255 for void) of a stored label value; None if it is illegal."""
    try:
        return int(data.decode_label(np.array([[value]], dtype=np.int32), Path())[0, 0])
    except DataError:
        return None


def _count(values: npt.NDArray[Any]) -> dict[int, int]:
    """Counts the pixels of each value."""
    if values.min() >= 0 and values.max() < 1 << 16:
        counts = np.bincount(values.ravel())  # many times faster than sorting
        return {int(value): int(counts[value]) for value in counts.nonzero()[0]}
    return dict(zip(*(part.tolist() for part in np.unique(values, return_counts=True)), strict=True))


def _attempt(read: Callable[[], Any], path: Path, facts: Facts) -> Any:
    """Calls a decoder. Whatever it raises, the file is damaged, and the walk goes on."""
    try:
        return read()
    except SmirError as error:
        facts.problems.append(Problem("unreadable files", str(error)))
    except Exception as error:  # libraries raise all kinds of errors on damaged files
        facts.problems.append(Problem("unreadable files", f"{path}: {type(error).__name__}: {error}"))
    return None


def _digest(image: UInt8) -> bytes | None:
    color = image[0, 0]
    if (image[0] == color).all() and (image == color).all():
        return None
    return hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16, key=repr(image.shape).encode()).digest()


def _shape(size: tuple[int, ...]) -> str:
    return " x ".join(map(str, reversed(size))) + " pixels"
