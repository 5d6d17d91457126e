"""`data.on_bad_image: skip`: files that are left out are reported, and nothing else changes."""

import json
import os
import subprocess

import numpy as np
import pytest
import torch
from fakes import write_noise
from PIL import Image
from words import EXPERIMENTS, QUIET, REPOSITORY, TINY_NETWORK

from smir.data import Folder
from smir.data.reading.decode import read_image
from smir.errors import DataError

SPLITS = "--data.split_files={train: train.txt, val: val.txt, test: test.txt}"
PRETRAINING, SEGMENTATION = "runs/folder/selective/seed0", "runs/folder/segment/seed0"


@pytest.fixture
def photos(tmp_path):
    """Fourteen photographs with labels, in lists of 10, 2 and 2."""
    root, names = tmp_path / "field", [f"p{number:02d}" for number in range(14)]
    write_noise(root, {"train": names[:10], "val": names[10:12], "test": names[12:]})
    return root


def words(kind, root, *more):
    own = ["--data.crop_size=192", "--data.labels=null"]
    if kind == "segment":
        own = ["--data.labels=masks", "--data.classes=[soil, crop, weed]", SPLITS, "--data.crop_size=64"]
    shared = [f"--data.root={root}", "--data.num_workers=0", "--data.batch_size=2", *TINY_NETWORK, *QUIET]
    skip = ["--data.on_bad_image=skip", "--data.max_bad_share=0.3"]
    ends = ["--trainer.max_epochs=2", "--model.warmup_epochs=0"]
    return ["fit", f"--config={EXPERIMENTS / 'folder' / kind}.yaml", *shared, *own, *skip, *ends, *more]


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def weights(run):
    return torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]


def test_a_run_that_skips_files_equals_a_run_without_them(smir, photos, tmp_path, recwarn):
    more = ["--trainer.callbacks.num_stages=2"]
    truncate(photos / "images/p03.png")
    (photos / "images/p07.png").write_bytes(b"")
    Image.fromarray(np.zeros((90, 300, 3), dtype=np.uint8)).save(photos / "images/p11.png")
    smir(*words("pretrain", photos, "--run.root=skips", *more))
    said = [str(warning.message) for warning in recwarn if "Skipped" in str(warning.message)]
    assert len(said) == 1
    assert "Skipped 3 of 14 images of the pool list" in said[0]
    skips = tmp_path / "skips/folder/selective/seed0"
    record = json.loads((skips / "skipped.json").read_text())["lists"]["pool"]
    assert record["files"] == 14
    reasons = record["skipped"]
    assert list(reasons) == ["images/p03.png", "images/p07.png", "images/p11.png"]
    assert "is damaged" in reasons["images/p03.png"]
    assert "(0 bytes) is not an image" in reasons["images/p07.png"]
    assert "300 x 90 pixels" in reasons["images/p11.png"]

    for name in reasons:
        (photos / name).unlink()
    smir(*words("pretrain", photos, "--run.root=without", "--data.on_bad_image=error", *more))
    without = tmp_path / "without/folder/selective/seed0"
    assert not (without / "skipped.json").exists()
    for file in ("run.json", "masks/images.json", "masks/stage-01.npz"):
        assert (skips / file).read_bytes() == (without / file).read_bytes(), file
    left, right = weights(skips), weights(without)
    assert all(torch.equal(left[name], right[name]) for name in left)


def test_bad_pairs_of_a_segmentation_are_skipped(smir, photos, tmp_path):
    Image.fromarray(np.full((200, 220), 9, dtype=np.uint8)).save(photos / "masks/p00.png")
    Image.fromarray(np.zeros((100, 220), dtype=np.uint8)).save(photos / "masks/p01.png")
    (photos / "images/p10.png").write_bytes(b"GIF89a no image")
    smir(*words("segment", photos, "--run.test=false", "--data.label_budget=6", "--data.max_bad_share=0.5"))
    lists = json.loads((tmp_path / SEGMENTATION / "skipped.json").read_text())["lists"]
    assert list(lists["train"]["skipped"]) == ["images/p00.png", "images/p01.png"]
    assert list(lists["val"]["skipped"]) == ["images/p10.png"]
    assert lists["test"]["skipped"] == {}
    inputs = json.loads((tmp_path / SEGMENTATION / "run.json").read_text())["inputs"]["data"]
    assert {split: inputs[split]["images"] for split in inputs} == {"train": 6, "val": 1, "test": 2}


def test_more_bad_images_than_the_allowed_share_are_an_error(fails, photos, tmp_path):
    for number in range(5):
        truncate(photos / f"images/p{number:02d}.png")
    said = fails(*words("pretrain", photos))
    assert "5 of 14 images of the pool list cannot be used, more than the share of data.max_bad_share = 0.3" in said
    assert "p00.png is damaged" in said
    assert "And 3 more. `python -m smir check` names them all." in said
    assert "or remove it. The image" in said
    assert not (tmp_path / "runs").exists()


