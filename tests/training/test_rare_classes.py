"""A segmentation with options for rare classes: another loss, class weights, and crops over rare classes."""

import json
from pathlib import Path

import pytest
import torch
from fakes import write_folder
from interruptions import Killed, die_at_epoch

NETWORK = ("--model.network.encoder=tu-test_efficientnet", "--model.network.decoder_channels=[8,8,8]")
SHORT = ("--data.crop_size=64", "--data.batch_size=4", "--data.num_workers=0", "--trainer.accelerator=cpu")
DATA = ("--data=Folder", "--data.root=root", "--data.labels=labels", "--data.classes=[soil,crop,weed]")
LOSS = ("--model.loss=SumOfLosses", "--model.loss.losses+=DiceLoss", "--model.loss.losses+=FocalLoss")
RARE = (*LOSS, "--model.loss.factors=[1,0.5]", "--model.class_weights=auto", "--data.rare_class_crops=0.5")


def words(*more):
    lengths = ("--trainer.max_epochs=2", "--model.warmup_epochs=0", "--run.keep_seconds=0", "--run.test=false")
    return ("fit", "--model=SegmentationModule", *DATA, *NETWORK, *SHORT, *lengths, *more)


def test_a_run_records_its_class_weights_and_resumes_bit_for_bit(smir, tmp_path, monkeypatch, caplog):
    write_folder(tmp_path / "root", size=(80, 80), values=(0, 0, 0, 1, 0, 0, 2, 0))
    smir(*words(*RARE, "--run.experiment=whole"))
    with monkeypatch.context() as patch:
        die_at_epoch(patch, 1)
        with pytest.raises(Killed):
            smir(*words(*RARE, "--run.experiment=resumed"))
    smir(*words(*RARE, "--run.experiment=resumed"))
    whole, resumed = (
        torch.load(f"runs/{name}/seed0/checkpoints/last.ckpt", weights_only=True) for name in ("whole", "resumed")
    )
    assert all(torch.equal(value, resumed["state_dict"][name]) for name, value in whole["state_dict"].items())
    weights = whole["smir"]["origin"]["class_weights"]
    assert list(weights) == ["soil", "crop", "weed"]
    assert weights["soil"] < weights["crop"]
    assert json.loads(Path("runs/whole/seed0/DONE").read_text())["class_weights"] == weights
    assert (
        "Class weights: " + ", ".join(f"{name} {weight:.3g}" for name, weight in weights.items()) + "."
        in caplog.messages
    )
    recipe = json.loads(Path("runs/whole/seed0/run.json").read_text())["recipe"]
    assert recipe["model"]["init_args"]["loss"]["class_path"] == "smir.method.SumOfLosses"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("--model.class_weights={weeds: 4}", "names 'weeds', but the classes are soil, crop, weed"),
        ("--model.class_weights=[1,2]", "has 2 weights for the 3 classes soil, crop, weed"),
        ("--data.rare_class_crops=1.5", "data.rare_class_crops is a probability from 0 to 1, got 1.5. Try 0.5."),
    ],
)
def test_impossible_settings_are_refused(fails, tmp_path, given, message):
    write_folder(tmp_path / "root", size=(64, 64))
    assert message in fails(*words(given)).replace("\n", " ")
    assert not Path("runs").exists()
