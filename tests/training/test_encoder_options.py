"""Options for a pretrained encoder: frozen for some epochs, a lower learning rate, loaded without its decoder."""

import csv
from pathlib import Path

import pytest
import torch
from fakes import write_folder
from interruptions import Killed, die_at_epoch

NETWORK = ("--model.network.encoder=tu-test_efficientnet", "--model.network.decoder_channels=[8,8,8]")
SHORT = ("--data.crop_size=64", "--data.batch_size=4", "--data.num_workers=0", "--trainer.accelerator=cpu")
DATA = ("--data=Folder", "--data.root=root", "--data.labels=labels", "--data.classes=[a,b,c]")


@pytest.fixture
def fit(smir, tmp_path):
    """Returns a function that trains a segmentation from the same weights, and returns its run folder."""
    write_folder(tmp_path / "root", size=(64, 64))

    def run(name, *words, epochs=3):
        words = ("--model=SegmentationModule", *DATA, *NETWORK, *SHORT, *words)
        start = () if name == "start" else (f"--model.weights={tmp_path}/runs/start/seed0/checkpoints/last.ckpt",)
        lengths = (f"--trainer.max_epochs={epochs}", "--model.warmup_epochs=0", "--run.keep_seconds=0")
        smir("fit", *words, *start, *lengths, f"--run.experiment={name}", "--run.test=false")
        return tmp_path / "runs" / name / "seed0"

    fit = run
    fit("start", epochs=1)
    return fit


def state(run, part, name="last"):
    values = torch.load(run / f"checkpoints/{name}.ckpt", weights_only=True)["state_dict"]
    return {key: value for key, value in values.items() if key.startswith(f"network.{part}")}


def same(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


def test_a_frozen_encoder_does_not_change_and_the_decoder_learns(fit):
    start, frozen = Path("runs/start/seed0"), fit("frozen", "--model.freeze_encoder_epochs=-1")
    assert same(state(start, "encoder"), state(frozen, "encoder"))  # including its batch-norm statistics
    assert not same(state(start, "decoder"), state(frozen, "decoder"))


def test_an_encoder_is_unfrozen_after_its_epochs_even_in_a_resumed_run(fit, monkeypatch):
    start = Path("runs/start/seed0")
    assert same(state(start, "encoder"), state(fit("two", "--model.freeze_encoder_epochs=2", epochs=2), "encoder"))
    whole = fit("three", "--model.freeze_encoder_epochs=2")
    assert not same(state(start, "encoder"), state(whole, "encoder"))
    with monkeypatch.context() as patch:
        die_at_epoch(patch, 1)
        with pytest.raises(Killed):
            fit("resumed", "--model.freeze_encoder_epochs=2")
    assert same(state(whole, ""), state(fit("resumed", "--model.freeze_encoder_epochs=2"), ""))


def test_the_encoder_learns_at_its_own_factor_of_the_learning_rate(fit):
    run = fit("slow", "--model.encoder_lr_factor=0.1", "--model.lr=0.002")
    with (run / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["lr/encoder"]) for row in rows] == pytest.approx([0.1 * float(row["lr"]) for row in rows])
    assert float(rows[0]["lr"]) == pytest.approx(0.002)
    optimizer = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["optimizer_states"][0]
    others, encoder = optimizer["param_groups"]
    assert encoder["lr"] == pytest.approx(0.1 * others["lr"])
    names = [name for name in state(run, "encoder") if name.endswith(("weight", "bias"))]
    assert len(encoder["params"]) == len(names)


def test_only_the_encoder_is_loaded_and_the_decoder_begins_at_random(fit, caplog):
    # No step changes a weight, so the checkpoint holds the initial weights.
    still = ("--model.lr=1e-30", "--model.freeze_encoder_epochs=-1")
    whole, alone = fit("whole", *still, epochs=1), fit("alone", *still, "--model.weights_part=encoder", epochs=1)
    assert "the encoder alone" in caplog.text
    assert same(state(whole, "encoder"), state(alone, "encoder"))
    kernels = [{k: v for k, v in state(run, "decoder").items() if v.dim() == 4} for run in (whole, alone)]
    assert not any(torch.equal(kernels[0][key], kernels[1][key]) for key in kernels[0])


def test_batch_norm_takes_the_statistics_of_the_training_images(fit):
    still = ("--model.lr=1e-30", "--model.freeze_encoder_epochs=-1", "--data.batch_size=3")
    run = fit("anew", *still, "--model.reestimate_batch_norm=true", epochs=1)
    own, start = state(run, "encoder"), state(Path("runs/start/seed0"), "encoder")
    counted = next(key for key in own if key.endswith("num_batches_tracked"))
    means = [key for key in own if key.endswith("running_mean")]
    assert int(own[counted]) == 2  # 7 training images give two full batches of 3
    assert not any(torch.equal(own[key], start[key]) for key in means)
    weights = [key for key in own if key.endswith("weight")]
    assert all(torch.equal(own[key], start[key]) for key in weights)


def test_a_short_training_of_own_images_shortens_the_warm_up(smir, tmp_path, caplog):
    write_folder(tmp_path / "root", size=(64, 64))
    words = (*DATA, *NETWORK, *SHORT, "--trainer.max_epochs=2", "--model.warmup_epochs=10", "--run.test=false")
    smir("fit", "--model=SegmentationModule", *words)
    assert (
        "model.warmup_epochs = 10 is too long for a training of 2 epochs; the warm-up takes 0 epochs."
        in caplog.messages
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--model.encoder_lr_factor=0", "set model.freeze_encoder_epochs to -1"),
        ("--model.freeze_encoder_epochs=-2", "or -1 for all, got -2"),
        ("--model.weights_part=encoder", "has no use without model.weights"),
    ],
)
def test_impossible_settings_are_refused(fails, tmp_path, words, message):
    write_folder(tmp_path / "root", size=(64, 64))
    assert message in fails(
        "fit", "--model=SegmentationModule", *DATA, *NETWORK, *SHORT, "--trainer.max_epochs=2", words
    )
