"""Filling with the mean, and inpainting without parameters."""

import torch
from fakes import photo

from smir.method import Preprocessing, ReconstructionLoss
from smir.method.baselines import inpaint, mean_fill
from smir.method.masking import RandomMask


def views():
    preprocessing = Preprocessing()
    image = preprocessing.normalize(torch.from_numpy(photo("field", (192, 192))).permute(2, 0, 1)[None])
    grid = preprocessing.grid(192, 192)
    mask = grid.to_pixels(RandomMask(0.5)(grid=grid, generator=torch.Generator().manual_seed(0)))[None, None]
    return image, mask


def test_mean_fill_and_inpainting_keep_the_visible_pixels():
    image, mask = views()
    for filled in (mean_fill(image, mask), inpaint(image, mask)):
        assert torch.equal(filled[(~mask).expand_as(image)], image[(~mask).expand_as(image)])
    assert mean_fill(image, mask)[mask.expand_as(image)].abs().max() == 0


def test_inpainting_restores_a_constant_and_nearly_a_ramp():
    _, mask = views()
    assert torch.allclose(inpaint(torch.full((1, 3, 192, 192), 0.7), mask), torch.tensor(0.7), atol=1e-5)
    ramp = torch.linspace(-1, 1, 192).expand(1, 3, 192, 192)
    error = (inpaint(ramp, mask) - ramp).abs().mean()
    assert error < 0.05 * (mean_fill(ramp, mask) - ramp).abs().mean()


def test_inpainting_uses_only_visible_pixels():
    image, mask = views()
    other = torch.where(mask, torch.full_like(image, 99.0), image)
    assert torch.equal(inpaint(image, mask), inpaint(other, mask))


def test_inpainting_handles_odd_sizes_and_images_without_visible_pixels():
    image = torch.randn(2, 3, 37, 5)
    mask = torch.zeros(2, 1, 37, 5, dtype=torch.bool)
    mask[1] = True
    filled = inpaint(image, mask)
    assert torch.equal(filled[0], image[0])
    assert filled[1].abs().max() == 0


def test_inpainting_is_much_better_than_mean_fill_on_a_smooth_picture():
    _, mask = views()
    axis = torch.linspace(0, 9, 192)
    smooth = (axis.sin()[:, None] * axis.cos()).expand(1, 3, 192, 192)
    loss = ReconstructionLoss()
    assert loss(inpaint(smooth, mask), smooth) < 0.2 * loss(mean_fill(smooth, mask), smooth)
