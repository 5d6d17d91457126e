"""The code for GPUs on a pretended GPU: tensors of CPU and GPU are not mixed, and training steps do not wait."""

from types import SimpleNamespace

import pytest
import torch
from pretend_gpu import OnGPU, PretendGPU, to_gpu

from smir.classes import VOID, Classes
from smir.method.losses import LocalReconstructionLoss
from smir.method.masking import HardestMask, MixedMask, ProportionalMask
from smir.method.ms_ssim import _MeanContrast, _ProductOverScales
from smir.models.networks import UNetStride4
from smir.training.bad_numbers import FiniteNumbers
from smir.training.health import mask_agreement
from smir.training.pictures import reconstruction_panel
from smir.training.reconstruction import ReconstructionModule
from smir.training.segmentation import SegmentationModule

SIDE = 192


def small(out_channels):
    return UNetStride4(out_channels, "tu-test_efficientnet", [16, 16, 16])


def two_images():
    """Two images, with the mask, label and weights that the tasks need."""
    generator = torch.Generator().manual_seed(0)
    label = torch.randint(3, (2, SIDE, SIDE), generator=generator, dtype=torch.uint8)
    label[:, :8] = VOID
    return {
        "image": torch.randint(256, (2, 3, SIDE, SIDE), generator=generator, dtype=torch.uint8),
        "mask": torch.rand(2, 1, SIDE, SIDE, generator=generator) > 0.5,
        "label": label,
        "view_label": label,
        "weight": torch.tensor([1.0, 0.0]),
    }


def on_both(module, work):
    """Returns the results of a function of (module, batch) on CPU and pretended GPU, and where the GPU step waits.

    The first step creates constants, so the second one counts.
    """
    module.log = lambda *args, **kwargs: None
    with torch.no_grad():
        expected = work(module, two_images())
        on_gpu = {name: OnGPU(values) for name, values in two_images().items()}
        to_gpu(module)
        with PretendGPU() as gpu:
            work(module, on_gpu)
            gpu.waits.clear()
            found = work(module, on_gpu)
    return expected, found, gpu.waits


def close(found, expected):
    assert isinstance(found, OnGPU)
    torch.testing.assert_close(found.inner, expected, atol=1e-4, rtol=1e-4)


@pytest.fixture
def pretrain():
    torch.manual_seed(0)
    return ReconstructionModule(network=small).eval()  # without dropout, so that results can be compared


@pytest.fixture
def segment():
    torch.manual_seed(0)
    return SegmentationModule(Classes.named(["soil", "crop", "weed"]), network=small).eval()


def test_tensors_of_the_cpu_and_the_gpu_are_not_mixed():
    with PretendGPU(), pytest.raises(RuntimeError, match="add mixes tensors"):
        OnGPU(torch.ones(2)) + torch.ones(2)


def test_float64_is_refused():
    with PretendGPU(), pytest.raises(TypeError, match="makes a float64"):
        OnGPU(torch.ones(2)).double()


def test_operations_that_wait_for_the_gpu_are_recorded():
    with PretendGPU() as gpu:
        there = torch.ones(2).to("cuda")
        float(there.sum())
        torch.ones(2).to("cuda", non_blocking=True)
    assert [wait.split(" at ")[0] for wait in gpu.waits] == ["_to_copy", "_local_scalar_dense"]


@pytest.mark.parametrize("local", [False, True])
def test_a_pretraining_step_equals_that_on_the_cpu_and_does_not_wait(pretrain, local):
    if local:
        pretrain.loss = LocalReconstructionLoss()
    expected, found, waits = on_both(pretrain, lambda module, batch: module.training_step(batch, 0))
    close(found, expected)
    assert waits == []


def test_a_segmentation_step_equals_that_on_the_cpu_and_does_not_wait(segment):
    expected, found, waits = on_both(segment, lambda module, batch: module.training_step(batch, 0))
    close(found, expected)
    assert waits == []


@pytest.mark.parametrize("paired", [False, True])
def test_scoring_equals_that_on_the_cpu_and_does_not_wait(pretrain, paired):
    def work(module, batch):
        return module.score_views(batch["image"], [3, 4], num_samples=2, paired=paired)

    expected, found, waits = on_both(pretrain, work)
    close(found.scores, expected.scores)
    assert waits == []
    with PretendGPU():
        assert torch.equal(mask_agreement(found.samples, 20).cpu(), mask_agreement(expected.samples, 20))


def test_masks_and_pictures_equal_those_on_the_cpu(pretrain):
    def work(module, batch):
        scored = module.score_views(batch["image"], [3, 4], num_samples=1)
        masks = [HardestMask()(grid=scored.grid, scores=scored.scores).cpu()]
        for policy in (MixedMask(), ProportionalMask()):
            generator = torch.Generator().manual_seed(0)
            masks.append(policy(grid=scored.grid, scores=scored.scores, generator=generator).cpu())
        return masks, reconstruction_panel(module.preprocessing, scored, "chosen mask", masks[0])

    (expected, panel), (found, panel_there), _ = on_both(pretrain, work)
    assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))
    assert abs(panel.astype(int) - panel_there.astype(int)).max() <= 1


@pytest.mark.parametrize("step", ["validation_step", "test_step"])
def test_the_evaluation_of_a_segmentation_equals_that_on_the_cpu(segment, step):
    def work(module, batch):
        getattr(module, step)(batch, 0)
        confusion = module.val_confusion if step == "validation_step" else module.test_confusion["native"]
        counts = confusion.counts.cpu()
        confusion.reset()
        return counts

    expected, found, _ = on_both(segment, work)
    assert expected.sum() == (SIDE - 8) * SIDE
    assert torch.equal(found, expected)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_figures_at_the_end_of_an_epoch_equal_those_on_the_cpu(segment, split):
    def work(module, batch):
        logged = {}
        module.log = lambda name, value, **options: logged.update({name: value})
        getattr(module, f"{split}_step")(batch, 0)
        getattr(module, f"on_{split}_epoch_end")()
        return logged

    expected, found, _ = on_both(segment, work)
    assert len(expected) > 5
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, equal_nan=True)


def test_the_validation_of_a_pretraining_equals_that_on_the_cpu(pretrain):
    def work(module, batch):
        module.val_loss.reset()
        module.validation_step(batch, 0)
        return module.val_loss.compute().cpu()

    expected, found, _ = on_both(pretrain, work)
    torch.testing.assert_close(found, expected)


def test_gradients_written_by_hand_equal_those_on_the_cpu():
    def both(function, *values):
        context = SimpleNamespace()
        context.save_for_backward = lambda *kept: setattr(context, "saved_tensors", kept)
        return function.backward(context, function.forward(context, *values))

    z, y = torch.rand(1, 6, 40, 40), torch.rand(1, 6, 40, 40)
    similarities = torch.rand(5, 6)
    expected = both(_MeanContrast, z, y)[0], both(_ProductOverScales, similarities)
    with PretendGPU():
        found = both(_MeanContrast, OnGPU(z), OnGPU(y))[0], both(_ProductOverScales, OnGPU(similarities))
    close(found[0], expected[0])
    close(found[1], expected[1])


def test_numbers_that_are_not_finite_are_recorded_without_waiting():
    watch = FiniteNumbers()
    with PretendGPU() as gpu:
        watch.on_train_epoch_start(None, SimpleNamespace(device=torch.device("cpu")))
        watch._first, watch._current = OnGPU(watch._first), 7
        for value in (1.0, float("nan"), 2.0):
            watch.on_before_backward(None, None, OnGPU(torch.tensor(value)))
            watch._current += 1
        assert gpu.waits == []
        assert int(watch._first) == 8
