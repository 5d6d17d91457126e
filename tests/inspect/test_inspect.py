"""`smir inspect` against oracles: patch losses one by one, IoU computed by hand, and planted label errors."""

import csv
import json
import re
from pathlib import Path
from urllib.parse import unquote

import fakes
import numpy as np
import pytest
import torch
import yaml
from words import segment_words

from benchmarks.plain import score_image
from smir import terminal
from smir.classes import Classes
from smir.method.baselines import inpaint
from smir.method.masking import RandomMask
from smir.method.padding import padded_forward
from smir.method.preprocessing import Preprocessing
from smir.models.networks import UNetStride4
from smir.models.weight_files import FORMAT
from smir.seeding import generator_for
from smir.training.reconstruction import ReconstructionModule
from smir.training.segmentation import SegmentationModule

SIZE = (64, 96)
SEED = 7
CLASSES = ["soil", "crop", "weed"]
SHADES = np.asarray([[120, 90, 60], [30, 200, 40], [200, 40, 160]], dtype=np.uint8)
CROP = (slice(16, 40), slice(20, 60))
"""Position of the crop in every picture of the fake field."""


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def network(channels):
    return UNetStride4(channels, "tu-test_efficientnet", [16, 16, 16])


def write_run(folder, module, **data):
    """Writes a checkpoint into a run folder whose config names the data."""
    checkpoint = folder / "checkpoints/best.ckpt"
    checkpoint.parent.mkdir(parents=True)
    preprocessing = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "view_size": 64, "num_patches": 64}
    record = {"format": FORMAT, "task": module.task, "network": module.network.spec, "origin": {"seed": SEED}}
    record |= {"out_channels": module.out_channels, "preprocessing": preprocessing}
    if module.task == "segment":
        record["classes"] = {"names": CLASSES, "colors": [[0, 0, 0], [0, 255, 0], [255, 0, 0]]}
    torch.save({"state_dict": module.state_dict(), "smir": record}, checkpoint)
    settings = {"class_path": "Folder", "init_args": {"task": module.task, "crop_size": 192, "min_side": 32, **data}}
    (folder / "config.yaml").write_text(yaml.safe_dump({"model": {"class_path": "Any"}, "data": settings}))
    return checkpoint


@pytest.fixture(scope="module")
def pretrained():
    torch.manual_seed(0)
    return ReconstructionModule(network=network, preprocessing=Preprocessing(view_size=64, num_patches=64)).eval()


@pytest.fixture
def pool(tmp_path, pretrained):
    """Five images, of two sizes, and a pretraining of them."""
    for number in range(5):
        size = SIZE if number % 2 else (128, 128)
        fakes.save(tmp_path / f"field/images/{number}.png", fakes.photo(f"image {number}", size))
    return write_run(tmp_path / "runs/pretrain/seed7", pretrained, root=str(tmp_path / "field"))


@pytest.fixture
def labelled(tmp_path, monkeypatch):
    """Six labelled pictures of a field, and a segmentation that distinguishes the classes by colour."""

    def by_color(self, image):
        colors = self.preprocessing.normalize(torch.from_numpy(SHADES)[..., None, None])
        return -((image[:, None] - colors[None]) ** 2).sum(dim=2)

    monkeypatch.setattr(SegmentationModule, "forward", by_color)
    for number in range(6):
        fakes.save(tmp_path / f"field/images/{number}.png", SHADES[truth(number)])
        fakes.save(tmp_path / f"field/labels/{number}.png", label_of(number))
    for split, members in {"train": "01", "val": "2345", "test": "0"}.items():
        fakes.save_list(tmp_path / f"field/{split}.txt", members)
    lists = {split: f"{split}.txt" for split in ("train", "val", "test")}
    module = SegmentationModule(Classes.named(CLASSES), network=network)
    data = {"root": str(tmp_path / "field"), "labels": "labels", "classes": CLASSES, "split_files": lists}
    return write_run(tmp_path / "runs/segment/seed7", module, **data)


