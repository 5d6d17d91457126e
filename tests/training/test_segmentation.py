"""The downstream formulas of METHOD.md section 5, compared with oracles written from the text."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fakes import photo
from torch.nn import functional

from smir.classes import VOID, Classes
from smir.errors import ConfigError, DataError
from smir.files.pages.overlays import CAPTION, GAP, blend, heat_map, overlay_panel
from smir.method.preprocessing import Preprocessing
from smir.method.segmentation_losses import CrossEntropyLoss, DiceLoss, SoftJaccardLoss, SumOfLosses
from smir.models.networks import UNetStride4
from smir.training.segmentation import SegmentationModule


@pytest.fixture(scope="module")
def module():
    torch.manual_seed(0)
    classes = Classes.named(["soil", "crop", "weed", "rare"])
    return SegmentationModule(
        classes, network=lambda channels: UNetStride4(channels, "tu-test_efficientnet", [16, 16, 16])
    ).eval()


def jaccard(logits, label, num_classes):
    """Returns the class mean of 1 - (intersection + s) / (union + s) over all pixels of the batch that are not void."""
    counted = (label != VOID).flatten()
    shares = logits.softmax(dim=1).permute(0, 2, 3, 1).flatten(0, 2)[counted]
    truth = label.flatten()[counted]
    losses = []
    for class_id in range(num_classes):
        of_class = (truth == class_id).float()
        intersection = (shares[:, class_id] * of_class).sum()
        union = shares[:, class_id].sum() + of_class.sum() - intersection
        absent = of_class.sum() == 0
        losses.append(torch.tensor(0.0) if absent else 1 - (intersection + 1e-3) / (union + 1e-3))
    return torch.stack(losses).mean()


def test_loss_is_the_soft_jaccard_without_void(module):
    torch.manual_seed(1)
    logits = torch.randn(2, 4, 32, 32) * 3
    label = torch.randint(0, 3, (2, 32, 32))  # class 3 is absent: it adds 0 and stays in the mean
    label[0, :8] = VOID
    assert float(module.loss(logits, label)) == pytest.approx(float(jaccard(logits, label, 4)), abs=1e-5)


def test_void_pixels_have_no_gradient(module):
    logits = torch.randn(1, 4, 16, 16, requires_grad=True)
    label = torch.zeros(1, 16, 16, dtype=torch.long)
    label[0, :, :8] = VOID
    module.loss(logits, label).backward()
    assert logits.grad[..., :8].abs().max() == 0
    assert logits.grad[..., 8:].abs().max() > 0


def test_a_test_counts_at_the_view_and_at_the_size_of_the_labels(module):
    torch.manual_seed(2)
    image = torch.randint(0, 255, (1, 3, 256, 320), dtype=torch.uint8)
    label = torch.randint(0, 4, (1, 512, 640), dtype=torch.uint8)
    view_label = label[:, 1::2, 1::2].contiguous()
    for confusion in module.test_confusion.values():
        confusion.reset()
    with torch.no_grad():
        module.test_step(
            {"image": image, "label": label, "view_label": view_label, "weight": torch.ones(1)}, batch_idx=0
        )
        logits = module.network(Preprocessing().normalize(image))  # 256 and 320 are multiples of 64
    view = logits.argmax(dim=1)
    native = functional.interpolate(logits, size=(512, 640), mode="bilinear").argmax(dim=1)
    for at, prediction, truth in (("view", view, view_label), ("native", native, label)):
        expected = torch.zeros(4, 4, dtype=torch.long)
        for row in range(4):
            for column in range(4):
                expected[row, column] = ((truth == row) & (prediction == column)).sum()
        assert module.test_confusion[at].compute().tolist() == expected.tolist()


def test_a_whole_image_of_any_size_is_padded_and_cropped_back(module):
    with torch.no_grad():
        assert module(torch.zeros(1, 3, 256, 341)).shape == (1, 4, 256, 341)


def test_one_or_many_class_names_get_colours():
    assert Classes.named(["only"]).colors == ((0, 0, 0),)
    many = Classes.named([str(number) for number in range(21)])
    assert len(set(many.colors)) == 21


def test_an_overlay_names_its_image_and_the_classes():
    classes = Classes(["soil", "crop", "weed"], [[0, 0, 0], [60, 180, 75], [230, 25, 75]])
    image = photo("overlay", (96, 128))
    first, other = (
        overlay_panel(name, image, *np.zeros((2, 96, 128), np.uint8), classes) for name in ("a.jpg", "b.jpg")
    )
    changed = (first != other).any(axis=-1)
    assert changed.any()
    assert not changed[CAPTION:].any()
    below = first[CAPTION + 192 + GAP :].reshape(-1, 3)
    assert all((below == color).all(axis=-1).sum() > 100 for color in classes.colors)


@pytest.mark.parametrize("width", [40, 128, 256, 3000])
def test_overlays_have_room_for_captions_at_any_size(width):
    """Text has a fixed size, so pictures are scaled to 200 to 800 pixels, and a page shows both."""
    label = np.zeros((width // 2, width), np.uint8)
    image = np.zeros((width // 2, width, 3), np.uint8)
    shown = overlay_panel("a long name.jpg", image, label, label, Classes.named(["a"]))
    assert 3 * 200 <= shown.shape[1] <= 3 * 800 + 2 * GAP


def test_classes_are_outlined_over_the_image():
    """The outline has the full colour of its class, the image shows through inside, and a background is unchanged."""
    classes = Classes(["soil", "crop"], [[0, 0, 0], [200, 0, 0]])
    image = np.full((40, 40, 3), 100, np.uint8)
    label = np.zeros((40, 40), np.int64)
    label[10:30, 10:30] = 1
    shown = blend(image, label, classes)
    assert shown[10, 20].tolist() == shown[29, 10].tolist() == [200, 0, 0]
    assert shown[20, 20].tolist() == [125, 75, 75]
    assert shown[9, 20].tolist() == shown[0, 0].tolist() == [100, 100, 100]


@pytest.mark.filterwarnings("error")
def test_losses_of_a_network_that_has_diverged_are_drawn_bright():
    bright, dark, diverged = heat_map(np.array([[1.0, 0.0, np.nan]]), 0, 1)[0]
    assert (diverged == bright).all()
    assert (diverged != dark).any()


@pytest.mark.parametrize("loss", [CrossEntropyLoss(void=0), SumOfLosses([SoftJaccardLoss(), DiceLoss(void=0)])])
def test_a_loss_that_leaves_out_another_id_than_the_labels_is_refused(loss):
    with pytest.raises(ConfigError, match=r"model.loss.void must be 255: .* Got 0."):
        SegmentationModule(Classes.named(["a", "b"]), loss=loss)


@pytest.mark.parametrize("channels", [3, 5])
def test_a_network_with_other_channels_than_classes_is_refused(module, channels):
    """An extra channel would count as class 0 of the next label."""
    images, labels = torch.zeros(1, 3, 64, 64, dtype=torch.uint8), torch.zeros(1, 64, 64, dtype=torch.uint8)
    other = SegmentationModule(module.classes, network=lambda _: torch.nn.Conv2d(3, channels, 1))
    for step in (other.training_step, other.validation_step):
        with pytest.raises(ConfigError, match=rf"Conv2d makes \(1, {channels}, 64, 64\) .* needs \(1, 4, 64, 64\)"):
            step({"image": images, "label": labels, "weight": torch.ones(1)}, 0)


def test_a_validation_without_labels_chooses_no_epoch(module, monkeypatch):
    trial = SimpleNamespace(sanity_checking=False, fast_dev_run=False)
    monkeypatch.setattr(module, "_trainer", trial)
    with pytest.raises(DataError, match=r"No pixel that was validated has a label: all are void \(255\)"):
        module.on_validation_epoch_end()


def test_a_validation_of_outputs_that_are_not_finite_has_no_figures(module, monkeypatch):
    logged = {}
    monkeypatch.setattr(module, "_trainer", SimpleNamespace(sanity_checking=False, fast_dev_run=False))
    monkeypatch.setattr(module, "_log_iou", lambda name, result, prog_bar: logged.update({name: float(result.mean)}))
    image = torch.from_numpy(photo("a", (32, 32)))[None].permute(0, 3, 1, 2)
    batch = {"image": image, "label": torch.zeros(1, 32, 32, dtype=torch.long), "weight": torch.ones(1)}
    module.validation_step(batch, 0)
    module.on_validation_epoch_end()
    assert logged["val"] >= 0
    with monkeypatch.context() as patch:
        patch.setattr(module, "forward", lambda image: torch.full((1, 4, 32, 32), torch.nan))
        module.validation_step(batch, 0)
    module.validation_step(batch, 0)
    with pytest.warns(UserWarning, match="is NaN or infinite, so their figures are missing"):
        module.on_validation_epoch_end()
    assert np.isnan(logged["val"])


def test_a_single_class_is_refused():
    with pytest.raises(ConfigError, match="tells two classes or more apart, got weed"):
        SegmentationModule(Classes.named(["weed"]))
