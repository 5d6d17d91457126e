"""Trainings that continue from a checkpoint of another run (`fit --ckpt`), and what a checkpoint restores."""

import csv
import json
import re
import shutil
from types import SimpleNamespace

import pytest
import torch
from fakes import write_folder
from interruptions import Killed, die_at_epoch
from lightning.pytorch.callbacks import EarlyStopping
from PIL import Image
from words import QUIET, TINY_NETWORK, pretrain_words, segment_words, selective_words

from smir.cli.training_run import best_checkpoint
from smir.runs.recipe import recipe_of
from smir.runs.run_folder import Run
from smir.training.run_record import stopped_after


@pytest.fixture(scope="module")
def staged(field, tmp_path_factory):
    """The folder of checkpoints of a selective run that was killed in its second stage."""
    from smir.__main__ import main

    root = tmp_path_factory.mktemp("staged")
    with pytest.MonkeyPatch.context() as patch:
        die_at_epoch(patch, 3)
        with pytest.raises(Killed):
            main(selective_words(field, f"--run.root={root}", "--run.experiment=staged"))
    return root / "staged/seed0/checkpoints"


def test_stages_do_not_continue_from_a_run_without_them_or_with_stages_of_another_length(
    smir, fails, field, tmp_path, staged
):
    smir(*pretrain_words(field, "--trainer.max_epochs=2", "--run.experiment=plain"))
    plain = tmp_path / "runs/plain/seed0/checkpoints/last.ckpt"
    said = fails(*selective_words(field, "--run.experiment=a", f"--ckpt={plain}"))
    assert "Epoch 3 is in stage 1 of 0 to 1 here" in said
    assert "is in stage 0: its stages have another length, or it was trained without stages" in said
    words = selective_words(field, "--trainer.max_epochs=8", "--run.experiment=b", f"--ckpt={staged}/last.ckpt")
    assert "Epoch 4 is in stage 0 of 0 to 1 here" in fails(*words)


def test_masks_are_only_for_the_images_that_they_were_chosen_for(smir, fails, field, tmp_path, staged):
    other = tmp_path / "other"
    shutil.copytree(field, other)
    tiles = other / "nassar/ortho_tiles"
    first = min(tiles.glob("*.png"))
    first.rename(tiles / "nassar_99999.png")
    said = fails(*selective_words(other, "--run.experiment=c", f"--ckpt={staged}/last.ckpt"))
    assert "The masks in the checkpoint were chosen for other images." in said


def test_a_checkpoint_of_the_last_epoch_or_from_within_an_epoch_is_refused(smir, fails, field, tmp_path):
    callback = "lightning.pytorch.callbacks.ModelCheckpoint"
    every = (f"--trainer.callbacks+={callback}", "--trainer.callbacks.every_n_train_steps=1")
    words = segment_words(field, "--run.test=false", "--trainer.max_epochs=1", "--model.warmup_epochs=0")
    smir(*words, *every, "--trainer.callbacks.save_top_k=-1", "--run.experiment=first")
    folder = tmp_path / "runs/first/seed0/checkpoints"
    said = fails(*words, "--run.experiment=done", f"--ckpt={folder}/last.ckpt")
    assert "has finished epoch 1, and trainer.max_epochs is 1, so nothing is left to train." in said
    assert not (tmp_path / "runs/done").exists()
    within = min(folder.glob("epoch=0-step=1*.ckpt"))
    said = fails(*words, "--trainer.max_epochs=3", "--run.experiment=within", f"--ckpt={within}")
    assert "was written within epoch 1, and trainings continue only from the end of an epoch" in said


def test_a_run_that_is_never_better_than_the_one_it_continues_says_so(tmp_path):
    run = Run(tmp_path / "seed0")
    run.path.mkdir()
    (run.path / "metrics.csv").touch()
    trainer = SimpleNamespace(checkpoint_callbacks=[SimpleNamespace(best_model_path=f"{run.checkpoints}/best.ckpt")])
    with pytest.warns(UserWarning, match="no best checkpoint to test or use: no epoch was better than"):
        assert best_checkpoint(trainer, run, str(tmp_path / "a/seed0/checkpoints/last.ckpt")) is None


def test_an_encoder_factor_is_that_of_the_run_and_cannot_be_added(smir, fails, field, tmp_path):
    words = segment_words(field, "--run.test=false")
    smir(
        *words,
        "--trainer.max_epochs=1",
        "--model.warmup_epochs=0",
        "--model.encoder_lr_factor=0.1",
        "--run.experiment=slow",
    )
    smir(*words, "--trainer.max_epochs=1", "--model.warmup_epochs=0", "--run.experiment=plain")
    slow, plain = (f"--ckpt={tmp_path}/runs/{name}/seed0/checkpoints/last.ckpt" for name in ("slow", "plain"))
    smir(*words, "--model.encoder_lr_factor=0.5", "--run.experiment=faster", slow)
    with (tmp_path / "runs/faster/seed0/metrics.csv").open(newline="") as file:
        row = list(csv.DictReader(file))[-1]
    assert float(row["lr/encoder"]) == pytest.approx(float(row["lr"]) / 2)
    said = fails(*words, "--model.encoder_lr_factor=0.5", "--run.experiment=other", plain)
    assert "was trained with a model.encoder_lr_factor of 1, and this run has 0.5" in said


