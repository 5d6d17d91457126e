"""Checkpoints of smir: each has a record of the network that its weights belong to and of its training."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from smir.classes import Classes
from smir.errors import CheckpointError, ConfigError
from smir.method.preprocessing import Preprocessing
from smir.models.weight_files import FORMAT, check_format, read_checkpoint, weights_in

Task = Literal["pretrain", "segment"]
_KEY = "smir"
_FIELDS: dict[str, type] = {"task": str, "network": dict, "out_channels": int, "preprocessing": dict, "origin": dict}
_WRONG = (ConfigError, LookupError, TypeError, ValueError, RuntimeError)
"""Errors that constructors raise for arguments from a damaged or foreign record."""


@dataclasses.dataclass(frozen=True)
class CheckpointRecord:
    """The record that smir adds to a checkpoint. It is checked once, when a file is read.

    Attributes:
        task: `pretrain` or `segment`.
        network: Class and arguments of the network, for `build_network`.
        out_channels: Output channels of the network.
        preprocessing: Normalisation, view size and patches of the network's images.
        usual_side: Usual shortest side of the training images in pixels. Early checkpoints do not record it.
        origin: The run that wrote the checkpoint, as plain values: experiment, seed, commit, recipe, inputs, ...
        classes: The classes of a segmentation.
    """

    task: Task
    network: dict[str, Any]
    out_channels: int
    preprocessing: Preprocessing
    usual_side: int | None
    origin: dict[str, Any]
    classes: Classes | None = None

    @property
    def image_channels(self) -> Preprocessing:
        """Mean and deviation of the training images; with `normalisation: weights`, images are normalised otherwise."""
        try:
            return Preprocessing(**self.origin["image_channels"])
        except _WRONG:  # there is none, or it is from a foreign record
            return self.preprocessing

    def model_option(self, name: str) -> Any:
        """Returns an argument of the model in the recipe of the run; None if it had its default or is not recorded."""
        found: Any = self.origin
        for key in ("recipe", "model", "init_args", name):
            found = found.get(key) if isinstance(found, dict) else None
        return found

    def write(self, content: dict[str, Any]) -> None:
        """Adds the record to a checkpoint's content, as plain values that import nothing."""
        seen = self.preprocessing
        content[_KEY] = {
            "format": FORMAT,
            **{name: value for name, value in vars(self).items() if name != "classes"},
            "preprocessing": {
                "mean": list(seen.mean),
                "std": list(seen.std),
                "view_size": seen.view_size,
                "num_patches": seen.num_patches,
            },
        }
        if self.classes is not None:
            colors = [list(color) for color in self.classes.colors]
            content[_KEY]["classes"] = {"names": list(self.classes.names), "colors": colors}

    @classmethod
    def find(cls, content: dict[str, Any], path: str | Path) -> "CheckpointRecord | None":
        """Returns the record in the content of a checkpoint, or None if smir did not write the checkpoint.

        Raises:
            CheckpointError: If the record is damaged, incomplete or of another format.
        """
        check_format(content, path)
        if _KEY not in content:
            return None
        found = content[_KEY]
        wrong = [key for key, kind in _FIELDS.items() if not isinstance(found.get(key), kind)]
        if wrong or found["task"] not in get_args(Task):
            raise CheckpointError(f"{path} has a damaged record: its {', '.join(wrong) or 'task'} cannot be read.")
        try:
            preprocessing = Preprocessing(**found["preprocessing"])
        except _WRONG as error:
            raise CheckpointError(f"{path} does not say how its network sees an image: {error}") from error
        side = found.get("usual_side")
        return cls(
            task=found["task"],
            network=found["network"],
            out_channels=found["out_channels"],
            preprocessing=preprocessing,
            usual_side=side if isinstance(side, int) and side > 0 else None,
            origin={str(key): value for key, value in found["origin"].items() if _is_plain(value)},
            classes=_classes(found.get("classes"), path) if found["task"] == "segment" else None,
        )


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A checkpoint of smir that was read, with its tensors by name.

    `epoch` is the last finished one, counted from 0; -1 if the file does not say.
    """

    path: Path
    record: CheckpointRecord
    state: dict[str, Any]
    epoch: int

    @classmethod
    def read(cls, path: str | Path) -> "Checkpoint":
        """Reads a checkpoint of either task, without executing anything in it.

        Raises:
            CheckpointError: If it is missing, damaged, or was not written by smir.
        """
        content = read_checkpoint(path)
        record = CheckpointRecord.find(content, path)
        if record is None:
            raise CheckpointError(
                f"{path} holds no record of smir, so it does not say which network its weights are of. Give the "
                "best.ckpt or last.ckpt of a run."
            )
        epoch = content.get("epoch")
        return cls(Path(path), record, weights_in(content, path), epoch if isinstance(epoch, int) else -1)


def _classes(found: Any, path: str | Path) -> Classes:
    try:
        colors = [[int(value) for value in color] for color in found["colors"]]
        return Classes([str(name) for name in found["names"]], colors)
    except _WRONG as error:
        raise CheckpointError(f"{path} does not say which classes its network tells apart: {error}") from error


def _is_plain(value: Any, depth: int = 16) -> bool:
    """Returns whether a value of an untrusted checkpoint can be written to a record as it is."""
    if isinstance(value, dict):
        return all(isinstance(name, str) for name in value) and _is_plain(list(value.values()), depth)
    if isinstance(value, list):
        return depth > 0 and all(_is_plain(item, depth - 1) for item in value)
    return value is None or isinstance(value, str | int | float)


def same_classes(trained: Sequence[str], own: Sequence[str], where: str) -> None:
    """Refuses data whose class ids mean other classes than those of the checkpoint.

    Raises:
        ConfigError: If a name or the order of the classes differs; the message calls the data `where`.
    """
    if tuple(trained) != tuple(own):
        raise ConfigError(
            f"The checkpoint's classes are {', '.join(trained)}; those of {where} are {', '.join(own) or 'none'}. Give "
            "the config of the checkpoint's own run; or make the data with the same names in the same order: prepare "
            f"folder --classes '[{', '.join(trained)}]', or data.classes and data.label_map."
        )
