"""Datasets: one file each, every one a LightningDataModule; `reading` decodes and samples, `audit` checks.

Uses `runs`, `method`, `files` and the root files.
"""

from smir.data.base import SmirDataModule
from smir.data.cityscapes import Cityscapes
from smir.data.folder import Folder
from smir.data.nassar import Nassar
from smir.data.pascal_voc import PascalVOC
from smir.data.published import PublishedDataset
from smir.data.sugar_beets import SugarBeets

__all__ = ["Cityscapes", "Folder", "Nassar", "PascalVOC", "PublishedDataset", "SmirDataModule", "SugarBeets"]
