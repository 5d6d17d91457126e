"""Mistakes of users: a message names each and says what to do, the exit code is not 0, and no file is unfinished."""

import errno
import json
import os
import shutil
import signal
import warnings

import exports
import numpy as np
import pytest
import torch
from fakes import blocks, photo, save, write_noise
from PIL import Image
from words import EXPERIMENTS, QUIET, TINY_NETWORK

from smir.__main__ import user_message

SPLITS = "--data.split_files={train: train.txt, val: val.txt, test: test.txt}"


@pytest.fixture
def photos(tmp_path):
    """Six photographs with labels in the layout of the README."""
    root, names = tmp_path / "field", [f"photo {number}" for number in range(6)]
    write_noise(root, {"train": names[:4], "val": names[4:5], "test": names[5:]}, ".jpg", (200, 256))
    return root


def words(kind, root, *more):
    shared = [f"--data.root={root}", "--data.num_workers=0", "--data.batch_size=2", *TINY_NETWORK, *QUIET]
    segment = ["--data.labels=masks", "--data.classes=[soil, crop, weed]", SPLITS, "--data.crop_size=64"]
    own = segment if kind == "segment" else ["--data.crop_size=192"]
    config = f"--config={EXPERIMENTS / 'folder' / kind}.yaml"
    return ["fit", config, *shared, *own, "--trainer.max_epochs=2", "--model.warmup_epochs=0", *more]


def test_the_recipe_of_the_readme_runs(smir, photos, tmp_path, caplog):
    smir(*words("pretrain", photos, "--data.labels=masks", SPLITS, "--model.warmup_epochs=10"))
    assert "model.warmup_epochs = 10 is too long for stages of 1 epoch; the warm-up takes 0 epochs." in caplog.messages
    pool = json.loads((tmp_path / "runs/folder/selective/seed0/masks/images.json").read_text())
    assert pool == [f"images/photo {number}.jpg" for number in range(4)]  # val and test are held out
    weights = "runs/folder/selective/seed0/checkpoints/best.ckpt"
    smir(*words("segment", photos, f"--model.weights={weights}"))
    config = "runs/folder/segment/seed0/config.yaml"
    smir("predict", f"--config={config}", "--ckpt_path=best", f"--data.predict_images={photos / 'images'}")
    predicted = sorted((tmp_path / "runs/folder/segment/seed0/predict").glob("*.png"))
    assert [path.name for path in predicted] == [*(f"photo {number}.png" for number in range(6)), "preview.png"]
    with Image.open(predicted[0]) as image:
        assert image.size == (256, 200)


def test_a_missing_folder_is_named(fails, photos):
    said = fails(*words("pretrain", photos / "nowhere"))
    assert f"There is no folder {photos / 'nowhere' / 'images'}" in said
    assert "images, masks, test.txt, train.txt, val.txt" in said


def test_a_folder_without_images_is_named(fails, photos):
    shutil.rmtree(photos / "images")
    (photos / "images").mkdir()
    assert f"The folder {photos / 'images'} holds no image" in fails(*words("pretrain", photos))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_is_not_an_image_is_named(fails, photos, workers):
    (photos / "images/photo 2.jpg").write_text("not an image")
    said = fails(*words("pretrain", photos, f"--data.num_workers={workers}", "--data.hold_out=false"))
    assert "photo 2.jpg (12 bytes) is not an image that can be read" in said
    assert "Traceback" not in said


def test_a_truncated_image_is_named(fails, photos):
    path = photos / "images/photo 1.jpg"
    path.write_bytes(path.read_bytes()[:2000])
    assert "photo 1.jpg is damaged" in fails(*words("segment", photos))


def test_a_label_of_another_size_is_named_with_both_sizes(fails, photos):
    Image.fromarray(np.zeros((100, 256), dtype=np.uint8)).save(photos / "masks/photo 0.png")
    said = fails(*words("segment", photos))
    assert "photo 0.png is 256 x 100 pixels" in said
    assert "photo 0.jpg is 256 x 200" in said


