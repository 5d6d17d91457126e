"""Sugar Beets 2016: a robot's view of a field over a season (METHOD.md sections 6 and 8)."""

import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from lightning.pytorch.utilities import rank_zero_warn

from smir.classes import Classes, UInt8
from smir.data.published import PublishedDataset
from smir.data.reading.decode import read_label
from smir.data.reading.label_values import by_table
from smir.data.reading.listing import Pair
from smir.data.reading.lists import SPLITS, Split, check_fractions, cut, files_by_stem, look_up, shuffled, stem
from smir.errors import ConfigError, DataError, first_few
from smir.terminal import progress

FOLDER = "sugarbeets/ijrr_sugarbeets_2016_annotations"
IMAGES, LABELS = "images/rgb", "annotations/dlp/iMapCleaned"
BLOCK, GAP = 20, 2
"""Numbers of a block of consecutive frames, and frames beside those of another split that are left out."""
BACKGROUND, CROP, WEED = range(3)
_SOIL = dict.fromkeys((0, 1, 97), BACKGROUND)
_WEEDS = dict.fromkeys((*range(20000, 20012), *range(20100, 20106)), WEED)  # dicot weeds, grass weeds
LABEL_IDS = {
    # The authors let 10001 and 10002, which are sugar beet too, end up as weed, and 2, a weed, as background.
    "paper": _SOIL | _WEEDS | {10000: CROP, 10001: WEED, 10002: WEED, 2: BACKGROUND},
    "corrected": _SOIL | _WEEDS | {10000: CROP, 10001: CROP, 10002: CROP, 2: WEED},
}


