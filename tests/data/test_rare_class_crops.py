"""Crops over rare classes (`data.rare_class_crops`), and the frequencies that they and `auto` weights use."""

import numpy as np
import pytest
import torch
from fakes import save

from smir.data import Folder
from smir.data.reading.samplers import Visit
from smir.data.reading.transforms import TrainTransform
from smir.method.class_weights import median_frequency_weights


def scene():
    """Returns soil, void, a crop plant of 16 pixels and, in a corner, a weed of one pixel, which most crops miss."""
    label = np.zeros((64, 80), np.uint8)
    label[:8], label[30:34, 40:44], label[62, 78] = 255, 1, 2
    return np.random.default_rng(0).integers(0, 255, (64, 80, 3), dtype=np.uint8), label


def shown(share, frequencies, seeds=60):
    """Counts the crops that show each of the three classes. Crops are enlarged, so no pixel is lost."""
    transform, (image, label) = TrainTransform(160, share, np.array(frequencies)), scene()
    crops = [transform(image, label, seed)[1] for seed in range(seeds)]
    return [sum((crop == class_id).any() for crop in crops) for class_id in range(3)]


def test_crops_hold_the_drawn_class():
    assert shown(1.0, [1, 1, 1e-9])[2] == 60
    assert shown(1.0, [1, 1e-9, 1])[1] == 60
    by_chance = shown(0.0, [1, 1, 1e-9])[2]
    assert by_chance < 30
    expected = 30 + by_chance / 2
    assert shown(0.5, [1, 1, 1e-9])[2] == pytest.approx(expected, abs=10)
    # The weed is drawn three times as often as the crop plant.
    weed = shown(1.0, [1e9, 3, 1])[2]
    assert weed == pytest.approx(45 + by_chance / 4, abs=10)


def test_crops_vary_over_the_pixels_of_a_class_and_void_is_not_a_class():
    transform = TrainTransform(160, 1.0, np.array([1.0, 1.0, 1e-9]))
    image, label = scene()
    label[20:50, 25:55] = 2
    places = {tuple(np.argwhere(transform(image, label, seed)[1] == 2).mean(axis=0) // 40) for seed in range(40)}
    assert len(places) > 4
    nothing = transform(image, np.full_like(label, 255), 0)[1]
    assert (nothing == 255).all()


def field(tmp_path, **options):
    for number in range(6):
        image, label = scene()
        if number % 2:
            label[label == 2] = 0
        save(tmp_path / f"images/{number}.png", image)
        save(tmp_path / f"labels/{number}.png", label)
    options = {
        "labels": "labels",
        "classes": ["soil", "crop", "weed", "never"],
        "crop_size": 64,
        "num_workers": 0,
    } | options
    return Folder(tmp_path, fractions=(1.0, 0.0, 0.0), **options)


def test_class_frequencies_are_taken_over_the_images_that_show_the_class(tmp_path):
    labelled = 56 * 80
    expected = [(6 * labelled - 6 * 16 - 3) / (6 * labelled), 16 / labelled, 1 / labelled, 0]
    frequencies = field(tmp_path).class_frequencies
    assert frequencies == pytest.approx(expected)
    assert median_frequency_weights(frequencies) == pytest.approx([0.1, 1, 10, 1])
    assert field(tmp_path, cache=True, cache_folder=tmp_path.parent / "cache").class_frequencies.tolist() == (
        frequencies.tolist()
    )


def test_a_visit_has_the_same_crop_on_any_number_of_ranks(tmp_path):
    data = field(tmp_path, rare_class_crops=1.0, batch_size=2)
    loaders = []
    for place in ((0, 1), (0, 2), (1, 2)):
        data._place = lambda place=place: place
        loader = data.train_dataloader()
        loader.sampler.set_epoch(3)
        found = {}
        for batch in loader:
            found |= zip(batch["index"].tolist(), batch["label"], strict=True)
        loaders.append(found)
    alone, *both = loaders
    together = both[0] | both[1]
    assert alone.keys() == together.keys() == set(range(6))
    assert all(torch.equal(alone[index], together[index]) for index in alone)
    assert sum(bool((alone[index] == 2).any()) for index in (0, 2, 4)) == 3


def test_crops_are_unchanged_without_the_option(tmp_path):
    """Without the option no frequencies are counted, and a pretraining has no labels to count."""
    plain = field(tmp_path).train_dataloader().dataset
    off = field(tmp_path, rare_class_crops=0.0)
    assert torch.equal(plain[Visit(0, 5)]["label"], off.train_dataloader().dataset[Visit(0, 5)]["label"])
    assert "class_frequencies" not in vars(off)
    assert field(tmp_path, task="pretrain", crop_size=192, rare_class_crops=0.5).rare_class_crops == 0