def test_a_label_value_outside_the_classes_is_named(fails, photos):
    label = np.zeros((200, 256), dtype=np.uint8)
    label[:10, :10] = 7
    Image.fromarray(label).save(photos / "masks/photo 4.png")
    said = fails(*words("segment", photos))
    assert "photo 4.png holds values outside the classes 0 to 2 and void 255: 7 (100 px)" in said
    assert "data.label_map" in said


def test_an_image_without_a_label_is_reported(fails, photos):
    (photos / "masks/photo 3.png").unlink()
    assert "The train split has 1 image without a label" in fails(*words("segment", photos))
    said = fails(*words("segment", photos, "--data.split_files=null"))
    assert "1 of 6 images" in said
    assert "photo 3.jpg" in said


def test_an_image_too_small_for_the_crop_is_named(fails, photos):
    Image.fromarray(np.zeros((120, 300, 3), dtype=np.uint8)).save(photos / "images/photo 0.jpg")
    said = fails(*words("pretrain", photos))
    assert "photo 0.jpg is 300 x 120 pixels" in said
    assert "data.min_side" in said


def test_a_crop_too_small_for_ms_ssim_is_refused(fails, photos):
    assert "because of MS-SSIM, got 128" in fails(*words("pretrain", photos, "--data.crop_size=128"))


def test_a_segmentation_without_labels_is_refused(fails, photos):
    said = fails(*words("segment", photos, "--data.labels=null"))
    assert "needs data.labels" in said
    assert "images, masks" in said


def test_a_list_entry_without_an_image_is_reported(fails, photos):
    (photos / "val.txt").write_text("photo 4\n\nphoto 77\n")
    assert "val.txt lists 1 names that are not among the 6 images" in fails(*words("segment", photos))


def test_two_images_with_the_same_name_are_reported(fails, photos):
    shutil.copy(photos / "images/photo 0.jpg", photos / "images/photo 0.JPEG")
    said = fails(*words("segment", photos))
    assert "photo 0.JPEG" in said
    assert "photo 0.jpg" in said


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.write_text("hello"), "is not a checkpoint of plain weights, or it is damaged"),
        (lambda path: torch.save({"fc.weight": torch.zeros(2, 2)}, path), "No weight in"),
        (lambda path: None, "There is no checkpoint"),
    ],
)
def test_a_file_without_usable_weights_is_refused(fails, photos, tmp_path, make, said):
    make(tmp_path / "weights.pth")
    assert said in fails(*words("segment", photos, f"--model.weights={tmp_path / 'weights.pth'}"))


