"""Labels whose names differ from those of their images, as in public datasets and exports of tools."""

import json
import shlex

import numpy as np
import pytest
import yaml
from fakes import blocks, photo, save
from PIL import Image

NAMES = ("001", "002", "010", "100")


@pytest.fixture
def pairs(tmp_path):
    """Writes images and labels under names that hold `{}`; returns the labels by their images."""

    def write(image, label, names=NAMES):
        for name in names:
            save(tmp_path / "photos" / image.format(name), photo(name, (24, 32)))
            save(tmp_path / "labels" / label.format(name), blocks(name, (0, 1, 2), (24, 32)))

    return write


def check_masks(root, image, names=NAMES):
    for name in names:
        with Image.open((root / "field/masks" / image.format(name)).with_suffix(".png")) as mask:
            assert np.array_equal(np.asarray(mask), blocks(name, (0, 1, 2), (24, 32)))


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("{}_image.png", "{}_annotation.png"),
        ("{}_rgb_crop.png", "{}_crop.png"),
        ("IMG_{}.jpg", "mask-{}.png"),
        ("plot{}_rgb_1.png", "plot{}_gt_1.png"),
        ("a_{}_leftImg8bit.png", "a_{}_gtFine_labelIds.png"),
        ("{}_rgb.png", "{}_label_rgb.png"),
        ("{}.jpg", "{}.jpg.png"),
        ("{}.jpg", "{}.jpg_mask.png"),
    ],
)
def test_labels_are_matched_if_all_names_differ_by_the_same_words(smir, pairs, tmp_path, capsys, image, label):
    pairs(image, label)
    smir("prepare", "folder", "--images=photos", "--labels=labels")
    check_masks(tmp_path, image)
    assert f"{label.format('001')} is taken for {image.format('001')}" in capsys.readouterr().out


def test_images_and_labels_are_matched_within_the_same_folder(smir, fails, tmp_path):
    """The numbers of photographs start again on each flight."""
    for folder, names in {"flight1": "12", "flight2": "34"}.items():
        for name in names:
            save(tmp_path / f"photos/{folder}/D_{name}.png", photo(name, (24, 32)))
            save(tmp_path / f"labels/{folder}/D_{name}.png", blocks(name, (0, 1, 2), (24, 32)))
    smir("prepare", "folder", "--images=photos", "--labels=labels")
    (tmp_path / "labels/flight1/D_2.png").rename(tmp_path / "labels/flight2/D_2.png")
    said = fails("prepare", "folder", "--images=photos", "--labels=labels", "--root=other")
    assert "1 of 4 labels" in said
    assert "have no image: flight2/D_2.png" in said


def test_numbers_are_matched_without_leading_zeros(smir, pairs, tmp_path, capsys):
    pairs("{}.jpg", "{}.png", ("1", "2", "10"))
    for path in (tmp_path / "labels").glob("*.png"):
        path.rename(path.with_stem(f"{path.stem:0>3}"))
    smir("prepare", "folder", "--images=photos", "--labels=labels")
    check_masks(tmp_path, "{}.png", ("1", "2", "10"))
    assert "Labels have other names than their images: 001.png is taken for 1.jpg." in capsys.readouterr().out


def test_labels_that_keep_the_suffix_of_their_image_are_matched(smir, pairs, tmp_path):
    pairs("{}.jpg", "{}.jpg.png", NAMES[:2])
    pairs("{}.png", "{}.png.png", NAMES[2:])
    smir("prepare", "folder", "--images=photos", "--labels=labels")
    check_masks(tmp_path, "{}.png")


