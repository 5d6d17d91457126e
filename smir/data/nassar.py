"""Nassar 2020: sugar beet fields from a drone, one orthomosaic and labelled tiles (METHOD.md section 6)."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from smir.data.base import Pair, SmirDataModule, Split
from smir.data.decode import list_images
from smir.data.lists import read_list
from smir.data.pairs import class_ids
from smir.errors import DataError, first_few
from smir.preprocessing import Classes, UInt8

TILES = "nassar/ortho_tiles"
LABELLED = "nassar/tiled_dataset/train"
FIELDS: dict[Split, tuple[str, ...]] = {"train": ("sub5", "sub4", "sub3"), "val": ("sub1",), "test": ("sub2",)}
_NUMBER = re.compile(r"(\d+)(?:\.png)?$")


class Nassar(SmirDataModule):
    """Nassar 2020, crop and weed from a drone; `prepare synthetic` writes a field of the same layout.

    ```
    nassar/ortho_tiles/nassar_<n>.png                        the pool; made by `prepare nassar`
    nassar/tiled_dataset/train/{data,mask}/<name>.png        labelled tiles, 256 x 256
    nassar/tiled_dataset/train/data_list/{train,val,test}.txt  bare names; else: sub1 val, sub2 test, rest train
    ```

    Classes: 0 background, 1 crop, 2 weed. Without a `label_budget` training and validation use the first fifth of
    their lists, the paper's low-budget setting; with one, it is taken from the whole training list, and validation
    uses its whole list.

    Args:
        root: Data root, the folder that holds `nassar`.
        label_map: Stored label value to class id (or 255 for void), should your files be encoded otherwise.
        kwargs: Arguments of every dataset.
    """

    def __init__(self, root: Path, label_map: dict[int, int] | None = None, **kwargs: Any) -> None:
        super().__init__(root, **kwargs)
        self.label_map = label_map

    @property
    def classes(self) -> Classes:
        """Background, crop and weed."""
        return Classes(("background", "crop", "weed"), ((0, 0, 0), (60, 180, 75), (230, 25, 75)))

    def pool(self) -> list[str]:
        """Tiles of the orthomosaic, by `datalist.txt` where it is there."""
        folder = self.root / TILES
        if not folder.is_dir():
            raise DataError(
                f"There are no tiles in {folder.absolute()}. Make them from the orthomosaic: "
                f"python -m smir prepare nassar --root {self.root}"
            )
        names = list_images(folder)
        if (folder / "datalist.txt").is_file():
            # The authors' list says nassar_0.png where their own script wrote nassar_00000.png.
            by_number = {_tile_number(name): name for name in names}
            entries = read_list(folder / "datalist.txt")
            missing = [entry for entry in entries if _tile_number(entry) not in by_number]
            if missing:
                raise DataError(
                    f"{folder / 'datalist.txt'} lists {len(missing)} tiles that are not beside it: "
                    f"{first_few(missing)}. Make all tiles (python -m smir prepare nassar), or remove the list."
                )
            names = [by_number[_tile_number(entry)] for entry in entries]
        return [f"{TILES}/{name}" for name in names]

    def pairs(self, split: Split) -> list[Pair]:
        """Labelled tiles of a split."""
        names = self._names(split)
        if self.label_budget is None and split != "test":
            names = names[: max(1, len(names) // 5)]
        return [Pair(f"{LABELLED}/data/{name}.png", f"{LABELLED}/mask/{name}.png") for name in names]

    def _names(self, split: Split) -> list[str]:
        path = self.root / LABELLED / "data_list" / f"{split}.txt"
        if path.is_file():
            return [entry.removesuffix(".png") for entry in read_list(path)]
        every = [name.removesuffix(".png") for name in list_images(self.root / LABELLED / "data")]
        by_field = [[name for name in every if name.startswith(field)] for field in FIELDS[split]]
        return [name for names in by_field for name in names]

    def decode_label(self, stored: npt.NDArray[np.int32], path: Path) -> UInt8:
        """Translates by `label_map` and refuses values other than 0, 1, 2 and 255."""
        return class_ids(stored, path, len(self.classes), self.label_map)


def _tile_number(name: str) -> int | str:
    match = _NUMBER.search(name)
    return int(match[1]) if match else name
