"""Pascal VOC 2012 for training, VOC 2007 for testing (METHOD.md section 6)."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from smir.classes import VOID, Classes, UInt8
from smir.data.published import PublishedDataset
from smir.data.reading.label_values import by_table
from smir.data.reading.listing import Pair
from smir.data.reading.lists import Split, files_by_stem, look_up, shuffled, stem
from smir.errors import DataError

DEVKIT = "pascal/VOCtrainvaltest/VOCdevkit"
YEARS = ("VOC2012", "VOC2007")
CLASSES = {
    "background": (0, 0, 0),
    "aeroplane": (128, 0, 0),
    "bicycle": (0, 128, 0),
    "bird": (128, 128, 0),
    "boat": (0, 0, 128),
    "bottle": (128, 0, 128),
    "bus": (0, 128, 128),
    "car": (128, 128, 128),
    "cat": (64, 0, 0),
    "chair": (192, 0, 0),
    "cow": (64, 128, 0),
    "diningtable": (192, 128, 0),
    "dog": (64, 0, 128),
    "horse": (192, 0, 128),
    "motorbike": (64, 128, 128),
    "person": (192, 128, 128),
    "pottedplant": (0, 64, 0),
    "sheep": (128, 64, 0),
    "sofa": (0, 192, 0),
    "train": (128, 192, 0),
    "tvmonitor": (0, 64, 128),
}
LABEL_IDS = {index: index for index in range(len(CLASSES))} | {VOID: VOID}


class PascalVOC(PublishedDataset):
    """Pascal VOC, photos of 20 kinds of objects; trained on VOC 2012, tested on VOC 2007.

    ```
    pascal/VOCtrainvaltest/VOCdevkit/VOC2012/JPEGImages/<year>_<id>.jpg          the pool: all of them
    pascal/VOCtrainvaltest/VOCdevkit/VOC2012/SegmentationClass/<year>_<id>.png   palette PNGs
    pascal/VOCtrainvaltest/VOCdevkit/VOC2012/ImageSets/Segmentation/{train,val}.txt
    pascal/VOCtrainvaltest/VOCdevkit/VOC2007/{JPEGImages,SegmentationClass}/<id>.{jpg,png}
    pascal/VOCtrainvaltest/VOCdevkit/VOC2007/ImageSets/Segmentation/test.txt
    ```

    Classes: 0 background, 1 to 20 the objects; 255 is void. The lists come with the dataset: train and val of 2012,
    test of 2007. All 210 of those test images are also labelled images `2007_<id>` of 2012, 106 in its train and 104
    in its val list: the paper trains and selects on its test images. `protocol: clean` leaves them out.

    Args:
        root: Data root, the folder that holds `pascal`.
        min_side: Shortest side in pixels below which an image is refused; VOC has images smaller than the crop.
        kwargs: Arguments of every published dataset.
    """

    list_files: ClassVar[dict[str, str]] = {
        "train": f"{DEVKIT}/VOC2012/ImageSets/Segmentation/train.txt",
        "val": f"{DEVKIT}/VOC2012/ImageSets/Segmentation/val.txt",
        "test": f"{DEVKIT}/VOC2007/ImageSets/Segmentation/test.txt",
    }

    def __init__(self, root: Path, min_side: int | None = 32, **kwargs: Any) -> None:
        super().__init__(root, min_side=min_side, **kwargs)

    @property
    def classes(self) -> Classes:
        """Background and the 20 objects, in the palette of VOC."""
        return Classes(tuple(CLASSES), tuple(CLASSES.values()))

    def own_list(self, name: str) -> list[str]:
        """Raises an error, because VOC comes with its lists."""
        path = (self.root / self.list_files[name]).absolute()
        archive = "VOCtest_06-Nov-2007.tar" if name == "test" else "VOCtrainval_11-May-2012.tar"
        raise DataError(
            f"There is no list file {path}. It comes in {archive}: unpack that so that its VOCdevkit is "
            f"{path.parents[3]}, or name a list file in data.lists."
        )

    def whole_pool(self) -> list[str]:
        """Returns all images of VOC 2012, labelled or not."""
        return shuffled(files_by_stem(self.root, f"{DEVKIT}/VOC2012/JPEGImages").values(), self.split_seed)

    def whole_split(self, split: Split) -> list[Pair]:
        """Returns the images of a Segmentation list."""
        keys = [stem(entry) for entry in self.entries(split)]
        images = look_up(keys, self._files("JPEGImages"), f"images of the {split} list", self.root / DEVKIT)
        labels = look_up(keys, self._files("SegmentationClass"), f"labels of the {split} list", self.root / DEVKIT)
        return list(map(Pair, images, labels))

    def _files(self, kind: str) -> dict[str, str]:
        """Returns the files of both years; 2007 names them `000001`, 2012 `2007_000001`."""
        folders = [f"{DEVKIT}/{year}/{kind}" for year in YEARS]
        there = [folder for folder in folders if (self.root / folder).is_dir()] or folders[:1]
        return {key: file for folder in there for key, file in files_by_stem(self.root, folder).items()}

    def identity(self, image: str) -> str:
        """Returns the name of an image in VOC 2012."""
        path = Path(image)
        return f"2007_{path.stem}" if "VOC2007" in path.parts else path.stem

    def decode_label(self, stored: npt.NDArray[np.int32], path: Path) -> UInt8:
        """Returns the palette indices, which are the class ids; 255 is void."""
        return by_table(stored, path, LABEL_IDS, "Pascal VOC")
