"""Makes the files of an export, checks each, and writes the card."""

import dataclasses
import functools
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch.export import ExportedProgram

from smir.classes import UInt8
from smir.errors import CheckpointError, ConfigError
from smir.export import card, program, scripts, weights_files
from smir.export.agreement import compare, compare_tiles, padded_shape, share_of_equal_labels
from smir.export.card import ExportedFile
from smir.export.command import Format
from smir.export.program import Size
from smir.export.trained import TrainedNetwork
from smir.files.atomic import write_atomically
from smir.models.networks import SmpNetwork
from smir.training.segmentation import SegmentationModule

WEIGHTS: tuple[Format, ...] = ("weights", "encoder")
PROGRAMS: tuple[Format, ...] = ("onnx", "pt2")


@dataclasses.dataclass(frozen=True)
class Export:
    """An export into an existing folder.

    Args:
        source: The checkpoint.
        images: RGB images (H, W, 3) to check programs on; weights need none.
        tolerance: Largest difference from PyTorch, as a share of the largest logit.
        folder: The folder.
        opset: Version of the operators of ONNX files; default: that of torch.
        resolution: Centimetres of ground per pixel of the training images, for Deepness.
    """

    source: TrainedNetwork
    images: Sequence[UInt8]
    tolerance: float
    folder: Path
    opset: int | None = None
    resolution: float | None = None
    _programs: dict[Size | None, ExportedProgram] = dataclasses.field(default_factory=dict, init=False)

    def write(self, formats: Sequence[Format]) -> list[ExportedFile]:
        """Writes the formats, then the card.

        Raises:
            CheckpointError: If a format cannot be made, or does not compute what PyTorch computes.
        """
        makers: dict[Format, Callable[[], ExportedFile]] = {
            "weights": self._weights,
            "encoder": self._encoder,
            "onnx": lambda: self._of_any_size(self._onnx),
            "pt2": lambda: self._of_any_size(self._pt2),
            "deepness": self._deepness,
        }
        files = [makers[name]() for name in makers if name in formats]
        for file in files:
            if file.script:
                shutil.copyfile(Path(scripts.__file__).with_name(file.script), self.folder / file.script)
        write_atomically(self.folder / card.NAME, card.card(self.source, files))
        return files

    @functools.cached_property
    def _settings(self) -> str:
        return self.source.settings_text()

    @property
    def _segmentation(self) -> SegmentationModule:
        if not isinstance(self.source.module, SegmentationModule):
            raise ConfigError("A pretraining has only weights to export: --formats weights,encoder.")
        return self.source.module

    def _program(self, size: Size | None) -> ExportedProgram:
        """Returns the program for images of a size, or of any; formats share it."""
        if size not in self._programs:
            self._programs[size] = program.export_program(self._segmentation, size)
        return self._programs[size]

    def _of_any_size(self, make: Callable[[Size | None, Sequence[UInt8]], ExportedFile]) -> ExportedFile:
        """Makes a program for images of any size, or if that fails for the size of the first image."""
        try:
            return make(None, self.images)
        except CheckpointError as error:
            sizes = [padded_shape(self._segmentation, image) for image in self.images]
            alike = [image for image, size in zip(self.images, sizes, strict=True) if size == sizes[0]]
            try:
                file = make(sizes[0], alike)
            except CheckpointError as again:
                raise CheckpointError(f"{again} Nothing was written; --formats leaves a format out.") from again
            height, width = sizes[0]
            limit = f"**only for images of height {height} and width {width}**, because for any size: {error}"
            return dataclasses.replace(file, check=f"{file.check}; {limit}")

    def _weights(self) -> ExportedFile:
        network = self.source.module.network
        path = weights_files.write_weights(self.folder, network, self._settings)
        if isinstance(network, SmpNetwork):
            script = weights_files.SCRIPT if self.source.module.task == "segment" else None
            return ExportedFile(path, "all weights: `smp.from_pretrained(FOLDER)`", "read back by smp", script)
        what = (
            f"all weights, under the names of `smir.models.networks.{type(network).__name__}`, which "
            "segmentation_models_pytorch does not have"
        )
        return ExportedFile(path, what, "read back")

    def _encoder(self) -> ExportedFile:
        module = self.source.module
        side = program.padded_side(module.preprocessing)
        made = weights_files.write_encoder(self.folder, module.network, self._settings, side)
        if made.timm_name is None:
            name = module.network.encoder_name
            what = f"the encoder: `smp.encoders.get_encoder({name!r}, depth={made.depth}, weights=None)`"
            return ExportedFile(made.path, what, "no network of timm gives the same features")
        what = f"the encoder: `timm.create_model({made.timm_name!r}, features_only=True)`"
        if made.whole:
            what += " (or `num_classes=0` and `load_state_dict(..., strict=False)`)"
        return ExportedFile(made.path, what, "gives the same features in timm")

    def _onnx(self, size: Size | None, images: Sequence[UInt8]) -> ExportedFile:
        from smir.export import onnx_file
        from smir.export.scripts import run_onnx

        module, path = self._segmentation, self.folder / onnx_file.NAME
        opset = onnx_file.write_onnx(path, self._program(size), {"smir": self._settings}, self.opset)
        session = onnx_file.open_session(path)
        agreement = compare(path.name, onnx_file.exported_onnx(session), module, images, self.tolerance, size is None)
        labels = functools.partial(run_onnx.segment, session, self.source.settings())
        equal = share_of_equal_labels(labels, module, images)
        check = f"{agreement}; {onnx_file.SCRIPT} gives {100 * equal:.4g} % of the labels that smir gives at full size"
        what = f"the network for ONNX Runtime and similar programs, opset {opset}"
        return ExportedFile(path, what, check, onnx_file.SCRIPT)

    def _deepness(self) -> ExportedFile:
        from smir.export import deepness, onnx_file

        module, resolution, path = self._segmentation, self.resolution, self.folder / deepness.NAME
        assert resolution is not None
        metadata = deepness.metadata(self.source, module, resolution)
        opset = onnx_file.write_onnx(path, deepness.export_tiles(module), metadata, self.opset, "probabilities")
        exported = deepness.exported_tiles(onnx_file.open_session(path))
        agreement = compare_tiles(path.name, exported, module, self.images, self.tolerance)
        what = (
            f"the network for Deepness of QGIS: tiles of {metadata['tile_size']} pixels at "
            f"{deepness.tile_resolution(module, resolution):.3g} cm, opset {opset}"
        )
        return ExportedFile(path, what, str(agreement))

    def _pt2(self, size: Size | None, images: Sequence[UInt8]) -> ExportedFile:
        path = program.write_pt2(self.folder, self._program(size), self._settings)
        agreement = compare(
            path.name, program.exported_pt2(path), self._segmentation, images, self.tolerance, size is None
        )
        what = f"the network for torch {torch.__version__} or later: `torch.export.load(FILE).module()`"
        return ExportedFile(path, what, str(agreement), program.SCRIPT)
