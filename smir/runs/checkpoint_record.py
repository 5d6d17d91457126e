"""What a network was trained with: it holds wherever the network is used, whatever a config of data says."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from smir.errors import CheckpointError, ConfigError
from smir.method.preprocessing import Preprocessing


def preprocessing_in(record: dict[str, Any], path: Path) -> Preprocessing:
    """The preprocessing that a checkpoint's record tells.

    Args:
        record: What smir recorded in the checkpoint.
        path: The checkpoint, for the message.

    Raises:
        CheckpointError: If it tells none that can be.
    """
    try:
        return Preprocessing(**record["preprocessing"])
    except (ConfigError, LookupError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} does not say how its network sees an image: {error}") from error


def normalised_as(trained: Preprocessing, own: Preprocessing) -> Preprocessing:
    """The normalisation of the training, with view and grid of the data: those belong to how a test is done."""
    return Preprocessing(trained.mean, trained.std, own.view_size, own.num_patches)


def disagreements(trained: Preprocessing, own: Preprocessing) -> list[str]:
    """What to say where data are to be seen otherwise than in training, a line each."""
    lines = []
    if (trained.mean, trained.std) != (own.mean, own.std):
        lines.append(
            f"Images are normalised as in the training of the checkpoint ({_channels(trained)}); the data's own "
            f"({_channels(own)}) are not used."
        )
    if trained.view_size != own.view_size:
        lines.append(
            f"The checkpoint was trained at {trained.view_size} pixels, images are seen at {own.view_size} here "
            f"(data.crop_size); for figures that compare give --data.crop_size {trained.view_size}."
        )
    return lines


def _channels(of: Preprocessing) -> str:
    mean, std = (", ".join(f"{value:.5g}" for value in values) for values in (of.mean, of.std))
    return f"mean {mean}, std {std}"


def same_classes(trained: Sequence[str], own: Sequence[str], where: str) -> None:
    """Refuses labels whose ids would mean other classes than those of the network.

    Args:
        trained: Class names of the checkpoint, by id.
        own: Class names of the data, by id.
        where: What to call the data in the message.

    Raises:
        ConfigError: If they differ, in a name or in their order.
    """
    if tuple(trained) != tuple(own):
        raise ConfigError(
            f"The checkpoint's classes are {', '.join(trained)}; those of {where} are {', '.join(own) or 'none'}. Give "
            "the config of the checkpoint's own run; or make the data with the same names in the same order: prepare "
            f"folder --classes '[{', '.join(trained)}]', or data.classes and data.label_map."
        )
