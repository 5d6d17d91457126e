"""Scoring over all patches and over the masked ones alone, against a plain loop."""

import pytest
import torch

from smir.method.losses import patch_loss
from smir.method.masking import RandomMask
from smir.method.padding import padded_forward
from smir.method.preprocessing import Preprocessing
from smir.models.networks import UNetStride4
from smir.seeding import generator_for
from smir.training.reconstruction import ReconstructionModule


@pytest.fixture(scope="module")
def module():
    torch.manual_seed(0)

    def network(channels):
        return UNetStride4(channels, "tu-mobilenetv3_small_100", [16, 16, 16])

    return ReconstructionModule(network=network, preprocessing=Preprocessing(view_size=64)).eval()


def plain_scores(module, view, key, num_samples, over):
    """Scores (P,) of one view, patch by patch and sample by sample."""
    image = module.preprocessing.normalize(view[None])
    grid = module.preprocessing.grid(*view.shape[-2:])
    generator = generator_for(0, "score", 0, key)
    seen = [[] for _ in range(len(grid))]
    everywhere = [[] for _ in range(len(grid))]
    for _ in range(num_samples):
        masked = RandomMask()(grid=grid, generator=generator)
        with torch.no_grad():
            answer = padded_forward(module.network, image * ~grid.to_pixels(masked))
        for patch, loss in enumerate(patch_loss(answer, image, grid)[0].tolist()):
            everywhere[patch].append(loss)
            if masked[patch]:
                seen[patch].append(loss)
    if over == "masked":
        everywhere = [losses or fallback for losses, fallback in zip(seen, everywhere, strict=True)]
    return torch.tensor([sum(losses) / len(losses) for losses in everywhere])


@pytest.mark.parametrize("over", ["all", "masked"])
@pytest.mark.parametrize("num_samples", [1, 3])
def test_scores_equal_a_plain_loop(module, over, num_samples):
    """With one sample, half of the patches are never masked."""
    views = torch.randint(256, (2, 3, 64, 96), dtype=torch.uint8)
    scores = module.score_views(views, [7, 8], num_samples=num_samples, over=over).scores
    for view, key, found in zip(views, [7, 8], scores, strict=True):
        torch.testing.assert_close(found, plain_scores(module, view, key, num_samples, over), atol=1e-5, rtol=0)


def test_the_two_ways_of_scoring_differ(module):
    views = torch.randint(256, (1, 3, 64, 64), dtype=torch.uint8)
    ways = [module.score_views(views, [0], num_samples=5, over=over).scores for over in ("all", "masked")]
    assert not torch.allclose(*ways, atol=1e-3)


def test_a_pair_of_masks_covers_every_patch_once(module):
    views = torch.randint(256, (2, 3, 64, 96), dtype=torch.uint8)
    paired = module.score_views(views, [7, 8], num_samples=5, paired=True)
    plain = module.score_views(views, [7, 8], num_samples=3)
    assert torch.equal(paired.masked[::2], plain.masked)
    assert torch.equal(paired.masked[1::2], ~plain.masked[:2])
    torch.testing.assert_close(paired.samples[::2], plain.samples)


def test_a_pair_scores_each_patch_where_it_is_masked(module):
    views = torch.randint(256, (1, 3, 64, 64), dtype=torch.uint8)
    pair = module.score_views(views, [0], num_samples=2, over="masked", paired=True)
    torch.testing.assert_close(pair.scores, torch.where(pair.masked[0], *pair.samples))
