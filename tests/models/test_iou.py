import math

import numpy as np
import pytest
import torch

from smir.models.iou import ConfusionMatrix, iou_from_confusion

VOID = 255


def naive(predictions, labels, num_classes):
    """Returns the IoU of every class over a whole split, class by class and image by image."""
    result = []
    for number in range(num_classes):
        intersection = union = 0
        for prediction, label in zip(predictions, labels, strict=True):
            counted = label != VOID
            intersection += np.sum((prediction == number) & (label == number) & counted)
            union += np.sum(((prediction == number) | (label == number)) & counted)
        result.append(intersection / union if union else math.nan)
    return result


def measured(predictions, labels, num_classes, weights=None, batch_size=3):
    confusion = ConfusionMatrix(num_classes)
    weights = np.ones(len(labels)) if weights is None else weights
    for start in range(0, len(labels), batch_size):
        batch = [torch.from_numpy(np.asarray(a[start : start + batch_size])) for a in (predictions, labels, weights)]
        confusion.update(*batch)
    return iou_from_confusion(confusion.compute())


def split(num_classes, images=7, seed=0, shape=(20, 30)):
    """Returns predictions that are mostly right, and labels with void."""
    chance = np.random.default_rng(seed)
    labels = chance.integers(0, num_classes, (images, *shape)).astype(np.uint8)
    wrong = chance.random(labels.shape) < 0.3
    predictions = np.where(wrong, chance.integers(0, num_classes, labels.shape), labels).astype(np.int64)
    labels[chance.random(labels.shape) < 0.1] = VOID
    return predictions, labels


@pytest.mark.parametrize("num_classes", [2, 3, 21])
@pytest.mark.parametrize("seed", range(3))
def test_iou_equals_the_naive_loop(num_classes, seed):
    predictions, labels = split(num_classes, seed=seed)
    expected = naive(predictions, labels, num_classes)
    result = measured(predictions, labels, num_classes)
    np.testing.assert_allclose(result.per_class.numpy(), expected, rtol=1e-12)
    assert result.mean.item() == pytest.approx(np.mean(expected))
    assert result.std.item() == pytest.approx(np.std(expected, ddof=1))
    assert result.lowest.item() == pytest.approx(min(expected))


@pytest.mark.parametrize("batch_size", [1, 2, 7])
def test_iou_is_counted_over_the_whole_split(batch_size):
    predictions, labels = split(4)
    labels[0], predictions[0] = 0, 0  # one image has a single class, so a mean over images would differ
    expected = naive(predictions, labels, 4)
    np.testing.assert_allclose(measured(predictions, labels, 4, batch_size=batch_size).per_class, expected)


def test_absent_classes_are_missing_and_left_out():
    labels = np.array([[[0, 0, 1, 1]]], dtype=np.uint8)
    predictions = np.array([[[0, 1, 1, 1]]])
    result = measured(predictions, labels, 4)
    np.testing.assert_allclose(result.per_class, [1 / 2, 2 / 3, math.nan, math.nan])
    assert result.mean.item() == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert result.std.item() == pytest.approx((2 / 3 - 1 / 2) / math.sqrt(2))
    assert result.lowest.item() == pytest.approx(1 / 2)


def test_a_class_that_is_only_predicted_counts_as_zero():
    labels = np.array([[[0, 0, 1, 1]]], dtype=np.uint8)
    predictions = np.array([[[0, 2, 1, 1]]])
    result = measured(predictions, labels, 4)
    np.testing.assert_allclose(result.per_class, [1 / 2, 1, 0, math.nan])
    assert result.mean.item() == pytest.approx(1 / 2)
    assert result.lowest == 0


def test_a_class_that_is_only_predicted_on_void_is_absent():
    labels = np.array([[[0, 0, 1, VOID]]], dtype=np.uint8)
    predictions = np.array([[[0, 0, 1, 2]]])
    np.testing.assert_array_equal(measured(predictions, labels, 3).per_class, [1, 1, math.nan])


def test_void_pixels_do_not_count_for_any_prediction():
    predictions, labels = split(3)
    other = np.where(labels == VOID, (predictions + 1) % 3, predictions)
    assert (other != predictions).any()
    assert torch.equal(measured(predictions, labels, 3).per_class, measured(other, labels, 3).per_class)


def test_images_of_weight_zero_do_not_count():
    predictions, labels = split(3, images=6)
    weights = np.array([1, 0, 1, 1, 0, 0], dtype=np.float32)
    kept = weights > 0
    result = measured(predictions, labels, 3, weights)
    assert torch.equal(result.per_class, measured(predictions[kept], labels[kept], 3).per_class)
    assert not torch.equal(result.per_class, measured(predictions, labels, 3).per_class)


def test_a_single_class_has_no_standard_deviation():
    result = measured(np.zeros((1, 4, 4), int), np.zeros((1, 4, 4), np.uint8), 3)
    assert result.mean == 1
    assert result.std.isnan()


def test_an_empty_confusion_matrix_gives_nan():
    result = iou_from_confusion(torch.zeros(3, 3, dtype=torch.long))
    assert result.per_class.isnan().all()
    assert result.mean.isnan()
    assert result.std.isnan()
    assert result.lowest.isnan()


def test_rows_of_the_matrix_are_labels():
    confusion = ConfusionMatrix(3)
    confusion.update(torch.tensor([[[2, 2, 1]]]), torch.tensor([[[0, 0, 1]]], dtype=torch.uint8), torch.ones(1))
    assert confusion.compute().tolist() == [[0, 0, 2], [0, 1, 0], [0, 0, 0]]
    confusion.reset()
    assert confusion.counts.sum() == 0


def test_iou_is_exact_for_more_pixels_than_float32_can_count():
    counts = torch.tensor([[2**33 + 1, 1], [0, 2**33]])
    result = iou_from_confusion(counts)
    assert result.per_class[0].item() == (2**33 + 1) / (2**33 + 2)