def test_a_mistyped_key_in_a_config_is_named(fails, photos, tmp_path):
    (tmp_path / "typo.yaml").write_text("data: {init_args: {bach_size: 3}}")
    assert "bach_size" in fails(*words("pretrain", photos, f"--config={tmp_path / 'typo.yaml'}"), code=2)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--trainer.max_epochs=3"], "must be a multiple of num_stages (2)"),
        (["--trainer.callbacks.num_stages=4", "--trainer.max_epochs=4"], "The largest num_stages that works is 3"),
        (["--data.num_patches=5000"], "a patch needs 3 pixels a side"),
        (["--data.task=segment", "--data.labels=masks", "--data.classes=[a, b, c]"], "needs data.task: pretrain"),
        (["--model.network.encoder=resnet99"], "has no encoder 'resnet99'"),
        (["--data.batch_size=0"], "data.batch_size must be 1 or more"),
        (["--trainer.callbacks.num_stages=0"], "must be 1 or more"),
        (["--trainer.check_val_every_n_epoch=2"], "SelectiveMasking needs 1"),
        (["--trainer.callbacks.scoring_mask=HardestMask"], "scoring_mask draws masks before there are patch scores"),
        (["--data.mask=MixedMask"], "data.mask draws masks before there are patch scores, which MixedMask needs"),
        (["--data.mean=[123.7, 116.3, 103.5]"], "Divide those of values up to 255 by 255"),
        (["--data.std=[.nan, 0.2, 0.2]"], "data.mean and data.std are three numbers"),
        (
            ["--data.num_workers=-1"],
            "data.num_workers must be 0 (this process loads the images itself) or more, got -1",
        ),
        (["--data.crop_size=0"], "data.crop_size must be a multiple of 32"),
        (["--data.cache=true", "--data.cache_gb=.nan"], "data.cache_gb must be positive and finite"),
        (["--model.lr=0"], "model.lr must be positive and finite, got 0"),
        (["--model.lr=-0.1"], "model.lr must be positive and finite, got -0.1"),
        (["--model.lr=.nan"], "model.lr must be positive and finite, got nan"),
        (["--model.warmup_epochs=-1"], "model.warmup_epochs must be 0 or more, got -1"),
        (["--model.weights=ImageNet"], "There is no checkpoint ImageNet. Did you mean --model.weights imagenet?"),
        (
            ["--model.imagenet_file=nowhere.pth"],
            "is only read if model.weights is imagenet or pretrained, but",
        ),
        (["--seed_everything=-1"], "seed_everything must lie between 0 and 4294967295, got -1"),
        (["--seed_everything=4294967296"], "seed_everything must lie between 0 and 4294967295"),
        (["--trainer.accumulate_grad_batches=0"], "trainer.accumulate_grad_batches must be 1 or more. Got 0"),
        (["--trainer.accumulate_grad_batches=-1"], "trainer.accumulate_grad_batches must be 1 or more. Got -1"),
        (["--trainer.check_val_every_n_epoch=0"], "trainer.check_val_every_n_epoch must be 1 or more. Got 0"),
        (["--trainer.check_val_every_n_epoch=3"], "the run would never be validated"),
        (["--trainer.val_check_interval=0"], "trainer.val_check_interval must be 1.0"),
        (["--trainer.gradient_clip_val=.nan"], "trainer.gradient_clip_val must be 0 (no clipping) or more. Got nan"),
        (["--trainer.gradient_clip_val=-1"], "trainer.gradient_clip_val must be 0 (no clipping) or more. Got -1"),
        (["--trainer.limit_train_batches=0"], "trainer.limit_train_batches must be more than 0. Got 0"),
        (["--trainer.limit_val_batches=0"], "trainer.limit_val_batches must be more than 0: it finds the best"),
        (["--trainer.max_time=00:01:00:00"], "trainer.max_time must be null: a run ends with its last epoch"),
        (["--trainer.callbacks+=Timer"], "Lightning's Timer would stop a resumed run again at once"),
        (["--trainer.callbacks+=BatchSizeFinder"], "Leave BatchSizeFinder out of trainer.callbacks: it changes the"),
        (["--trainer.callbacks+=ModelCheckpoint", "--trainer.callbacks.save_last=true"], "Leave save_last out."),
        (
            ["--trainer.callbacks+=ModelCheckpoint", "--trainer.callbacks.filename=best"],
            "ModelCheckpoint with the filename best would replace best.ckpt of smir",
        ),
        (
            ["--trainer.callbacks+=ModelCheckpoint", "--trainer.callbacks.monitor=val/miou"],
            "ModelCheckpoint watches val/miou, which this training does not log. It logs val/loss, val/mean_fill,",
        ),
        (
            ["--trainer.callbacks+=ModelCheckpoint", "--trainer.callbacks.mode=most"],
            "Lightning refuses its settings (trainer.*): `mode` can be min, max",
        ),
        (["--trainer.limit_test_batches=1"], "trainer.limit_test_batches must be null: the test at the end"),
        (["--seed_everything=true"], "seed_everything must be a whole number, 0 or more, got true"),
        (["--trainer.limit_train_batches=0.001"], "Lightning refuses its settings (trainer.*): You requested to check"),
        (
            ["--trainer.precision=64-true"],
            "must be 32-true, 16-mixed, bf16-mixed or auto. Got 64-true",
        ),
        (["--trainer.overfit_batches=1"], "trainer.overfit_batches must be 0"),
        (["--trainer.callbacks+=SelectiveMasking"], "The settings name SelectiveMasking twice"),
        (["--model.network.encoder=tu-vit_tiny_patch16_224"], "does not go down to stride 32 in steps of 2"),
        (["--model.network.dropout=2"], "dropout is a probability, at least 0 and below 1, got 2.0"),
        (["--model.network.dropout=.nan"], "dropout is a probability, at least 0 and below 1, got nan"),
        (["--model.network.decoder_channels=[0, 16, 16]"], "decoder_channels needs three widths"),
        (["--trainer.max_epochs=0"], "trainer.max_epochs must be the number of epochs, 1 or more"),
        (["--trainer.max_epochs=null"], "trainer.max_epochs must be the number of epochs, 1 or more"),
        (["--trainer.max_steps=3"], "trainer.max_steps must be -1: trainer.max_epochs sets the length of a run"),
        (["--trainer.use_distributed_sampler=true"], "the samplers of smir deal the images to the devices"),
    ],
)
def test_invalid_settings_are_refused_with_a_reason(fails, photos, more, said):
    assert said in fails(*words("pretrain", photos, *more))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            ["--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=val/iou"],
            "EarlyStopping watches val/iou, which this training does not log. It logs val/miou, val/iou_std, "
            "val/iou_min, val/iou/soil, val/iou/crop, val/iou/weed, train/loss, lr, stage.",
        ),
        (["--data.batch_size=1", "--model.network.architecture=DeepLabV3Plus"], "a single value for each channel"),
        (["--model.network.architecture=PAN"], "The network does not take images of this size: Given input size"),
    ],
)
def test_settings_that_a_segmentation_cannot_train_with_are_refused(fails, photos, more, said):
    network = ["--model.network=smir.models.SmpNetwork", "--model.network.encoder=tu-mobilenetv3_small_100"]
    config = [word for word in words("segment", photos) if word not in TINY_NETWORK]
    assert said in fails(*config, *network, *more)


