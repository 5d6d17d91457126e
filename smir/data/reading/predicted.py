"""Images to predict: whole views, except for images that are read in windows."""

import contextlib
from collections.abc import Iterator

import torch
from torch.utils.data import Dataset

from smir.data.reading.file_list import FileList
from smir.data.reading.opening import Choice, check_readable
from smir.data.reading.pairs import Images, Sample, WholeViews
from smir.data.reading.samplers import Visit
from smir.data.reading.screening import unusable
from smir.errors import DataError, first_messages
from smir.method.preprocessing import Preprocessing


class ImagesToPredict(Images):
    """Reads the images to predict; the advice about images that are too small differs from that in training."""

    too_small = (
        "Remove it, or have images of any size enlarged: --data.min_side 1. Then give the checkpoint by its path "
        "(--ckpt FILE): `best` would be looked for in a run that was trained with that setting."
    )


class PredictedImages(Dataset[Sample]):
    """Whole views of images that are seen whole; only the index for those that are read in windows."""

    def __init__(self, files: FileList, min_side: int, preprocessing: Preprocessing, choice: Choice) -> None:
        self.files, self.choice = files, choice
        self._whole = WholeViews(ImagesToPredict(files, min_side), preprocessing)

    def __getitem__(self, visit: Visit) -> Sample:
        """Returns index and weight, and for a whole view the image (3, h, w) uint8 and the size of its source."""
        if self.choice.in_windows(self.files.path(visit.index)):
            return {"index": visit.index, "weight": torch.tensor(visit.weight)}
        with naming_the_way_out(self.files):
            return self._whole[visit]


@contextlib.contextmanager
def naming_the_way_out(files: FileList) -> Iterator[None]:
    """Adds to the error of an image that is damaged behind its header how to predict the others without it."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{error}{_leave_out(1, files)}") from error


def _leave_out(bad: int, files: FileList) -> str:
    share = (100 * bad // len(files) + 1) / 100
    return f" Or leave such images out: --data.on_bad_image skip --data.max_bad_share {share}." if share < 1 else ""


def refuse_bad_headers(files: FileList, min_side: int, choice: Choice) -> None:
    """Looks at all headers before the first prediction: one bad file would end hours of work without its areas.

    Raises:
        DataError: If some cannot be predicted: how many, and why the first of them.
        ConfigError: If one is georeferenced and the extra that keeps that is not installed.
    """
    images = ImagesToPredict(files, min_side)

    def look(place: int) -> None:
        if choice.in_windows(files.path(place)):
            check_readable(files.path(place), decode=False, bands=choice.bands)
        else:
            images.check_header(place)

    bad = unusable("Looking at the headers", files, look)
    if not bad:
        return
    if len(files) == 1:
        raise DataError(first_messages(bad.values()))
    raise DataError(
        f"{len(bad)} of {len(files)} images cannot be predicted, so nothing was predicted. "
        f"{first_messages(bad.values())}{_leave_out(len(bad), files)}"
    )
