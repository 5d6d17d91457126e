"""Nassar 2020: sugar beet fields from a drone, one orthomosaic and labelled tiles (METHOD.md section 6)."""

import re
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from smir.classes import Classes, UInt8
from smir.data.published import PublishedDataset
from smir.data.reading.image_files import list_images
from smir.data.reading.label_values import class_ids
from smir.data.reading.listing import Pair
from smir.data.reading.lists import Split, files_by_stem, look_up, stem
from smir.errors import DataError

TILES = "nassar/ortho_tiles"
LABELLED = "nassar/tiled_dataset/train"
_NUMBER = re.compile(r"(\d+)$")
_FIELD = re.compile(r"sub(\d+)")


class Nassar(PublishedDataset):
    """Nassar 2020, crop and weed from a drone; `prepare synthetic` writes a field of the same layout.

    ```
    nassar/ortho_tiles/nassar_<n>.png                          the pool; made by `prepare nassar`
    nassar/ortho_tiles/datalist.txt
    nassar/tiled_dataset/train/{data,mask}/<name>.png          labelled tiles, 256 x 256
    nassar/tiled_dataset/train/data_list/{train,val,test}.txt  bare names
    ```

    Classes: 0 background, 1 crop, 2 weed; 255 is void. Without list files the pool is all tiles, and the fields are the
    splits: sub1 validates, sub2 tests, the rest trains. The labelled tiles come from the same farm as the pool, and no
    list tells which of them coincide, so `protocol: clean` changes nothing.

    Without a `label_budget`, training and validation use the first fifth of their lists, the paper's low-budget
    setting. With one, it is taken from the whole training list, and validation uses its whole list.

    Args:
        root: Data root, the folder that holds `nassar`.
        label_map: Stored label value to class id (or 255 for void), if your files are encoded differently.
        kwargs: Arguments of every published dataset.
    """

    list_files: ClassVar[dict[str, str]] = {
        "pool": f"{TILES}/datalist.txt",
        "train": f"{LABELLED}/data_list/train.txt",
        "val": f"{LABELLED}/data_list/val.txt",
        "test": f"{LABELLED}/data_list/test.txt",
    }

    def __init__(self, root: Path, label_map: dict[int, int] | None = None, **kwargs: Any) -> None:
        super().__init__(root, **kwargs)
        self.label_map = label_map

    @property
    def classes(self) -> Classes:
        """Background, crop and weed."""
        return Classes(("background", "crop", "weed"), ((0, 0, 0), (60, 180, 75), (230, 25, 75)))

    def own_list(self, name: str) -> list[str]:
        """Returns all tiles, or the labelled tiles of the fields of a split, the highest field number first."""
        if name == "pool":
            return list_images(self._tiles())
        tiles = files_by_stem(self.root, f"{LABELLED}/data")
        fields = {tile: int(match[1]) if (match := _FIELD.match(tile)) else 0 for tile in tiles}
        chosen = [tile for tile in tiles if {1: "val", 2: "test"}.get(fields[tile], "train") == name]
        return sorted(chosen, key=lambda tile: (-fields[tile], tile))

    def _tiles(self) -> Path:
        folder = self.root / TILES
        if not folder.is_dir():
            raise DataError(
                f"There are no tiles in {folder.absolute()}. Make them from the orthomosaic: "
                f"python -m smir prepare nassar --root {self.root}"
            )
        return folder

    def whole_pool(self) -> list[str]:
        """Returns the tiles of the orthomosaic."""
        # The authors' list says nassar_0.png where their own script wrote nassar_00000.png.
        files = {_tile(name): f"{TILES}/{name}" for name in list_images(self._tiles())}
        return look_up(map(_tile, self.entries("pool")), files, "tiles of the pool's list", self._tiles())

    def whole_split(self, split: Split) -> list[Pair]:
        """Returns the labelled tiles of a split."""
        keys = [stem(entry) for entry in self.entries(split)]
        if self.label_budget is None and split != "test":
            keys = keys[: max(1, len(keys) // 5)]
        images, labels = (
            look_up(keys, files_by_stem(self.root, f"{LABELLED}/{kind}"), what, self.root / LABELLED / kind)
            for kind, what in (("data", f"images of the {split} list"), ("mask", f"labels of the {split} list"))
        )
        return list(map(Pair, images, labels))

    def decode_label(self, stored: npt.NDArray[np.int32], path: Path) -> UInt8:
        """Translates by `label_map` and refuses values other than 0, 1, 2 and 255."""
        remedy = "`check` counts all values. Translate those that mean something else, also a 255 that is a class,"
        return class_ids(stored, path, len(self.classes), self.label_map, remedy)


def _tile(name: str) -> str:
    """Returns the name of a tile without suffix and leading zeros."""
    return _NUMBER.sub(lambda number: str(int(number[1])), stem(name))
