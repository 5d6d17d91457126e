"""The callback that writes the output of `predict`: labels, probabilities, areas."""

import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from PIL import Image
from torch import Tensor

from smir.classes import UInt8
from smir.data.base import SmirDataModule
from smir.data.reading.decode import invisible, read_image, read_label
from smir.data.reading.predicted import naming_the_way_out
from smir.data.reading.raster import ArrayRaster, Bool
from smir.data.reading.tiff import has_rasterio
from smir.errors import ConfigError, DataError, RunError
from smir.files.atomic import LONGEST_NAME, remove_unfinished, write_atomically
from smir.files.json_record import dict_or_empty, write_json
from smir.files.locks import FileLock
from smir.files.pages.overlays import entries, evenly, sheet, small_overlay
from smir.files.pictures import write_png
from smir.predict.areas import Areas, areas_csv, total
from smir.predict.likeness import Likeness, warning_of_colors, warning_of_size
from smir.predict.polygons.options import PolygonOptions
from smir.predict.polygons.product import RegionProducts
from smir.predict.predictor import WindowPredictor
from smir.predict.products import probability_tiff
from smir.predict.segment import labels_of
from smir.predict.sweep import Tile
from smir.runs.ranks import gather, patient_group
from smir.runs.run_folder import RESULTS
from smir.terminal import columns, say
from smir.training.segmentation import SegmentationModule

AREAS, PREVIEW = "areas.csv", "preview.png"
_SHOWN, _PER_ROW = 24, 4  # images of the preview
_OF_WINDOWS = ".preview.png"
_OF_POLYGONS = {"labelme": ".json", "geojson": ".geojson", "gpkg": ".gpkg-journal"}
"""Longest ending of the files of each format; SQLite keeps a journal beside the file that it writes."""
_LISTED = 8  # images whose areas are printed one by one


