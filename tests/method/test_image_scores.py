"""Patch scores without a network, compared with a plain computation."""

import cv2
import numpy as np
import pytest
import torch

from smir.errors import ConfigError
from smir.method import InterpolationScore, PatchGrid, VarianceScore, patch_loss, score_views

GRID = PatchGrid(64, 96, num_patches=128)


@pytest.fixture
def images():
    return torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))


def no_network(images):
    raise AssertionError("no pass of the network is needed")


def scored(images, score):
    network = torch.nn.Module()
    network.forward = no_network
    return score_views(network, images, grid=GRID, score=score)


def test_the_variance_score_equals_the_variance_of_each_patch_cut_out(images):
    found = scored(images, VarianceScore())
    for patch, (top, left, bottom, right) in enumerate(GRID.boxes.tolist()):
        pixels = images[:, :, top:bottom, left:right].flatten(2)
        torch.testing.assert_close(found.scores[:, patch], pixels.var(dim=2, correction=0).mean(dim=1))
        torch.testing.assert_close(found.reconstruction[:, :, top, left], pixels.mean(dim=2))


def test_the_interpolation_is_a_mean_of_4_x_4_pixels_enlarged_bilinearly(images):
    found = scored(images, InterpolationScore())
    coarse = images.numpy().reshape(2, 3, 16, 4, 24, 4).mean(axis=(3, 5)).transpose(0, 2, 3, 1)
    enlarged = np.stack([cv2.resize(image, (96, 64), interpolation=cv2.INTER_LINEAR) for image in coarse])
    expected = torch.from_numpy(enlarged.transpose(0, 3, 1, 2))
    torch.testing.assert_close(found.reconstruction, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.scores, patch_loss(expected, images, GRID), atol=1e-4, rtol=0)


@pytest.mark.parametrize("score", [VarianceScore(), InterpolationScore()])
def test_a_smooth_patch_is_the_easiest_one(images, score):
    top, left, bottom, right = GRID.boxes[40].tolist()
    images[..., max(0, top - 4) : bottom + 4, max(0, left - 4) : right + 4] = 0.3
    assert scored(images, score).scores.argmin(dim=1).tolist() == [40, 40]


def test_views_of_odd_sides_are_scored():
    images = torch.randn(1, 3, 65, 97)
    grid = PatchGrid(65, 97, num_patches=64)
    assert score_views(torch.nn.Module(), images, grid=grid, score=InterpolationScore()).scores.shape == (1, len(grid))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda image, grid, loss: (image.mean(dim=(1, 2, 3)), image),
        lambda image, grid, loss: (torch.rand(2, len(grid) + 3), image),
        lambda image, grid, loss: torch.rand(2, len(grid)),
    ],
)
def test_a_score_of_a_wrong_shape_is_refused(images, wrong):
    with pytest.raises(ConfigError, match=r"A score returns two tensors: scores \(2, 121\), and an approximation"):
        scored(images, wrong)


def test_scores_in_whole_numbers_become_float32(images):
    found = scored(images, lambda image, grid, loss: (torch.arange(2 * len(grid)).view(2, -1), image))
    assert found.scores.dtype == torch.float32
