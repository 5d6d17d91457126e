"""Finds predicted images whose colours or sizes are unlike those of the training images."""

from collections.abc import Mapping

import numpy as np

from smir.classes import UInt8
from smir.errors import first_few
from smir.runs.checkpoint_record import CheckpointRecord

FAR = 1.25
"""An image is unlike the training if the mean of a channel differs by more than this, in standard deviations of the
training's pixels. Photographs of one field stay below 1."""


class Likeness:
    """Compares the mean colour of images, as the network sees them, with that of the training of a checkpoint."""

    def __init__(self, training: CheckpointRecord) -> None:
        channels = training.image_channels
        self._mean, self._std = (255 * np.asarray(values) for values in (channels.mean, channels.std))
        self._seen: dict[str, tuple[float, int]] = {}

    def add(self, image: str, pixels: UInt8) -> None:
        """Adds RGB pixels (..., 3) of an image, without those that hold no data."""
        if not pixels.size:
            return
        sums, count = self._seen.get(image, (0.0, 0))
        self._seen[image] = sums + pixels.reshape(-1, 3).sum(axis=0), count + pixels.size // 3

    def far(self) -> dict[str, float]:
        """Returns the images that are unlike the training, with their largest distance in deviations."""
        means = {image: sums / count for image, (sums, count) in self._seen.items()}
        distances = {image: float(np.abs((mean - self._mean) / self._std).max()) for image, mean in means.items()}
        return {image: distance for image, distance in distances.items() if distance > FAR}


def warning_of_colors(far: Mapping[str, float], number: int) -> str:
    """Returns the warning about images that are unlike the training, among a number of images."""
    worst = sorted(far, key=far.__getitem__, reverse=True)
    return (
        f"Warning: {len(far):,} of {number:,} images have colours unlike those of the training: {first_few(worst)}. "
        f"The mean of a channel is up to {far[worst[0]]:.1f} deviations away. Their labels may be wrong: check light, "
        "camera and order of the bands."
    )


def warning_of_size(times: Mapping[str, float], number: int) -> str:
    """Returns the warning about images that are much larger than those of the training, among a number of images."""
    largest = sorted(times, key=times.__getitem__, reverse=True)
    return (
        f"Warning: {len(times):,} of {number:,} images are up to {times[largest[0]]:.1f} times as large as those of "
        f"the training, so they were read in windows, at the scale of the training: {first_few(largest)}. That is "
        "right for an orthomosaic. If they are photographs that show the same things larger, their labels and areas "
        "are wrong: use --data.predict.view whole, or set --data.predict.scale."
    )
