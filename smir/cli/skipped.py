"""`skipped.json` of a run: images that were found unusable are not looked at again."""

from pathlib import Path
from typing import Any

from smir.data.base import SmirDataModule
from smir.data.reading.screening import RECORD
from smir.runs.launch import global_rank
from smir.runs.recipe import digest, recipe_of


def know_skipped(data: SmirDataModule, settings: dict[str, Any], *folders: Path) -> None:
    """Takes over what was found when the images were looked at before."""
    for folder in folders:
        data.screening.load(folder / RECORD, digest(recipe_of(settings)["data"]))


def record_skipped(data: SmirDataModule, settings: dict[str, Any], folder: Path) -> None:
    """Writes what was found, on rank 0."""
    if data.screening.verdicts and global_rank() == 0:
        data.screening.save(folder / RECORD, digest(recipe_of(settings)["data"]))
