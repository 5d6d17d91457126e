"""`check` on complete fakes, and on fakes with one defect each."""

import os
import shutil

import fakes
import numpy as np
import pytest
from PIL import Image
from words import EXPERIMENTS

WRITERS = {
    "pascal_voc": fakes.write_pascal_voc,
    "cityscapes": fakes.write_cityscapes,
    "nassar": fakes.write_nassar,
    "sugar_beets": fakes.write_sugar_beets,
}
PAIRS = {  # an image and its label in the training split, below the root
    "pascal_voc": (
        f"{fakes.VOC}/VOC2012/JPEGImages/2008_000001.jpg",
        f"{fakes.VOC}/VOC2012/SegmentationClass/2008_000001.png",
    ),
    "cityscapes": (
        f"{fakes.CITY}/train/aachen/aachen_000000_000019_leftImg8bit.png",
        f"{fakes.CITY_LABELS}/train/aachen/aachen_000000_000019_gtFine_labelIds.png",
    ),
    "nassar": (f"{fakes.LABELLED}/data/sub5_012.png", f"{fakes.LABELLED}/mask/sub5_012.png"),
    "sugar_beets": (
        f"{fakes.BEETS}/CKA_160523/images/rgb/bonirob_2016-05-23-10-37-10_1_frame1.png",
        f"{fakes.BEETS}/CKA_160523/annotations/dlp/iMapCleaned/bonirob_2016-05-23-10-37-10_1_frame1.png",
    ),
}
TESTED = {  # an image of the test split, below the root
    "pascal_voc": f"{fakes.VOC}/VOC2007/JPEGImages/000032.jpg",
    "cityscapes": f"{fakes.CITY}/val/frankfurt/frankfurt_000000_000019_leftImg8bit.png",
}
POOLED = {  # the path of one more image of the pool
    "pascal_voc": f"{fakes.VOC}/VOC2012/JPEGImages/2012_009999.jpg",
    "cityscapes": f"{fakes.CITY_EXTRA}/augsburg/augsburg_000099_000019_leftImg8bit.png",
}
every = pytest.mark.parametrize("dataset", list(WRITERS))
overlapping = pytest.mark.parametrize("dataset", list(TESTED))
FOLDER = ["--data=Folder", "--data.labels=labels", "--data.classes=[soil,crop,weed]", "--data.min_side=32"]