class PredictionWriter(Callback):
    """Writes predicted labels at the size and under the name of their source image, and the area of every class.

    An image that is seen whole becomes a PNG, and one preview shows some of these. This callback also runs the network
    on images that are read in windows; each gets a separate preview. `source` is the record written beside the labels:
    checkpoint and images.
    """

    def __init__(self, folder: Path, source: dict[str, Any], polygons: PolygonOptions, likeness: Likeness) -> None:
        self.folder, self.source, self._likeness = folder, source, likeness
        self._lock = FileLock(folder / "lock")
        self._areas: dict[int, Areas] = {}
        self._regions = RegionProducts(polygons, folder)
        self._whole: list[int] = []

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuses to start if names of outputs clash or are too long, rasterio is missing, or the folder is in use."""
        assert isinstance(pl_module, SegmentationModule)
        sources = {Path(PREVIEW).stem: "the preview of all images"}
        endings = ("", ".preview", *([".probabilities"] if pl_module.data.predict.probabilities else []))
        for name in pl_module.data.images("predict"):
            for ending in endings:
                other = sources.setdefault(name.rsplit(".", 1)[0] + ending, name)
                if other != name:
                    raise DataError(
                        f"{other} and {name} would both be predicted as {Path(name).stem}{ending}; rename one."
                    )
        self._refuse_long_names(pl_module.data)
        if pl_module.data.predict.probabilities and not has_rasterio():
            raise ConfigError(
                "data.predict.probabilities writes TIFFs of many bands with rasterio, which is not installed: "
                "pip install 'smir[geo]'."
            )
        if trainer.is_global_zero:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not self._lock.acquire():
                raise RunError(
                    f"Another command writes predictions to {self.folder.absolute()}: {self._lock.holder()}. Wait for "
                    "it, or stop it."
                )
            self._lock.sign()
            self._refuse_others()
            remove_unfinished(self.folder, locked=True)
            self._regions.clear()
            write_json(self.folder / RESULTS["predict"], self.source)
        self._group = patient_group()  # an orthomosaic takes hours, on one rank

    def _refuse_others(self) -> None:
        """Raises if another command wrote predictions there before this one got the lock."""
        record = dict_or_empty(self.folder / RESULTS["predict"])
        if record and record.get("hash") != self.source.get("hash"):
            raise RunError(
                f"Another command has meanwhile written predictions of other images, weights or settings to "
                f"{self.folder.absolute()}. Repeat this one, with another folder if it names one (--out)."
            )

    def _refuse_long_names(self, data: SmirDataModule) -> None:
        files, polygons = data.images("predict"), self._regions.options.wanted
        endings = [".png", *(ending for kind, ending in _OF_POLYGONS.items() if kind in polygons)]
        endings += [".probabilities.tif"] if data.predict.probabilities else []
        for place, name in enumerate(files):
            long = len(os.fsencode(self._target(name).name)) - LONGEST_NAME
            over = long + max(map(len, endings))
            if long + len(_OF_WINDOWS) > max(over, 0) and data.choice().in_windows(files.path(place)):
                over = long + len(_OF_WINDOWS)
            if over > 0:
                raise DataError(
                    f"{files.path(place).absolute()} has too long a name for its predictions: with their endings it "
                    f"has {LONGEST_NAME + over} bytes, and at most {LONGEST_NAME} can be written. Shorten it by {over} "
                    "bytes."
                )

    def on_predict_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Predicts an image that is read in windows. The end of its step, which follows, moves the progress bar."""
        assert isinstance(pl_module, SegmentationModule)
        if "image" in batch or batch["weight"][0] <= 0:
            return
        index, files = int(batch["index"][0]), pl_module.data.images("predict")
        predictor = self._predictor(trainer, pl_module)
        with naming_the_way_out(files):
            self._areas[index] = predictor.predict(files.path(index), files[index], self._target(files[index]), index)

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: dict[str, Tensor],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Writes the prediction of an image that is seen whole."""
        assert isinstance(pl_module, SegmentationModule)
        if "image" not in batch or batch["weight"][0] <= 0:
            return
        index, files = int(batch["index"][0]), pl_module.data.images("predict")
        view, gaps = batch["image"][0].movedim(0, -1).cpu().numpy(), invisible(files.path(index))
        if gaps is not None:
            view = view[pl_module.data.preprocessing.view_label(gaps.astype(np.uint8)) == 0]
        self._likeness.add(files[index], view)
        self._areas[index] = self._write_whole(pl_module, outputs[0], index, gaps)
        self._whole.append(index)

    def _target(self, name: str) -> Path:
        """Returns the path of an output without its ending; GDAL writes no names that are not UTF-8."""
        return (self.folder / name.encode(errors="backslashreplace").decode()).with_suffix("")

    def _write_whole(self, module: SegmentationModule, logits: Tensor, index: int, gaps: Bool | None) -> Areas:
        files = module.data.images("predict")
        name, target, (height, width) = files[index], self._target(files[index]), logits.shape[1:]
        nothing: UInt8 = np.empty((height, width, 0), dtype=np.uint8)
        valid = np.ones((height, width), dtype=bool) if gaps is None else ~gaps
        tile = Tile(0, 0, logits, nothing, valid)
        labels = labels_of(tile)
        if module.data.predict.probabilities:
            path = target.with_name(f"{target.name}.probabilities.tif")
            with probability_tiff(path, height, width, module.classes, {}) as write:
                write(tile, labels)
        areas = Areas.none_yet(name, len(module.classes))
        areas.add(labels)
        with self._regions.of(index, files.path(index), target, ArrayRaster(nothing), module.classes, areas) as write:
            write(tile, labels)
        image = Image.fromarray(labels)
        image.putpalette(module.classes.palette().tobytes())
        write_png(target.with_name(f"{target.name}.png"), image)
        return areas

    def _predictor(self, trainer: Trainer, module: SegmentationModule) -> WindowPredictor:
        data = module.data

        def forward(images: UInt8) -> Tensor:
            with trainer.precision_plugin.predict_step_context():
                return module.logits(images)

        scale = data.predict.scale_for(data.preprocessing.view_size, data.trained_side)
        progress = trainer.progress_bar_callback is not None and trainer.is_global_zero
        return WindowPredictor(
            forward, module.preprocessing, module.classes, scale, data.predict, self._regions, self._likeness, progress
        )

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Waits for all ranks, then writes the preview, and writes and prints the areas."""
        assert isinstance(pl_module, SegmentationModule)
        parts = gather(self._areas, self._group)
        whole = sorted(index for part in gather(self._whole, self._group) for index in part)
        regions = {index: each for part in gather(self._regions.images, self._group) for index, each in part.items()}
        self._regions.places.update(*gather(self._regions.places, self._group))
        far = {name: distance for part in gather(self._likeness.far(), self._group) for name, distance in part.items()}
        if not trainer.is_global_zero:
            return
        classes = pl_module.classes
        by_index = dict(sorted((index, area) for part in parts for index, area in part.items()))
        areas = list(by_index.values())
        lines = self._regions.finish(regions, classes)
        write_atomically(self.folder / AREAS, areas_csv(areas, classes))
        print(*_table(areas, pl_module), sep="\n")
        print(f"Predictions: {self.folder} (labels; {AREAS}; {RESULTS['predict']})", *lines, sep="\n")
        if whole:
            picture = sheet(self._overlays(pl_module, evenly(whole, _SHOWN)), _PER_ROW, entries(classes))
            write_png(self.folder / PREVIEW, picture)
            of_all = f"{_SHOWN} of the {len(whole):,} photographs" if len(whole) > _SHOWN else "the photographs"
            print(f"Look at {self.folder / PREVIEW}: {of_all} with their labels over them.")
        if in_windows := [by_index[index].image for index in sorted(by_index.keys() - set(whole))]:
            others = f"; each of the {len(in_windows):,} read in windows has one" if len(in_windows) > 1 else ""
            first = f"{self._target(in_windows[0])}.preview.png"
            print(f"Look at {first}: the image with its labels over it{others}.")
        if by_index.keys() <= set(whole) and (unused := pl_module.data.predict.for_windows()):
            say(f"All images were seen whole, so without {unused}. To use it: --data.predict.view windows")
        if far:
            say(warning_of_colors(far, len(areas)))
        if times := _times_larger(pl_module.data, in_windows):
            say(warning_of_size(times, len(areas)))
        self._lock.release(remove=True)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Releases the folder."""
        self._lock.release(remove=True)

    def _overlays(self, module: SegmentationModule, indices: Sequence[int]) -> Iterator[tuple[str, UInt8]]:
        files = module.data.images("predict")
        for index in indices:
            target = self._target(files[index])
            label = read_label(target.with_name(f"{target.name}.png")).astype(np.uint8)
            yield files[index], small_overlay(read_image(files.path(index)), label, module.classes)


def _times_larger(data: SmirDataModule, in_windows: Collection[str]) -> dict[str, float]:
    """Returns how many times as large as the training images those are that only their size put into windows."""
    if data.predict.scale is not None:  # the user has thought of it
        return {}
    choice, files = data.choice(), data.images("predict")
    times = {name: choice.times_larger(files.root / name) for name in in_windows}
    return {name: many for name, many in times.items() if many}


def _table(areas: Sequence[Areas], module: SegmentationModule) -> list[str]:
    """Returns the areas as lines; many images are summed."""
    shown = areas if len(areas) <= _LISTED else [total(areas, f"{len(areas)} images")]
    rows = [row for area in shown for row in area.rows(module.classes)]
    readable = [
        (*row[:2], f"{int(row[3]):,}", f"{float(row[4]):.2%}", f"{int(row[6]):,}", row[5] or "not known")
        for row in rows
    ]
    lines = [("image", "class", "pixels", "share", "regions", "square metres"), *readable]
    on_ground = any(area.square_metres is not None for area in shown)
    return columns(lines if on_ground else [(*line[:-1], "") for line in lines])
