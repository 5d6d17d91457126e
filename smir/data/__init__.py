"""Datasets: one file each, every one a LightningDataModule; `reading` decodes and samples, `audit` checks.

Uses `runs`, `method`, `files` and the root files.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from smir.data.base import SmirDataModule
    from smir.data.cityscapes import Cityscapes
    from smir.data.folder import Folder
    from smir.data.nassar import Nassar
    from smir.data.pascal_voc import PascalVOC
    from smir.data.published import PublishedDataset
    from smir.data.sugar_beets import SugarBeets

__all__ = ["Cityscapes", "Folder", "Nassar", "PascalVOC", "PublishedDataset", "SmirDataModule", "SugarBeets"]


def __getattr__(name: str) -> Any:
    """Imports all datasets when the first one is used: they need torch, and `prepare` does not."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    for file in ("base", "cityscapes", "folder", "nassar", "pascal_voc", "published", "sugar_beets"):
        module = import_module(f"smir.data.{file}")
        globals().update({public: getattr(module, public) for public in __all__ if hasattr(module, public)})
    return globals()[name]