@pytest.fixture
def root(dataset, tmp_path):
    WRITERS[dataset](tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def check(smir, capsys):
    """Runs `check`, which must end with the given exit code, and returns its report."""

    def run(*words, code=0):
        ended = 0
        try:
            smir("check", *words)
        except SystemExit as exit_:
            ended = exit_.code
        printed = capsys.readouterr()
        assert ended == code, printed.out + printed.err
        assert printed.out.rstrip().endswith("All is well.") == (code == 0)
        return printed.out

    return run


def words(dataset, root, *more):
    return [f"--data={EXPERIMENTS / 'data' / dataset}.yaml", f"--data.root={root}", "--data.min_side=32", *more]


def line(report, start):
    return next(text for text in report.splitlines() if text.startswith(start))


# Complete datasets


@every
@pytest.mark.parametrize("protocol", ["paper", "clean"])
def test_a_complete_dataset_passes(check, dataset, root, protocol):
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    report = check(*words(dataset, root, f"--data.protocol={protocol}"))
    assert f"protocol: {protocol}" in report
    assert "warning: counts differ from the published ones: pool " in report
    assert line(report, "test ").endswith("64 x 48")
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_the_report_of_nassar_shows_counts_and_class_shares(check, tmp_path):
    fakes.write_nassar(tmp_path)
    report = check(*words("nassar", tmp_path))
    assert line(report, "pool ").split() == ["pool", "6", "40,710", "64", "x", "48"]
    assert line(report, "train ").split()[:3] == ["train", "3", "356"]
    shares = [float(line(report, name).split()[1]) for name in ("background", "crop", "weed")]
    masks = [np.array(Image.open(tmp_path / fakes.LABELLED / f"mask/{n}.png")) for n in ("sub5_012", "sub5_009")]
    masks.append(np.array(Image.open(tmp_path / fakes.LABELLED / "mask/sub5_006.png")))
    assert shares == pytest.approx([100 * np.mean(np.array(masks) == value) for value in (0, 1, 2)], abs=5e-4)
    assert line(report, "2 ").endswith("weed")


def test_an_unknown_encoding_is_shown_and_translated(check, tmp_path):
    fakes.write_nassar(tmp_path)
    for path in (tmp_path / fakes.LABELLED / "mask").glob("*.png"):
        Image.fromarray(np.array(Image.open(path)) * 100).save(path)
    report = check(*words("nassar", tmp_path), code=1)
    assert line(report, "100 ").endswith("ILLEGAL")
    assert line(report, "200 ").endswith("ILLEGAL")
    assert "also a 255 that is a class, with data.label_map, e.g. {100: 1}" in report
    assert "data.classes" not in report  # Nassar has no such option
    report = check(*words("nassar", tmp_path, "--data.label_map={100: 1, 200: 2}"))
    assert line(report, "200 ").endswith("weed")


def test_a_read_only_folder_passes(check, tmp_path):
    fakes.write_nassar(tmp_path / "data")
    paths = [tmp_path / "data", *(tmp_path / "data").rglob("*")]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        check(*words("nassar", tmp_path / "data"))
    finally:
        for path in paths:
            path.chmod(0o755)


def test_the_data_settings_of_an_experiment_are_used_for_any_task(check, tmp_path):
    fakes.write_nassar(tmp_path / "one")
    (tmp_path / "more.yaml").write_text(
        f"trainer: {{max_epochs: 3}}\ndata: {{init_args: {{root: {tmp_path / 'one'}}}}}\n"
    )
    config = EXPERIMENTS / "demo/pretrain.yaml"
    report = check(f"--config={config}", f"--config={tmp_path / 'more.yaml'}", "--data.min_side=32")
    assert f"Nassar in {tmp_path / 'one'}" in report
    assert line(report, "train ").split()[1] == "3"
    for file in (config, EXPERIMENTS / "data/nassar.yaml"):
        report = check(f"--config={file}", f"--data.root={tmp_path / 'one'}", "--data.min_side=32")
        assert f"Nassar in {tmp_path / 'one'}" in report


def test_a_label_budget_changes_nothing_but_the_published_counts(check, tmp_path):
    fakes.write_nassar(tmp_path)
    report = check(*words("nassar", tmp_path, "--data.label_budget=2"))
    assert line(report, "train ").split()[:3] == ["train", "15", "1,784"]


def test_a_folder_with_labels_passes(check, tmp_path):
    fakes.write_folder(tmp_path)
    report = check(*FOLDER, f"--data.root={tmp_path}")
    assert line(report, "train ").split()[:3] == ["train", "7", "-"]
    assert "warning" not in report


def test_a_folder_without_labels_passes_with_a_note(check, tmp_path):
    fakes.write_folder(tmp_path)
    report = check("--data=Folder", "--data.task=pretrain", f"--data.root={tmp_path}", "--data.min_side=32")
    assert "warning: data.labels is not set" in report
    assert line(report, "pool ").split()[1] == "10"


def test_many_image_sizes_are_summarised(check, tmp_path):
    fakes.write_folder(tmp_path)
    for number in range(5):
        name = f"{number:03d}"
        size = (40 + number, 50 + 2 * number)
        fakes.save(tmp_path / f"images/{name}.jpg", fakes.photo(name, size))
        fakes.save(tmp_path / f"labels/{name}.png", fakes.blocks(name, [0, 1, 2], size))
    report = check(*FOLDER, f"--data.root={tmp_path}", "--data.hold_out=false")
    assert "6 sizes: width 50 to 64, median 64; height 40 to 48, median 48" in line(report, "pool ")


# Defects of files


def damage(path):
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"garbage" * 9)


