"""Reads images in batches of one size, a few batches ahead, and lists those that cannot be used."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from smir.classes import UInt8
from smir.data.reading.decode import image_size
from smir.data.reading.file_list import batches_of_one_shape
from smir.data.reading.parallel import cores
from smir.errors import DataError, RunError
from smir.inspect.images import ImagesToInspect
from smir.method.preprocessing import Preprocessing
from smir.terminal import progress

AHEAD = 2
"""Batches that are decoded in advance."""
_MOST_PIXELS = 1 << 23
"""Pixels of the views of a batch: fewer large ones at a time, so that memory does not grow with the view size."""


class View(NamedTuple):
    """The whole view of an image (h, w, 3), its label (h, w) if any, and height and width of its file."""

    place: int
    name: str
    image: UInt8
    label: UInt8 | None
    size: tuple[int, int]


class Walk:
    """Reads the views of all images once; `skipped` has the reason for each image left out, by name."""

    def __init__(
        self,
        source: ImagesToInspect,
        preprocessing: Preprocessing,
        batch_size: int,
        on_bad_image: Literal["error", "skip"],
    ) -> None:
        self.source, self.preprocessing = source, preprocessing
        self.batch_size, self.on_bad_image = batch_size, on_bad_image
        self.skipped: dict[str, str] = {}

    def __iter__(self) -> Iterator[list[View]]:
        """Yields batches, grouped by the sizes in the headers; raises DataError if no image can be used."""
        found = 0
        with ThreadPoolExecutor(cores()) as pool:
            shapes = dict(enumerate(pool.map(self._shape, range(len(self.source)))))
            usable = {index: shape for index, shape in shapes.items() if shape is not None}
            batches = batches_of_one_shape([*usable], [*usable.values()], self.batch_size, _MOST_PIXELS)
            bar = progress(None, "Looking at images", len(self.source), unit="image")
            reading: deque[list[Future[View | None]]] = deque()
            for batch in [*batches, *[[]] * AHEAD]:
                reading.append([pool.submit(self._view, index) for index in batch])
                if len(reading) > AHEAD:
                    views = [view for future in reading.popleft() if (view := future.result()) is not None]
                    found += len(views)
                    if views:
                        yield views
                    bar.update(found + len(self.skipped) - bar.n)
            bar.close()
        if not found:
            raise DataError(
                f"None of the {len(self.source)} images of {self.source.title} can be used. The first: "
                f"{next(iter(self.skipped.values()), 'the list is empty')}"
            )

    def _shape(self, index: int) -> tuple[int, int] | None:
        try:
            self.source.images.check_header(index)
            return self.preprocessing.view_shape(*image_size(self.source.files.path(index)))
        except DataError as error:
            self._leave_out(index, error)
            return None

    def _view(self, index: int) -> View | None:
        try:
            image, label = self.source.read(index)
        except DataError as error:
            self._leave_out(index, error)
            return None
        small = None if label is None else self.preprocessing.view_label(label)
        height, width = image.shape[:2]
        return View(index, self.source.files[index], self.preprocessing.view(image), small, (height, width))

    def _leave_out(self, index: int, error: DataError) -> None:
        if self.on_bad_image == "error":
            raise DataError(f"{error} Or leave it out: --on_bad_image skip") from error
        self.skipped[self.source.files[index]] = str(error)


def stacked(views: Sequence[View], device: torch.device) -> Tensor:
    """Returns the images of a batch (B, 3, h, w) uint8 on a device."""
    images = np.stack([view.image for view in views])
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().to(device)


def require_finite(values: Tensor, which: str) -> None:
    """Raises RunError if a network has diverged; `which` begins the message, such as `The losses of a.png are`."""
    if not values.isfinite().all():
        raise RunError(
            f"{which} not finite: the network has diverged. Inspect another checkpoint of its run, or train again with "
            "a lower model.lr."
        )