def truth(number):
    """Returns the objects in a picture: a crop plant, and a weed that grows from picture to picture."""
    shown = np.zeros(SIZE, dtype=np.uint8)
    shown[CROP] = 1
    shown[50:60, 4 : 10 + number] = 2
    return shown


def label_of(number):
    """Returns the label: slightly shifted, void in a corner and, in picture 4, wrong for half of the crop plant."""
    label = np.roll(truth(number), 1, axis=1)
    label[:6, :6] = 255
    if number == 4:
        label[16:40, 40:60] = 2
    return label


def links_of(page):
    return re.findall(r'(?:href|src)="([^"]*)"', page.read_text())


# a pretraining


def test_every_patch_loss_equals_a_plain_computation(smir, pool, pretrained, tmp_path):
    smir("inspect", "--ckpt", pool, "--num_samples=2", "--limit=1")
    rows = rows_of(tmp_path / "inspect/patches.csv")
    for number in range(5):
        name = f"images/{number}.png"
        own = [row for row in rows if row["image"] == name]
        view = pretrained.preprocessing.view(fakes.photo(f"image {number}", SIZE if number % 2 else (128, 128)))
        grid = pretrained.preprocessing.grid(*view.shape[:2])
        image = pretrained.preprocessing.normalize(torch.from_numpy(view).permute(2, 0, 1)[None])
        generator = generator_for(SEED, "score", 0, number)
        masks = [RandomMask()(grid=grid, generator=generator) for _ in range(2)]
        expected = score_image(lambda masked: padded_forward(pretrained.network, masked), image, grid, masks)
        found = np.asarray([float(row["loss"]) for row in own])
        np.testing.assert_allclose(found, expected, atol=1e-4)
        hidden = np.asarray([row["hidden"] == "1" for row in own])
        assert hidden.sum() == len(grid) // 2
        assert found[hidden].min() >= found[~hidden].max()
        scale = 1 if number % 2 else 2
        boxes = [[int(row[edge]) for edge in ("top", "left", "bottom", "right")] for row in own]
        assert boxes == (grid.boxes * scale).tolist()
        (summary,) = (row for row in rows_of(tmp_path / "inspect/images.csv") if row["image"] == name)
        assert float(summary["mean"]) == pytest.approx(float(expected.mean()), abs=1e-4)
        assert float(summary["highest"]) == pytest.approx(float(expected.max()), abs=1e-4)
        kept = score_image(lambda masked: masked, image, grid, masks)  # a masked pixel has the mean colour
        assert float(summary["mean_fill"]) == pytest.approx(float(kept.mean()), abs=1e-4)
        answers = iter([inpaint(image, grid.to_pixels(mask)[None, None]) for mask in masks])
        filled = score_image(lambda _, left=answers: next(left), image, grid, masks)
        assert float(summary["inpaint"]) == pytest.approx(float(filled.mean()), abs=1e-4)
    means = [float(row["mean"]) for row in rows_of(tmp_path / "inspect/images.csv")]
    assert means == sorted(means, reverse=True)


def test_the_patch_that_was_made_hard_is_the_hardest(smir, pool, tmp_path):
    for number in range(5):
        grey = np.full((*SIZE, 3), (124, 116, 104), np.uint8)
        if number == 3:
            grey[24:32, 48:60] = 255 * (np.indices((8, 12)).sum(axis=0) % 2)[..., None]
        fakes.save(tmp_path / f"odd/{number} of <5>.png", grey)
    smir("inspect", "--ckpt", pool, "odd", "--limit=2", "--out=page")
    hardest = max(rows_of(tmp_path / "page/patches.csv"), key=lambda row: float(row["loss"]))
    assert hardest["image"] == "odd/3 of <5>.png"
    assert [hardest[edge] for edge in ("top", "left", "bottom", "right")] == ["24", "48", "32", "60"]
    assert rows_of(tmp_path / "page/images.csv")[0]["image"] == "odd/3 of <5>.png"
    assert len(rows_of(tmp_path / "page/images.csv")) == 5
    page = (tmp_path / "page/index.html").read_text()
    first = page.index('class="tile"')
    assert f"<b>{float(hardest['loss']):.3f}</b> row 3, column 4" in page[first : page.index("</a>", first)]
    assert "3 of &lt;5&gt;.png" in page
    assert page.count("<article") == 2 + 1  # the hardest images, and the easiest for comparison


