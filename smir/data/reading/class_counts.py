"""Pixels of every class in label files, and how frequent the classes are."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from smir.data.reading.decode import read_label
from smir.data.reading.pairs import LabelDecoder
from smir.data.reading.parallel import in_parallel

Counts = npt.NDArray[np.int64]


def class_counts(labels: Sequence[Path], decoder: LabelDecoder, threads: int | None = None) -> Iterator[Counts]:
    """Yields the pixels of each class, and of void at index 255, of every label at its full size (256,).

    Raises:
        DataError: If a label cannot be read or holds a value that is not a class.
    """

    def count(path: Path) -> Counts:
        return np.bincount(decoder(read_label(path), path).ravel(), minlength=256)

    yield from in_parallel(count, labels, "Class shares", threads)


def class_frequencies(counts: Iterable[Counts], num_classes: int) -> npt.NDArray[np.float64]:
    """Returns the share (C,) of every class in the labelled pixels of the images that it occurs in; 0 if in none."""
    own, all_ = np.zeros((2, num_classes), dtype=np.int64)
    for labelled in (part[:num_classes] for part in counts):
        own += labelled
        all_ += labelled.sum() * (labelled > 0)
    return own / np.maximum(all_, 1)
