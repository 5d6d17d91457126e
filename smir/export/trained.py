"""A checkpoint to export, with its run's records."""

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any

from smir import __version__
from smir.data.reading.opening import MUCH_LARGER
from smir.files.digest import file_digest
from smir.files.json_record import read_json
from smir.method.padding import PAD_MULTIPLE
from smir.runs.checkpoint_record import Checkpoint
from smir.runs.run_folder import run_of_checkpoint
from smir.runs.stored_config import read_sections
from smir.training.from_checkpoint import trained_module
from smir.training.segmentation import SegmentationModule
from smir.training.task import SmirModule


@dataclasses.dataclass(frozen=True)
class TrainedNetwork:
    """A checkpoint, its network in eval mode on the CPU, and its record of the run: experiment, seed, commit, ..."""

    path: Path
    module: SmirModule
    origin: dict[str, Any]

    @property
    def run(self) -> Path | None:
        """The run folder of the checkpoint, if it lies in one."""
        return run_of_checkpoint(self.path)

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of the checkpoint, 16 hexadecimal digits."""
        return file_digest(self.path)

    @functools.cached_property
    def tests(self) -> dict[Path, dict[str, Any]]:
        """The tests of exactly these weights, by their folder in the run."""
        files = sorted(self.run.glob("test*/metrics.json")) if self.run is not None else []
        records = {file.parent: read_json(file) for file in files}
        return {
            folder: record
            for folder, record in records.items()
            if isinstance(record, dict) and record.get("weights") == self.digest
        }

    @functools.cached_property
    def _config(self) -> dict[str, Any]:
        """The sections of the run's config; empty without a config."""
        return {} if self.run is None else read_sections(self.run / "config.yaml")

    @property
    def root(self) -> Path | None:
        """Folder of your own images that the network was trained on, if the run's config names it."""
        data = self._config.get("data", {})
        return Path(data["init_args"]["root"]) if str(data.get("class_path")).endswith(".Folder") else None

    @property
    def field(self) -> str | None:
        """Name of your own images that the network was trained on, if the run's config names them."""
        if self.root is None:
            return None
        return self._config.get("run", {}).get("field") or self.root.resolve().name

    def bands(self) -> dict[str, Any]:
        """Returns the bands of TIFFs that the network was trained on, and their range, as the run's config has them."""
        options = (self._config.get("data", {}).get("init_args") or {}).get("predict") or {}
        return {name: options.get(name) for name in ("bands", "value_range")}

    def settings(self) -> dict[str, Any]:
        """Returns the settings that a program needs to run the network; every exported file carries them."""
        module = self.module
        settings: dict[str, Any] = {
            "smir": __version__,
            "task": module.task,
            "checkpoint": self.digest,
            "network": module.network.spec,
            "mean": list(module.preprocessing.mean),
            "std": list(module.preprocessing.std),
            "view_size": module.preprocessing.view_size,
            "multiple": PAD_MULTIPLE,
        }
        if isinstance(module, SegmentationModule):
            settings["classes"] = list(module.classes.names)
            settings["colors"] = [list(color) for color in module.classes.colors]
            settings["usual_side"], settings["much_larger"] = module.usual_side, MUCH_LARGER
        return settings | {name: value for name, value in self.bands().items() if value}

    def settings_text(self) -> str:
        """The settings as JSON."""
        return json.dumps(self.settings())


def read_source(path: Path) -> TrainedNetwork:
    """Reads a checkpoint of either task.

    Raises:
        CheckpointError: If it is missing, damaged, or was not written by smir.
    """
    checkpoint = Checkpoint.read(path)
    return TrainedNetwork(path, trained_module(checkpoint), checkpoint.record.origin)
