"""Training on the validation images, too (`data.train_on_val`)."""

import json
from pathlib import Path

import pytest
import yaml
from fakes import write_folder
from words import EXPERIMENTS, QUIET, TINY_NETWORK

from smir.data import Folder

OPTIONS = {"labels": "labels", "classes": ["a", "b", "c"], "crop_size": 64, "batch_size": 2, "num_workers": 0}


@pytest.fixture
def root(tmp_path):
    write_folder(tmp_path / "root", size=(64, 72))
    for split, numbers in (("train", range(5)), ("val", (5, 6)), ("test", (7, 8))):
        (tmp_path / f"root/{split}.txt").write_text("".join(f"{number:03d}.jpg\n" for number in numbers))
    return tmp_path / "root"


def field(root, **options):
    lists = {split: f"{split}.txt" for split in ("train", "val", "test")}
    return Folder(root, split_files=lists, **{**OPTIONS, **options})


def train(root, *more):
    words = ["fit", f"--config={EXPERIMENTS / 'folder/segment.yaml'}", f"--data.root={root}", *TINY_NETWORK, *QUIET]
    words += ["--data.labels=labels", "--data.classes=[a,b,c]", "--data.crop_size=64", "--data.num_workers=0"]
    words += ['--data.split_files={"train":"train.txt","val":"val.txt","test":"test.txt"}', "--trainer.max_epochs=1"]
    return [*words, "--run.experiment=a", *more]


def names(data, split):
    return [image.removeprefix("images/").removesuffix(".jpg") for image in data.images(split)]


def test_the_validation_images_join_the_training_images_with_their_labels(root):
    data, plain = field(root, train_on_val=True), field(root)
    assert names(data, "train") == [f"{number:03d}" for number in range(7)]
    assert [names(data, split) for split in ("val", "test")] == [names(plain, split) for split in ("val", "test")]
    for place, image in enumerate(data.images("train")):
        label = data.labelled("train").read_pair(place)[1]
        stored = (
            data.labelled("val").read_pair(place - 5)[1] if place > 4 else plain.labelled("train").read_pair(place)[1]
        )
        assert (label == stored).all(), image


def test_a_pretraining_and_the_validation_split_stay_as_they_are(root):
    pretraining = {"task": "pretrain", "crop_size": 192}
    plain, given = field(root, **pretraining), field(root, **pretraining, train_on_val=True)
    assert plain.images("pool").fingerprint() == given.images("pool").fingerprint()
    assert not given.train_on_val


def test_a_label_budget_draws_from_all_images_that_are_trained_on(root):
    drawn = [set(names(field(root, train_on_val=True, label_budget=4, split_seed=seed), "train")) for seed in range(9)]
    assert all(len(each) == 4 for each in drawn)
    assert {"005", "006"} & set().union(*drawn)
    for seed, images in enumerate(drawn):
        shared = field(root, train_on_val=True, label_budget=4, split_seed=seed).trained_val_images()
        assert {Path(image).stem for image in shared} == images & {"005", "006"}


def test_an_image_on_both_lists_is_trained_on_once(root):
    with (root / "train.txt").open("a") as file:
        file.write("005.jpg\n")
    assert names(field(root, train_on_val=True), "train") == [f"{number:03d}" for number in range(7)]


def test_validate_says_that_its_images_are_trained_on(smir, root, caplog):
    smir(*train(root, "--data.train_on_val=true"))
    caplog.clear()
    smir("validate", "--config=runs/a/seed0/config.yaml", "--ckpt_path=best", *QUIET)
    assert "2 validation images are trained on, too" in caplog.text


@pytest.mark.parametrize(("labelled", "few"), [(55, True), (75, False)])
def test_prepare_sets_it_if_fewer_than_50_labels_are_for_training_and_validation(smir, tmp_path, capsys, labelled, few):
    write_folder(tmp_path / "photos", count=labelled, size=(24, 32))
    words = ["--images", f"{tmp_path}/photos/images", "--labels", f"{tmp_path}/photos/labels"]
    smir("prepare", "folder", *words, "--classes=[a,b,c]", "--root=field")
    settings = yaml.safe_load((tmp_path / "field/data.yaml").read_text())["data"]["init_args"]
    said = "Note: Labels are few, so validation images are trained on, too" in capsys.readouterr().out
    assert (settings.get("train_on_val", False), said) == (few, few)


def test_a_sweep_refuses_to_compare_runs_by_images_that_they_train_on(smir, root, capsys, monkeypatch):
    monkeypatch.setenv("WANDB_SWEEP_ID", "s")
    monkeypatch.setenv("WANDB_RUN_ID", "r")
    with pytest.raises(SystemExit):
        smir(*train(root, "--data.train_on_val=true"))
    assert "Add --data.train_on_val=false to the command of the sweep." in capsys.readouterr().err
    assert not (root.parent / "runs").exists()


def test_bad_validation_images_are_left_out_of_both_lists(root):
    (root / "images/006.jpg").write_bytes(b"nothing")
    data = field(root, train_on_val=True, on_bad_image="skip", max_bad_share=0.6)
    assert names(data, "train") == [f"{number:03d}" for number in range(6)]
    assert names(data, "val") == ["005"]


def test_a_run_says_that_it_trains_on_them_and_keeps_its_test_images(smir, root, caplog):
    with (root / "test.txt").open("a") as file:
        file.write("004.jpg\n")
    with pytest.warns(
        UserWarning, match=r"1 test image is trained on, too \(images/004.jpg\), so the figures of the test"
    ):
        smir(*train(root, "--data.train_on_val=true"))
    assert (
        "2 validation images are trained on, too (data.train_on_val), so validation figures tell nothing" in caplog.text
    )
    lists = json.loads((root.parent / "runs/a/seed0/run.json").read_text())["inputs"]["data"]
    assert [lists[split]["images"] for split in ("train", "val", "test")] == [7, 2, 3]
    assert (root.parent / "runs/a/seed0/test/metrics.json").is_file()
