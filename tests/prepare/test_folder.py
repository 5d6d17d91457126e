"""`prepare folder`: from photographs and the export of an annotation tool to a field that can be trained on."""

import json
import os
import shlex
import unicodedata
from pathlib import Path

import exports
import numpy as np
import pytest
import rasterio
import yaml
from affine import Affine
from fakes import blocks, photo, save
from PIL import Image
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from words import EXPERIMENTS

from smir.data import Folder
from smir.data.reading.lists import read_list
from smir.prepare.alone import alone
from smir.prepare.labels.shapes import RunLengths

COUNT, LABELLED = 12, 8
UTM = Affine(0.5, 0, 500_000, 0, -0.5, 5_400_000)
NEXT = Affine.translation(64, 0) @ UTM
"""The place of a neighbour of 128 pixels."""
SPLITS = ("train", "val", "test")


def label_of(name, values=(0, 1, 2)):
    return blocks(name, values)


@pytest.fixture
def photos(tmp_path):
    for number in range(COUNT):
        save(tmp_path / f"photos/{number:03d}.jpg", photo(f"image {number}"))
    return tmp_path / "photos"


@pytest.fixture
def labels():
    """Label images of the first photographs, by name."""
    return {f"{number:03d}": label_of(f"label {number}") for number in range(LABELLED)}


@pytest.fixture
def prepare(smir, photos):
    return lambda *words: smir("prepare", "folder", "--images=photos", *words)


def stored(root, name):
    with Image.open(root / f"masks/{name}.png") as image:
        return np.asarray(image)


