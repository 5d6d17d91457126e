"""Boundary IoU and IoU by object size, compared with loops written from their definitions."""

import cv2
import numpy as np
import pytest
import torch
from scipy import ndimage

from smir.models.iou import ConfusionMatrix
from smir.models.object_iou import PARTS, ObjectIoU

VOID, C = 255, 4


def blobs(seed, shape=(90, 120), images=3):
    """Returns predictions and labels with overlapping regions of many sizes, and void."""
    chance = np.random.default_rng(seed)
    smooth = [ndimage.gaussian_filter(chance.random((images, C, *shape)), (0, 0, s, s)) for s in (1.5, 5)]
    labels = (smooth[0] + 2 * smooth[1]).argmax(axis=1).astype(np.uint8)
    predictions = (smooth[0] + 4 * smooth[1] + chance.normal(0, 0.03, smooth[0].shape)).argmax(axis=1)
    labels[ndimage.gaussian_filter(chance.random(labels.shape), (0, 3, 3)) > 0.56] = VOID
    return predictions, labels


def counted(predictions, labels, weights=None, background=0, num_classes=C):
    """Returns intersections and unions by part."""
    metric = ObjectIoU(num_classes, background)
    weights = np.ones(len(labels)) if weights is None else weights
    for batch in zip(*(np.array_split(part, 2) for part in (predictions, labels, weights)), strict=True):
        metric.update(*map(torch.from_numpy, batch))
    return dict(zip(PARTS, metric.compute().numpy().transpose(1, 0, 2), strict=True))


def mask_to_boundary(mask):
    """Returns the boundary as the reference implementation of Cheng et al. does."""
    distance = max(1, round(0.02 * np.sqrt(mask.shape[0] ** 2 + mask.shape[1] ** 2)))
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    inner = cv2.erode(padded, np.ones((3, 3), dtype=np.uint8), iterations=distance)[1:-1, 1:-1]
    return mask & (inner == 0)


def size_of(area, pixels):
    return 0 if area * 300 < pixels else 1 if area * 100 < 3 * pixels else 2


def by_size(found, truth):
    """Returns intersections and unions of one class, region by region."""
    objects, regions = (ndimage.label(mask, np.ones((3, 3)))[0] for mask in (truth, found))
    result = np.zeros((2, 3), dtype=int)
    areas = {number: int((objects == number).sum()) for number in range(1, objects.max() + 1)}
    for number, area in areas.items():
        result[:, size_of(area, truth.size)] += [int((found & (objects == number)).sum()), area]
    for number in range(1, regions.max() + 1):
        region = regions == number
        touched = [(int((region & (objects == other)).sum()), area) for other, area in areas.items()]
        overlap, area = max(touched, default=(0, 0))
        result[1, size_of(area if overlap else int(region.sum()), truth.size)] += int((region & ~truth).sum())
    return result


@pytest.mark.parametrize("seed", range(4))
def test_parts_equal_the_naive_loops(seed):
    predictions, labels = blobs(seed)
    found = counted(predictions, labels)
    expected = {part: np.zeros((2, C), dtype=int) for part in PARTS}
    for prediction, label in zip(predictions, labels, strict=True):
        for number in range(C):
            masks = (prediction == number) & (label != VOID), label == number
            edges = [mask_to_boundary(mask) for mask in masks]
            expected["boundary"][:, number] += [(edges[0] & edges[1]).sum(), (edges[0] | edges[1]).sum()]
            for part, counts in zip(PARTS[1:], by_size(*masks).T if number else (), strict=bool(number)):
                expected[part][:, number] += counts
    for part in PARTS:
        np.testing.assert_array_equal(found[part], expected[part], err_msg=part)
        assert found[part][1, 1:].min() > 0


def test_the_sizes_add_up_to_the_plain_iou():
    predictions, labels = blobs(9)
    found = counted(predictions, labels, background=None)
    confusion = ConfusionMatrix(C)
    confusion.update(*map(torch.from_numpy, (predictions, labels)), torch.ones(len(labels)))
    pixels = confusion.compute().numpy()
    total = sum(found[part] for part in PARTS[1:])
    np.testing.assert_array_equal(total, [pixels.diagonal(), pixels.sum(0) + pixels.sum(1) - pixels.diagonal()])


def test_void_and_images_of_weight_zero_do_not_count():
    predictions, labels = blobs(5)
    found = counted(predictions, labels, np.array([1, 0, 1]))
    other = np.where(labels == VOID, (predictions + 1) % C, predictions)
    expected = counted(other[[0, 2]], labels[[0, 2]])
    assert all((found[part] == expected[part]).all() for part in PARTS)


def test_the_boundary_of_a_square_equals_that_computed_by_hand():
    """Images of 60 x 80 have a diagonal of 100, so a boundary is 2 pixels wide, also at the image's border."""
    label, prediction = np.zeros((2, 1, 60, 80), dtype=np.uint8)
    label[0, 10:30, :20] = 1
    prediction[0, 10:30, 1:21] = 1
    one, other = np.zeros((2, 60, 80), dtype=bool)
    one[10:30, :20], one[12:28, 2:18] = True, False
    other[10:30, 1:21], other[12:28, 3:19] = True, False
    assert counted(prediction, label)["boundary"][:, 1].tolist() == [(one & other).sum(), (one | other).sum()]
    assert counted(label, label)["boundary"][:, 1].tolist() == [20 * 20 - 16 * 16] * 2


def test_the_size_of_an_object_is_its_share_of_the_image():
    """Of 60 x 50 pixels, an object of 10 is medium and one of 90 is large."""
    label = np.zeros((1, 60, 50), dtype=np.uint8)
    label[0, 0, :9] = label[0, 10, :10] = 1
    label[0, 20:29, :10] = label[0, 40:50, :9] = 2
    label[0, 49, 8] = 0
    found = counted(np.zeros_like(label), label)
    assert [found[part][1, 1:].tolist() for part in PARTS[1:]] == [[9, 0, 0], [10, 89, 0], [0, 90, 0]]
    assert found["small"][:, 0].tolist() == [0, 0]


def test_wrong_pixels_count_for_the_object_that_their_region_overlaps_most():
    label = np.zeros((1, 60, 50), dtype=np.uint8)
    label[0, 0, :5] = 1  # small
    label[0, 2:12, :10] = 1  # large
    prediction = np.zeros_like(label)
    prediction[0, 0:4, 4] = 1  # one pixel of the small object, one between, two of the large one
    prediction[0, 50, 40:45] = 1  # touches no object, small
    found = counted(prediction, label)
    assert found["small"][:, 1].tolist() == [1, 5 + 5]
    assert found["large"][:, 1].tolist() == [2, 100 + 1]
