"""Datasets: one file each, every one a LightningDataModule."""

from smir.data.base import SmirDataModule
from smir.data.folder import Folder
from smir.data.nassar import Nassar

__all__ = ["Folder", "Nassar", "SmirDataModule"]
