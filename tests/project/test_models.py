"""The encoders that `make bench-models` compares, its runs, and its table."""

import re
import subprocess

import pytest
import torch
from words import REPOSITORY

from benchmarks import report
from benchmarks.models import BEGIN, Model, markdown
from smir.models.networks import SmpNetwork, UNetStride4
from smir.models.weights import load_pretrained

ROOT = REPOSITORY
ENCODERS = re.search(r"^MODELS = ((?:.*\\\n)*.*)", (ROOT / "Makefile").read_text(), re.MULTILINE)[1]
ENCODERS = ENCODERS.replace("\\\n", " ").split()


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("build", [lambda *a: UNetStride4(*a, (32, 24, 16)), lambda c, e: SmpNetwork(c, encoder=e)])
def test_every_encoder_goes_from_pretraining_to_segmentation(tmp_path, encoder, build):
    pretrained = build(3, encoder)
    torch.save({"state_dict": pretrained.state_dict()}, tmp_path / "best.ckpt")
    network = build(2, encoder)
    loaded = load_pretrained(network, tmp_path / "best.ckpt")
    assert all("segmentation_head" in name for name in loaded.missing)
    assert loaded.mismatched == loaded.unexpected == []
    own, given = network.encoder.state_dict(), pretrained.encoder.state_dict()
    assert all(torch.equal(own[name], given[name]) for name in given)
    assert network.eval()(torch.randn(1, 3, 64, 96)).shape == (1, 2, 64, 96)


def test_every_run_is_made_once_and_after_its_pretraining():
    done = subprocess.run(
        ["make", "-n", "-o", ".venv/installed", "bench-models", "MODELS=a b", "MODEL_RUNS=r/none"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    text = done.stdout.replace("\\\n", " ")
    assert "-m benchmarks.models a b --runs r/none --dry" in text  # the table in the docs is made from the whole list
    made = re.findall(r"--model.network.encoder (\S+) .*--run.experiment (\S+)(?:\s+--model.weights (\S+))?", text)
    kinds = ("selective", "segment-scratch", "segment-selective")
    assert sorted(name for _, name, _ in made) == sorted(f"{encoder}/{kind}" for encoder in "ab" for kind in kinds)
    names = [name for _, name, _ in made]
    for encoder, name, weights in made:
        assert name.startswith(f"{encoder}/")
        if name.endswith("segment-selective"):
            assert weights == f"r/none/{encoder}/selective/seed0/checkpoints/best.ckpt"
            assert names.index(f"{encoder}/selective") < names.index(name)
    assert "rm " not in text  # make must not delete a finished run as an intermediate file


def test_the_table_is_inserted_into_the_page(tmp_path):
    model = Model("resnet18", 13.5, 7.25, 54.1, 88.4, 47.0, 120.0, None, {"scratch": 59.44, "selective": 60.25})
    document = tmp_path / "models.md"
    document.write_text((ROOT / "docs/models.md").read_text())
    report.insert(document, markdown([model], {"cores": 2, "gpu": None}), BEGIN)
    lines = document.read_text().splitlines()
    assert "| `resnet18` | 13.50 M | 7.25 | 54.1 MB | 88 ms | 47 ms | 120 MB |  | 59.4 | 60.2 |" in lines
    assert "Measured on: cores 2." in lines
