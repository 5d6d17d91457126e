"""The pretraining module: the input of its network, its losses and its scores."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from smir.errors import ConfigError
from smir.method import (
    LocalReconstructionLoss,
    MaskedReconstructionLoss,
    Preprocessing,
    ReconstructionLoss,
    patch_loss,
    score_views,
)
from smir.method.baselines import inpaint
from smir.models import UNetStride4
from smir.training import ReconstructionModule

SIDE = 192


def small(out_channels):
    return UNetStride4(out_channels, "tu-test_efficientnet", [16, 16, 16])


@pytest.fixture
def module():
    torch.manual_seed(0)
    made = ReconstructionModule(network=small, preprocessing=Preprocessing(view_size=SIDE)).eval()
    made.log = lambda *args, **kwargs: None
    return made


@pytest.fixture(scope="module")
def batch():
    generator = torch.Generator().manual_seed(1)
    return {
        "image": torch.randint(256, (2, 3, SIDE, SIDE), dtype=torch.uint8, generator=generator),
        "mask": torch.rand(2, 1, SIDE, SIDE, generator=generator) < 0.5,
        "weight": torch.tensor([1.0, 0.0]),
    }


def test_the_network_does_not_see_masked_pixels(module, batch):
    image, mask = module.preprocessing.normalize(batch["image"]), batch["mask"]
    changed = torch.where(mask, torch.randn_like(image), image)
    assert torch.equal(module(image, mask), module(changed, mask))
    assert not torch.equal(module(image, mask), module(changed, ~mask))


@pytest.mark.parametrize("loss", [ReconstructionLoss(), LocalReconstructionLoss()])
def test_the_training_loss_is_computed_over_the_whole_image(module, batch, loss):
    module.loss = loss
    image = module.preprocessing.normalize(batch["image"])
    expected = loss(module.network(image * ~batch["mask"]), image)
    torch.testing.assert_close(module.training_step(batch, 0), expected)


def test_the_loss_of_masked_pixels_uses_the_mask_of_the_batch(module, batch):
    module.loss = MaskedReconstructionLoss()
    image = module.preprocessing.normalize(batch["image"])
    expected = module.loss(module.network(image * ~batch["mask"]), image, batch["mask"])
    torch.testing.assert_close(module.training_step(batch, 0), expected)


def test_ssim_in_the_unit_range_applies_to_training_and_scores(batch):
    torch.manual_seed(0)
    preprocessing = Preprocessing(view_size=SIDE)
    module = ReconstructionModule(network=small, preprocessing=preprocessing, ssim_unit_range=True).eval()
    module.log = lambda *args, **kwargs: None
    image = preprocessing.normalize(batch["image"])
    loss = ReconstructionLoss().per_image(module(image, batch["mask"]), image, ssim_input=preprocessing.unit_range)
    torch.testing.assert_close(module.training_step(batch, 0), loss.mean())
    scored = module.score_views(batch["image"], [3, 4], num_samples=1)
    expected = patch_loss(scored.reconstruction, image, scored.grid, preprocessing.unit_range)
    torch.testing.assert_close(scored.scores, expected)


@pytest.mark.parametrize("step", ["validation_step", "test_step"])
def test_images_of_weight_zero_count_in_no_metric(module, batch, step):
    getattr(module, step)(batch, 0)
    first = {name: values[:1] for name, values in batch.items()}
    expected = module.training_step(first, 0)
    metric = module.val_loss if step == "validation_step" else module.test_loss
    torch.testing.assert_close(metric.compute(), expected.detach())


def test_validation_compares_with_mean_fill_and_inpainting(module, batch):
    module.validation_step(batch, 0)
    image, mask = module.preprocessing.normalize(batch["image"][:1]), batch["mask"][:1]
    visible_kept = torch.where(mask, torch.zeros_like(image), image)
    torch.testing.assert_close(module.val_mean_fill.compute(), ReconstructionLoss()(visible_kept, image))
    torch.testing.assert_close(module.val_inpaint.compute(), ReconstructionLoss()(inpaint(image, mask), image))


def test_scores_equal_those_of_the_method(module, batch):
    image = module.preprocessing.normalize(batch["image"])
    found = module.score_views(batch["image"], [3, 4], num_samples=2, seed=9).scores
    expected = score_views(module.network, image, [3, 4], num_samples=2, seed=9).scores
    assert torch.equal(found, expected)


def test_an_image_of_any_size_is_scored_over_its_whole_view(module):
    image = np.random.default_rng(0).integers(0, 256, (400, 500, 3), dtype=np.uint8)
    view = torch.from_numpy(module.preprocessing.view(image)).permute(2, 0, 1)[None]
    assert view.shape[-2:] == (SIDE, 240)
    assert torch.equal(module.score(image, num_samples=2), module.score_views(view, [0], num_samples=2).scores[0])


def test_the_validation_loss_is_nan_if_that_of_one_image_is():
    module = ReconstructionModule(network=small)
    module.val_loss.update(torch.tensor([1.0, float("nan")]))
    assert module.val_loss.compute().isnan()


def test_a_loss_that_overrides_what_training_does_not_call_is_refused():
    class Squared(ReconstructionLoss):
        def forward(self, prediction, target, mask=None):
            return ((prediction - target) ** 2).mean()

    with pytest.raises(ConfigError, match=r"Squared overrides forward, .* Override per_image"):
        ReconstructionModule(loss=Squared(), network=small)


def test_a_loss_that_does_not_return_one_value_an_image_is_refused(module, batch):
    class Pixels(ReconstructionLoss):
        def per_image(self, prediction, target, mask=None, ssim_input=None):
            return (prediction - target).abs()

    module.loss = Pixels()
    with pytest.raises(ConfigError, match=r"per_image of Pixels returned a tensor of shape \(2, 3, 192, 192\) for 2"):
        module.training_step(batch, 0)


def test_a_scheduler_of_ones_own_is_refused_but_not_that_of_a_callback():
    """Lightning's callback for stochastic weight averaging makes one for its last epochs."""

    class Stepped(ReconstructionModule):
        def configure_optimizers(self):
            return super().configure_optimizers()

        def lr_share(self, epoch):
            raise StopIteration  # nothing was refused

    class Averaged(ReconstructionModule):
        lr_share = Stepped.lr_share

    for kind, error, text in (
        (Stepped, ConfigError, "of Stepped returns a learning-rate"),
        (Averaged, StopIteration, ""),
    ):
        module = kind(network=small)
        module.trainer = SimpleNamespace(lr_scheduler_configs=["scheduler"], current_epoch=0)
        with pytest.raises(error, match=text):
            module.on_train_epoch_start()
