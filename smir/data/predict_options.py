"""The settings of `predict` that only it has."""

import dataclasses
from typing import Literal

from smir.data.reading.band_choice import BandChoice
from smir.errors import ConfigError

VIEW = Literal["auto", "whole", "windows"]
BLOCK = 64
"""Pixels, at the network's scale, that windows are moved by: strides of 32 and less then fall on the same pixels."""

_UNITS = (8, 1024)
_SMALLEST = 4 * BLOCK


@dataclasses.dataclass(frozen=True)
class PredictOptions:
    """Options for the way `predict` reads images, and for its output.

    Args:
        view: Way to read an image: `whole` resizes it so that its shortest side is the view size, as the test does;
            `windows` reads it piece by piece at the scale of the training images; `auto` uses windows for images that
            are georeferenced, whose shortest side is four times that of the training images or more, or that are too
            large or too long to be read whole.
        scale: Network pixels per image pixel in windows; default: as in training, the view size divided by the usual
            shortest side of the training images. It is rounded to 64 / n.
        window: Side of a window in network pixels, a multiple of 64; default: 1024, or more if the network needs more
            context. Memory grows with its square.
        batch_size: Windows at a time; default: 4 on a GPU, 1 on a CPU.
        bands: Bands of a TIFF to use as red, green and blue, such as `[3, 2, 1]`; it is then read in windows. Default:
            those that the file marks as such.
        value_range: Values of these bands that become black and white, for more than 8 bits: `[0, 4000]`.
        probabilities: Also write the probability of every class, as `<name>.probabilities.tif`.
    """

    view: VIEW = "auto"
    scale: float | None = None
    window: int | None = None
    batch_size: int | None = None
    probabilities: bool = False
    bands: tuple[int, int, int] | None = None
    value_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.scale is not None:
            block_unit(self.scale)
        if self.window is not None and (self.window < _SMALLEST or self.window % BLOCK):
            raise ConfigError(
                f"data.predict.window must be a multiple of {BLOCK}, {_SMALLEST} or more, got {self.window}."
            )
        if self.bands is not None and min(self.bands) < 1:
            raise ConfigError(f"data.predict.bands counts bands from 1, got {list(self.bands)}.")
        if self.value_range is not None and (self.bands is None or not self.value_range[0] < self.value_range[1]):
            raise ConfigError(
                f"data.predict.value_range is LOW, HIGH for the bands in data.predict.bands, got {self.value_range}."
            )
        if self.batch_size is not None and self.batch_size < 1:
            raise ConfigError(f"data.predict.batch_size must be 1 or more, got {self.batch_size}.")

    def for_windows(self) -> str:
        """Returns the options that are set and only matter for images that are read in windows."""
        names = ("scale", "window", "batch_size", "bands")
        return ", ".join(f"data.predict.{name}" for name in names if getattr(self, name) is not None)

    def band_choice(self) -> BandChoice | None:
        """Returns the bands to use, if they are given."""
        return BandChoice(self.bands, self.value_range) if self.bands is not None else None

    def scale_for(self, view_size: int, usual_side: int | None) -> float:
        """Pixels that the network sees per pixel of an image, from the shortest sides of training views and images.

        Raises:
            ConfigError: If neither the setting nor the usual side is known.
        """
        if self.scale is not None:
            return self.scale
        if usual_side is None:
            raise ConfigError(
                "The scale of large images is unknown: the checkpoint does not record the size of its training images, "
                f"and these images were not found. Set data.predict.scale to {view_size} divided by their usual "
                "shortest side in pixels."
            )
        return view_size / usual_side


def block_unit(scale: float) -> int:
    """Returns the image pixels that become 64 network pixels at a scale.

    A whole number of them makes every window a crop of one and the same resized image, wherever it lies.

    Raises:
        ConfigError: If the scale is out of range.
    """
    low, high = BLOCK / _UNITS[1], BLOCK / _UNITS[0]
    if not low <= scale <= high:
        raise ConfigError(
            f"The scale at which windows are read, {scale:g} (data.predict.scale, or the view size over the shortest "
            f"side of the training images), must lie between {low:g} and {high:g}."
        )
    return round(BLOCK / scale)