def test_the_page_is_self_contained_and_reproducible(smir, pool, tmp_path):
    smir("inspect", "--ckpt", pool, "--limit=2")
    out = tmp_path / "inspect"
    ids = re.findall(r'id="([^"]*)"', (out / "index.html").read_text())
    assert len(ids) == len(set(ids))
    for link in links_of(out / "index.html"):
        if link.startswith("#"):
            assert link[1:] in ids
        elif not link.startswith("data:image/jpeg;base64,"):
            assert (out / unquote(link)).is_file()
    assert not re.search(r"https?://|@import|url\(", (out / "index.html").read_text())
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    smir("inspect", "--ckpt", pool, "--limit=2", "--batch_size=1")
    assert {path.name for path in out.iterdir()} == before.keys()
    assert (out / "patches.csv").read_text().count("\n") == before["patches.csv"].count(b"\n")
    smir("inspect", "--ckpt", pool, "--limit=2")
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def interpolated(masked):
    """Returns masked images filled by interpolation, with a small error."""
    return inpaint(masked, (masked == 0).all(dim=1, keepdim=True)) + 0.01


@pytest.mark.parametrize(
    ("answer", "said"), [(torch.zeros_like, "filling masked patches with the mean"), (interpolated, "interpolation")]
)
def test_a_network_that_is_no_better_than_mean_fill_or_interpolation_gets_a_warning(
    smir, pool, monkeypatch, tmp_path, answer, said
):
    monkeypatch.setattr("smir.method.scoring.padded_forward", lambda _, masked: answer(masked))
    smir("inspect", "--ckpt", pool, "--num_samples=1", "--limit=1")
    (warning,) = re.findall(r'class="warning">(.*?)</p>', (tmp_path / "inspect/index.html").read_text(), re.DOTALL)
    assert f"no better than {said}" in warning


def test_another_mask_policy_hides_its_own_share_of_patches(smir, pool, tmp_path):
    smir("inspect", "--ckpt", pool, "--policy=HardestMask", "--policy.ratio=0.25", "--limit=1")
    rows = rows_of(tmp_path / "inspect/patches.csv")
    assert sum(row["hidden"] == "1" for row in rows) == sum(
        sum(row["image"] == name for row in rows) // 4 for name in {row["image"] for row in rows}
    )


# a segmentation


def confusion_by_hand(numbers):
    counts = np.zeros((3, 3), dtype=int)
    for number in numbers:
        label, prediction = label_of(number), truth(number)
        for given in range(3):
            for found in range(3):
                counts[given, found] += ((label == given) & (prediction == found)).sum()
    return counts


def iou_by_hand(counts):
    return [counts[k, k] / (counts[k].sum() + counts[:, k].sum() - counts[k, k]) for k in range(3)]


def test_figures_per_image_and_class_equal_those_computed_by_hand(smir, labelled, tmp_path):
    smir("inspect", "--ckpt", labelled)
    out = tmp_path / "inspect"
    counts = confusion_by_hand(range(2, 6))
    found = np.genfromtxt(out / "confusion.csv", delimiter=",", skip_header=1)[:, 1:]
    assert found.tolist() == counts.tolist()
    images = rows_of(out / "images.csv")
    for row in images:
        own = confusion_by_hand([int(Path(row["image"]).stem)])
        ious = iou_by_hand(own)
        assert [float(row[f"iou {name}"]) for name in CLASSES] == pytest.approx(ious, abs=1e-8)
        assert float(row["miou"]) == pytest.approx(np.mean(ious), abs=1e-8)
        assert float(row["errors"]) == pytest.approx(1 - own.trace() / own.sum(), abs=1e-8)
        assert int(row["labelled_pixels"]) == own.sum() == SIZE[0] * SIZE[1] - 36
    assert images[0]["image"] == "images/4.png"
    text = re.sub(r"<[^>]+>", " ", (out / "index.html").read_text())
    for k, (name, iou) in enumerate(zip(CLASSES, iou_by_hand(counts), strict=True)):
        precision, recall = counts[k, k] / counts[:, k].sum(), counts[k, k] / counts[k].sum()
        figures = r"\s+".join(re.escape(f"{100 * value:.1f}") for value in (iou, precision, recall))
        assert re.search(rf"{name}\s+{figures}", text)


