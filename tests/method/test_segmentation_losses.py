"""Segmentation losses and class weights, compared with other libraries and with oracles written from the text."""

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
from torch.nn import functional

from smir.errors import ConfigError
from smir.method.class_weights import given_weights, median_frequency_weights
from smir.method.segmentation_losses import CrossEntropyLoss, DiceLoss, FocalLoss, SoftJaccardLoss, SumOfLosses

VOID = 255
WEIGHTS = torch.tensor([0.2, 1.0, 3.0, 0.0])
LOSSES = [
    SoftJaccardLoss(),
    DiceLoss(),
    CrossEntropyLoss(),
    FocalLoss(),
    FocalLoss(gamma=0.5),
    SumOfLosses([DiceLoss(), FocalLoss()], [2.0, 0.5]),
]


@pytest.fixture
def batch():
    """Logits of four classes, the last of which is in no label, and labels with void (uint8, as from `smir.data`)."""
    chance = torch.Generator().manual_seed(3)
    logits = 2 * torch.randn(2, 4, 12, 10, generator=chance)
    label = torch.randint(0, 3, (2, 12, 10), generator=chance).to(torch.uint8)
    label[torch.rand(2, 12, 10, generator=chance) < 0.3] = VOID
    return logits, label


def labelled(logits, label):
    """Returns probabilities (N, C) and class ids (N,) of the pixels that are not void, in float64."""
    shares = logits.double().softmax(dim=1).permute(0, 2, 3, 1).numpy().reshape(-1, logits.shape[1])
    truth = label.numpy().ravel()
    return shares[truth != VOID], truth[truth != VOID]


def overlaps(logits, label):
    """Returns soft intersections, predicted pixels and present pixels (C,)."""
    shares, truth = labelled(logits, label)
    one_hot = np.eye(shares.shape[1])[truth]
    return (shares * one_hot).sum(axis=0), shares.sum(axis=0), one_hot.sum(axis=0)


def mean_of_present(overlap, present, weights):
    return np.average((1 - overlap) * (present > 0), weights=weights)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_jaccard_and_dice_equal_the_formula(batch, weights):
    both, predicted, present = overlaps(*batch)
    jaccard = (both + 1e-3) / (predicted + present - both + 1e-3)
    dice = (2 * both + 2e-3) / (predicted + present + 2e-3)
    for loss, overlap in ((SoftJaccardLoss(), jaccard), (DiceLoss(), dice)):
        assert float(loss(*batch, weights)) == pytest.approx(mean_of_present(overlap, present, weights), abs=1e-6)


@pytest.mark.parametrize(("own", "other"), [(SoftJaccardLoss, "JaccardLoss"), (DiceLoss, "DiceLoss")])
def test_jaccard_and_dice_without_void_equal_those_of_smp(batch, own, other):
    """The Jaccard loss of smp does not support void."""
    logits, label = batch
    label = label.masked_fill(label == VOID, 1)
    expected = getattr(smp.losses, other)("multiclass", smooth=1e-3)(logits, label.long())
    torch.testing.assert_close(own()(logits, label), expected, atol=1e-6, rtol=0)


def test_dice_with_void_equals_that_of_smp(batch):
    expected = smp.losses.DiceLoss("multiclass", smooth=1e-3, ignore_index=VOID)(batch[0], batch[1].long())
    torch.testing.assert_close(DiceLoss()(*batch), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_cross_entropy_equals_that_of_torch(batch, weights):
    expected = functional.cross_entropy(batch[0], batch[1].long(), weights, ignore_index=VOID)
    for loss in (CrossEntropyLoss(), FocalLoss(gamma=0)):
        torch.testing.assert_close(loss(*batch, weights), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_focal_loss_equals_the_formula(batch, gamma, weights):
    shares, truth = labelled(*batch)
    right = shares[np.arange(len(truth)), truth]
    counted = np.ones(4)[truth] if weights is None else weights.double().numpy()[truth]
    expected = np.average(-((1 - right) ** gamma) * np.log(right), weights=counted)
    assert float(FocalLoss(gamma)(*batch, weights)) == pytest.approx(expected, abs=1e-6)


def test_a_sum_of_losses_uses_its_weights(batch):
    parts = [DiceLoss()(*batch, WEIGHTS), CrossEntropyLoss()(*batch, WEIGHTS)]
    torch.testing.assert_close(
        SumOfLosses([DiceLoss(), CrossEntropyLoss()], [2.0, 0.5])(*batch, WEIGHTS), 2 * parts[0] + 0.5 * parts[1]
    )


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_void_pixels_and_batches_of_only_void_have_no_gradient(batch, loss, weights):
    logits, label = batch[0].requires_grad_(), batch[1]
    loss(logits, label, weights).backward()
    void = (label == VOID)[:, None].expand_as(logits)
    assert logits.grad[void].abs().max() == 0
    assert logits.grad[~void].abs().max() > 0
    logits.grad = None
    nothing = loss(logits, torch.full_like(label, VOID), weights)
    nothing.backward()
    assert nothing.item() == 0
    assert logits.grad.abs().max() == 0


@pytest.mark.parametrize("loss", LOSSES)
def test_perfect_and_hopeless_logits_have_finite_gradients(loss):
    label = torch.tensor([[[0, 1], [VOID, 1]]])
    right = functional.one_hot(label.masked_fill(label == VOID, 0), 4).permute(0, 3, 1, 2).float()
    for sign in (1, -1):
        logits = (200 * sign * right).requires_grad_()
        value = loss(logits, label)
        value.backward()
        assert value.isfinite()
        assert logits.grad.isfinite().all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SoftJaccardLoss(smooth=0), "smooth of SoftJaccardLoss must be positive and finite, got 0"),
        (lambda: FocalLoss(gamma=-1), "gamma of FocalLoss must be 0 or more and finite, got -1"),
        (lambda: SumOfLosses([]), "one loss or more"),
        (lambda: SumOfLosses([DiceLoss()], [1, 2]), r"got 1 losses and the factors \[1, 2\]"),
        (lambda: SumOfLosses([DiceLoss()], [-1]), "a positive one for each"),
        (lambda: given_weights([1, 2], "abc"), r"\[1, 2\] has 2 weights for the 3 classes a, b, c. .*\{c: 4\}"),
        (lambda: given_weights({"b": 2, "d": 4}, "abc"), "names 'd', but the classes are a, b, c"),
        (lambda: given_weights([1, -1, 1], "abc"), "must be 0 or more and finite"),
        (lambda: given_weights([1, float("nan"), 1], "abc"), "must be 0 or more and finite"),
        (lambda: given_weights([0, 0, 0], "abc"), "and not all 0"),
    ],
)
def test_impossible_arguments_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_class_weights_follow_names_or_median_frequencies():
    assert given_weights({"c": 4}, "abc") == [1, 1, 4]
    frequencies = np.array([0.7, 0.26, 0.04, 0.0, 0.001])
    median = np.median([0.7, 0.26, 0.04, 0.001])
    assert median_frequency_weights(frequencies) == pytest.approx([median / 0.7, median / 0.26, median / 0.04, 1, 10])
    assert median_frequency_weights(np.array([1.0, 1.0])) == [1, 1]
    assert median_frequency_weights(np.zeros(3)) == [1, 1, 1]