def test_a_logger_whose_package_is_missing_is_named(fails, photos, monkeypatch):
    from lightning.pytorch.loggers import mlflow

    monkeypatch.setattr(mlflow, "_MLFLOW_AVAILABLE", False)
    said = fails(*words("pretrain", photos, "--trainer.logger=MLFlowLogger"))
    assert "The settings name a class whose package is not installed" in said


def test_a_corrected_run_reuses_the_folder_name_of_a_failed_one(smir, fails, photos, tmp_path):
    (photos / "images/photo 2.jpg").write_text("not an image")
    fails(*words("pretrain", photos))
    assert not list(tmp_path.rglob("*.tmp"))
    (photos / "images/photo 2.jpg").unlink()
    smir(*words("pretrain", photos, "--trainer.callbacks=null"))
    assert [path.name for path in (tmp_path / "runs/folder/selective").iterdir()] == ["seed0"]


def test_a_pool_of_one_image_is_refused(fails, photos):
    for number in range(1, 4):
        (photos / f"images/photo {number}.jpg").unlink()
    (photos / "train.txt").write_text("photo 0\n")
    said = fails(*words("pretrain", photos, "--data.labels=masks", SPLITS))
    assert "The pool to pretrain on has 1 image, and needs one to train on and one to validate on." in said


def test_a_mask_ramp_longer_than_the_stages_causes_a_warning(smir, photos):
    ramp = ["--trainer.callbacks.policy=RampMask", "--trainer.callbacks.num_stages=2"]
    with pytest.warns(UserWarning, match=r"there only 11% of the masked patches are the hardest.*policy\.last 1"):
        smir(*words("pretrain", photos, *ramp))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        smir(*words("pretrain", photos, *ramp, "--trainer.callbacks.policy.last=1"))
    assert not [w for w in caught if "RampMask" in str(w.message)]


def test_patches_too_thin_on_a_whole_view_are_refused_before_training(fails, photos, tmp_path):
    """5,000 patches fit into the square crop, but not into the view of a photograph, which is scored after stage 1."""
    said = fails(*words("pretrain", photos, "--data.num_patches=5000"))
    assert "num_patches = 5000 cuts an image of 192 x 246 pixels into patches only 2 pixels thin" in said
    assert not list(tmp_path.glob("runs/**/metrics.csv"))


def test_weights_of_another_encoder_are_refused_and_of_another_decoder_reported(fails, smir, photos, tmp_path):
    smir(*words("pretrain", photos, "--trainer.callbacks=null"))
    weights = f"--model.weights={tmp_path / 'runs/folder/selective/seed0/checkpoints/best.ckpt'}"
    said = fails(*words("segment", photos, weights, "--model.network.encoder=tu-regnetx_002"))
    assert "fits the encoder of the network (UNetStride4, encoder tu-regnetx_002)" in said
    with pytest.warns(UserWarning, match="which begin at random: decoder.2"):
        smir(*words("segment", photos, weights, "--model.network.decoder_channels=[16,16,8]"))


