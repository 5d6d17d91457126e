"""Image sizes from headers, before anything is decoded."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from smir.data.reading.decode import image_size
from smir.data.reading.file_list import FileList
from smir.method.preprocessing import Preprocessing

_SAMPLED = 64  # images whose headers tell the usual size


def view_shapes(files: FileList, indices: Sequence[int], preprocessing: Preprocessing) -> list[tuple[int, int]]:
    """Height and width of the whole view of some images of a list."""
    with ThreadPoolExecutor() as threads:  # waiting for the disk most of the time
        sizes = threads.map(lambda index: image_size(files.path(index)), indices)
        return [preprocessing.view_shape(*size) for size in sizes]


def usual_side(files: FileList) -> int:
    """Usual shortest side of the images of a list in pixels: the median of some."""
    some = range(0, len(files), -(-len(files) // _SAMPLED))
    return int(np.median([min(image_size(files.path(index))) for index in some]))


def batches_of_one_shape(indices: Sequence[int], shapes: Sequence[tuple[int, int]], batch_size: int) -> list[list[int]]:
    """Forms batches of images whose views have the same size, as only those fit into one tensor."""
    by_shape: dict[tuple[int, int], list[int]] = {}
    for index, shape in zip(indices, shapes, strict=True):
        by_shape.setdefault(shape, []).append(index)
    return [
        group[start : start + batch_size]
        for _, group in sorted(by_shape.items())
        for start in range(0, len(group), batch_size)
    ]
