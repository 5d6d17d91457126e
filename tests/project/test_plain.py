"""The fast code compared with the plain code of `benchmarks`, and the table that `make bench` writes."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import report, storage
from benchmarks.measure import Row, Times
from benchmarks.plain import decode, lean_ssim, library_ssim, score_image
from smir.data.reading.decode import read_image
from smir.method.masking import RandomMask
from smir.models.networks import UNetStride4
from smir.seeding import generator_for
from smir.training.reconstruction import ReconstructionModule


@pytest.fixture(scope="module")
def module():
    torch.manual_seed(0)
    return ReconstructionModule(network=lambda out: UNetStride4(out, "tu-test_efficientnet", [16, 16, 16])).eval()


def test_scores_equal_those_of_the_plain_loop_over_patches(module):
    size = (256, 320)
    views = torch.randint(256, (2, 3, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found = module.score_views(views, [4, 9], num_samples=2, seed=3, stage=1).scores
    grid = module.preprocessing.grid(*size)
    assert found.shape == (2, len(grid)) == (2, 441)
    for place, key in enumerate([4, 9]):
        generator = generator_for(3, "score", 1, key)
        masks = [RandomMask()(grid=grid, generator=generator) for _ in range(2)]
        image = module.preprocessing.normalize(views[place : place + 1])
        torch.testing.assert_close(found[place], score_image(module.network, image, grid, masks), atol=2e-5, rtol=0)


def test_ssim_of_a_patch_equals_that_of_pytorch_msssim():
    patches = torch.rand(2, 1, 3, 24, 17, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(lean_ssim(*patches), library_ssim(*patches), atol=1e-5, rtol=0)


def test_bfloat16_scores_agree_to_its_precision(module):
    views = torch.randint(256, (1, 3, 256, 256), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    full = module.score_views(views, [0]).scores
    with torch.autocast("cpu", torch.bfloat16):
        half = module.score_views(views, [0]).scores
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, full, atol=0.02, rtol=0)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_images_are_decoded_to_the_same_pixels_as_by_the_plain_way(tmp_path, suffix):
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)).save(path)
    np.testing.assert_array_equal(read_image(path), decode(path))


# The table


def test_masks_take_no_more_than_64_bytes_an_image():
    (row,) = storage.rows()
    assert row.holds
    assert row.value > 441 / 8  # the bits themselves


@pytest.mark.parametrize(
    ("value", "goal", "sense", "holds"),
    [
        (9.0, 9, "at least", True),
        (8.9, 9, "at least", False),
        (1.11, 1.1, "at most", False),
        (1.0, 1.1, "at most", True),
    ],
)
def test_a_row_knows_whether_its_goal_is_met(value, goal, sense, holds):
    assert Row("f", "cpu", value, goal, sense).holds is holds


def test_ratios_are_taken_within_each_round():
    times = Times({"slow": [4.0, 40.0, 8.0], "fast": [1.0, 20.0, 2.0]})  # the medians would also give 8 / 2
    assert times.ratio("slow", "fast") == (4.0, (3.0, 4.0))
    assert Times({"slow": [4.0, 6.0, 40.0], "fast": [1.0, 2.0, 20.0]}).ratio("slow", "fast")[0] == 3.0


def test_figures_that_were_not_measured_are_marked(tmp_path):
    rows = [Row("fast", "cpu", 12.3, 9, "at least", spread=(12, 13)), Row("gpu", "cuda", None, 5, "at most", "%")]
    report.write_json(tmp_path / "results.json", rows, {"cores": 2}, 60.0)
    first, second = json.loads((tmp_path / "results.json").read_text())
    assert {name: first[name] for name in ("figure", "value", "goal", "holds")} == {
        "figure": "fast",
        "value": 12.3,
        "goal": 9,
        "holds": True,
    }
    assert (second["value"], second["holds"]) == (None, None)
    document = tmp_path / "doc.md"
    document.write_text(f"before\n{report.BEGIN}an old table\n{report.END}after\n")
    for _ in range(2):
        report.insert(document, report.markdown(rows, {"cores": 2}, 60.0))
    text = document.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "an old table" not in text
    assert text.count("| fast | cpu | 12.3 x | 12 to 13 | at least 9 x | yes |") == 1
    assert "| gpu | cuda | not measured here |  | at most 5 % |" in text