@pytest.mark.parametrize(("image", "label"), [("{}.jpg", "{}_mask.png"), ("{}_image.png", "{}_annotation.png")])
def test_only_the_label_without_an_image_is_named(fails, pairs, tmp_path, image, label):
    pairs(image, label)
    save(tmp_path / "labels/overview.png", blocks("", (0, 1)))
    said = fails("prepare", "folder", "--images=photos", "--labels=labels")
    assert "1 of 5 labels in" in said
    assert "have no image: overview.png." in said


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (("{}_rgb.png", "{}_nir.png"), ("{}_gt.png",)),  # which image?
        (("{}_rgb.png",), ("{}_color.png", "{}_ids.png")),  # which label?
        (("2019_{}.png",), ("2020_{}.png",)),  # numbers do not count as words
    ],
)
def test_ambiguous_names_need_the_option_pair(smir, fails, pairs, tmp_path, capsys, images, labels):
    for image in images:
        for label in labels:
            pairs(image, label)
    command = ("prepare", "folder", "--images=photos", "--labels=labels")
    assert "Say how the names differ: --pair '{}_image.png={}_annotation.png'" in fails(*command)
    smir(*command, f"--pair={images[0]}={labels[-1]}")
    check_masks(tmp_path, images[0])
    assert ("--pair leaves out 4 files in labels: 001_color.png" in capsys.readouterr().out) == (len(labels) > 1)


@pytest.mark.parametrize("labelled", [NAMES, NAMES[:1]])
def test_of_two_ways_to_read_names_none_is_taken_that_finds_equally_many(fails, pairs, tmp_path, labelled):
    pairs("{}.png", "{}_mask_flip.png")
    pairs("{}_flip.png", "{}_mask_flip.png")
    for name in set(NAMES) - set(labelled):
        (tmp_path / f"labels/{name}_mask_flip.png").unlink()
    said = fails("prepare", "folder", "--images=photos", "--labels=labels")
    assert "The label 001_mask_flip.png may belong to 001.png or to 001_flip.png in" in said
    assert "--pair '{}_image.png={}_annotation.png'" in said


def test_a_label_without_an_image_is_named_though_the_others_can_be_read_in_two_ways(fails, pairs, tmp_path):
    """The others have the exact names of images, or of further ones without their ending."""
    pairs("{}.png", "{}_rgb.png")
    pairs("{}_rgb.png", "{}_rgb.png")
    save(tmp_path / "labels/009_rgb.png", blocks("a", (0, 1), (24, 32)))
    said = fails("prepare", "folder", "--images=photos", "--labels=labels")
    assert "1 of 5 labels in" in said
    assert "have no image: 009_rgb.png." in said


@pytest.mark.parametrize(
    ("files", "said", "choice"),
    [
        (("{}_crop.png", "{}_weed.png"), "001_crop.png, 001_weed.png to 001.jpg, perhaps one for each class.", "pair"),
        (("crop-{}.png", "weed-{}.png"), "crop-001.png, weed-001.png to 001.jpg, perhaps one for each class.", "pair"),
        (("crop/{}.png", "weed/{}.png"), "crop/001.png and weed/001.png. If each folder has one class:", "labels"),
    ],
)
def test_separate_label_files_for_each_class_are_refused_and_one_can_be_chosen(
    smir, fails, pairs, tmp_path, files, said, choice
):
    for file in files:
        pairs("{}.jpg", file)
    command = ("prepare", "folder", "--images=photos", "--labels=labels")
    message = fails(*command)
    assert said in message
    assert "merge them into one mask with a value for each class. Or use one class: --" in message
    smir(*command, *shlex.split(message.split("Or use one class: ")[1].strip().removesuffix(".")))
    check_masks(tmp_path, "{}.png")
    (tmp_path / "labels" / files[1].format("002")).unlink()  # not every image shows this class
    assert said in fails(*command)


@pytest.mark.parametrize(("folders", "warned"), [(("crop", "weed"), True), (("Train", "val"), False)])
def test_masks_of_one_class_in_folders_that_may_be_classes_are_pointed_out(smir, tmp_path, capsys, folders, warned):
    """Each image shows one class, and its mask lies in the folder of that class."""
    for number, name in enumerate(NAMES):
        save(tmp_path / "photos" / f"{name}.jpg", photo(name, (24, 32)))
        mask = blocks(name, (0, 255), (24, 32))
        save(tmp_path / "labels" / folders[number % 2] / f"{name}.png", mask)
    smir("prepare", "folder", "--images=photos", "--labels=labels")
    said = capsys.readouterr().out
    note = "The masks in the folders crop, weed have the same values (background and class_255), so they count as the"
    assert (note in said) == warned
    assert ("say which: --classes '[background=0, crop=1, weed=2]'." in said) == warned