def test_an_absent_class_has_no_iou_and_a_class_that_is_only_predicted_has_0(smir, labelled, tmp_path):
    bare = np.where(truth(2) == 2, 0, truth(2)).astype(np.uint8)
    fakes.save(tmp_path / "field/images/2.png", SHADES[bare])
    fakes.save(tmp_path / "field/labels/2.png", bare)
    fakes.save(tmp_path / "field/labels/3.png", np.where(truth(3) == 2, 0, truth(3)).astype(np.uint8))
    smir("inspect", "--ckpt", labelled)
    rows = {row["image"]: row for row in rows_of(tmp_path / "inspect/images.csv")}
    without, invented = rows["images/2.png"], rows["images/3.png"]
    assert (without["iou weed"], float(without["miou"]), float(without["errors"])) == ("NA", 1, 0)
    weed = (truth(3) == 2).sum()
    soil = (truth(3) == 0).sum()
    assert (float(invented["iou weed"]), float(invented["iou crop"])) == (0, 1)
    assert float(invented["miou"]) == pytest.approx((soil / (soil + weed) + 1 + 0) / 3, abs=1e-8)


def test_a_planted_label_error_ranks_first_and_seams_are_ignored(smir, labelled, tmp_path):
    smir("inspect", "--ckpt", labelled, "--worst=errors")
    (row,) = rows_of(tmp_path / "inspect/regions.csv")
    assert [row[name] for name in ("image", "label", "prediction")] == ["images/4.png", "weed", "crop"]
    assert [int(row[edge]) for edge in ("top", "left", "bottom", "right")] == [16, 40, 40, 60]
    assert int(row["pixels"]) == 24 * 20
    page = (tmp_path / "inspect/index.html").read_text()
    first = page.index('class="tile"')
    assert "From left: image, label, prediction." in page
    assert 'href="#image-2"' in page[first : page.index("</a>", first)]  # the third image of the val list
    assert page.count('class="tile"') == 1


def test_images_without_labels_get_only_predictions(smir, labelled, tmp_path):
    smir("inspect", "--ckpt", labelled, "field/images/1.png", "field/images", "--limit=3")
    rows = rows_of(tmp_path / "inspect/images.csv")
    assert len(rows) == 6
    for row in rows:
        shown = truth(int(Path(row["image"]).stem))
        assert [float(row[f"share {name}"]) for name in CLASSES] == pytest.approx(
            [(shown == k).mean() for k in range(3)], abs=1e-6
        )
    assert sorted(path.name for path in (tmp_path / "inspect").iterdir()) == [
        "images.csv",
        "index.html",
        "inspect.json",
    ]
    assert "<p>Shares in percent." in (tmp_path / "inspect/index.html").read_text()


def test_the_figures_equal_those_of_the_test_of_the_run(smir, field, tmp_path):
    smir(*segment_words(field, "--run.experiment=demo/segment", "--trainer.max_epochs=2", "--data.label_budget=4"))
    run = tmp_path / "runs/demo/segment/seed0"
    smir("inspect", "--ckpt", run / "checkpoints/best.ckpt", "--split=test", "--limit=2")
    assert (tmp_path / "inspect/confusion.csv").read_text() == (run / "test/confusion-view.csv").read_text()
    miou = json.loads((run / "test/metrics.json").read_text())["metrics"]["test/view/miou"]
    assert f"<b>{100 * miou:.1f}</b>" in (tmp_path / "inspect/index.html").read_text()


