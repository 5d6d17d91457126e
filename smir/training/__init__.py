"""Training: the two tasks as Lightning modules, selective masking in stages, and the callbacks of every run.

Uses `data`, `runs`, `models`, `method` and below.
"""

from smir.training.reconstruction import ReconstructionModule
from smir.training.segmentation import SegmentationModule
from smir.training.selective_masking import SelectiveMasking

__all__ = ["ReconstructionModule", "SegmentationModule", "SelectiveMasking"]