def test_no_test_image_is_skipped(fails, photos, tmp_path):
    truncate(photos / "images/p12.png")
    said = fails(*words("segment", photos, "--data.max_bad_share=0.9"))
    assert "1 test image cannot be used" in said
    assert "p12.png is damaged" in said
    assert "or remove it. Repair them" in said
    assert not (tmp_path / "runs").exists()  # the message comes before the training, not after it


def test_a_max_bad_share_above_1_is_refused(fails, photos):
    assert "data.max_bad_share is a share of a list" in fails(*words("pretrain", photos, "--data.max_bad_share=5"))


def test_predict_skips_bad_images_and_lists_them(smir, photos, tmp_path):
    smir(*words("segment", photos, "--run.test=false"))
    truncate(photos / "images/p05.png")
    images = f"--data.predict_images={photos / 'images'}"
    smir("predict", f"--config={SEGMENTATION}/config.yaml", "--ckpt_path=best", images)
    folder = tmp_path / SEGMENTATION / "predict"
    assert len(list(folder.glob("p*[0-9].png"))) == 13
    assert list(json.loads((folder / "skipped.json").read_text())["lists"]["predict"]["skipped"]) == ["p05.png"]


def test_too_many_bad_images_to_predict_are_reported_without_a_hint_to_run_check(smir, fails, photos, tmp_path):
    smir(*words("segment", photos, "--run.test=false"))
    truncate(photos / "images/p05.png")
    predict = ["predict", f"--config={SEGMENTATION}/config.yaml", "--ckpt_path=best"]
    said = fails(*predict, f"--data.predict_images={photos / 'images'}", "--data.max_bad_share=0.01")
    assert "1 of 14 images of the predict list cannot be used" in said
    assert "smir check" not in said
    assert "(--data.max_bad_share) the others are predicted, and skipped.json beside them names all these." in said


def listed(root, **more):
    return Folder(root, task="pretrain", crop_size=192, on_bad_image="skip", max_bad_share=0.3, **more)


@pytest.fixture
def decoded(monkeypatch):
    """Counts the images that are decoded."""
    count = []

    def counting(path):
        count.append(path)
        return read_image(path)

    monkeypatch.setattr("smir.data.reading.pairs.read_image", counting)
    return count


def test_files_are_decoded_again_only_if_they_change(photos, tmp_path, decoded):
    truncate(photos / "images/p03.png")
    first = listed(photos)
    assert len(first.images("pool")) == 13
    assert len(decoded) == 14
    first.screening.save(tmp_path / "skipped.json", "settings")

    again = listed(photos)
    again.screening.load(tmp_path / "skipped.json", "settings")
    assert list(again.images("pool")) == list(first.images("pool"))
    assert len(decoded) == 14

    for change in (
        lambda: os.utime(photos / "images/p04.png", ns=(1, 1)),
        lambda: (tmp_path / "skipped.json").write_text('{"format": 1, "settings": "settings", "lists": [7]}'),
    ):
        change()
        other = listed(photos)
        other.screening.load(tmp_path / "skipped.json", "settings")
        decoded.clear()
        other.images("pool")
        assert len(decoded) == 14


def test_verdicts_recorded_with_other_settings_are_ignored(photos, tmp_path, decoded):
    first = listed(photos)
    first.images("pool")
    first.screening.save(tmp_path / "skipped.json", "min_side 192")
    other = listed(photos, min_side=300)
    other.screening.load(tmp_path / "skipped.json", "min_side 300")
    with pytest.raises(DataError, match="14 of 14"):
        other.images("pool")


def test_an_image_that_turns_bad_later_is_an_error(photos):
    data = listed(photos, num_workers=0)
    data.images("pool")
    (photos / "images/p05.png").unlink()
    with pytest.raises(DataError, match=r"p05\.png does not exist"):
        data.view(5)


def test_two_processes_skip_the_same_images(python, photos, tmp_path):
    truncate(photos / "images/p03.png")
    start = ["-m", "torch.distributed.run", "--nproc_per_node=2", "-m", "smir"]
    more = ["--trainer.devices=2", "--trainer.callbacks=null", "--data.num_workers=1"]
    command = [python, *start, *words("pretrain", photos, *more)]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    run = tmp_path / PRETRAINING
    assert list(json.loads((run / "skipped.json").read_text())["lists"]["pool"]["skipped"]) == ["images/p03.png"]
    assert done.stderr.count("Looking at the pool list: 100%") <= 1
    # Eleven of the 13 images are for training, in batches of two.
    assert json.loads((run / "DONE").read_text())["image_visits"] == 2 * 10