# errors


def test_ctrl_c_leaves_nothing_and_no_traceback(fails, pool, monkeypatch, tmp_path):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("smir.training.ReconstructionModule.score_views", interrupted)
    assert fails("inspect", "--ckpt", pool, code=130).strip().endswith("smir: inspect was interrupted.")
    assert not (tmp_path / "inspect").exists()


def test_labels_that_are_all_void_give_no_figures(smir, labelled, tmp_path):
    for path in (tmp_path / "field/labels").glob("*.png"):
        fakes.save(path, np.full(SIZE, 255, dtype=np.uint8))
    smir("inspect", "--ckpt", labelled)
    page = (tmp_path / "inspect/index.html").read_text()
    assert "<b>missing</b><span>mIoU in&nbsp;%</span>" in page
    assert "<b>4</b><span>images without a labelled pixel</span>" in page
    assert not re.search(r"\bnan\b", re.sub(r"data:image[^\"]*", "", page))
    assert "nan" not in (tmp_path / "inspect/images.csv").read_text()


def test_a_bad_image_is_named_or_left_out_and_counted(smir, fails, capsys, pool, tmp_path):
    (tmp_path / "field/images/2.png").write_bytes((tmp_path / "field/images/2.png").read_bytes()[:900])
    (tmp_path / "field/images/9.png").write_bytes(b"no picture")
    said = fails("inspect", "--ckpt", pool, "--limit=2")
    assert "9.png" in said or "2.png" in said
    assert "--on_bad_image skip" in said
    assert not (tmp_path / "inspect").exists()
    smir("inspect", "--ckpt", pool, "--limit=2", "--on_bad_image=skip")
    assert "2 of 6 images were left out" in capsys.readouterr().out
    assert len(rows_of(tmp_path / "inspect/images.csv")) == 4
    page = (tmp_path / "inspect/index.html").read_text()
    assert "2 images were left out" in page
    assert "images/9.png" in page
    assert "on 4 images" in page
    for path in (tmp_path / "field/images").glob("*.png"):
        path.write_bytes(b"")
    assert "None of the 6 images" in fails("inspect", "--ckpt", pool, "--on_bad_image=skip", "--out=other")


def test_a_strip_is_named_or_left_out(smir, fails, pool, tmp_path):
    fakes.save(tmp_path / "field/images/strip.png", np.zeros((3, 3000, 3), np.uint8))
    assert "strip.png is 3000 x 3 pixels; one side is more than " in fails("inspect", "--ckpt", pool, "--limit=2")
    smir("inspect", "--ckpt", pool, "--limit=2", "--on_bad_image=skip")
    assert len(rows_of(tmp_path / "inspect/images.csv")) == 5


def test_label_images_in_a_folder_are_left_out(smir, pool, tmp_path, caplog):
    for number in range(2):
        fakes.save(tmp_path / f"photos/{number}.jpg", fakes.photo(f"image {number}", SIZE))
        fakes.save(tmp_path / f"photos/{number}_mask.png", label_of(number))
    smir("inspect", "--ckpt", pool, "photos")
    assert {row["image"] for row in rows_of(tmp_path / "inspect/images.csv")} == {"photos/0.jpg", "photos/1.jpg"}
    assert "2 of 4 images look like label images and are left out: photos/0_mask.png, photos/1_mask.png." in caplog.text


def test_a_folder_with_other_files_is_refused_and_an_earlier_page_is_replaced(smir, fails, pool, labelled, tmp_path):
    smir("inspect", "--ckpt", pool, "--limit=1")
    assert (tmp_path / "inspect/patches.csv").is_file()
    smir("inspect", "--ckpt", labelled, "--limit=1")
    names = {"confusion.csv", "images.csv", "index.html", "inspect.json", "regions.csv"}
    assert {path.name for path in (tmp_path / "inspect").iterdir()} == names
    (tmp_path / "inspect/mine.txt").write_text("1")
    assert "mine.txt" in fails("inspect", "--ckpt", labelled)
    assert "val.txt: File exists. Give another folder" in fails("inspect", "--ckpt", labelled, "--out=field/val.txt")
    assert "holds other files" in fails("inspect", "--ckpt", labelled, "--out=runs")
    if Path("/proc/self").exists():  # a folder that nobody can write to; found before images are read
        assert "Nothing can be written to /proc/x" in fails("inspect", "--ckpt", labelled, "--out=/proc/x")


