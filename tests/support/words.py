"""The command lines of small trainings, and the paths that tests use."""

from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
SUPPORT = Path(__file__).parent
TOOLS = REPOSITORY / "tests" / "tools"
EXPERIMENTS = REPOSITORY / "experiments"
TINY_NETWORK = [  # the encoder that timm made for tests: 80,000 parameters and a tenth of the usual layers
    "--model.network=smir.models.networks.UNetStride4",
    "--model.network.encoder=tu-test_efficientnet",
    "--model.network.decoder_channels=[16,16,16]",
]
QUIET = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false", "--trainer.accelerator=cpu"]
EVERY_EPOCH = "--run.keep_seconds=0"
"""Tests that kill a run need a checkpoint of every epoch."""


def _fit_words(config, root, *more):
    return [
        "fit",
        f"--config={EXPERIMENTS / 'demo' / config}",
        f"--data.root={root}",
        "--data.batch_size=4",
        "--data.num_workers=0",
        "--model.warmup_epochs=1",
        *TINY_NETWORK,
        *QUIET,
        EVERY_EPOCH,
        *more,
    ]


def pretrain_words(root, *more):
    return _fit_words("pretrain.yaml", root, *more)


def segment_words(root, *more):
    return _fit_words(
        "segment.yaml", root, "--data.crop_size=64", "--data.label_budget=8", "--trainer.max_epochs=2", *more
    )


def selective_words(root, *more):
    return pretrain_words(
        root,
        f"--config={EXPERIMENTS / 'demo' / 'selective.yaml'}",
        "--trainer.callbacks.num_samples=2",
        "--trainer.max_epochs=4",
        *more,
    )
