"""The regions of predicted images: counted for `areas.csv`, and written as polygons in the formats of `--formats`."""

import contextlib
import json
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from smir.classes import VOID, Classes, UInt8
from smir.data.reading.raster import Raster
from smir.files.atomic import replacing
from smir.predict.areas import Areas
from smir.predict.polygons.options import ANNOTATIONS, PolygonOptions
from smir.predict.products import Product
from smir.predict.regions import Region, Regions
from smir.predict.segment import certainty_of
from smir.predict.sweep import Tile

if TYPE_CHECKING:
    from smir.predict.polygons.kept import ImageRegions

KEPT = ".regions-*.tmp"
"""Hidden files in the folder of predictions, which keep the regions of an image until all formats are written."""


class RegionProducts:
    """Writes the regions of images into the output folder, as the options say."""

    def __init__(self, options: PolygonOptions, folder: Path) -> None:
        self.options, self.folder = options, folder
        self.images: dict[int, ImageRegions] = {}
        self.places: set[bool] = set()  # whether the images have a place on Earth

    @contextlib.contextmanager
    def of(
        self, index: int, path: Path, target: Path, source: Raster, classes: Classes, areas: Areas
    ) -> Iterator[Product]:
        """Opens the files of an image, which take their places when the block ends.

        `path` is the image, number `index` of its list. `target` is the path of the files without suffix. `source`
        gives the size and place of the image. `areas` gives its name, and receives the number of regions of each class.
        """
        if not self.options.wanted:
            regions = Regions(source.height, source.width, self._count(areas))
            yield regions.add
            return
        kept = self.folder / KEPT.replace("*", str(index))
        with replacing(kept, sync=False) as file:
            yield self._keeping(file, source, classes, areas)
        self._write(index, path, target, source, classes, areas.image, kept)

    def finish(self, images: "Mapping[int, ImageRegions]", classes: Classes) -> list[str]:
        """Writes the files of all images, given by index, and returns a line about all polygons."""
        wanted, background = self.options.wanted, self.options.background_of(classes)
        if not wanted:
            self.clear()
            return []
        from smir.predict.polygons.coco import write_coco
        from smir.predict.polygons.cvat import write_cvat

        ordered = [images[index] for index in sorted(images)]
        if "coco" in wanted:
            write_coco(self.folder / "coco.json", ordered, classes, background)
        if "cvat" in wanted:
            write_cvat(self.folder / "cvat.xml", ordered, classes, background)
        self.clear()
        summary = _summary(wanted, classes, background, True in self.places)
        if False in self.places and {"gpkg", "geojson"} & set(wanted):
            summary += " For images without coordinates, geojson and gpkg are in pixels: column, -row."
        return [summary]

    def clear(self) -> None:
        """Removes the regions that are kept, also those that a kill left."""
        for kept in self.folder.glob(KEPT):
            kept.unlink()

    def _count(self, areas: Areas) -> Callable[[Region], None]:
        def count(region: Region) -> None:
            if region.class_id != VOID and region.pixels >= self.options.min_area:
                areas.regions[region.class_id] += 1

        return count

    def _keeping(self, file: IO[bytes], source: Raster, classes: Classes, areas: Areas) -> Product:
        """Writes the regions to a file as soon as they are complete."""
        from smir.predict.polygons.kept import line_of, outlined_regions

        ground = source.ground
        regions = outlined_regions(
            (source.height, source.width),
            self.options,
            classes,
            lambda region: file.write(line_of(region)),
            on_ground=ground is not None,
            count=self._count(areas),
        )

        def write(tile: Tile, labels: UInt8) -> None:
            pixel_areas = None
            if ground is not None:
                cells, side = ground.cells(tile.top, tile.left, labels.shape)
                pixel_areas = cells[np.ix_(*(np.arange(length) // side for length in labels.shape))]
            regions.add(tile, labels, certainty_of(tile), pixel_areas)

        return write

    def _write(
        self, index: int, path: Path, target: Path, source: Raster, classes: Classes, name: str, kept: Path
    ) -> None:
        from smir.predict.polygons.kept import ImageRegions
        from smir.predict.polygons.labelme import write_labelme
        from smir.predict.polygons.maps import write_geojson, write_gpkg

        wanted, regions = self.options.wanted, ImageRegions(name, source.height, source.width, kept)
        if "labelme" in wanted:
            place = self.folder / "labelme" / target.relative_to(self.folder)
            write_labelme(place.with_name(f"{place.name}.json"), regions, classes, path)
        if "gpkg" in wanted:
            write_gpkg(target.with_name(f"{target.name}.gpkg"), regions, classes, source.georeference)
        if "geojson" in wanted:
            place = target.with_name(f"{target.name}.geojson")
            write_geojson(place, regions, classes, source.georeference, source.ground is not None)
        self.places.add("transform" in source.georeference)
        if {"coco", "cvat"} & set(wanted):
            self.images[index] = regions
        else:
            kept.unlink()


def _summary(wanted: Sequence[str], classes: Classes, background: int | None, on_maps: bool) -> str:
    """Returns the line that names what was written, and the option that reads it back: of a map, the GIS formats."""
    places = {"coco": "coco.json", "cvat": "cvat.xml", "labelme": "labelme/", "gpkg": "*.gpkg", "geojson": "*.geojson"}
    text = f"Polygons: {', '.join(places[name] for name in wanted)}."
    entries = [f"{name}=background" if place == background else name for place, name in enumerate(classes.names)]
    if background is not None:
        text += (
            f" {classes.names[background]} counts as the background and gets no polygons; --background changes that."
        )
    if back := [name for name in wanted if (name in ANNOTATIONS) != on_maps]:
        words = shlex.join(["--classes", json.dumps(entries, ensure_ascii=False), "--empty", "background"])
        read = f"the {back[0]} file of a map" if on_maps else "annotations"
        text += f" prepare folder reads {read} with the same class ids if you give {words}."
    return text