class SugarBeets(PublishedDataset):
    """Sugar Beets 2016, crop and weed from a field robot, 1296 x 966.

    ```
    sugarbeets/ijrr_sugarbeets_2016_annotations/<CKA_date>/images/rgb/<frame>.png                    the pool
    sugarbeets/ijrr_sugarbeets_2016_annotations/<CKA_date>/annotations/dlp/iMapCleaned/<frame>.png   16-bit ids
    sugarbeets/ijrr_sugarbeets_2016_annotations/{sugarbeets,sugarbeets_weeds}.txt
    ```

    Classes: 0 background, 1 crop, 2 weed; there is no void. Lists hold `/<CKA_date>/annotations/dlp/iMapCleaned/
    <frame>.png`: `pool`; `labelled` (sugarbeets_weeds.txt), the frames with weeds, cut 70 / 10 / 20 %. Without them:
    all annotated frames, and those that hold weeds by the authors' mapping, sorted and shuffled by `split_seed`. To
    find the latter every label is decoded, once in a run; `prepare` writes the lists.

    The paper's pool holds all its test frames; `protocol: clean` leaves them out. The frames of train and val stay.

    Args:
        root: Data root, the folder that holds `sugarbeets`.
        labels: Mapping of the ids: `paper` is that of the authors, which takes some sugar beets for weeds and some
            weeds for soil; `corrected` follows the dataset. It does not change which frames are used.
        weeds_only: Train and test only on the frames that hold weeds, not on all of the pool's list.
        fractions: Shares of train, val and test.
        split_by: `frame` shuffles single frames, as the authors do, so that most test frames have the frame before or
            after them in train. `block` shuffles runs of 20 consecutive frames of a drive, and keeps the two frames
            before and after a test frame out of pool, train and val; it needs `protocol: clean`.
        kwargs: Arguments of every published dataset.
    """

    list_files: ClassVar[dict[str, str]] = {
        "pool": f"{FOLDER}/sugarbeets.txt",
        "labelled": f"{FOLDER}/sugarbeets_weeds.txt",
    }

    def __init__(
        self,
        root: Path,
        labels: Literal["paper", "corrected"] = "corrected",
        weeds_only: bool = True,
        fractions: tuple[float, float, float] = (0.7, 0.1, 0.2),
        split_by: Literal["frame", "block"] = "frame",
        **kwargs: Any,
    ) -> None:
        super().__init__(root, **kwargs)
        self.labels, self.weeds_only, self.fractions, self.split_by = labels, weeds_only, fractions, split_by
        if split_by == "block" and self.protocol != "clean":
            raise ConfigError("data.split_by = block keeps neighbouring frames apart: set data.protocol to clean, too.")
        check_fractions(fractions)

    @property
    def classes(self) -> Classes:
        """Background, crop and weed."""
        return Classes(("background", "crop", "weed"), ((0, 0, 0), (60, 180, 75), (230, 25, 75)))

    @cached_property
    def _files(self) -> tuple[dict[str, str], dict[str, str]]:
        """Images, and labels, by `<CKA_date>/<frame>`."""
        images: dict[str, str] = {}
        labels: dict[str, str] = {}
        folder = (self.root / FOLDER).absolute()
        for path in sorted(folder.iterdir() if folder.is_dir() else ()):
            for kind, found in ((IMAGES, images), (LABELS, labels)):
                if (path / kind).is_dir():
                    files = files_by_stem(self.root, f"{FOLDER}/{path.name}/{kind}")
                    found.update({f"{path.name}/{frame}": file for frame, file in files.items()})
        if images.keys().isdisjoint(labels):
            raise DataError(
                f"There is no frame with image and label in {folder} ({len(images)} images, {len(labels)} labels). It "
                f"should hold folders CKA_<date> with {IMAGES} and {LABELS} in each."
            )
        return images, labels

    @cached_property
    def _frames(self) -> dict[str, Pair]:
        """Annotated frames by name."""
        images, labels = self._files
        return {frame: Pair(image, labels[frame]) for frame, image in images.items() if frame in labels}

    @cached_property
    def _alone(self) -> set[str]:
        """Frames that lack the image or the label."""
        images, labels = self._files
        return images.keys() ^ labels.keys()

    def own_list(self, name: str) -> list[str]:
        """Returns all annotated frames, or those that hold weeds."""
        frames = self._frames if name == "pool" else self._weed_frames
        return shuffled((self._frames[frame].label.removeprefix(FOLDER) for frame in frames), self.split_seed)

    @cached_property
    def _weed_frames(self) -> list[str]:
        """Frames that hold weeds by the authors' mapping, for either value of `labels`, so that splits are the same."""

        def has_weed(pair: Pair) -> bool:
            path = self.root / pair.label
            return bool((by_table(read_label(path), path, LABEL_IDS["paper"], "Sugar Beets 2016") == WEED).any())

        with ThreadPoolExecutor() as threads:
            weeds = threads.map(has_weed, self._frames.values())
            found = progress(weeds, "Frames with weeds", len(self._frames), unit="label")
            return [frame for frame, weed in zip(self._frames, found, strict=True) if weed]

    def whole_pool(self) -> list[str]:
        """Returns the annotated frames of the pool's list."""
        images = {frame: pair.image for frame, pair in self._frames.items()}
        return look_up(self._pool_frames(), images, "frames of the pool's list", self.root / FOLDER)

    def _pool_frames(self) -> list[str]:
        if self._alone:
            rank_zero_warn(
                f"{len(self._alone)} frames in {self.root / FOLDER} have an image but no label or a label but no image "
                f"({first_few(sorted(self._alone))}); they are left out of the pool."
            )
        return [key for entry in self.entries("pool") if (key := _key(entry)) not in self._alone]

    def whole_split(self, split: Split) -> list[Pair]:
        """Returns a part of the labelled frames."""
        if self.weeds_only:
            keys = [_key(entry) for entry in self.entries("labelled")]
        else:
            keys = shuffled(self._pool_frames(), self.split_seed)
        if without := [key for key in keys if key in self._alone]:
            raise DataError(
                f"{len(without)} frames of the list of labelled frames have an image but no label, or a label but no "
                f"image, in {(self.root / FOLDER).absolute()}: {first_few(without)}. Add the file, or take the frame "
                "off the list."
            )
        if self.split_by == "block":
            keys = _in_blocks(keys, self.split_seed)
        parts = {name: cut(keys, self.fractions, place) for place, name in enumerate(SPLITS)}
        if self.split_by == "block" and split == "train":
            near_val = _near(parts["val"])
            parts["train"] = [key for key in parts["train"] if _drive_and_number(key) not in near_val]
        return look_up(parts[split], self._frames, "frames of the list of labelled frames", self.root / FOLDER)

    @cached_property
    def _held_out(self) -> set[str]:
        """Images of the test split, and by `split_by: block` of the frames beside them."""
        held_out = super()._held_out
        if self.split_by == "frame":
            return held_out
        near = _near(frame for frame, pair in self._frames.items() if pair.image in held_out)
        return {pair.image for frame, pair in self._frames.items() if _drive_and_number(frame) in near}

    def decode_label(self, stored: npt.NDArray[np.int32], path: Path) -> UInt8:
        """Turns the ids of METHOD.md section 8 into classes; any other id is an error."""
        return by_table(stored, path, LABEL_IDS[self.labels], "Sugar Beets 2016")


def _drive_and_number(frame: str) -> tuple[str, int]:
    """Returns `<CKA_date>/<drive>` and the number of a frame; a file without a number is a drive by itself."""
    match = re.fullmatch(r"(.*?)(\d+)", frame)
    return (match[1], int(match[2])) if match else (frame, 0)


def _in_blocks(frames: Iterable[str], seed: int) -> list[str]:
    """Returns frames in shuffled blocks of consecutive numbers of a drive."""
    blocks: dict[str, list[str]] = {}
    for frame in sorted(frames, key=_drive_and_number):
        drive, number = _drive_and_number(frame)
        blocks.setdefault(f"{drive}{number // BLOCK:09d}", []).append(frame)
    return [frame for block in shuffled(blocks, seed) for frame in blocks[block]]


def _near(frames: Iterable[str]) -> set[tuple[str, int]]:
    """Returns drive and number of frames and of those up to `GAP` numbers beside them."""
    places = map(_drive_and_number, frames)
    return {(drive, number + step) for drive, number in places for step in range(-GAP, GAP + 1)}


def _key(entry: str) -> str:
    """Returns `<CKA_date>/<frame>` of a list entry."""
    parts = entry.lstrip("./").split("/")
    return f"{parts[0]}/{stem(parts[-1])}"