def content(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def lists(root):
    return {split: read_list(root / f"{split}.txt") for split in SPLITS}


def data(root, **options):
    arguments = yaml.safe_load((root / "data.yaml").read_text())["data"]["init_args"]
    return Folder(**{**arguments, "min_side": 16, **options})


@pytest.mark.parametrize("name", exports.BY_NAME)
def test_every_label_format_is_read_pixel_for_pixel(prepare, labels, tmp_path, capsys, name):
    write, classes = exports.BY_NAME[name]
    write(tmp_path / "labels", labels)
    prepare("--labels=labels", *([f"--classes={classes}"] if classes else []))
    root = tmp_path / "field"
    order = data(root).class_names
    assert sorted(order) == ["background", "crop", "weed"]
    colors = dict(zip(order, data(root).classes.colors, strict=True))
    assert colors["background"] == exports.COLORS[0]
    gives_colors = name not in ("Labelme JSON", "class ids", "class ids as RGB")
    assert ((colors["crop"], colors["weed"]) == exports.COLORS[1:]) == gives_colors
    ids = np.array([order.index(name) for name in exports.NAMES])
    for image, label in labels.items():
        assert np.array_equal(stored(root, image), ids[label])
    assert len(list((root / "masks").iterdir())) == LABELLED
    said = capsys.readouterr().out
    assert f"{LABELLED} of them are labelled" in said
    assert f"{COUNT - LABELLED} are for pretraining only" in said
    lines = said.splitlines()
    assert lines[-1].startswith("Next: python -m smir fit --config ")
    assert lines[-1].endswith("--config folder/few-labels --config field/data.yaml")
    assert [line for line in lines if line.startswith("Next:")] == lines[-1:]


def test_colours_that_pictures_cannot_show_are_changed(prepare, labels, tmp_path, capsys):
    shades = np.array([[139, 90, 43], [255, 255, 255], [250, 50, 83]], np.uint8)
    exports.grey(tmp_path / "labels", {name: shades[label] for name, label in labels.items()})
    prepare("--labels=labels", "--classes=[soil=#8b5a2b, crop=#ffffff, weed=#fa3253]")
    said = capsys.readouterr().out
    assert "black in pictures" not in said
    assert "Pictures show crop in another colour than the labels" in said
    classes = data(tmp_path / "field").classes
    soil, crop, weed = classes.colors
    assert (soil, weed) == ((139, 90, 43), (250, 50, 83))
    assert crop not in (soil, weed, (255, 255, 255))
    assert classes.background is None


@pytest.mark.parametrize("order", ["background=#8b5a2b, crop=#00c800", "crop=#00c800, Background=#8b5a2b"])
def test_a_coloured_background_is_black_in_pictures(prepare, labels, tmp_path, capsys, order):
    shades = np.array([[139, 90, 43], [0, 200, 0], [250, 50, 83]], np.uint8)
    exports.grey(tmp_path / "labels", {name: shades[label] for name, label in labels.items()})
    prepare("--labels=labels", f"--classes=[{order}, weed=#fa3253]")
    assert "ackground is black in pictures" in capsys.readouterr().out
    classes = data(tmp_path / "field").classes
    colors = dict(zip(map(str.lower, classes.names), classes.colors, strict=True))
    assert colors == {"background": (0, 0, 0), "crop": (0, 200, 0), "weed": (250, 50, 83)}
    assert classes.names[classes.background].lower() == "background"


def test_the_datamodule_reads_the_field_as_it_was_prepared(prepare, photos, labels, tmp_path):
    exports.grey(tmp_path / "labels", labels)
    before = content(photos)
    prepare("--labels=labels", "--classes=[soil, crop, weed]")
    root = tmp_path / "field"
    segment = data(root, task="segment")
    pairs = {split: [pair.image for pair in segment.pairs(split)] for split in SPLITS}
    assert sorted(name for names in pairs.values() for name in names) == [f"images/{name}.jpg" for name in labels]
    assert [len(pairs[split]) for split in SPLITS] == [5, 1, 2]
    image, label = segment.labelled("train").read_pair(0)
    assert image.shape[:2] == label.shape
    pool = data(root, task="pretrain").pool()
    assert set(pool) == {f"images/{n:03d}.jpg" for n in range(COUNT)} - {*pairs["val"], *pairs["test"]}
    pixels = np.concatenate([np.asarray(Image.open(path)).reshape(-1, 3) for path in photos.glob("*.jpg")]) / 255
    assert segment.preprocessing.mean == pytest.approx(pixels.mean(axis=0), abs=1e-5)
    assert segment.preprocessing.std == pytest.approx(pixels.std(axis=0), abs=1e-5)
    assert content(photos) == before
    assert (photos / "000.jpg").samefile(root / "images/000.jpg")  # a link, not a copy


def test_images_without_labels_are_for_pretraining(prepare, tmp_path, capsys):
    prepare()
    assert "is for pretraining only" in capsys.readouterr().out
    assert len(data(tmp_path / "field", task="pretrain").pool()) == COUNT


def test_a_second_run_changes_nothing(prepare, labels, tmp_path, capsys):
    exports.grey(tmp_path / "labels", labels)
    words = ("--labels=labels", "--classes=[soil, crop, weed]")
    prepare(*words)
    before, first = content(tmp_path / "field"), capsys.readouterr().out.splitlines()
    (tmp_path / "field/test.txt").touch()
    prepare(*words)
    assert content(tmp_path / "field") == before
    assert set(first) < set(capsys.readouterr().out.splitlines())


def test_more_labels_are_added_and_the_test_images_stay(prepare, photos, labels, tmp_path):
    exports.grey(tmp_path / "labels", labels)
    prepare("--labels=labels")
    before = lists(tmp_path / "field")
    statistics = yaml.safe_load((tmp_path / "field/data.yaml").read_text())["data"]["init_args"]["mean"]
    exports.grey(tmp_path / "more", {"010": label_of("new"), **labels, "011": label_of("newer")})
    prepare("--labels=more")
    after = lists(tmp_path / "field")
    assert (after["val"], after["test"]) == (before["val"], before["test"])
    assert after["train"] == sorted([*before["train"], "010.jpg", "011.jpg"])
    assert yaml.safe_load((tmp_path / "field/data.yaml").read_text())["data"]["init_args"]["mean"] == statistics


def test_existing_labels_are_not_lost(prepare, fails, labels, tmp_path, capsys):
    first = dict(list(labels.items())[:6])
    exports.grey(tmp_path / "first", first)
    exports.grey(tmp_path / "second", {name: labels[name] for name in labels if name not in first})
    exports.grey(tmp_path / "both", labels)
    prepare("--labels=first")
    before = content(tmp_path / "field")
    said = fails("prepare", "folder", "--images=photos", "--labels=second")
    assert "6 images that are labelled in field have no label in second: 000.jpg, 001.jpg, 002.jpg and 3 more" in said
    assert "put the exports into one folder" in said
    prepare()  # as users do to see the next command again
    assert "6 of them are labelled" in capsys.readouterr().out
    assert content(tmp_path / "field") == before
    prepare("--labels=both")
    assert "The splits stay as they were; 2 newly labelled images are for training." in capsys.readouterr().out
    splits = lists(tmp_path / "field")
    prepare("--labels=first", "--splits=field")
    assert lists(tmp_path / "field") == {
        **splits,
        "train": [n for n in splits["train"] if n not in ("006.jpg", "007.jpg")],
    }


def test_a_wrong_label_leaves_the_field_as_it_was(prepare, fails, labels, tmp_path):
    exports.coco_polygons(tmp_path / "right", labels)
    prepare("--labels=right")
    before = content(tmp_path / "field")
    spoil(tmp_path, labels, "outside")
    fails("prepare", "folder", "--images=photos", "--labels=labels", "--classes=[weed, crop]")
    assert content(tmp_path / "field") == before


def test_a_new_class_among_more_labels_is_reported(prepare, labels, tmp_path, capsys):
    exports.grey(tmp_path / "labels", labels)
    prepare("--labels=labels")
    exports.grey(tmp_path / "more", {**labels, "010": np.full_like(labels["000"], 3)})
    prepare("--labels=more")
    said = capsys.readouterr().out
    assert "The classes were background, class_1, class_2, and are now background, class_1, class_2, class_3" in said
    assert "No image of test shows class_3, so it has no test figure." in said


def test_notes_leave_out_counts_of_zero(prepare, labels, tmp_path, capsys):
    exports.grey(tmp_path / "labels", labels)
    prepare("--labels=labels", "--classes=[soil, crop, weed]")
    capsys.readouterr()
    prepare("--labels=labels", "--classes=[ground, crop, weed]")
    said = capsys.readouterr().out
    assert "Note: The splits stay as they were.\n" in said
    assert "segment before do not fit.\n" in said
    prepare("--labels=labels")
    assert "do not fit. To keep them: --classes '[ground, crop, weed]'.\n" in capsys.readouterr().out
    prepare("--labels=labels", "--classes=[earth, crop, weed]", "--splits=field")
    assert "Note: Splits as in field.\n" in capsys.readouterr().out


def test_names_of_any_script_are_readable(smir, photos, labels, tmp_path):
    exports.coco_polygons(tmp_path / "labels", labels)
    root = tmp_path / "Äcker \N{SEEDLING}"
    smir("prepare", "folder", "--images=photos", "--labels=labels", f"--root={root}", "--classes=[Rübe=crop, 草=weed]")
    assert 'classes: ["background", "Rübe", "草"]' in (root / "data.yaml").read_text(encoding="utf-8")
    assert data(root).class_names == ["background", "Rübe", "草"]


def test_split_lists_of_the_user_are_followed(prepare, labels, tmp_path, capsys):
    exports.grey(tmp_path / "labels", labels)
    for split, names in (("train", ["000"]), ("val", ["005.jpg", "011"]), ("test", ["x/007.png", "006"])):
        (tmp_path / f"{split}.txt").write_text("\n".join(names))
    prepare("--labels=labels", "--splits=.")
    assert lists(tmp_path / "field") == {
        "train": ["000.jpg", "001.jpg", "002.jpg", "003.jpg", "004.jpg"],
        "val": ["005.jpg"],
        "test": ["006.jpg", "007.jpg"],
    }
    assert (
        "4 labelled images are on none of its lists, so for training; 1 name on them has no label"
        in capsys.readouterr().out
    )


def test_labels_among_the_photographs_are_distinguished_by_their_names(prepare, fails, labels, tmp_path):
    for name, label in labels.items():
        save(tmp_path / f"photos/masks/{name}_L.png", label)
    said = fails("prepare", "folder", "--images=photos", "--labels=photos")
    assert "look like label images" in said
    words = shlex.split(said.partition("tell them apart: ")[2])
    assert words == ["--labels", "photos", "--pair", "{}={}_L"]
    prepare(*words)
    assert sorted(path.stem for path in (tmp_path / "field/masks").iterdir()) == sorted(labels)


def test_a_label_belongs_to_the_longest_name_that_it_begins_with(fails, tmp_path):
    for number in (1, 2, 10, 12, 100):
        save(tmp_path / f"photos/{number}.jpg", photo(f"image {number}"))
        save(tmp_path / f"photos/{number}_mask.png", label_of(f"label {number}"))
    said = fails("prepare", "folder", "--images=photos", "--labels=photos")
    assert shlex.split(said.partition("tell them apart: ")[2]) == ["--labels", "photos", "--pair", "{}={}_mask"]


def test_folders_named_after_splits_are_reported_and_followed_on_request(prepare, fails, labels, tmp_path, capsys):
    exports.grey(tmp_path / "labels", labels)
    for place, file in enumerate(sorted((tmp_path / "photos").glob("*.jpg"))):
        folder = tmp_path / "photos" / ("test", "Valid", "train", "train")[place % 4]
        folder.mkdir(exist_ok=True)
        file.rename(folder / file.name)
    prepare("--labels=labels")
    said = capsys.readouterr().out
    assert "The images lie in folders train, Valid, test, but the splits are drawn from all of them." in said
    assert "--splits photos" in said
    prepare("--labels=labels", "--splits=photos")
    assert "lie in folders" not in capsys.readouterr().out
    for split, folder in {"train": "train/", "val": "Valid/", "test": "test/"}.items():
        names = lists(tmp_path / "field")[split]
        assert names
        assert all(name.startswith(folder) for name in names)
    assert "or folders train, val and test of images" in fails(
        "prepare", "folder", "--images=photos", "--labels=labels", "--splits=labels", "--root=b"
    )


def test_three_labels_are_enough_and_two_are_not(prepare, fails, labels, tmp_path, capsys):
    exports.grey(tmp_path / "three", {name: labels[name] for name in list(labels)[:3]})
    exports.grey(tmp_path / "two", {name: labels[name] for name in list(labels)[:2]})
    prepare("--labels=three")
    assert [len(names) for names in lists(tmp_path / "field").values()] == [1, 1, 1]
    assert "Only 3 images are labelled" in capsys.readouterr().out
    assert "2 labelled images are too few" in fails("prepare", "folder", "--images=photos", "--labels=two", "--root=b")


def test_a_class_that_a_split_lacks_is_named(prepare, labels, tmp_path, capsys):
    labels = {name: np.minimum(label, 1) for name, label in labels.items()}
    labels["003"][0, 0] = 2
    exports.grey(tmp_path / "labels", labels)
    prepare("--labels=labels", "--classes=[soil, crop, weed]")
    said = capsys.readouterr().out
    assert "No image of val shows weed." in said
    assert "No image of test shows weed, so it has no test figure." in said


def test_classes_can_be_joined_or_declared_void(prepare, labels, tmp_path):
    exports.coco_polygons(tmp_path / "labels", labels)
    prepare("--labels=labels", "--classes=[plant=crop, plant=weed, void=background, soil=stone]")
    assert data(tmp_path / "field").class_names == ["plant", "soil"]
    assert np.array_equal(stored(tmp_path / "field", "000"), np.where(labels["000"] > 0, 0, 255))


def test_an_image_without_a_shape_counts_as_unlabelled_unless_empty_is_set(prepare, labels, tmp_path, capsys):
    labels["004"] = np.zeros_like(labels["004"])
    exports.coco_polygons(tmp_path / "labels", labels)
    prepare("--labels=labels", "--root=a")
    assert not (tmp_path / "a/masks/004.png").exists()
    assert "1 image in the annotations has no shape (images/004.jpg)" in capsys.readouterr().out
    prepare("--labels=labels", "--root=b", "--empty=background")
    assert not stored(tmp_path / "b", "004").any()


def test_masks_of_0_and_255_are_two_classes(prepare, labels, tmp_path):
    exports.grey(tmp_path / "labels", {name: (label > 0).astype(np.uint8) * 255 for name, label in labels.items()})
    prepare("--labels=labels", "--classes=[soil, plant]")
    assert np.array_equal(stored(tmp_path / "field", "000"), labels["000"] > 0)


def test_folders_within_folders_keep_their_names(smir, labels, tmp_path):
    for number in range(3):
        for day in ("may", "june"):
            save(tmp_path / f"photos/{day}/{number}.jpg", photo(f"{day} {number}"))
            save(tmp_path / f"photos/labels/{day}/{number}.png", label_of(f"{day} {number}"))
    smir("prepare", "folder", "--images=photos", "--labels=photos/labels")  # the labels inside are not taken for images
    assert len(list((tmp_path / "field/images").rglob("*.jpg"))) == 6
    assert np.array_equal(stored(tmp_path / "field", "june/1"), label_of("june 1"))


@pytest.mark.parametrize(
    ("renamed", "taken"),
    [
        (
            "images/{0}_JPG.rf.9f86d081884c7d659a2feaa0c55ad015.jpg",
            "images/000_JPG.rf.9f86d081884c7d659a2feaa0c55ad015",
        ),
        ("..\\upload\\1\\aebd18dd-{0}.jpg", "aebd18dd-000"),
        ("{0}_mask.png", "000_mask"),
    ],
)
def test_image_names_that_tools_changed_are_matched(prepare, labels, tmp_path, capsys, renamed, taken):
    exports.coco_polygons(tmp_path / "labels", labels)
    path = tmp_path / "labels/annotations/instances_default.json"
    content = json.loads(path.read_text())
    for image in content["images"]:
        image["file_name"] = renamed.format(image["file_name"][7:-4])
    path.write_text(json.dumps(content))
    prepare("--labels=labels", "--classes=[background, crop, weed]")
    said = capsys.readouterr().out
    assert "Labels have other names than their images" in said
    assert taken in said
    assert all(np.array_equal(stored(tmp_path / "field", name), label) for name, label in labels.items())


def test_spaces_that_label_studio_replaced_are_matched(smir, labels, tmp_path):
    names = ("my field (1)", "my field (2)", "my-field 3")
    for name in names:
        save(tmp_path / f"photos/{name}.jpg", photo(name))
    kept = ("my_field_1", "my_field_2", "my-field_3")
    exports.grey(tmp_path / "labels", {f"aebd18d{k}-{name}": labels[f"00{k}"] for k, name in enumerate(kept)})
    smir("prepare", "folder", "--images=photos", "--labels=labels")
    assert all(np.array_equal(stored(tmp_path / "field", name), labels[f"00{k}"]) for k, name in enumerate(names))


def test_extra_digits_are_not_taken_for_a_name_ending(fails, photos, labels, tmp_path):
    for number in range(1, 4):
        save(photos / f"{number}.jpg", photo(f"{number}"))
    exports.grey(tmp_path / "labels", {f"{number}9": labels["000"] for number in range(1, 4)})
    assert "None of the 3 labels" in fails("prepare", "folder", "--images=photos", "--labels=labels")


def test_decomposed_unicode_names_of_macos_are_matched(smir, tmp_path, labels):
    for number in range(3):
        save(tmp_path / "photos" / f"{unicodedata.normalize('NFD', 'Rübe')} {number}.jpg", photo(f"{number}"))
    exports.grey(tmp_path / "labels", {f"Rübe {number}": labels[f"00{number}"] for number in range(3)})
    smir("prepare", "folder", "--images=photos", "--labels=labels")
    assert len(list((tmp_path / "field/masks").iterdir())) == 3


def test_an_export_that_contains_its_images_is_read(smir, labels, tmp_path):
    exports.cvat_masks(tmp_path / "export", labels)
    for name in labels:
        save(tmp_path / f"export/JPEGImages/{name}.jpg", photo(name))
    smir("prepare", "folder", "--images=export/JPEGImages", "--labels=export")
    assert len(list((tmp_path / "field/masks").iterdir())) == LABELLED


def test_two_exports_of_masks_are_read_together_unless_their_colours_conflict(prepare, fails, labels, tmp_path):
    exports.cvat_masks(tmp_path / "labels/task_1", dict(list(labels.items())[:5]))
    exports.cvat_masks(tmp_path / "labels/task_2", dict(list(labels.items())[5:]))
    prepare("--labels=labels")
    assert all(np.array_equal(stored(tmp_path / "field", name), label) for name, label in labels.items())
    (tmp_path / "labels/task_2/labelmap.txt").write_text("weed:51,221,255::\n")
    said = fails("prepare", "folder", "--images=photos", "--labels=labels", "--root=new")
    assert "gives the colour #33ddff to 'weed', but another export gives it to 'crop'" in said


def test_unsupported_images_are_counted(prepare, fails, photos, tmp_path):
    said = "that are not read: 1 .dng, 2 .heic. Convert them to JPEG or PNG"
    (tmp_path / "others").mkdir()
    for folder in (photos, tmp_path / "others"):
        for name in ("a.HEIC", "b.heic", "c.dng"):
            (folder / name).touch()
    with pytest.warns(UserWarning, match=said):
        prepare()
    refusal = fails("prepare", "folder", "--images=others", "--root=b")
    assert "holds no image" in refusal
    assert said in refusal


def test_small_images_are_named(prepare, tmp_path, capsys):
    prepare()
    said = capsys.readouterr().out
    assert "12 images have a side below 256 pixels (000.jpg, 001.jpg, 002.jpg and 9 more)" in said
    assert "256 in most recipes, 192 in folder/few-labels" in said
    crops = {
        recipe.stem: yaml.safe_load(recipe.read_text())["data"]["init_args"].get("crop_size")
        for recipe in (EXPERIMENTS / "folder").glob("*.yaml")
        if "crop_size" in recipe.read_text()
    }
    assert set(crops.values()) == {256, 192}
    assert {name for name, size in crops.items() if size == 192} == {"few-labels", "few-labels-pretrain"}


def test_one_export_for_each_folder_of_images_is_read(smir, labels, tmp_path):
    for day in ("may", "june"):
        these = {f"{n}": label_of(f"{day} {n}") for n in range(3)}
        exports.coco_polygons(tmp_path / day, these)
        (tmp_path / "labels" / day).mkdir(parents=True)
        (tmp_path / day / "annotations/instances_default.json").rename(tmp_path / "labels" / day / "instances.json")
        for name in these:
            save(tmp_path / f"photos/{day}/images/{name}.jpg", photo(f"{day} {name}"))
    smir("prepare", "folder", "--images=photos", "--labels=labels", "--classes=[background, crop, weed]")
    assert np.array_equal(stored(tmp_path / "field", "june/images/1"), label_of("june 1"))
    assert np.array_equal(stored(tmp_path / "field", "may/images/1"), label_of("may 1"))


def test_labelme_files_of_other_versions_are_read(prepare, labels, tmp_path):
    exports.labelme(tmp_path / "labels", labels)
    for file in (tmp_path / "labels").iterdir():
        content = json.loads(file.read_text())
        for shape in content["shapes"]:
            if shape["shape_type"] == "rectangle":  # as X-AnyLabeling writes it
                (x, y), (right, bottom) = shape["points"]
                shape["points"] = [[x, y], [right, y], [right, bottom], [x, bottom]]
        del content["imageHeight"], content["imageWidth"]  # as before version 3.5
        content["shapes"].append(
            {"label": "__ignore__", "points": [[0, 0], [8, 0], [8, 8], [0, 8]], "line_color": None}
        )
        file.write_bytes(b"\xef\xbb\xbf" + json.dumps(content).encode())
    prepare("--labels=labels", "--classes=[background, crop, weed, void=__ignore__]", "--root=told")
    prepare("--labels=labels")
    for root in ("told", "field"):
        order = data(tmp_path / root).class_names
        for name, label in labels.items():
            expected = np.array([order.index(known) for known in exports.NAMES], np.uint8)[label]
            expected[:8, :8] = 255
            assert np.array_equal(stored(tmp_path / root, name), expected)


def test_labels_with_only_boxes_are_refused(fails, photos, labels, tmp_path):
    exports.write_coco(tmp_path / "labels", labels, lambda label: [(c, []) for c, _, _ in exports.squares(label)])
    said = fails("prepare", "folder", "--images=photos", "--labels=labels")
    assert "holds no shape with an area, which pixel labels need. It holds boxes " in said
    assert "boxes without an outline (252). Draw polygons or masks" in said


def test_label_images_among_the_photographs_are_refused(fails, photos, labels, tmp_path):
    for name, label in labels.items():
        save(photos / f"{name}_mask.png", label)
    said = fails("prepare", "folder", "--images=photos", "--labels=photos")
    assert "8 of 20 images in" in said
    assert "Move label images to a separate folder" in said


def test_annotations_of_another_format_are_named(fails, photos, labels, tmp_path):
    for name in labels:
        (photos / f"{name}.xml").write_text("<annotation><filename/></annotation>")
    said = fails("prepare", "folder", "--images=photos", "--labels=photos")
    assert "8 files have no known format, such as 000.xml: label images (PNG)" in said
    assert "000.xml is XML of Pascal VOC" in said


def test_the_suggested_class_colours_can_be_copied_as_an_option(prepare, labels, tmp_path, capsys):
    exports.colors(tmp_path / "labels", labels)
    prepare("--labels=labels")
    words = capsys.readouterr().out.partition("--classes '")[2].partition("'")[0]
    assert words == "[background=#000000, NAME_33ddff=#33ddff, NAME_fa3253=#fa3253]"
    prepare("--labels=labels", f"--classes={words}", "--root=named")
    assert data(tmp_path / "named").class_names == ["background", "NAME_33ddff", "NAME_fa3253"]


def test_a_damaged_photograph_is_named_and_the_repaired_one_needs_no_cleaning_up(prepare, fails, photos, tmp_path):
    save(photos / "001.png", photo("damaged"))
    whole = (photos / "001.png").read_bytes()
    (photos / "001.png").write_bytes(whole[: len(whole) // 2])
    (photos / "001.jpg").unlink()
    said = fails("prepare", "folder", "--images=photos")
    assert "The image photos/001.png is damaged" in said
    assert not (tmp_path / "field").exists()
    (photos / "001.png").write_bytes(whole)
    prepare()
    assert (tmp_path / "field/data.yaml").exists()
    made = content(tmp_path / "field")
    (photos / "001.png").write_bytes(whole[: len(whole) // 2])
    fails("prepare", "folder", "--images=photos")
    assert made.keys() == content(tmp_path / "field").keys()


def test_labels_that_do_not_fit_an_orthomosaic_are_refused_before_it_is_cut(smir, fails, tmp_path):
    """So the corrected command may use another tile size."""
    save(tmp_path / "map.png", photo("map", (150, 330)))
    (tmp_path / "plants.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    (tmp_path / "plants.kml").write_text("<kml/>")
    save(tmp_path / "small.png", blocks("map", (0, 1, 2), (150, 300)))
    save(tmp_path / "labels.png", blocks("map", (0, 1, 2), (150, 330)))
    for name, said in {
        "plants.geojson": "plants.geojson holds no polygons. It holds no shapes.",
        "plants.kml": "plants.kml is a vector file of a GIS; --labels takes it for one orthomosaic",
        "small.png": "small.png is 300 x 150 pixels, its orthomosaic 330 x 150",
    }.items():
        assert said in fails("prepare", "folder", "--images=map.png", f"--labels={name}", "--tile=64")
        assert not (tmp_path / "field/images").exists()
    (tmp_path / "map.jp2").touch()
    said = fails("prepare", "folder", "--images=map.jp2", "--labels=labels.png")
    assert "Convert another raster first: gdal_translate map.jp2 map.tif" in said
    (tmp_path / "photos.zip").touch()
    assert "photos.zip is an archive. Unpack it" in fails("prepare", "folder", "--images=photos.zip")
    smir("prepare", "folder", "--images=map.png", "--labels=labels.png", "--tile=32")
    assert (tmp_path / "field/data.yaml").exists()


@pytest.mark.parametrize("suffix", ["tif", "png"])
def test_an_orthomosaic_and_its_label_image_are_cut_alike(smir, tmp_path, capsys, suffix):
    picture, label = photo("map", (150, 330)), blocks("map", (0, 1, 2), (150, 330))
    picture[:64, :64] = 0  # no data there
    label[:, 256:] = 255
    save(tmp_path / f"map.{suffix}", picture)
    save(tmp_path / "labels.png", label)
    smir("prepare", "folder", f"--images=map.{suffix}", "--labels=labels.png", "--tile=64")
    root = tmp_path / "field"
    tops, lefts = [0, 64, 86], [0, 64, 128, 192, 256, 266]
    for number, (top, left) in enumerate((top, left) for top in tops for left in lefts):
        name = f"tile_{number:05d}"
        here = (slice(top, top + 64), slice(left, left + 64))
        assert (root / f"images/{name}.png").exists() == (number != 0)
        assert (root / f"masks/{name}.png").exists() == (number != 0)
        if number:
            assert np.array_equal(np.asarray(Image.open(root / f"images/{name}.png")), picture[here])
            assert np.array_equal(stored(root, name), label[here])
    said = capsys.readouterr().out
    assert "cut into 17 tiles of 64 x 64 pixels, 1 left out for too few valid pixels" in said
    assert "11 of them are labelled" in said  # the pixels right of column 256 are not
    assert not (root / "label_tiles").exists()


def control_points(left):
    """Returns the corners of a map of 256 pixels of half a metre, for `rasterio.open`."""
    corners = [(0, 0, 0, 0), (0, 256, 128, 0), (256, 0, 0, 128)]
    return [GroundControlPoint(row, column, left + east, 5_400_000 - south) for row, column, east, south in corners]


@pytest.mark.parametrize(
    ("moved", "says"),
    [
        ({}, None),
        ({"transform": Affine(0.5, 0, 500_005, 0, -0.5, 5_400_000)}, "10 pixels to the east"),
        ({"transform": Affine(1, 0, 500_000, 0, -1, 5_400_000)}, "pixels of 1 x 1"),
        ({"crs": "EPSG:32719"}, "EPSG:32719"),
        ({"crs": "ESRI:102013"}, "its first pixel lies"),
        ({"crs": CRS.from_epsg(32633).to_wkt().replace("WGS 84 / UTM zone 33N", "my UTM")}, None),
        (
            {"transform": None, "gcps": control_points(500_020)},
            "its first pixel lies 40 pixels",
        ),
        ({"transform": None, "gcps": control_points(500_000)}, None),
    ],
)
def test_a_label_image_must_have_the_location_of_its_orthomosaic(smir, fails, tmp_path, moved, says):
    size = {"driver": "GTiff", "height": 256, "width": 256, "dtype": "uint8"}
    where = {"crs": "EPSG:32633", "transform": UTM}
    with rasterio.open(tmp_path / "map.tif", "w", count=3, photometric="rgb", **size, **where) as file:
        file.write(photo("map", (256, 256)).transpose(2, 0, 1))
    with rasterio.open(tmp_path / "labels.tif", "w", count=1, **size, **{**where, **moved}) as file:
        file.write(blocks("map", (0, 1, 2), (256, 256)), 1)
    words = ("prepare", "folder", "--images=map.tif", "--labels=labels.tif", "--tile=64")
    if says is None:
        smir(*words)
        assert (tmp_path / "field/data.yaml").exists()
    else:
        said = fails(*words)
        assert "labels.tif does not lie where its image" in said
        assert says in said
        assert not (tmp_path / "field").exists()


@pytest.mark.parametrize("words", [(), ("--tile=64",)])
@pytest.mark.parametrize(
    ("places", "says"),
    [
        ((UTM, NEXT), None),
        ((NEXT, UTM), "a.tif does not lie where its image"),
        ((UTM, Affine.translation(1, 0) @ NEXT), "its first pixel lies 2 pixels to the east"),
        (
            (Affine(0.5, 0, 500_000, 0, 0.5, 5_399_936), NEXT),
            "lies 0 pixels to the east and 128 pixels",
        ),
        ((Affine(0.5, 0, 500_000, 0, 0.5, 5_400_000), NEXT), "its last pixel lies 0 pixels to the east and 256 pixels"),
    ],
)
def test_each_mask_must_have_the_location_of_its_image(smir, fails, tmp_path, words, places, says):
    size = {"driver": "GTiff", "height": 128, "width": 128, "dtype": "uint8", "crs": "EPSG:32633"}
    for folder in ("maps", "masks"):
        (tmp_path / folder).mkdir()
    for name, there, place in zip("ab", (UTM, NEXT), places, strict=True):
        with rasterio.open(
            tmp_path / f"maps/{name}.tif", "w", count=3, photometric="rgb", transform=there, **size
        ) as file:
            file.write(photo(name, (128, 128)).transpose(2, 0, 1))
        with rasterio.open(tmp_path / f"masks/{name}.tif", "w", count=1, transform=place, **size) as file:
            file.write(blocks(name, (0, 1, 2), (128, 128)), 1)
    words = ("prepare", "folder", "--images=maps", "--labels=masks", "--shares=[0, 0, 1]", *words)
    if says is None:
        smir(*words)
    else:
        assert says in fails(*words)
    assert (tmp_path / "field/data.yaml").exists() == (says is None)


@pytest.mark.parametrize("by", ["alpha", "value"])
@pytest.mark.parametrize("folder", [False, True])
def test_pixels_without_data_of_an_orthomosaic_are_not_labelled(smir, tmp_path, by, folder):
    picture, label = photo("map", (256, 256)) // 2, blocks("map", (0, 1, 2), (256, 256))
    hole = np.zeros((256, 256), bool)
    hole[50:90, 100:] = True
    size = {"driver": "GTiff", "height": 256, "width": 256, "dtype": "uint8", "crs": "EPSG:32633", "transform": UTM}
    (tmp_path / "maps").mkdir()
    if by == "alpha":
        bands = np.dstack([picture, np.where(hole, 0, 255).astype(np.uint8)])
    else:
        bands = np.where(hole[..., None], 200, picture).astype(np.uint8)
        size["nodata"] = 200
    with rasterio.open(tmp_path / "maps/map.tif", "w", count=bands.shape[2], photometric="rgb", **size) as file:
        file.colorinterp = [ColorInterp[name] for name in ("red", "green", "blue", "alpha")[: bands.shape[2]]]
        file.write(bands.transpose(2, 0, 1))
    save(tmp_path / "labels/map.png", label)
    given = ("--images=maps", "--labels=labels") if folder else ("--images=maps/map.tif", "--labels=labels/map.png")
    smir("prepare", "folder", *given, "--tile=64", "--min_valid=0")
    wanted = np.where(hole, 255, label)
    for number, (top, left) in enumerate((top, left) for top in range(0, 256, 64) for left in range(0, 256, 64)):
        name = f"{'map/' * folder}tile_{number:05d}"
        assert np.array_equal(stored(tmp_path / "field", name), wanted[top : top + 64, left : left + 64])


def spoil(tmp_path, labels, how):
    """Exports labels, changes them, and returns the words of the command."""
    folder = tmp_path / "labels"
    path = folder / "annotations/instances_default.json"

    def change(**values):
        exports.coco_polygons(folder, labels)
        stored = json.loads(path.read_text())
        for key, value in values.items():
            kind, field = key.split("_", 1)
            stored[kind][1][field] = value
        path.write_text(json.dumps(stored))

    if how == "unknown image":
        change(images_file_name="elsewhere.jpg")
    elif how == "two labels":
        change(images_file_name="images/000.jpg")
    elif how == "same id":
        change(images_id=0)
    elif how == "category":
        change(annotations_category_id=99)
    elif how == "outside":
        change(annotations_segmentation=[[70, 10, 80, 10, 80, 20]])
    elif how == "far outside":
        change(annotations_segmentation=[[0, 0, 1e9, 10, 80, 20]])
    elif how == "not numbers":
        change(annotations_segmentation=[["a", 0, 1, 10, 80, 20]])
    elif how == "runs":
        change(annotations_segmentation={"size": [48, 64], "counts": [5, 99]})
    elif how == "text cut short":
        change(annotations_segmentation={"size": [48, 64], "counts": "PQ1"})
    elif how == "text cut within":
        change(annotations_segmentation={"size": [48, 64], "counts": "PQ"})
    elif how == "size":
        change(images_width=640)
    elif how == "half a file":
        change()
        path.write_text(path.read_text()[:300])
    elif how == "nothing common":
        exports.grey(folder, {f"label_9{name}": label for name, label in labels.items()})
    elif how == "two formats":
        change()
        exports.labelme(folder / "labelme", labels)
    elif how == "video":
        folder.mkdir()
        (folder / "annotations.xml").write_text("<annotations><track id='0'/></annotations>")
    elif how == "lookalikes":
        exports.labelme(folder, labels)
        file = folder / "000.json"
        file.write_text(file.read_text().replace('"crop"', '"Crop "'))
    elif how == "rotated":
        image = Image.open(tmp_path / "photos/000.jpg")
        exif = image.getexif()
        exif[0x0112] = 6
        image.save(tmp_path / "photos/000.jpg", exif=exif)
        exports.cvat(folder, labels)
    elif how == "photographs":
        exports.colors(folder, {name: photo(name)[..., 0] * 0 + label for name, label in labels.items()})
        save(folder / "000.png", np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8))
    elif how == "no colours":
        exports.colors(folder, labels)
        return ["--classes=[soil, crop, weed]"]
    elif how == "colour not listed":
        exports.cvat_masks(folder, labels)
        (folder / "labelmap.txt").write_text("background:0,0,0::\ncrop:51,221,255::\n")
    elif how == "unknown class":
        exports.coco_polygons(folder, labels)
        return ["--classes=[crop, wed]"]
    elif how == "archive":
        (tmp_path / "labels").write_bytes(b"PK")
        (tmp_path / "labels").rename(tmp_path / "labels.zip")
        return ["--labels=labels.zip"]
    return []


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("unknown image", "1 of 8 labels in {0}/labels have no image: elsewhere.jpg. Images in {0}/photos look like"),
        ("two labels", "The image images/000.jpg is labelled twice"),
        ("same id", "'images' has the id 0"),
        ("category", "annotation 1 has category_id 99, but the file has no such category"),
        ("outside", "does not fit its image images/000.jpg of 64 x 48 pixels: it goes from (70, 10) to (80, 20)"),
        ("far outside", "to (1e+09, 20), far outside the image"),
        ("not numbers", "the outline of annotation 1 should be a list of numbers, got ['a', 0,"),
        ("runs", "its run lengths add up to 104 of 3072 pixels"),
        ("text cut short", "its run lengths add up to 1056 of 3072 pixels"),
        ("text cut within", "its run lengths end in the middle of a number"),
        ("size", "is for an image of 640 x 48 pixels, but 001.jpg is 64 x 48 as displayed"),
        ("half a file", "instances_default.json is damaged"),
        ("nothing common", "Labels look like: label_9000.png, label_9001.png, label_9002.png and 5 more. Images in"),
        (
            "two formats",
            "holds labels in 2 formats: COCO JSON, Labelme JSON. Use only one of them. To join them, prepare each",
        ),
        ("video", "Export the task again as 'CVAT for images 1.1'"),
        ("lookalikes", "'Crop' and 'crop'"),
        ("rotated", "EXIF orientation"),
        ("photographs", "different colours; a label image has one for each class"),
        ("no colours", "--classes '[soil=#000000, crop=#33ddff, weed=#fa3253]'"),
        ("colour not listed", "pixels of the colour #fa3253, which labelmap.txt does not name"),
        (
            "unknown class",
            "--classes names 'wed', but the categories in labels are: weed, crop, stone. A class gets another",
        ),
        ("archive", "is an archive. Unpack it"),
    ],
)
def test_invalid_labels_are_refused(fails, photos, labels, tmp_path, how, said):
    words = spoil(tmp_path, labels, how)
    message = fails("prepare", "folder", "--images=photos", "--labels=labels", *words)
    assert said.format(tmp_path) in " ".join(message.split())
    assert not (tmp_path / "field/data.yaml").exists()


def test_the_right_labels_are_accepted_after_a_refusal(prepare, fails, labels, tmp_path):
    exports.grey(tmp_path / "labels", {f"9{name}": label for name, label in labels.items()})
    fails("prepare", "folder", "--images=photos", "--labels=labels")
    exports.coco_polygons(tmp_path / "right", labels)
    prepare("--labels=right")
    assert (tmp_path / "field/data.yaml").exists()


def test_a_refused_command_leaves_no_folder(fails, photos, tmp_path):
    assert "There is no file or folder" in fails("prepare", "folder", "--images=photos", "--labels=gone")
    said = fails("prepare", "folder", "--images=photos", "--labels=photos")
    assert "If these are photographs, --labels names the wrong folder." in said
    assert not (tmp_path / "field").exists()


def test_a_field_that_was_moved_or_whose_config_was_forgotten_is_explained(prepare, fails, labels, tmp_path):
    exports.grey(tmp_path / "labels", labels)
    prepare("--labels=labels")
    said = fails("fit", "--config=folder/segment", "--trainer.accelerator=cpu")
    assert "needs data.labels and data.classes, which field/data.yaml holds: add --config field/data.yaml." in said
    (tmp_path / "field").rename(tmp_path / "moved")
    said = fails("fit", "--config=folder/segment", "--config=moved/data.yaml", "--trainer.accelerator=cpu")
    assert "which moved/data.yaml names as data.root, but images lie beside that file." in said
    assert "or add --data.root moved" in said


def test_a_folder_with_other_files_is_refused(fails, photos, tmp_path):
    save(tmp_path / "field/thesis.png", photo("thesis"))
    assert "holds files that this command did not write: Thumbs.db, readme.txt, thesis.png" in fails(
        "prepare", "folder", "--images=photos"
    )
    assert "--images photos overlap" in fails("prepare", "folder", "--images=photos", "--root=photos/field")
    assert "There is no folder or file" in fails("prepare", "folder", "--images=pictures")
    assert "which --labels names" in fails("prepare", "folder", "--images=photos", "--labels=none", "--root=new")


def test_run_lengths_as_text_equal_those_of_pycocotools():
    tools, chance = pytest.importorskip("pycocotools.mask"), np.random.default_rng(0)
    for share in (0, 0.01, 0.3, 1) * 20:
        height, width = chance.integers(1, 99, 2).tolist()
        mask = chance.random((height, width)) < share
        text = tools.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
        assert np.array_equal(RunLengths((height, width), text).pixels(height, width)[1], mask)


def test_a_shape_cut_off_at_the_border_covers_nothing(prepare, labels, tmp_path):
    exports.coco_polygons(tmp_path / "labels", labels)
    path = tmp_path / "labels/annotations/instances_default.json"
    content = json.loads(path.read_text())
    for outline in ([64, 0, 64, 20, 64, 30], [9, 9, 9, 9, 9, 9]):
        content["annotations"].append({"id": str(outline), "image_id": 0, "category_id": 7, "segmentation": [outline]})
    path.write_text(json.dumps(content))
    prepare("--labels=labels", "--classes=[background, crop, weed]")
    assert np.array_equal(stored(tmp_path / "field", "000"), labels["000"])


def test_other_images_need_another_field(prepare, fails, photos):
    prepare()
    save(photos / "new.jpg", photo("new"))
    said = fails("prepare", "folder", "--images=photos")
    assert "12 files" in said
    assert "now '13 files" in said


def test_an_unfinished_field_gives_no_splits(prepare, fails, photos, labels, tmp_path):
    exports.grey(tmp_path / "labels", labels)
    prepare("--labels=labels")
    (tmp_path / "field/prepared.json").rename(tmp_path / "field/prepared.partial.json")  # as a kill leaves it
    (photos / f"{COUNT - 1:03d}.jpg").unlink()
    said = fails("prepare", "folder", "--images=photos", "--labels=labels")
    assert "--splits field" not in said
    assert f"Delete {tmp_path}/field to start over" in said


def test_new_photographs_keep_the_test_images_in_a_new_field(prepare, fails, photos, labels, tmp_path):
    exports.grey(tmp_path / "labels", labels)
    prepare("--labels=labels")
    save(photos / "new.jpg", photo("new"))
    said = fails("prepare", "folder", "--images=photos", "--labels=labels")
    assert "Give a new --root, and --splits field to test on the same images" in said
    prepare("--labels=labels", "--root=new", "--splits=field")
    assert lists(tmp_path / "new") == lists(tmp_path / "field")


def test_a_pipe_among_the_images_is_refused_without_waiting(fails, photos, tmp_path):
    os.mkfifo(photos / "pipe.jpg")
    assert "pipe.jpg is not a file but a folder, a pipe or a device" in fails("prepare", "folder", "--images=photos")


def test_a_link_to_nowhere_among_the_images_is_named(fails, photos):
    (photos / "link.jpg").symlink_to("nowhere.jpg")
    said = fails("prepare", "folder", "--images=photos")
    assert "link.jpg is a link to a file that does not exist" in said


def test_an_empty_folder_of_labels_is_told(fails, photos, tmp_path):
    (tmp_path / "labels").mkdir()
    said = fails("prepare", "folder", "--images=photos", "--labels=labels")
    assert "labels holds no labels of a known format" in said
    assert "It holds nothing." in said


def test_one_image_with_two_suffixes_is_refused(fails, photos):
    save(photos / "000.png", photo("twin"))
    assert "holds both 000.jpg and 000.png" in fails("prepare", "folder", "--images=photos")


def test_without_pycocotools_the_extra_is_named(fails, photos, labels, tmp_path, monkeypatch):
    exports.coco_polygons(tmp_path / "labels", labels)
    monkeypatch.setitem(__import__("sys").modules, "pycocotools", None)
    assert "pip install 'smir[labels]'" in fails("prepare", "folder", "--images=photos", "--labels=labels")


def test_shares_must_add_up(fails, photos, labels, tmp_path):
    exports.grey(tmp_path / "labels", labels)
    for shares in ("[0.6, 0.4, 0.0]", "[.nan, 0.5, 0.5]"):
        said = fails("prepare", "folder", "--images=photos", "--labels=labels", f"--shares={shares}")
        assert "above 0, that add up to 1" in said


@pytest.mark.parametrize(
    ("root", "name"), [("field", "field"), ("north/my field", "north-my-field"), ("{cwd}/south/plot.1", "plot.1")]
)
def test_a_field_has_the_name_of_its_root(prepare, tmp_path, root, name):
    """So its runs do not share a folder with those of another field."""
    root = root.format(cwd=tmp_path)
    prepare(f"--root={root}")
    assert yaml.safe_load(Path(root, "data.yaml").read_text())["run"] == {"field": name}


def test_a_class_may_have_any_character(prepare, labels, tmp_path):
    exports.coco_polygons(tmp_path / "labels", labels)
    path = tmp_path / "labels/annotations/instances_default.json"
    content, odd = json.loads(path.read_text()), "farmer\x92s \x85\ufffe"
    content["categories"][0]["name"] = odd
    path.write_text(json.dumps(content))
    prepare("--labels=labels")
    assert odd in yaml.safe_load((tmp_path / "field/data.yaml").read_text())["data"]["init_args"]["classes"]


def test_a_category_may_hold_an_equals_sign(smir, photos, labels, tmp_path):
    exports.coco_polygons(tmp_path / "labels", labels)
    path = tmp_path / "labels/annotations/instances_default.json"
    content = json.loads(path.read_text())
    content["categories"][0]["name"] = "a=b"
    path.write_text(json.dumps(content))
    names = ["background", "a=b", *(each["name"] for each in content["categories"][1:])]
    smir("prepare", "folder", "--images=photos", "--labels=labels", f"--classes={json.dumps(names)}")
    found = yaml.safe_load((tmp_path / "field/data.yaml").read_text())["data"]["init_args"]["classes"]
    assert found == names


def test_only_one_command_writes_a_field(smir, fails, photos, tmp_path):
    exports.grey(tmp_path / "labels", {"000": label_of("a"), "001": label_of("b"), "002": label_of("c")})
    smir("prepare", "folder", "--images=photos")
    with alone(tmp_path / "field"):
        said = fails("prepare", "folder", "--images=photos", "--labels=labels")
    assert "Another `prepare` is working in " in said
    with alone(tmp_path / "data/nassar"):
        assert "Another `prepare` is working in " in fails("prepare", "synthetic", "--width=64")


def test_copies_of_a_photograph_stay_in_one_split(smir, tmp_path, capsys):
    for number in range(12):
        save(tmp_path / f"photos/{number:02d}.png", photo(f"image {number // 2}"))
        save(tmp_path / f"labels/{number:02d}.png", label_of(f"label {number // 2}"))
    smir("prepare", "folder", "--images=photos", "--labels=labels", "--classes=[background, crop, weed]")
    said = capsys.readouterr().out
    assert "Note: 6 labelled images are copies of others in the same split: 01.png of 00.png, 03.png of 02.png" in said
    for names in lists(tmp_path / "field").values():
        kinds = [int(name[:2]) // 2 for name in names]
        assert all(kinds.count(kind) == 2 for kind in kinds)


def test_copies_in_two_splits_of_the_user_are_named(smir, tmp_path, capsys):
    for number in range(6):
        save(tmp_path / f"photos/{number}.png", photo(f"image {number % 5}"))
        save(tmp_path / f"labels/{number}.png", label_of(f"label {number % 5}"))
    (tmp_path / "lists").mkdir()
    for split, names in {"train": "012", "val": "34", "test": "5"}.items():
        (tmp_path / f"lists/{split}.txt").write_text("\n".join(names))
    smir("prepare", "folder", "--images=photos", "--labels=labels", "--splits=lists")
    said = capsys.readouterr().out
    assert "1 labelled image is a copy of images in another split, which flatters the figures: 5.png of 0.png." in said


def test_versions_of_a_photograph_stay_in_one_split_and_pretraining_leaves_out_those_of_test_images(
    smir, tmp_path, capsys
):
    for version in range(24):
        own = f"train/IMG_{version // 3}_JPG.rf.{version:032x}"
        save(tmp_path / f"photos/{own}.jpg", photo(own))
        if version % 3:
            save(tmp_path / f"labels/{own}.png", label_of(own))
    for copy, of in (("copy", "train/IMG_0_JPG.rf." + "0" * 32), ("other", None)):
        content = photo("other") if of is None else photo(of)
        save(tmp_path / f"photos/{copy}.jpg", content)
    smir("prepare", "folder", "--images=photos", "--labels=labels", "--classes=[background, crop, weed]")
    said = capsys.readouterr().out
    assert "Note: 8 labelled images are versions of others in the same split: train/IMG_0_JPG.rf" in said
    members = lists(tmp_path / "field")
    of_split = {split: {name.split("_")[1] for name in names} for split, names in members.items()}
    assert sum(map(len, of_split.values())) == 8
    held_out = of_split["val"] | of_split["test"]
    assert f"{len(held_out) + ('0' in held_out)} unlabelled images are left out of pretraining (left_out.txt)" in said
    pool = data(tmp_path / "field", task="pretrain").pool()
    assert {name.split("_")[1] for name in pool if "IMG" in name} == of_split["train"]
    assert ("images/copy.jpg" in pool, "images/other.jpg" in pool) == ("0" not in held_out, True)
    assert len(pool) == 3 * len(of_split["train"]) + 1 + ("0" not in held_out)


def test_frames_of_two_videos_are_not_versions_of_one_another(smir, tmp_path, capsys):
    for number in range(12):
        own = f"{'AB'[number % 2]}/frame{number // 2}_jpg.rf.{number:032x}"
        save(tmp_path / f"photos/{own}.jpg", photo(own))
        save(tmp_path / f"labels/{own}.png", label_of(own))
    smir("prepare", "folder", "--images=photos", "--labels=labels", "--classes=[background, crop, weed]")
    assert "version" not in capsys.readouterr().out


def test_names_on_the_lists_of_an_earlier_field_may_be_gone(prepare, smir, photos, labels, tmp_path):
    exports.grey(tmp_path / "labels", labels)
    prepare("--labels=labels")
    first = lists(tmp_path / "field")["train"][0]
    (photos / first).unlink()
    (tmp_path / "labels" / first).with_suffix(".png").unlink()
    smir("prepare", "folder", "--images=photos", "--labels=labels", "--splits=field", "--root=again")
    assert lists(tmp_path / "again")["train"] == lists(tmp_path / "field")["train"][1:]


def test_a_second_grey_camera_is_no_label(smir, tmp_path, capsys):
    noise = np.random.default_rng(0)
    for number in range(4):
        for name, values in (("left", 256), ("right", 40)):
            pixels = noise.integers(0, values, (64, 72), dtype=np.uint8)
            save(tmp_path / f"photos/{name}_{number}.png", pixels)
            save(tmp_path / f"photos/{name}/{number}.png", pixels)
    smir("prepare", "folder", "--images=photos")
    assert "photos: 16 images" in capsys.readouterr().out


def test_lines_of_a_split_list_that_name_no_image_are_refused(prepare, fails, labels, tmp_path):
    exports.grey(tmp_path / "labels", labels)
    for split, names in (("train", ["000"]), ("val", ["005 1", "006"]), ("test", ["007.jpg2", "004"])):
        (tmp_path / f"{split}.txt").write_text("\n".join(names))
    said = fails("prepare", "folder", "--images=photos", "--labels=labels", "--splits=.")
    assert "2 entries on the lists in" in said
    assert "'005 1', '007.jpg2'. A line names one image, such as 000.jpg." in said


@pytest.mark.parametrize(("photograph", "mask", "grey"), [("1_0", "1_0_mask", True), ("1_sat", "1_mask", False)])
def test_label_images_are_known_by_their_names(fails, tmp_path, photograph, mask, grey):
    colors = np.array([(0, 0, 0), (0, 200, 0), (220, 0, 0)], np.uint8)
    noise = np.random.default_rng(0)
    for number in "123":
        pixels = noise.integers(0, 256, (64, 72, 3), dtype=np.uint8)
        for name, image in ((photograph, pixels), (mask, colors[label_of(number)])):
            save(tmp_path / f"photos/{name.replace('1', number, 1)}.png", image[..., 0] if grey else image)
    assert "3 of 6 images in" in fails("prepare", "folder", "--images=photos")


def test_a_label_with_the_whole_path_of_an_image_is_for_it(smir, tmp_path):
    for name in ("a", "b", "c", "day2/a", "day2/b"):
        save(tmp_path / f"photos/{name}.jpg", photo(name))
        save(tmp_path / f"labels/{name}.png", label_of(name))
    smir("prepare", "folder", "--images=photos", "--labels=labels", "--classes=[background, crop, weed]")
    for name in ("a", "b", "c", "day2/a", "day2/b"):
        assert np.array_equal(stored(tmp_path / "field", name), label_of(name))


def test_the_root_may_not_lie_among_the_labels(fails, photos, labels, tmp_path):
    exports.grey(tmp_path / "labels", labels)
    said = fails("prepare", "folder", "--images=photos", "--labels=labels", "--root=labels/x")
    assert "--root labels/x lies in the folder of the labels, labels, and would be read as labels." in said
    assert "--tile is the side of tiles in pixels" in fails("prepare", "folder", "--images=photos", "--tile=0")
