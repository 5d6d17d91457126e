"""`stats` against NumPy, to the last bit."""

import math
from fractions import Fraction

import fakes
import numpy as np
import pytest
import yaml
from PIL import Image
from words import EXPERIMENTS

from smir.data import Folder, Nassar
from smir.data.reading.channel_statistics import _moments, channel_statistics, value_counts


def oracle(arrays):
    """Mean and standard deviation in [0, 1] of the pixels of RGB arrays, in integers up to the last step."""
    pixels = np.concatenate([array.reshape(-1, 3) for array in arrays]).astype(object)
    total, squares = pixels.sum(axis=0), (pixels**2).sum(axis=0)
    variances = [
        Fraction(len(pixels) * s - t * t, (255 * len(pixels)) ** 2) for t, s in zip(total, squares, strict=True)
    ]
    return tuple(t / (255 * len(pixels)) for t in total), tuple(math.sqrt(variance) for variance in variances)


def write_images(root, arrays):
    for number, array in enumerate(arrays):
        fakes.save(root / f"images/{number:03d}.png", array)


def folder(root, **options):
    return Folder(root, task="pretrain", num_workers=0, **options)


def test_statistics_are_exact_if_sums_exceed_32_bits(tmp_path):
    chance = np.random.default_rng(0)
    arrays = [chance.integers(200, 256, (300, 301, 3), dtype=np.uint8) for _ in range(3)]
    arrays[0][..., 2] = 255
    assert sum(int((array.astype(np.int64) ** 2)[..., 2].sum()) for array in arrays) > 2**32
    write_images(tmp_path, arrays)
    data = folder(tmp_path)
    found = channel_statistics(data.root, data.pool())
    assert (found.mean, found.std) == oracle(arrays)
    assert (found.images, found.pixels) == (3, 3 * 300 * 301)
    stacked = np.concatenate([array.reshape(-1, 3) for array in arrays]) / 255
    np.testing.assert_allclose((found.mean, found.std), (stacked.mean(axis=0), stacked.std(axis=0)), rtol=1e-12)
    assert channel_statistics(data.root, data.pool()[::-1], threads=1) == found


def test_pixels_are_counted_exactly_beyond_the_precision_of_float32():
    image = np.full((4100, 4100, 3), 7, np.uint8)
    image[-1, -1] = 9
    assert image[..., 0].size > 2**24 + 1
    counts = value_counts(image)
    assert counts[:, [7, 9]].tolist() == [[4100 * 4100 - 1, 1]] * 3
    assert counts.sum() == image.size


def test_images_of_different_sizes_weigh_by_their_pixels(tmp_path):
    write_images(tmp_path, [np.full((2, 3, 3), 255, np.uint8), np.zeros((4, 6, 3), np.uint8)])
    data = folder(tmp_path)
    found = channel_statistics(data.root, data.pool())
    assert found.mean == (0.2,) * 3
    assert found.std == (0.4,) * 3


def test_moments_are_exact_if_sums_exceed_64_bits():
    assert _moments([0] * 255 + [10**18]) == (1.0, 0.0)
    assert _moments([10**18] + [0] * 254 + [10**18]) == (0.5, 0.5)


@pytest.fixture
def stats(smir, capsys):
    def run(*words):
        smir("stats", *words)
        return capsys.readouterr().out

    return run


def test_the_output_is_yaml_for_a_config(stats, tmp_path):
    fakes.write_nassar(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    printed = stats(f"--config={EXPERIMENTS / 'demo/pretrain.yaml'}", f"--data.root={tmp_path}")
    tiles = [np.array(Image.open(path)) for path in sorted((tmp_path / fakes.TILES).glob("*.png"))]
    mean, std = oracle(tiles)
    assert yaml.safe_load(printed) == {"mean": [round(m, 5) for m in mean], "std": [round(s, 5) for s in std]}
    assert printed.startswith("# Nassar, pool: 6 images, 18,432 pixels\nmean: [0.")
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    masks = [np.array(Image.open(path)) for path in (tmp_path / fakes.LABELLED / "mask").glob("sub2*.png")]
    for value, name in enumerate(("background", "crop", "weed")):
        row = next(line for line in printed.splitlines() if line.startswith(f"# {name}")).replace("%", "").split()
        assert float(row[-1]) == pytest.approx(100 * np.mean(np.array(masks) == value), abs=5e-4)


def test_statistics_of_the_training_split(stats, tmp_path):
    fakes.write_nassar(tmp_path)
    config = f"--data={EXPERIMENTS / 'data/nassar.yaml'}"
    printed = stats(config, f"--data.root={tmp_path}", "--split=train")
    names = [pair.image for pair in Nassar(tmp_path).pairs("train")]
    mean, _ = oracle([np.array(Image.open(tmp_path / name)) for name in names])
    assert printed.startswith("# Nassar, train: 3 images")
    assert yaml.safe_load(printed)["mean"] == [round(m, 5) for m in mean]


def test_statistics_of_the_pool_have_no_class_shares(stats, tmp_path):
    fakes.write_folder(tmp_path)
    assert "No class shares" in stats("--data=Folder", "--data.task=pretrain", f"--data.root={tmp_path}")


def test_a_damaged_image_is_named(fails, tmp_path):
    fakes.write_folder(tmp_path)
    (tmp_path / "images/003.jpg").write_bytes(b"nothing")
    message = fails("stats", "--data=Folder", "--data.task=pretrain", f"--data.root={tmp_path}")
    assert f"The image {tmp_path / 'images/003.jpg'} (7 bytes) is not an image" in message


def test_a_missing_dataset_is_named(fails, tmp_path):
    message = fails("stats", f"--data={EXPERIMENTS / 'data/nassar.yaml'}", f"--data.root={tmp_path}")
    assert "prepare nassar" in message