def test_a_segmentation_accepts_small_crops_and_a_second_run_names_what_differs(smir, photos, caplog):
    """Crops of 32 pixels are too small for the patches of a pretraining, but a segmentation has no patches."""
    caplog.set_level("INFO", logger="lightning.pytorch.utilities.rank_zero")
    smir(*words("segment", photos, "--data.crop_size=32", "--trainer.max_epochs=1"))
    smir(*words("segment", photos, "--data.crop_size=32", "--trainer.max_epochs=1", "--model.lr=0.01"))
    (said,) = (text for text in caplog.messages if "holds a run of other settings" in text)
    assert "settings: --model.lr: 0.003, not 0.01. This one is a new training, in runs/folder/segment/seed0-" in said
    assert said.endswith("--model.weights runs/folder/segment/seed0/checkpoints/best.ckpt")


@pytest.mark.parametrize("function", ["mkdir", "link", "rename", "replace", "fsync", "open"])
def test_prepare_reports_a_full_disk_and_completes_when_repeated(smir, tmp_path, capsys, monkeypatch, function):
    """The system call fails once, early or late. Then the same command makes the whole field."""
    exports.grey(tmp_path / "labels", {f"{n:03d}": blocks(f"label {n}", [0, 1, 2], (64, 80)) for n in range(4)})
    for number in range(5):
        save(tmp_path / f"photos/{number:03d}.jpg", photo(f"image {number}", (64, 80)))
    words = ["prepare", "folder", "--images=photos", "--labels=labels", "--classes=[soil, crop, weed]"]
    smir(*words, "--root=whole")
    calls, real = [], getattr(os, function)

    def full(*args, **options):
        calls.append(args)
        if len(calls) == wanted:
            raise OSError(errno.ENOSPC, "No space left on device", str(args[0]))
        return real(*args, **options)

    for wanted in (1, 4):
        calls.clear()
        with monkeypatch.context() as patch:
            patch.setattr(os, function, full)
            try:
                smir(*words, "--root=field")
            except SystemExit:
                assert "No space left on device. " in capsys.readouterr().err
            else:
                # The command has an alternative to the other calls, or can do without them.
                assert len(calls) < wanted or function != "replace"
    smir(*words, "--root=field")
    for name in ("masks/003.png", "preview.png", "images/004.jpg", "train.txt"):
        assert (tmp_path / "field" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_killed_loader_worker_is_reported(fails, photos, monkeypatch, workers):
    def killed(path):
        if workers:
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(errno.EIO, "Input/output error", str(path))

    monkeypatch.setattr("smir.data.reading.pairs.read_image", killed)
    said = fails(*words("pretrain", photos, f"--data.num_workers={workers}"))
    if workers:
        assert "killed by signal: Killed" in said or "exited unexpectedly" in said
        assert "Use fewer (--data.num_workers) or a smaller --data.batch_size" in said
    else:
        assert "Input/output error. Free some space or correct the permissions" in said


def test_a_gpu_without_memory_is_named():
    said = "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79.00 GiB"
    assert user_message(torch.OutOfMemoryError(said)).startswith("CUDA out of memory. Use smaller batches (")


def test_a_bug_in_a_worker_keeps_its_traceback():
    assert user_message(RuntimeError("Caught KeyError in DataLoader worker process 0.\nOriginal Traceback")) is None
    assert user_message(FileNotFoundError(errno.ENOENT, "No such file", "x")) is None


def test_a_damaged_row_in_metrics_csv_stops_a_resume(smir, fails, photos, tmp_path):
    fit = words("pretrain", photos, "--trainer.callbacks=null", "--run.keep_seconds=0")
    run = tmp_path / "runs/folder/selective/seed0"
    smir(*fit)
    (run / "DONE").unlink()
    (run / "checkpoints/previous.ckpt").replace(run / "checkpoints/last.ckpt")
    (run / "metrics.csv").write_text("epoch,step\n0,1\nx,2\n")
    assert "metrics.csv is damaged at row 2: invalid literal" in fails(*fit)
