import itertools

import numpy as np
import pytest
import pytorch_msssim
import torch

from smir.errors import ConfigError
from smir.method import ssim
from smir.method.losses import LocalReconstructionLoss, MaskedReconstructionLoss, ReconstructionLoss, patch_loss
from smir.method.ms_ssim import SCALE_WEIGHTS, ms_ssim, product_over_scales
from smir.method.patches import PatchGrid
from smir.method.preprocessing import Preprocessing


@pytest.fixture(params=["as on a CPU", "as on a GPU"])
def layout(request, monkeypatch):
    """Tests both memory layouts for the blur, on the CPU."""
    monkeypatch.setattr(ssim, "_planes_innermost", lambda device: request.param == "as on a CPU")


def textured(*shape, seed=0):
    """Returns noise at several scales, with a deviation of about 1, so that no scale of MS-SSIM is trivial."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(shape, generator=generator)
    for factor in (4, 16, 64):
        coarse = torch.randn(*shape[:2], -(-shape[2] // factor), -(-shape[3] // factor), generator=generator)
        image += coarse.repeat_interleave(factor, -2).repeat_interleave(factor, -1)[..., : shape[2], : shape[3]]
    return image / 2


def close_to(target, share, seed=1):
    return (1 - share) * target + share * textured(*target.shape, seed=seed)


def reference_ms_ssim(prediction, target):
    return pytorch_msssim.ms_ssim(prediction, target, data_range=1, size_average=False)


# MS-SSIM


@pytest.mark.parametrize(
    ("size", "share"), [((161, 161), 0.05), ((192, 192), 0.7), ((163, 250), 0.4), ((255, 177), 0.2), ((256, 256), 0.4)]
)
def test_ms_ssim_equals_the_reference(size, share, layout):
    target = textured(2, 3, *size)
    prediction = close_to(target, share)
    ours, reference = ms_ssim(prediction, target), reference_ms_ssim(prediction, target)
    assert ours.shape == (2,)
    assert ours.min() > 0.01
    assert ours.max() < 0.999
    torch.testing.assert_close(ours, reference, atol=1e-5, rtol=0)


def test_ms_ssim_of_equal_images_is_one():
    target = textured(2, 3, 192, 192)
    torch.testing.assert_close(ms_ssim(target, target), torch.ones(2), atol=1e-6, rtol=0)


def test_ms_ssim_multiplies_scales_per_channel_and_then_averages_channels():
    target = textured(2, 3, 192, 192)
    prediction = close_to(target, 0.2)
    prediction[:, 1] = -target[:, 1]  # negatively correlated at every scale: this channel's product is 0
    each = [ms_ssim(prediction[:, c : c + 1], target[:, c : c + 1]) for c in range(3)]
    torch.testing.assert_close(each[1], torch.zeros(2), atol=1e-6, rtol=0)
    together = ms_ssim(prediction, target)
    torch.testing.assert_close(together, sum(each) / 3)
    torch.testing.assert_close(together, reference_ms_ssim(prediction, target), atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [(160, 256), (256, 160), (96, 96)])
def test_images_too_small_for_five_scales_are_refused(size):
    image = torch.zeros(1, 3, *size)
    with pytest.raises(ConfigError, match=f"161 pixels or more, got {size[0]} x {size[1]}"):
        ReconstructionLoss()(image, image)


# The loss of an image


@pytest.mark.parametrize("share", [0.1, 0.6])
def test_the_loss_is_l1_plus_one_minus_ms_ssim(share):
    target = textured(2, 3, 161, 176)
    prediction = close_to(target, share)
    expected = (prediction - target).abs().mean(dim=(1, 2, 3)) + 1 - reference_ms_ssim(prediction, target)
    loss = ReconstructionLoss()
    torch.testing.assert_close(loss.per_image(prediction, target), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(loss(prediction, target), expected.mean(), atol=1e-5, rtol=1e-5)


def test_the_loss_of_a_perfect_reconstruction_is_zero():
    target = textured(1, 3, 192, 192)
    assert ReconstructionLoss()(target, target).abs() < 1e-6


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_the_local_loss_is_l1_plus_one_minus_ssim_in_a_small_window(share):
    y = torch.rand(2, 3, 64, 48)
    z = share * torch.rand(2, 3, 64, 48) + (1 - share) * y
    ssim = pytorch_msssim.ssim(z, y, data_range=1, win_size=3, win_sigma=1.5, size_average=False)
    expected = (z - y).abs().mean(dim=(1, 2, 3)) + 1 - ssim
    torch.testing.assert_close(LocalReconstructionLoss().per_image(z, y), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(LocalReconstructionLoss()(z, y), expected.mean(), atol=1e-5, rtol=0)


def test_the_masked_loss_depends_only_on_masked_pixels():
    target, mask = textured(2, 3, 176, 176), torch.rand(2, 1, 176, 176) < 0.3
    prediction = close_to(target, 0.4).requires_grad_()
    found = MaskedReconstructionLoss().per_image(prediction, target, mask)
    for image in range(2):
        hidden = mask[image].expand(3, -1, -1)
        seen_as = torch.where(hidden, prediction[image], target[image])
        expected = (prediction[image] - target[image])[hidden].abs().mean() + 1
        expected -= reference_ms_ssim(seen_as[None], target[image][None])[0]
        torch.testing.assert_close(found[image], expected, atol=1e-5, rtol=1e-5)
    found.sum().backward()
    assert prediction.grad[~mask.expand_as(target)].abs().max() == 0
    assert prediction.grad[mask.expand_as(target)].abs().min() > 0


def test_the_masked_loss_is_zero_without_masked_pixels_and_needs_a_mask():
    target, prediction = textured(1, 3, 176, 176), torch.zeros(1, 3, 176, 176).bfloat16()
    nothing = torch.zeros(1, 1, 176, 176, dtype=torch.bool)
    assert MaskedReconstructionLoss()(prediction, target.bfloat16(), nothing).abs() < 1e-6
    with pytest.raises(ValueError, match="needs the mask"):
        MaskedReconstructionLoss()(prediction, target)


UNIT = Preprocessing(mean=(0.3, 0.4, 0.5), std=(0.2, 0.1, 0.25))


def in_unit_range(image):
    return image * torch.tensor(UNIT.std)[:, None, None] + torch.tensor(UNIT.mean)[:, None, None]


def test_ssim_in_the_unit_range_is_computed_on_denormalised_images():
    pixels = torch.randint(256, (2, 3, 176, 176), dtype=torch.uint8)
    target = UNIT.normalize(pixels)
    torch.testing.assert_close(UNIT.unit_range(target), pixels / 255)
    prediction = close_to(target, 0.1)
    expected = (prediction - target).abs().mean(dim=(1, 2, 3)) + 1
    expected -= reference_ms_ssim(in_unit_range(prediction), in_unit_range(target))
    found = ReconstructionLoss().per_image(prediction, target, ssim_input=UNIT.unit_range)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(found, ReconstructionLoss().per_image(prediction, target), atol=1e-2)


def test_the_gradient_equals_that_of_the_formula(layout):
    target = textured(1, 3, 176, 176).double()
    ours = close_to(target.float(), 0.4).double().requires_grad_()
    reference = ours.detach().clone().requires_grad_()
    ReconstructionLoss()(ours, target).backward()
    ((reference - target).abs().mean() + 1 - reference_ms_ssim(reference, target).mean()).backward()
    assert ours.grad.abs().max() > 1e-7
    torch.testing.assert_close(ours.grad, reference.grad, atol=1e-10, rtol=1e-5)


BLACK, WHITE = -2.1, 2.6  # 0 and 255 after normalisation
HARD_PAIRS = {
    "flat, both equal": lambda y: (torch.zeros_like(y), torch.zeros_like(y)),
    "flat, different": lambda y: (torch.full_like(y, 0.5), torch.full_like(y, -0.5)),
    "flat against texture": lambda y: (torch.zeros_like(y), y),
    "texture against flat": lambda y: (y, torch.zeros_like(y)),
    "black": lambda y: (y, torch.full_like(y, BLACK)),
    "black against white": lambda y: (torch.full_like(y, BLACK), torch.full_like(y, WHITE)),
    "saturated": lambda y: (torch.where(y > 0, WHITE, BLACK), torch.where(y > 0.5, WHITE, BLACK)),
    "half saturated": lambda y: (y, torch.where(torch.arange(y.shape[-1]) > 90, torch.full_like(y, WHITE), y)),
    "negatively correlated": lambda y: (-y, y),
    "equal": lambda y: (y.clone(), y),
    "an exploding network": lambda y: (300 * y, y),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", HARD_PAIRS)
def test_hard_images_have_finite_values_and_gradients(name, dtype):
    prediction, target = HARD_PAIRS[name](textured(1, 3, 176, 176))
    prediction = prediction.to(dtype).requires_grad_()
    with torch.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32):
        loss = ReconstructionLoss()(prediction, target)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    assert loss > -1e-5
    assert prediction.grad.isfinite().all()


WEIGHTS = torch.tensor(SCALE_WEIGHTS, dtype=torch.double)[:, None]


def test_the_product_over_scales_has_the_gradient_of_the_formula():
    similarities = torch.rand(5, 20, dtype=torch.double).clamp(min=0.01).requires_grad_()
    reference = similarities.detach().clone().requires_grad_()
    expected = (reference**WEIGHTS).prod(dim=0)
    found = product_over_scales(similarities)
    torch.testing.assert_close(found, expected)
    toward = torch.randn(20, dtype=torch.double)
    found.backward(toward)
    expected.backward(toward)
    torch.testing.assert_close(similarities.grad, reference.grad)


@pytest.mark.parametrize("scale", [0, 4])
def test_a_similarity_of_about_zero_has_an_exact_value_and_a_bounded_gradient(scale):
    # The true slope at 0 is infinite. Images with a similarity of exactly 0 are too rare to construct here.
    low = torch.tensor([-0.3, 0.0, 1e-30, 1e-9, 0.2, 1.0], dtype=torch.double)
    similarities = torch.full((5, len(low)), 0.5, dtype=torch.double)
    similarities[scale] = low
    similarities.requires_grad_()
    product = product_over_scales(similarities)
    others = 0.5 ** (1 - SCALE_WEIGHTS[scale])  # the weights sum to 1
    torch.testing.assert_close(product, others * low.clamp(min=0) ** SCALE_WEIGHTS[scale], atol=1e-12, rtol=1e-3)
    product.sum().backward()
    weight, slope = SCALE_WEIGHTS[scale], similarities.grad[scale]
    assert similarities.grad.isfinite().all()
    assert (slope[:4] == 0).all()
    torch.testing.assert_close(slope[4:], others * weight * low[4:] ** (weight - 1), atol=0, rtol=1e-3)
    other = similarities.grad[2, :2]  # at the scales other than the one that makes the product 0
    assert (other == 0).all()


def test_autocast_does_not_lower_the_precision_of_the_loss():
    target = textured(2, 3, 176, 176)
    prediction = close_to(target, 0.3).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        within = ReconstructionLoss()(prediction, target)
    assert within == ReconstructionLoss()(prediction.float(), target)


def test_training_works_after_a_validation_in_inference_mode():
    # Lightning validates in inference mode. Tensors that the loss caches then must also work in training.
    target = textured(1, 3, 166, 171)  # a size that only this test uses
    with torch.inference_mode():
        ReconstructionLoss()(torch.zeros_like(target), target)
    prediction = close_to(target, 0.5).requires_grad_()
    ReconstructionLoss()(prediction, target).backward()
    assert prediction.grad.abs().sum() > 0


def test_different_shapes_are_refused():
    with pytest.raises(ValueError, match="differ in shape"):
        ReconstructionLoss()(torch.zeros(2, 3, 192, 192), torch.zeros(1, 3, 192, 192))


# The loss of a patch


def patch_by_patch(prediction, target, grid, absolute=True):
    """METHOD.md section 3, literally: cuts every patch out, and computes SSIM only inside it."""
    gaussian = np.exp(-(np.array([-1.0, 0.0, 1.0]) ** 2) / (2 * 1.5**2))
    kernel = np.outer(gaussian, gaussian) / gaussian.sum() ** 2

    def blur(values):
        return np.einsum("cijkl,kl->cij", np.lib.stride_tricks.sliding_window_view(values, (3, 3), axis=(1, 2)), kernel)

    c1, c2 = 0.01**2, 0.03**2
    scores = np.zeros((len(prediction), len(grid)))
    boxes = list(itertools.product(itertools.pairwise(grid.row_edges), itertools.pairwise(grid.col_edges)))  # row-major
    for image, (patch, ((top, bottom), (left, right))) in itertools.product(range(len(prediction)), enumerate(boxes)):
        z = prediction[image, :, top:bottom, left:right].double().numpy()
        y = target[image, :, top:bottom, left:right].double().numpy()
        mean_z, mean_y = blur(z), blur(y)
        var_z, var_y = blur(z * z) - mean_z**2, blur(y * y) - mean_y**2
        covariance = blur(z * y) - mean_z * mean_y
        ssim = (2 * mean_z * mean_y + c1) * (2 * covariance + c2)
        ssim /= (mean_z**2 + mean_y**2 + c1) * (var_z + var_y + c2)
        scores[image, patch] = absolute * np.abs(z - y).mean() + 1 - ssim.mean()
    return torch.from_numpy(scores)


@pytest.mark.parametrize(
    ("height", "width", "num_patches", "images"),
    [(256, 256, 512, 2), (256, 384, 512, 1), (341, 256, 512, 1), (60, 90, 16, 2), (64, 64, 512, 1)],
)
def test_patch_loss_equals_cutting_every_patch_out(height, width, num_patches, images, layout):
    grid = PatchGrid(height, width, num_patches)
    target = textured(images, 3, height, width)
    prediction = close_to(target, 0.4)
    ours = patch_loss(prediction, target, grid)
    assert ours.shape == (images, len(grid))
    assert ours.dtype == torch.float32
    assert ours.std() > 0.01
    torch.testing.assert_close(ours.double(), patch_by_patch(prediction, target, grid), atol=1e-5, rtol=0)


def test_patch_loss_uses_ssim_in_the_unit_range_if_asked():
    grid = PatchGrid(60, 90, 16)
    target = textured(2, 3, 60, 90)
    prediction = close_to(target, 0.4)
    absolute = patch_by_patch(prediction, target, grid) - patch_by_patch(prediction, target, grid, absolute=False)
    expected = absolute + patch_by_patch(in_unit_range(prediction), in_unit_range(target), grid, absolute=False)
    found = patch_loss(prediction, target, grid, UNIT.unit_range)
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=0)


def test_a_patch_is_scored_only_by_its_own_pixels():
    grid = PatchGrid(96, 120, 64)
    target = textured(1, 3, 96, 120)
    prediction = close_to(target, 0.4)
    changed = prediction.clone()
    top, left, bottom, right = grid.boxes[11].tolist()
    changed[..., top:bottom, left:right] += 1
    differs = ~torch.isclose(patch_loss(prediction, target, grid), patch_loss(changed, target, grid), atol=1e-5)
    assert differs.nonzero().tolist() == [[0, 11]]


def test_patch_loss_is_computed_in_float32_under_autocast():
    grid = PatchGrid(96, 96, 64)
    target = textured(1, 3, 96, 96)
    prediction = close_to(target, 0.4).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        within = patch_loss(prediction, target, grid)
    assert torch.equal(within, patch_loss(prediction.float(), target, grid))


def test_patch_loss_is_finite_on_flat_images():
    grid = PatchGrid(96, 96, 64)
    flat = torch.full((1, 3, 96, 96), BLACK)
    torch.testing.assert_close(patch_loss(flat, flat, grid), torch.zeros(1, len(grid)), atol=1e-6, rtol=0)
    assert patch_loss(flat, -flat, grid).isfinite().all()


@pytest.mark.parametrize(
    ("prediction", "target", "message"),
    [((1, 3, 96, 90), (1, 3, 96, 90), "the grid is"), ((1, 3, 96, 96), (2, 3, 96, 96), "differ in shape")],
)
def test_patch_loss_refuses_shapes_that_do_not_fit(prediction, target, message):
    with pytest.raises(ValueError, match=message):
        patch_loss(torch.zeros(prediction), torch.zeros(target), PatchGrid(96, 96, 64))


@pytest.mark.parametrize("value", [20.0, 60.0, 700.0])
def test_large_values_leave_a_loss_finite_and_in_its_range(value):
    target = torch.zeros(1, 3, 192, 192)
    target[..., 64:128, 64:128] = value
    prediction = (target + 0.01 * torch.randn(target.shape, generator=torch.manual_seed(0))).requires_grad_()
    loss = patch_loss(prediction, target, PatchGrid(192, 192, 64))  # 1 - SSIM, and 0.01 of |z - y|
    assert loss.min() >= 0
    assert loss.max() < 2.1
    whole = ms_ssim(prediction, target)
    assert 0 <= whole <= 1
    whole.sum().backward()
    assert prediction.grad.isfinite().all()
