"""Scoring over all patches and over only the masked ones, compared with a plain loop."""

import pytest
import torch
from torch import nn

from smir.errors import ConfigError
from smir.method import PatchGrid, RandomMask, padded_forward, patch_loss, score_views
from smir.seeding import generator_for

GRID = PatchGrid(64, 96, num_patches=128)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 5, padding=2), nn.SiLU(), nn.Dropout2d(0.2), nn.Conv2d(8, 3, 3, padding=1))


@pytest.fixture
def images():
    return torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))


def plain_scores(network, image, key, num_samples, over):
    """Returns the scores (P,) of one image, patch by patch and sample by sample."""
    generator = generator_for(0, "score", 0, key)
    seen = [[] for _ in range(len(GRID))]
    everywhere = [[] for _ in range(len(GRID))]
    for _ in range(num_samples):
        masked = RandomMask()(grid=GRID, generator=generator)
        with torch.no_grad():
            answer = padded_forward(network.eval(), image[None] * ~GRID.to_pixels(masked))
        for patch, loss in enumerate(patch_loss(answer, image[None], GRID)[0].tolist()):
            everywhere[patch].append(loss)
            if masked[patch]:
                seen[patch].append(loss)
    if over == "masked":
        everywhere = [losses or fallback for losses, fallback in zip(seen, everywhere, strict=True)]
    return torch.tensor([sum(losses) / len(losses) for losses in everywhere])


@pytest.mark.parametrize("over", ["all", "masked"])
@pytest.mark.parametrize("num_samples", [1, 3])
def test_scores_equal_a_plain_loop(network, images, over, num_samples):
    """With one sample, half of the patches are never masked."""
    scores = score_views(network.train(), images, [7, 8], grid=GRID, num_samples=num_samples, over=over).scores
    for image, key, found in zip(images, [7, 8], scores, strict=True):
        torch.testing.assert_close(found, plain_scores(network, image, key, num_samples, over), atol=1e-5, rtol=0)


@pytest.mark.parametrize("num_samples", [2, 5])
def test_excess_is_the_loss_if_masked_minus_the_loss_if_visible(network, images, num_samples):
    options = {"grid": GRID, "num_samples": num_samples, "paired": True}
    found = score_views(network, images, [7, 8], over="excess", **options)
    for image, patch in ((0, 0), (0, 17), (1, 40)):
        losses = [[], []]
        for sample in range(num_samples):
            answer = padded_forward(network.eval(), images * ~GRID.to_pixels(found.masked[sample])[:, None])
            loss = patch_loss(answer, images, GRID)[image, patch].item()
            losses[int(found.masked[sample, image, patch])].append(loss)
        visible, masked = (sum(part) / len(part) for part in losses)
        assert found.scores[image, patch].item() == pytest.approx(masked - visible, abs=1e-5)


@pytest.mark.parametrize(("num_samples", "paired"), [(5, False), (1, True)])
def test_excess_needs_every_patch_masked_and_visible(network, images, num_samples, paired):
    with pytest.raises(ConfigError, match=rf"paired_samples: {str(paired).lower()} and num_samples: {num_samples}\."):
        score_views(network, images, grid=GRID, over="excess", num_samples=num_samples, paired=paired)


def test_the_two_ways_of_scoring_differ(network, images):
    ways = [score_views(network, images, grid=GRID, over=over).scores for over in ("all", "masked")]
    assert not torch.allclose(*ways, atol=1e-3)


def test_a_pair_of_masks_covers_every_patch_once(network, images):
    paired = score_views(network, images, [7, 8], grid=GRID, num_samples=5, paired=True)
    plain = score_views(network, images, [7, 8], grid=GRID, num_samples=3)
    assert torch.equal(paired.masked[::2], plain.masked)
    assert torch.equal(paired.masked[1::2], ~plain.masked[:2])
    torch.testing.assert_close(paired.samples[::2], plain.samples)


def test_a_pair_scores_each_patch_with_the_mask_that_hides_it(network, images):
    pair = score_views(network, images, grid=GRID, num_samples=2, over="masked", paired=True)
    torch.testing.assert_close(pair.scores, torch.where(pair.masked[0], *pair.samples))


def test_an_image_has_the_same_scores_in_any_batch(network, images):
    both = score_views(network, images, [7, 8], grid=GRID).scores
    alone = score_views(network, images[1:], [8], grid=GRID).scores
    torch.testing.assert_close(alone[0], both[1])


@pytest.mark.parametrize(("keys", "grid"), [([0], GRID), ([0, 1], PatchGrid(96, 64, 128))])
def test_keys_and_grid_must_fit_the_images(network, images, keys, grid):
    with pytest.raises(ValueError, match=f"have {len(keys)} keys and a grid of {grid.height} x {grid.width} pixels"):
        score_views(network, images, keys, grid=grid)


def test_an_unknown_choice_of_samples_is_refused(network, images):
    with pytest.raises(ValueError, match="over is one of all, masked, excess; got 'mask'"):
        score_views(network, images, grid=GRID, over="mask")