def test_images_and_labels_in_one_folder_are_distinguished_by_the_option_pair(smir, pairs, tmp_path):
    pairs("{}.jpg", "{}_mask.png")
    for path in (tmp_path / "labels").glob("*.png"):
        path.rename(tmp_path / "photos" / path.name)
    save(tmp_path / "photos/more.jpg", photo("more"))
    smir("prepare", "folder", "--images=photos", "--labels=photos", "--pair={}={}_mask")
    check_masks(tmp_path, "{}.png")
    assert sorted(path.stem for path in (tmp_path / "field/images").glob("*.*")) == [*NAMES, "more"]


@pytest.mark.parametrize("pair", ["{}_a.png", "a=b", "{}{}={}", "{}={}="])
def test_a_malformed_pair_option_is_refused(fails, pairs, pair):
    pairs("{}.png", "{}.png")
    said = fails("prepare", "folder", "--images=photos", "--labels=labels", f"--pair={pair}")
    assert f"--pair is IMAGE=LABEL, such as '{{}}_image.png={{}}_annotation.png'; got {pair!r}" in said.replace(
        ", with {} for what is equal", ""
    )


def test_a_pair_option_that_fits_no_label_is_refused(fails, pairs):
    pairs("{}.png", "{}_mask.png")
    said = fails("prepare", "folder", "--images=photos", "--labels=labels", "--pair={}={}_label")
    assert "has a name as --pair '{}={}_label' says: 001_mask.png, 002_mask.png, 010_mask.png and 1 more" in said


# Names of classes and of files


@pytest.mark.parametrize(
    "classes", [["no", "yes", "on"], ["null", "1", "2"], ["~", "1e3", "012"], ["2021-01-01", "off", "rübe, rot"]]
)
def test_class_names_that_yaml_would_convert_stay_text(smir, pairs, tmp_path, classes):
    pairs("{}.png", "{}.png")
    listed = ", ".join(f"'{name}'" if "," in name else name for name in classes)
    for words in ([f"--classes=[{listed}]"], ["--classes", f"[{listed}]"]):
        smir("prepare", "folder", "--images=photos", "--labels=labels", "--root", str(len(words)), *words)
        settings = yaml.safe_load((tmp_path / str(len(words)) / "data.yaml").read_text())
        assert settings["data"]["init_args"]["classes"] == classes


@pytest.mark.parametrize("given", ['[soil, "", weed]', '[soil, " ", weed]', "[soil, =1, weed]"])
def test_a_class_without_a_name_is_refused(fails, pairs, given):
    pairs("{}.png", "{}.png")
    assert "an entry is NAME or NAME=SOURCE" in fails(
        "prepare", "folder", "--images=photos", "--labels=labels", f"--classes={given}"
    )


def test_a_category_without_a_name_is_refused(fails, pairs, tmp_path):
    pairs("{}.png", "{}.png")
    shape = {"label": "", "points": [[1, 1], [9, 1], [9, 9]], "shape_type": "polygon"}
    content = {"version": "5", "shapes": [shape], "imagePath": "001.png", "imageHeight": 24, "imageWidth": 32}
    (tmp_path / "json").mkdir()
    (tmp_path / "json/001.json").write_text(json.dumps(content))
    said = fails("prepare", "folder", "--images=photos", "--labels=json")
    assert "001.json: shape number 0 has no label. Name it in the annotation tool." in said


def test_lists_cannot_hold_names_that_are_not_text(smir, fails, pairs, tmp_path):
    pairs("caf\udce9 {}.png", "caf\udce9 {}.png")
    said = fails("prepare", "folder", "--images=photos", "--labels=labels")
    assert r"The lists of the splits cannot hold 'caf\udce9 001.png'" in said
    assert not list((tmp_path / "field").glob("images"))
    smir("prepare", "folder", "--images=photos", "--root=pool")
