import sys
from pathlib import Path

import pytest

from smir.__main__ import main
from smir.prepare.synthetic.dataset import write_dataset
from smir.prepare.tiling import tile_image

EXPERIMENTS = Path(__file__).parent.parent / "experiments"
TINY_NETWORK = [
    "--model.network=smir.models.networks.UNetStride4",
    "--model.network.encoder=tu-mobilenetv3_small_100",
    "--model.network.decoder_channels=[16,16,16]",
]
QUIET = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false", "--trainer.accelerator=cpu"]
EVERY_EPOCH = "--run.keep_seconds=0"
"""Kills of tests count on a checkpoint of every epoch, whose time is theirs to choose."""


@pytest.fixture(autouse=True)
def as_if_from_the_shell(monkeypatch):
    """LightningCLI warns when it gets arguments while pytest's own stand in sys.argv."""
    monkeypatch.setattr(sys, "argv", ["smir"])
    monkeypatch.delenv("SMIR_RUN", raising=False)


@pytest.fixture(scope="session")
def field(tmp_path_factory):
    """A small synthetic field in Nassar's layout: 12 tiles to pretrain on; 10, 2 and 3 labelled ones."""
    root = tmp_path_factory.mktemp("field")
    write_dataset(root, seed=0, width=1024, height=768, train_tiles=10, val_tiles=2, test_tiles=3)
    tile_image(root / "nassar/orthomosaic/data/RGB_reference_png.png", root / "nassar/ortho_tiles")
    return root


@pytest.fixture
def smir(tmp_path, monkeypatch):
    """Runs `python -m smir ...` in this process, in an empty working folder."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        main([str(word) for word in words])

    return run


@pytest.fixture
def fails(smir, capsys):
    """Runs a command that must fail, and returns what it says; nothing may be left behind by it."""

    def run(*words, code=1):
        with pytest.raises(SystemExit) as exit_:
            smir(*words)
        assert exit_.value.code == code
        return capsys.readouterr().err

    return run


def pretrain_words(root, *more):
    return [
        "fit",
        f"--config={EXPERIMENTS / 'demo' / 'pretrain.yaml'}",
        f"--data.root={root}",
        "--data.batch_size=4",
        "--data.num_workers=0",
        "--model.warmup_epochs=1",
        *TINY_NETWORK,
        *QUIET,
        EVERY_EPOCH,
        *more,
    ]


def segment_words(root, *more):
    return [
        "fit",
        f"--config={EXPERIMENTS / 'demo' / 'segment.yaml'}",
        f"--data.root={root}",
        "--data.batch_size=4",
        "--data.num_workers=0",
        "--data.crop_size=64",
        "--data.label_budget=8",
        "--model.warmup_epochs=1",
        "--trainer.max_epochs=2",
        *TINY_NETWORK,
        *QUIET,
        EVERY_EPOCH,
        *more,
    ]


def selective_words(root, *more):
    return pretrain_words(
        root,
        f"--config={EXPERIMENTS / 'demo' / 'selective.yaml'}",
        "--trainer.max_epochs=4",
        *more,
    )
