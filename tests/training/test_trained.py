"""A network is used with the settings that it was trained with, not those of another data config."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from fakes import write_folder
from networks import trained_like
from PIL import Image
from words import EXPERIMENTS, QUIET

from smir.__main__ import main
from smir.data.reading.decode import read_image
from smir.training.segmentation import SegmentationModule

RUN = Path("runs/folder/segment/seed0")
OTHER = {"mean": [0.1, 0.9, 0.2], "std": [0.05, 0.4, 0.1]}
WAYS = {"file": ["--config=held.yaml"], "options": [f"--data.{name}={value}" for name, value in OTHER.items()]}
LISTS = {"train": range(4), "val": (4, 5), "test": range(6, 10)}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A working folder with a run on a `Folder`, and a data config with another normalisation."""
    place = tmp_path_factory.mktemp("trained")
    write_folder(place / "field", size=(96, 128))
    for split, numbers in LISTS.items():
        (place / f"field/{split}.txt").write_text("".join(f"{number:03d}\n" for number in numbers))
    data = {"root": "field", "labels": "labels", "classes": ["soil", "crop", "weed"]}
    data |= {"split_files": {split: f"{split}.txt" for split in LISTS}}
    for name, more in (("data", {}), ("held", OTHER)):
        options = {"class_path": "Folder", "init_args": {**data, **more}}
        (place / f"{name}.yaml").write_text(yaml.safe_dump({"data": options}))
    words = [f"--config={EXPERIMENTS / 'folder' / 'segment.yaml'}", "--config=data.yaml", "--data.crop_size=64"]
    words += ["--data.num_workers=0", "--trainer.max_epochs=1", "--model.warmup_epochs=0", "--run.test=false"]
    network = ["--model.network.encoder=tu-test_resnet", "--model.network.decoder_channels=[16,16,16]"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setattr("sys.argv", ["smir"])
        main(["fit", *words, *network, *QUIET])
        best = RUN / "checkpoints/best.ckpt"
        module = trained_like(SegmentationModule.from_checkpoint(best))  # so short a training predicts only soil
        torch.save({**torch.load(best, weights_only=True), "state_dict": module.state_dict()}, best)
        (RUN / "DONE").unlink()  # DONE lists the unchanged file
    return place


@pytest.fixture(autouse=True)
def here(smir, trained, tmp_path):
    """A copy of `trained` to work in."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)


def words_of(command, *more):
    return [command, f"--config={RUN}/config.yaml", *more, f"--ckpt_path={RUN}/checkpoints/best.ckpt", *QUIET]


def predicted_by_hand(name):
    """Predicts with only the network, which does not see a data config."""
    module = SegmentationModule.from_checkpoint(RUN / "checkpoints/best.ckpt")
    return module.segment(read_image(Path(f"field/images/{name}.jpg"))).numpy()


@pytest.mark.parametrize("way", WAYS)
def test_a_test_normalises_as_in_training(smir, caplog, capsys, way):
    with caplog.at_level("INFO"):
        smir(*words_of("test", *WAYS[way]))
    counts = np.zeros((3, 3), dtype=int)
    for number in LISTS["test"]:
        label = np.asarray(Image.open(f"field/labels/{number:03d}.png"))
        counted = label != 255
        np.add.at(counts, (label[counted], predicted_by_hand(f"{number:03d}")[counted]), 1)
    found = np.genfromtxt(RUN / "test/confusion-native.csv", delimiter=",", skip_header=1)[:, 1:]
    assert found.tolist() == counts.tolist()
    assert (counts.sum(axis=0) > 0).sum() > 1  # it predicts several classes
    view = np.genfromtxt(RUN / "test/confusion-view.csv", delimiter=",", skip_header=1)[:, 1:]
    iou = 100 * view.diagonal() / (view.sum(axis=0) + view.sum(axis=1) - view.diagonal())
    classes = f"soil {iou[0]:.1f}, crop {iou[1]:.1f}, weed {iou[2]:.1f}"
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith(f"Test on 4 images: mIoU {iou.mean():.1f} ({classes}), IoU in percent. So few test images")
    (said,) = [text for text in caplog.messages if "normalised" in text]
    assert "(mean 0.485, 0.456, 0.406, std 0.229, 0.224, 0.225)" in said
    assert "(mean 0.1, 0.9, 0.2, std 0.05, 0.4, 0.1) are not used" in said


def test_the_recorded_settings_are_those_that_were_used(smir, caplog):
    with caplog.at_level("INFO"):
        smir(*words_of("test"))
    assert "normalised" not in caplog.text
    first = json.loads((RUN / "test/metrics.json").read_text())
    smir(*words_of("test", *WAYS["file"]))
    assert sorted(path.name for path in RUN.glob("test*")) == ["test"]
    assert json.loads((RUN / "test/metrics.json").read_text()) == first


def test_results_on_other_images_of_the_same_names_go_to_a_separate_folder(smir):
    smir(*words_of("test"))
    first = (RUN / "test/metrics.json").read_bytes()
    shutil.copytree("field", "other")
    for path in Path("other/images").glob("*.jpg"):
        Image.fromarray(read_image(path)).save(path, quality=50)
    smir(*words_of("test", "--data.root=other"))
    assert len(list(RUN.glob("test*"))) == 2
    assert (RUN / "test/metrics.json").read_bytes() == first


def test_validate_and_predict_normalise_as_in_training(smir, capsys):
    said = []
    for more in ([], WAYS["file"]):
        smir(*words_of("validate", *more))
        said.append([line for line in capsys.readouterr().out.splitlines() if "val/miou" in line])
    assert said[0] == said[1] != []
    smir(*words_of("predict", *WAYS["options"], "--data.predict_images=field/images", "--data.predict.view=whole"))
    for number in (0, 7):
        with Image.open(RUN / f"predict/{number:03d}.png") as image:
            assert np.array_equal(np.asarray(image), predicted_by_hand(f"{number:03d}"))


def test_another_image_size_than_in_training_is_reported(smir, caplog):
    with caplog.at_level("INFO"):
        smir(*words_of("test", "--data.crop_size=96"))
    assert "trained at 64 pixels, but images are seen at 96 here" in caplog.text


@pytest.mark.parametrize("command", ["validate", "test", "predict"])
@pytest.mark.parametrize("classes", ["[soil, weed, crop]", "[soil, crop, thistle]", "[soil, crop]"])
def test_classes_that_differ_from_the_checkpoint_are_refused(fails, command, classes):
    said = fails(*words_of(command, f"--data.classes={classes}"))
    assert "The checkpoint's classes are soil, crop, weed; those of the data are " + classes[1:-1] in said
    assert "--classes '[soil, crop, weed]'" in said
