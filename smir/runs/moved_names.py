"""Class names of version 0.1: configs of that time keep working, and the recipes of runs keep their hashes.

A recipe names classes as version 0.1 did, so that moving code never makes a finished run look like another one. A class
that came later keeps its own name.
"""

import importlib
import sys
from types import ModuleType
from typing import Any

MOVED = {
    "smir.losses.LocalReconstructionLoss": "smir.method.LocalReconstructionLoss",
    "smir.losses.ReconstructionLoss": "smir.method.ReconstructionLoss",
    "smir.masking.BlockMask": "smir.method.BlockMask",
    "smir.masking.HardestMask": "smir.method.HardestMask",
    "smir.masking.MixedMask": "smir.method.MixedMask",
    "smir.masking.ProportionalMask": "smir.method.ProportionalMask",
    "smir.masking.RampMask": "smir.method.RampMask",
    "smir.masking.RandomMask": "smir.method.RandomMask",
    "smir.network.SmpNetwork": "smir.models.SmpNetwork",
    "smir.network.UNetStride4": "smir.models.UNetStride4",
    "smir.preprocessing.Classes": "smir.classes.Classes",
    "smir.preprocessing.Preprocessing": "smir.method.Preprocessing",
    "smir.reconstruction.ReconstructionModule": "smir.training.ReconstructionModule",
    "smir.segmentation.SegmentationModule": "smir.training.SegmentationModule",
    "smir.selective.SelectiveMasking": "smir.training.SelectiveMasking",
}
"""From the name in version 0.1 to that of today."""

_OF_TODAY = {new: old for old, new in MOVED.items()}


def in_recipes(settings: Any) -> Any:
    """Plain settings with every class path as version 0.1 wrote it."""
    if isinstance(settings, dict):
        return {
            key: _OF_TODAY.get(value, value) if key == "class_path" and isinstance(value, str) else in_recipes(value)
            for key, value in settings.items()
        }
    return [in_recipes(value) for value in settings] if isinstance(settings, list) else settings


class _Moved(ModuleType):
    """A module of version 0.1, of which only the classes in `MOVED` can be asked for."""

    def __getattr__(self, name: str) -> Any:
        module, _, attribute = MOVED.get(f"{self.__name__}.{name}", "").rpartition(".")
        if not module:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(module), attribute)


def accept_old_names() -> None:
    """Lets the parser find a class by the name that it had in version 0.1."""
    for old in MOVED:
        module = old.rpartition(".")[0]
        sys.modules.setdefault(module, _Moved(module, "The classes of version 0.1 that have moved."))
