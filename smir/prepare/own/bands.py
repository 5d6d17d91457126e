"""The options `--bands` and `--value_range`: which bands of TIFFs become red, green and blue."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from smir.data.reading.band_choice import BandChoice
from smir.data.reading.opening import tiff_raster
from smir.data.reading.tiff import Tiff, has_rasterio, lacks_blocks, notes_on_pages
from smir.data.reading.tiff_colors import refuse_missing_bands, unused_bands
from smir.errors import ConfigError, DataError, counted, first_few
from smir.files.pictures import is_tiff, write_png
from smir.seeding import seed_for

_NUMBER = r"-?(?:\d+\.?\d*|\.\d+)"
_BANDS = re.compile(r"\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*")
_RANGE = re.compile(rf"\s*(?P<low>{_NUMBER})\s*(?P<unit>%?)\s*,\s*(?P<high>{_NUMBER})\s*(?P=unit)\s*")
_PLACES, _SIDE = 64, 256
"""Number and side in pixels of the squares that are read to measure a range."""


def choose_bands(bands: str | None, value_range: str | None, files: Sequence[Path]) -> BandChoice | None:
    """Returns the bands that the options name, and measures a range that is given in per cent.

    Raises:
        ConfigError: If an option cannot be read.
        DataError: If a file is not a TIFF, or cannot be read.
    """
    if bands is None:
        if value_range is not None:
            raise ConfigError("--value_range is for the bands that --bands names, such as --bands 3,2,1.")
        return None
    found = _BANDS.fullmatch(bands)
    numbers = [int(number) for number in found.groups()] if found else []
    if not numbers or min(numbers) < 1:
        raise ConfigError(f"--bands names three bands counted from 1, such as 3,2,1; got {bands!r}.")
    chosen = BandChoice((numbers[0], numbers[1], numbers[2]))
    if not has_rasterio():
        raise ConfigError("--bands needs rasterio: pip install 'smir[geo]'.")
    if others := [path for path in files if not is_tiff(path)]:
        raise DataError(
            f"--bands is for TIFFs; {counted(len(others), 'image is', 'images are')} not: {first_few(others)}."
        )
    if value_range is None:
        return chosen
    match = _RANGE.fullmatch(value_range)
    low, high = (float(match["low"]), float(match["high"])) if match else (0, 0)
    if match is None or low >= high or (match["unit"] and (low < 0 or high > 100)):
        raise ConfigError(f"--value_range is LOW,HIGH, such as 0,4000 or 2%,98%; got {value_range!r}.")
    if match["unit"]:
        low, high = _measured(files, chosen, low, high)
    return BandChoice(chosen.bands, (low, high))


def _measured(files: Sequence[Path], choice: BandChoice, low: float, high: float) -> tuple[float, float]:
    """Returns percentiles of valid values of the bands, at the same random places for the same files."""
    chance = np.random.default_rng(seed_for("value range"))
    values = []
    for path in (files[place] for place in chance.permutation(len(files))[:_PLACES]):
        tiff = Tiff(path)
        refuse_missing_bands(tiff, choice)
        height, width = min(tiff.height, _SIDE), min(tiff.width, _SIDE)
        for _ in range(max(1, _PLACES // len(files))):
            top, left = chance.integers(tiff.height - height + 1), chance.integers(tiff.width - width + 1)
            place = int(top), int(left), height, width
            found = tiff.read(choice.bands, *place)
            found = found[tiff.valid(*place) & ~tiff.is_marked(choice.bands, found)]
            values.append(found[np.isfinite(found)])
    of_all = np.concatenate(values)
    span = np.percentile(of_all, [low, high]) if of_all.size else np.zeros(2)
    if span[0] == span[1]:
        raise DataError(f"The bands {choice.bands} of {first_few(files)} hold no range of values. Give --value_range.")
    return round(float(span[0]), 6), round(float(span[1]), 6)


def write_image(source: Path, target: Path, choice: BandChoice) -> None:
    """Writes the chosen bands of a TIFF as a picture in PNG, whatever its name: `predict` chooses bands of TIFFs."""
    raster = tiff_raster(source, choice)
    pixels, _ = raster.read(0, 0, raster.height, raster.width)
    write_png(target, Image.fromarray(pixels))


def notes_on_bands(files: Sequence[Path], choice: BandChoice | None) -> tuple[str, ...]:
    """Returns notes about the bands that are used, or about bands and pages that are not."""
    notes = notes_on_pages(files)
    if choice is not None:
        bands = ", ".join(map(str, choice.bands))
        low, high = choice.value_range or (0, 255)
        return (
            f"Bands {bands} are red, green and blue; {low:g} is black, {high:g} white. predict uses the same.",
            *notes,
        )
    if not has_rasterio():
        return tuple(notes)
    if unused := {path.name: left for path in files if is_tiff(path) and (left := unused_bands(Tiff(path)))}:
        name, left = next(iter(unused.items()))
        notes.append(
            f"{counted(len(unused), 'image has', 'images have')} bands that are not used, such as "
            f"{', '.join(map(str, left))} of {name}; --bands chooses bands."
        )
    return tuple(notes)


def notes_on_blocks(files: Iterable[Path]) -> tuple[str, ...]:
    """Returns a note about TIFFs that lack blocks, and have no value for missing pixels."""
    if not has_rasterio():
        return ()
    lacking = [path.name for path in files if is_tiff(path) and lacks_blocks(path) and not Tiff(path).has_mask]
    if not lacking:
        return ()
    return (
        f"{counted(len(lacking), 'TIFF lacks', 'TIFFs lack')} blocks (SPARSE_OK), which count as 0: "
        f"{first_few(lacking)}.",
    )
