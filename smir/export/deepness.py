"""`deepness.onnx`: the network for Deepness, a plugin of QGIS that runs ONNX files over maps.

Source: https://qgis-plugin-deepness.readthedocs.io, "Model classes and requirements" and "Adding metadata to ONNX
model", and `src/deepness/processing/models/` of github.com/PUTvision/qgis-plugin-deepness, which reads the file.
"""

import json
import math
from pathlib import Path

import numpy as np
from onnxruntime import InferenceSession
from torch import Tensor, nn
from torch.export import ExportedProgram

from smir.data.reading.geotiff import Ground
from smir.data.reading.tiff import Tiff, has_rasterio, is_georeferenced
from smir.errors import ConfigError
from smir.export.agreement import ExportedNetwork
from smir.export.program import Deployed, padded_side, traced
from smir.export.trained import TrainedNetwork
from smir.files.json_record import dict_or_empty
from smir.files.pictures import is_tiff
from smir.prepare.own.options import RECORD
from smir.training.segmentation import SegmentationModule

NAME = "deepness.onnx"
OVERLAP = 25
"""Share of a tile in percent that it has in common with the next one; half of it is left out at each border."""


class Segmentor(nn.Module):
    """The network as Deepness calls it: maps RGB tiles of 0 to 1 (1, 3, S, S) to probabilities (1, C, S, S)."""

    def __init__(self, module: SegmentationModule) -> None:
        super().__init__()
        self.deployed = Deployed(module)

    def forward(self, image: Tensor) -> Tensor:
        """Returns the probabilities of the classes; they add up to 1."""
        probabilities: Tensor = self.deployed(image * 255).softmax(dim=1)
        return probabilities


def export_tiles(module: SegmentationModule) -> ExportedProgram:
    """Exports the network for one square tile as large as a padded view.

    Versions of Deepness differ in whether they take other batches than 1.

    Raises:
        CheckpointError: If torch cannot trace the network.
    """
    side = padded_side(module.preprocessing)
    example = Tensor(np.zeros((1, 3, side, side), dtype=np.float32))
    return traced(module, Segmentor(module), example, {}, f"tiles of {side} pixels")


def metadata(source: TrainedNetwork, module: SegmentationModule, resolution: float) -> dict[str, str]:
    """Returns all that Deepness reads of a segmentation, each as JSON, and smir's own settings.

    Every pixel gets its likeliest class, as in smir: no threshold, and no small segments removed. The normalisation is
    in the network, because older versions of Deepness do not read `standardization_*`. The resolution is that of the
    training images, in centimetres of ground per pixel.
    """
    values = {
        "model_type": "Segmentor",
        "class_names": {str(place): name for place, name in enumerate(module.classes.names)},
        "resolution": tile_resolution(module, resolution),
        "tile_size": padded_side(module.preprocessing),
        "tiles_overlap": OVERLAP,
        "standardization_mean": [0, 0, 0],
        "standardization_std": [1, 1, 1],
        "seg_thresh": 0,
        "seg_small_segment": 0,
    }
    return {name: json.dumps(value) for name, value in values.items()} | {"smir": source.settings_text()}


def tile_resolution(module: SegmentationModule, resolution: float) -> float:
    """Returns centimetres per pixel of a tile: the training images were resized to views."""
    return resolution * (module.usual_side or module.preprocessing.view_size) / module.preprocessing.view_size


def resolution_of(source: TrainedNetwork) -> float:
    """Returns the centimetres per pixel of the georeferenced orthomosaic that the training images were cut from.

    Raises:
        ConfigError: If they were not, or the orthomosaic is gone.
    """
    record = dict_or_empty(source.root / RECORD) if source.root is not None else {}
    image = Path(str(record.get("source", "")))
    if image.is_file() and is_tiff(image) and has_rasterio() and is_georeferenced(image):
        tiff = Tiff(image)
        if ground := Ground.of(tiff.file.crs, tiff.file.transform):
            (area,) = ground.pixel_areas(np.array([0.0, tiff.height]), np.array([0.0, tiff.width])).ravel()
            return 100 * math.sqrt(area)
    raise ConfigError(
        f"{NAME} needs the size of a pixel on the ground, because it resizes maps to that of the training images. "
        f"{image if image.name else 'The run'} does not say it. Give the centimetres per pixel of the training images: "
        "--resolution 0.5."
    )


def exported_tiles(session: InferenceSession) -> ExportedNetwork:
    """Returns a session as a function of images 0 to 255, fed as Deepness does."""
    return lambda image: session.run(None, {"image": np.float32(image * 1.0 / 255.0)})[0]
