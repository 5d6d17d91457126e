"""The method of the paper: patches, masks, stages, losses and scores. It knows nothing of trainers or files.

Uses nothing of smir but errors and seeding, so it serves as a library: see docs/library.md.
"""

from smir.method.image_scores import ImageScore, InterpolationScore, VarianceScore
from smir.method.losses import (
    LocalReconstructionLoss,
    MaskedReconstructionLoss,
    ReconstructionLoss,
    ms_ssim,
    patch_loss,
)
from smir.method.mask_table import MaskTable, PackedMask
from smir.method.masking import (
    BlockMask,
    HardestMask,
    MaskPolicy,
    MixedMask,
    ProportionalMask,
    RampMask,
    RandomMask,
)
from smir.method.padding import padded_forward
from smir.method.patches import PatchGrid
from smir.method.preprocessing import Preprocessing
from smir.method.schedule import warmup_cosine
from smir.method.scoring import Scored, score_views
from smir.method.segmentation_losses import (
    CrossEntropyLoss,
    DiceLoss,
    FocalLoss,
    SegmentationLoss,
    SoftJaccardLoss,
    SumOfLosses,
)
from smir.method.stages import Stages

__all__ = [
    "BlockMask",
    "CrossEntropyLoss",
    "DiceLoss",
    "FocalLoss",
    "HardestMask",
    "ImageScore",
    "InterpolationScore",
    "LocalReconstructionLoss",
    "MaskPolicy",
    "MaskTable",
    "MaskedReconstructionLoss",
    "MixedMask",
    "PackedMask",
    "PatchGrid",
    "Preprocessing",
    "ProportionalMask",
    "RampMask",
    "RandomMask",
    "ReconstructionLoss",
    "Scored",
    "SegmentationLoss",
    "SoftJaccardLoss",
    "Stages",
    "SumOfLosses",
    "VarianceScore",
    "ms_ssim",
    "padded_forward",
    "patch_loss",
    "score_views",
    "warmup_cosine",
]
