"""Predicts an image of any size and writes labels, probabilities and a preview."""

import contextlib
import glob
from pathlib import Path

from lightning.pytorch.utilities import rank_zero_info

from smir.classes import Classes
from smir.data.predict_options import PredictOptions
from smir.data.reading.opening import open_raster
from smir.data.reading.raster import Raster
from smir.files.atomic import remove_unfinished
from smir.files.pictures import write_png
from smir.method.preprocessing import Preprocessing
from smir.predict.areas import Areas
from smir.predict.likeness import Likeness
from smir.predict.polygons.product import RegionProducts
from smir.predict.preview import Preview
from smir.predict.products import Product, cache_of_blocks, label_png, label_tiff, probability_tiff
from smir.predict.segment import describe, labels_of, plan
from smir.predict.sweep import Forward
from smir.terminal import progress


class WindowPredictor:
    """Predicts images in windows; `scale` is the number of pixels that the network sees per pixel of an image."""

    def __init__(
        self,
        forward: Forward,
        preprocessing: Preprocessing,
        classes: Classes,
        scale: float,
        options: PredictOptions,
        regions: RegionProducts,
        likeness: Likeness | None = None,
        progress: bool = True,
    ) -> None:
        self.forward, self.preprocessing, self.classes = forward, preprocessing, classes
        self.scale, self.options, self.regions = scale, options, regions
        self.likeness, self.progress = likeness, progress

    def predict(self, path: Path, name: str, target: Path, index: int = 0) -> Areas:
        """Writes `<target>.tif` for a georeferenced image, `<target>.png` for any other, and the files beside it.

        The labels appear last: if they exist, so does everything else. Messages and `areas.csv` call the image `name`;
        `index` is its number among the images.

        Returns:
            The area of every class.

        Raises:
            DataError: If the image cannot be read.
        """
        remove_unfinished(target.parent, f".{glob.escape(target.name)}.*.tmp")
        source = open_raster(path, target.parent, self.progress, self.options.band_choice())
        ground = source.ground
        areas = Areas.none_yet(name, len(self.classes), ground is not None)
        preview = Preview(source.height, source.width, self.classes)
        with contextlib.ExitStack() as stack:
            stack.enter_context(cache_of_blocks(source, 1 + len(self.classes) * self.options.probabilities))
            sweep, context = plan(source, self.forward, self.preprocessing, self.scale, self.options)
            rank_zero_info(f"{name}: {describe(sweep, context)}{source.left_out}")
            products = self._products(stack, source, target)
            of_regions = self.regions.of(index, path, target, source, self.classes, areas)
            products.append(stack.enter_context(of_regions))
            hidden = not self.progress or len(sweep) == 1
            for tile in progress(sweep, name, len(sweep), unit="tile", disable=hidden):
                labels = labels_of(tile)
                for write in products:
                    write(tile, labels)
                areas.add(labels, *(() if ground is None else ground.cells(tile.top, tile.left, labels.shape)))
                preview.add(tile, labels)
                if self.likeness is not None:
                    self.likeness.add(name, tile.pixels[tile.valid])
            write_png(target.with_name(f"{target.name}.preview.png"), preview.picture(areas))
        return areas

    def _products(self, stack: contextlib.ExitStack, source: Raster, target: Path) -> list[Product]:
        size = source.height, source.width, self.classes
        if source.georeference:
            products = [label_tiff(target.with_name(f"{target.name}.tif"), *size, source.georeference)]
        else:
            products = [label_png(target.with_name(f"{target.name}.png"), *size)]
        if self.options.probabilities:
            path = target.with_name(f"{target.name}.probabilities.tif")
            products.append(probability_tiff(path, *size, source.georeference))
        return [stack.enter_context(product) for product in products]