def test_images_that_were_moved_are_found_with_the_option_that_the_error_names(smir, fails, pool, tmp_path):
    (tmp_path / "field").rename(tmp_path / "moved")
    said = fails("inspect", "--ckpt", pool, "--num_samples=1")
    assert f"There is no folder {tmp_path / 'field/images'}. The nearest that exists is {tmp_path}, which" in said
    assert "If the images were moved, name their new place: --data.root FOLDER\n" in said
    smir("inspect", "--ckpt", pool, "--num_samples=1", "--data.root=moved")


def test_invalid_arguments_are_refused_with_a_reason(smir, fails, pool, labelled, tmp_path):
    lone = tmp_path / "lone.ckpt"
    lone.write_bytes(pool.read_bytes())
    config = labelled.parent.parent / "config.yaml"
    assert "nothing to inspect" in fails("inspect", "--ckpt", lone)
    assert "not in a run folder" in fails("inspect", "--ckpt", "runs/typo/checkpoints/best.ckpt", "--data.root=field")
    assert "not both" in fails("inspect", "--ckpt", lone, "field/images", f"--config={config}")
    assert "no image or folder" in fails("inspect", "--ckpt", lone, "fieldd")
    assert "no checkpoint" in fails("inspect", "--ckpt", "none.ckpt", "field/images")
    assert "not both" in fails("inspect", "--ckpt", lone, "field/images", "--split=val")
    assert "no labels" in fails("inspect", "--ckpt", labelled, "--split=pool")
    said = fails("inspect", "--ckpt", labelled, "--policy=RandomMask", "--policy.ratio=0.5")
    assert "--policy is an option for a pretraining run, but" in said
    assert "--worst is an option for a segmentation, but" in fails("inspect", "--ckpt", pool, "--worst=iou")
    assert "no device 'tpu9'" in fails("inspect", "--ckpt", labelled, "--device=tpu9")
    assert "classes are soil, crop, weed" in fails("inspect", "--ckpt", labelled, "--data.classes=[soil, crop, x]")
    fails("inspect", "--ckpt", labelled, "--limit=0", code=2)
    fails("inspect", "field/images", code=2)
    torch.save({"state_dict": {}}, lone)
    assert "no record of smir" in fails("inspect", "--ckpt", lone, "field/images")
    assert not (tmp_path / "inspect").exists()
    settings = yaml.safe_load(config.read_text())
    settings["data"]["init_args"]["mask"] = {"class_path": "elsewhere.Mask"}
    config.write_text(yaml.safe_dump(settings))
    assert "names elsewhere.Mask, which was not imported" in fails("inspect", "--ckpt", labelled)


def test_a_network_that_has_diverged_is_an_error(fails, pool, tmp_path):
    content = torch.load(pool, weights_only=True)
    for name, value in content["state_dict"].items():
        if name.endswith("segmentation_head.0.weight") or "head" in name:
            value.fill_(float("nan"))
    torch.save(content, pool)
    assert "segmentation_head.weight: a training failed, or the file is damaged" in fails("inspect", "--ckpt", pool)
    assert not (tmp_path / "inspect").exists()


@pytest.mark.parametrize("seconds", [0, 3600])
def test_a_log_shows_the_progress_of_long_work_only(smir, pool, monkeypatch, capsys, seconds):
    monkeypatch.setattr(terminal, "LOG_SECONDS", seconds)
    smir("inspect", "--ckpt", pool, "--num_samples=1")
    assert ("Looking at images: 100%" in capsys.readouterr().err) == (seconds == 0)
