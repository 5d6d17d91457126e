"""The public names that other programs use: their modules, their arguments and their results."""

import inspect
import subprocess
import sys

import pytest
import torch
from torch import nn
from words import REPOSITORY

import smir.data
import smir.method
import smir.models
import smir.training
from smir.method import HardestMask, PatchGrid, RandomMask, ReconstructionLoss, patch_loss, score_views

GRID = PatchGrid(192, 256, num_patches=64)


def test_the_method_imports_no_trainer():
    unwanted = {
        "lightning",
        "jsonargparse",
        "PIL",
        "timm",
        "segmentation_models_pytorch",
        "torchmetrics",
        "torchvision",
    }
    code = f"import sys, smir.method; print(*({unwanted} & set(sys.modules)))"
    words = [sys.executable, "-c", code]
    assert subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.strip() == ""


@pytest.mark.parametrize(
    ("room", "names"),
    [
        (smir.method, "PatchGrid RandomMask HardestMask patch_loss ReconstructionLoss score_views Stages MaskPolicy"),
        (smir.models, "UNetStride4 SmpNetwork load_pretrained"),
        (smir.training, "ReconstructionModule SegmentationModule SelectiveMasking"),
        (smir.data, "PascalVOC Cityscapes Nassar SugarBeets Folder"),
    ],
)
def test_a_room_lists_its_public_names_with_docstrings(room, names):
    assert set(names.split()) <= set(room.__all__)
    assert all(getattr(room, name).__doc__ for name in room.__all__)


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        (PatchGrid, {"height": ..., "width": ..., "num_patches": 512}),
        (RandomMask, {"ratio": 0.5}),
        (HardestMask, {"ratio": 0.5}),
        (patch_loss, {"prediction": ..., "target": ..., "grid": ..., "ssim_input": None}),
        (ReconstructionLoss.forward, {"self": ..., "prediction": ..., "target": ..., "mask": None}),
    ],
)
def test_signatures_are_unchanged(call, arguments):
    found = inspect.signature(call).parameters
    assert {name: ... if p.default is p.empty else p.default for name, p in found.items()} == arguments


def test_a_grid_counts_its_patches_and_says_where_they_are():
    assert len(GRID) == GRID.rows * GRID.cols
    assert GRID.row_edges[0] == GRID.col_edges[0] == 0
    assert (GRID.row_edges[-1], GRID.col_edges[-1]) == (192, 256)
    assert GRID.boxes.shape == (len(GRID), 4)
    assert GRID.boxes.dtype == torch.long
    assert GRID.boxes[0].tolist() == [0, 0, GRID.row_edges[1], GRID.col_edges[1]]


@pytest.mark.parametrize("leading", [(), (2,), (3, 2), (0,)])
def test_a_mask_spreads_over_pixels_with_any_leading_dimensions(leading):
    mask = torch.rand(*leading, len(GRID)) < 0.5
    pixels = GRID.to_pixels(mask)
    assert pixels.shape == (*leading, 192, 256)
    assert pixels.dtype == torch.bool
    for patch, (top, left, bottom, right) in enumerate(GRID.boxes.tolist()):
        assert (pixels[..., top:bottom, left:right] == mask[..., patch, None, None]).all()


def test_policies_take_one_image_or_a_batch():
    scores = torch.rand(2, len(GRID))
    random = RandomMask(ratio=0.5)(grid=GRID, generator=torch.Generator().manual_seed(0))
    one = HardestMask(ratio=0.5)(grid=GRID, scores=scores[0])
    both = HardestMask(ratio=0.5)(grid=GRID, scores=scores)
    assert random.shape == one.shape == (len(GRID),)
    assert random.dtype == one.dtype == both.dtype == torch.bool
    assert both.shape == (2, len(GRID))
    assert torch.equal(both[0], one)
    assert random.sum() == one.sum() == len(GRID) // 2


def test_losses_return_a_value_per_patch_or_per_batch():
    prediction, target = torch.rand(2, 2, 3, 192, 256)
    assert patch_loss(prediction, target, GRID).shape == (2, len(GRID))
    assert ReconstructionLoss()(prediction, target).shape == ()


@pytest.mark.parametrize("size", [(192, 256), (70, 90)])
def test_any_network_can_be_scored(size):
    network = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.Dropout(0.5)).train()
    images = torch.randn(2, 3, *size)
    grid = PatchGrid(*size, num_patches=64)
    scores = score_views(network, images, grid=grid, num_samples=2).scores
    assert scores.shape == (2, len(grid))
    assert torch.equal(scores, score_views(network, images, [0, 1], grid=grid, num_samples=2).scores)
    assert all(part.training for part in network.modules())


def test_networks_reconstruct_and_take_pretrained_weights(tmp_path):
    torch.manual_seed(0)
    network = smir.models.UNetStride4(3, "tu-test_efficientnet", [16, 16, 16])
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    other = smir.models.UNetStride4(3, "tu-test_efficientnet", [16, 16, 16])
    smir.models.load_pretrained(other, tmp_path / "weights.pt", head=True)
    image = torch.randn(1, 3, 64, 64)
    assert torch.equal(network.eval()(image), other.eval()(image))
    assert smir.models.SmpNetwork(3, "Unet", "mobilenet_v2").eval()(image).shape == image.shape