def test_the_test_at_the_end_uses_averaged_weights_as_a_later_test_does(smir, field, tmp_path):
    words = segment_words(field, "--trainer.callbacks+=lightning.pytorch.callbacks.EMAWeightAveraging")
    smir(*words, "--run.experiment=ema")
    run = tmp_path / "runs/ema/seed0"
    first = json.loads((run / "test/metrics.json").read_text())["metrics"]
    smir("test", f"--config={run}/config.yaml", f"--ckpt={run}/checkpoints/best.ckpt")
    assert json.loads((run / "test/metrics.json").read_text())["metrics"] == first


def test_epochs_without_validation_have_no_figures_of_an_earlier_one(smir, field, tmp_path):
    words = segment_words(field, "--run.test=false", "--trainer.max_epochs=3", "--trainer.check_val_every_n_epoch=2")
    smir(*words, "--run.experiment=second")
    with (tmp_path / "runs/second/seed0/metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [bool(row["val/miou"]) for row in rows] == [False, True, False]


def test_early_stopping_waits_for_the_fewest_epochs():
    stopping = EarlyStopping("val/miou")
    stopping.stopped_epoch = 2
    trainer = SimpleNamespace(early_stopping_callbacks=[stopping], should_stop=True, current_epoch=4, max_epochs=9)
    assert stopped_after(SimpleNamespace(**vars(trainer), min_epochs=None)) == 3
    assert stopped_after(SimpleNamespace(**vars(trainer), min_epochs=4)) == 4


def test_a_callback_of_the_user_and_the_fewest_epochs_are_part_of_a_recipe():
    def recipe(callback, **trainer):
        part = {"class_path": "a.B", "init_args": {}}
        callbacks = [{"class_path": callback, "init_args": {}}]
        return recipe_of({"model": part, "data": part, "trainer": {"callbacks": callbacks, **trainer}})

    assert recipe("lightning.pytorch.callbacks.LearningRateMonitor")["callbacks"] == []
    assert len(recipe("mine.LossMonitor")["callbacks"]) == 1
    assert "min_epochs" not in recipe("mine.LossMonitor", min_epochs=None)["trainer"]
    assert recipe("mine.LossMonitor", min_epochs=3)["trainer"]["min_epochs"] == 3


def test_options_of_the_loss_are_restored_from_a_checkpoint(smir, field, tmp_path, capsys):
    from smir.training import ReconstructionModule, SegmentationModule

    smir(
        *pretrain_words(
            field,
            "--trainer.max_epochs=1",
            "--model.warmup_epochs=0",
            "--model.ssim_unit_range=true",
            "--run.experiment=unit",
        )
    )
    best = tmp_path / "runs/unit/seed0/checkpoints/best.ckpt"
    module = ReconstructionModule.from_checkpoint(best)
    assert module.ssim_input is not None
    assert torch.equal(
        module.ssim_input(torch.zeros(1, 3, 1, 1)), module.preprocessing.unit_range(torch.zeros(1, 3, 1, 1))
    )
    losses = []
    for more in ((), ("--data.mean=[0.1,0.1,0.1]", "--data.std=[0.9,0.9,0.9]")):
        smir("validate", f"--config={best.parent.parent}/config.yaml", f"--ckpt={best}", *more)
        losses.append(re.search(r"val/loss +(\d\.\d{4})", capsys.readouterr().out)[1])
    assert losses[0] == losses[1]  # the checkpoint's own statistics are used
    smir(
        *segment_words(
            field,
            "--run.test=false",
            "--trainer.max_epochs=1",
            "--model.warmup_epochs=0",
            "--model.class_weights={crop: 10}",
        )
    )
    (weighed,) = tmp_path.glob("runs/nassar/segment*/seed0/checkpoints/best.ckpt")
    assert sorted(SegmentationModule.from_checkpoint(weighed).class_weights) == [1, 1, 10]


def test_a_test_with_the_config_of_a_continued_run_does_not_test_the_other(smir, fails, field, tmp_path):
    words = segment_words(field, "--run.test=false")
    smir(*words, "--run.experiment=first")
    first = tmp_path / "runs/first/seed0/checkpoints/last.ckpt"
    smir(*words, "--trainer.max_epochs=3", "--run.experiment=second", f"--ckpt={first}")
    config = f"--config={tmp_path}/runs/second/seed0/config.yaml"
    assert "test needs trained weights" in fails("test", config)
    assert "test needs trained weights" in fails("test", *config.split("="))
    with pytest.warns(UserWarning, match=r"second/seed0 began from .*last.ckpt, not from none"):
        smir(*words, "--trainer.max_epochs=3", "--run.experiment=second")
    smir("test", config, "--ckpt=last")
    assert (tmp_path / "runs/second/seed0/test").is_dir()
    assert not (tmp_path / "runs/first/seed0/test").exists()


def test_a_finished_run_says_that_labels_have_changed(smir, tmp_path):
    write_folder(tmp_path / "own", size=(64, 72))
    data = [f"--data.root={tmp_path / 'own'}", "--data.labels=labels", "--data.classes=[a,b,c]", "--data.crop_size=64"]
    short = ["--trainer.max_epochs=1", "--model.warmup_epochs=0", "--data.num_workers=0", "--run.test=false"]
    words = ["fit", "--config=folder/segment", *data, *short, *TINY_NETWORK, *QUIET]
    smir(*words)
    smir(*words)
    label = min((tmp_path / "own/labels").rglob("*.png"))
    Image.open(label).rotate(180).save(label)
    with pytest.warns(UserWarning, match="files of the list .* have changed since this run began"):
        smir(*words)