def cut_short(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def halve(path):
    with Image.open(path) as image:
        half = image.crop((0, 0, image.width // 2, image.height))
    half.save(path)


@every
@pytest.mark.parametrize("harm", [damage, cut_short])
@pytest.mark.parametrize("kind", [0, 1], ids=["image", "label"])
def test_unreadable_files_are_named(check, dataset, root, harm, kind):
    path = root / PAIRS[dataset][kind]
    harm(path)
    report = check(*words(dataset, root), code=1)
    assert "\nunreadable files: 1\n" in report
    assert str(path) in line(report, "  The ")


@every
def test_a_label_of_another_size_is_named(check, dataset, root):
    path = root / PAIRS[dataset][1]
    halve(path)
    report = check(*words(dataset, root), code=1)
    assert f"  {path} is 32 x 48 pixels, its image {root / PAIRS[dataset][0]} is 64 x 48 pixels" in report


@every
def test_an_illegal_label_value_is_named(check, dataset, root):
    path = root / PAIRS[dataset][1]
    wrong = {"pascal_voc": 21, "cityscapes": 26_001, "nassar": 3, "sugar_beets": 255}[dataset]
    Image.fromarray(np.full(fakes.SIZE, wrong, np.uint16)).save(path)
    report = check(*words(dataset, root), code=1)
    assert "\nillegal label values: 1\n" in report
    assert f"The label {path} holds values" in report
    assert line(report, f"{wrong} ").endswith("ILLEGAL")


def test_train_ids_in_place_of_the_label_ids_of_cityscapes_are_named(check, tmp_path):
    fakes.write_cityscapes(tmp_path)
    path = tmp_path / PAIRS["cityscapes"][1]
    train_ids = [*range(19), 255]
    Image.fromarray(fakes.blocks("train ids", train_ids)).save(path)
    report = check(*words("cityscapes", tmp_path), code=1)
    assert "\nillegal label values: 1\n" in report
    assert f"The label {path} seems to hold train ids: it has the value 255" in report


def test_images_that_are_too_small_are_named(check, tmp_path):
    fakes.write_nassar(tmp_path)
    report = check(f"--data={EXPERIMENTS / 'data/nassar.yaml'}", f"--data.root={tmp_path}", "--show=2", code=1)
    assert "images that are too small: 15\n" in report
    assert "is 64 x 48 pixels; data.min_side is 256" in report
    assert "  and 13 more (--show 0 shows all)" in report


def test_images_that_training_refuses_as_strips_are_named(check, tmp_path):
    (tmp_path / "images").mkdir()
    for name, size in (("strip", (4200, 64)), ("long", (4096, 64))):
        Image.new("RGB", size).save(tmp_path / f"images/{name}.png")
    report = check("--data=Folder", "--data.task=pretrain", f"--data.root={tmp_path}", "--data.min_side=32", code=1)
    assert "images that are strips: 1\n" in report
    assert f"{tmp_path / 'images/strip.png'} is 4200 x 64 pixels; one side is more than 64 times the other" in report


# Missing files


@every
def test_a_missing_label_is_named_and_does_not_hide_other_defects(check, dataset, root):
    (root / PAIRS[dataset][1]).unlink()
    name = next((root / PAIRS[dataset][1]).parent.glob("*.png"))  # another label in the same folder
    if dataset == "cityscapes":
        name = next(name.parent.glob("*_labelIds.png"))
    damage(name)
    report = check(*words(dataset, root), code=1)
    assert "lists that cannot be made: " in report
    assert PAIRS[dataset][1].rsplit("/")[-1].split("_gtFine")[0].removesuffix(".png") in line(report, "  train")
    assert dataset == "sugar_beets" or f"The label {name}" in report  # its only list makes all splits


@every
def test_a_label_without_image_is_named(check, dataset, root):
    label = root / PAIRS[dataset][1]
    orphan = label.with_name(f"a{label.name}")
    shutil.copy(label, orphan)
    incomplete = dataset == "sugar_beets"  # the same as the published count
    report = check(*words(dataset, root), code=0 if incomplete else 1)
    said = "warning: labels without an image (1): " if incomplete else "\nlabels without an image: 1\n  "
    assert f"{said}{orphan}" in report


def test_an_unlabelled_image_beside_labelled_ones_is_reported(check, tmp_path):
    fakes.write_nassar(tmp_path)
    (tmp_path / fakes.LABELLED / "mask/sub3_002.png").unlink()  # not in the first fifth of the list
    report = check(*words("nassar", tmp_path))
    assert (
        f"images beside the labelled ones without a label (1): {tmp_path / fakes.LABELLED / 'data/sub3_002.png'}"
        in report
    )


@every
def test_a_missing_dataset_is_reported(check, dataset, tmp_path):
    report = check(*words(dataset, tmp_path / "nowhere"), code=1)
    assert str(tmp_path / "nowhere") in report
    assert line(report, "pool ").split()[1] == "none"


@pytest.mark.parametrize(
    ("dataset", "labels"), [("cityscapes", "cityscapes/gtFine_trainvaltest"), ("nassar", "nassar/tiled_dataset")]
)
def test_a_pool_without_labelled_images_is_counted_and_the_missing_folder_named(check, dataset, root, labels):
    shutil.rmtree(root / labels)
    report = check(*words(dataset, root), code=1)
    assert line(report, "pool ").split()[1] != "none"
    assert line(report, "test ").split()[1] == "none"
    assert str(root / labels) in report


# Shared images


def test_the_overlaps_of_voc_are_reported_by_protocol(check, tmp_path):
    fakes.write_pascal_voc(tmp_path)
    report = check(*words("pascal_voc", tmp_path))
    assert line(report, "train and test").split(maxsplit=6)[3:] == ["2", "0", "106", "expected: protocol `paper`"]
    assert line(report, "pool and test").split()[3:6] == ["4", "0", "210"]
    assert line(report, "train and val").endswith("none")
    report = check(*words("pascal_voc", tmp_path, "--data.protocol=clean"))
    assert all(line(report, f"{name} and test").endswith("none") for name in ("pool", "train", "val"))


def test_the_overlaps_of_cityscapes_are_reported_by_protocol(check, tmp_path):
    fakes.write_cityscapes(tmp_path)
    report = check(*words("cityscapes", tmp_path))
    assert line(report, "pool and test").split(maxsplit=6)[3:] == ["4", "0", "500", "expected: protocol `paper`"]
    report = check(*words("cityscapes", tmp_path, "--data.protocol=clean"))
    assert line(report, "pool and test").endswith("none")


@overlapping
def test_a_test_image_under_another_name_in_the_pool(check, dataset, root):
    shutil.copy(root / TESTED[dataset], root / POOLED[dataset])
    if dataset == "cityscapes":
        (root / fakes.CITY_EXTRA / "data_list.txt").unlink()
    report = check(*words(dataset, root))
    assert line(report, "pool and test").split()[4] == "1"
    report = check(*words(dataset, root, "--data.protocol=clean"), code=1)
    assert f"  {root / POOLED[dataset]}  =  {root / TESTED[dataset]}" in report
    assert line(report, "pool and test").endswith("ERROR")


@overlapping
@pytest.mark.parametrize("protocol", ["paper", "clean"])
def test_a_test_image_under_another_name_in_training_is_a_problem_in_any_protocol(check, dataset, root, protocol):
    shutil.copy(root / TESTED[dataset], root / PAIRS[dataset][0])
    report = check(*words(dataset, root, f"--data.protocol={protocol}"), code=1)
    assert "images shared between train and test: 1\n" in report
    assert f"  {root / PAIRS[dataset][0]}  =  {root / TESTED[dataset]}" in report


def test_shared_images_that_were_compressed_again_without_loss_are_found(check, tmp_path):
    fakes.write_nassar(tmp_path)
    image = Image.open(tmp_path / fakes.LABELLED / "data/sub2_000.png")
    image.save(tmp_path / fakes.LABELLED / "data/sub1_000.png", compress_level=1)
    assert "images shared between val and test: 1\n" in check(*words("nassar", tmp_path), code=1)


def test_images_without_labels_are_not_reported_if_partial_labels_is_set(check, tmp_path):
    fakes.write_folder(tmp_path)
    (tmp_path / "labels/003.png").unlink()
    report = check(*FOLDER, f"--data.root={tmp_path}", "--data.partial_labels=true")
    assert "without a label" not in report
    assert "All is well." in report


def test_tiles_of_a_single_colour_are_not_compared(check, tmp_path):
    fakes.write_nassar(tmp_path)
    for name in ("sub1_000", "sub2_000", "sub5_012"):
        Image.new("RGB", fakes.SIZE[::-1]).save(tmp_path / fakes.LABELLED / f"data/{name}.png")
    check(*words("nassar", tmp_path))


def test_images_shared_between_lists_are_reported(check, tmp_path):
    fakes.write_folder(tmp_path)
    for split, names in (("train", range(6)), ("val", (5, 6)), ("test", (7, 8))):
        fakes.save_list(tmp_path / f"{split}.txt", [f"{number:03d}" for number in names])
    files = "--data.split_files={train: train.txt, val: val.txt, test: test.txt}"
    report = check(*FOLDER, f"--data.root={tmp_path}", files, code=1)
    assert f"images shared between train and val: 1\n  {tmp_path / 'images/005.jpg'}  =" in report
    assert line(report, "pool and train").endswith("intended: pretraining on the labelled images")


def test_help_and_invalid_arguments_write_no_files(fails, smir, capsys):
    before = os.listdir()  # noqa: PTH208
    with pytest.raises(SystemExit):
        smir("check", "--help")
    assert "Lines to show of each kind of problem" in " ".join(capsys.readouterr().out.split())
    assert "data" in fails("check", code=2)
    said = fails("check", "--data=Nassar", "--data.root=x", "--data.crop_size=48")
    assert "crop_size must be a multiple of 32, got 48. Try 32 or 64." in said
    assert os.listdir() == before  # noqa: PTH208
