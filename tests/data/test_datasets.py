"""The datasets of the paper on tiny fakes in their real layouts, and the common defects of real downloads."""

import random
import re
import shutil
from pathlib import Path
from typing import ClassVar

import fakes
import numpy as np
import pytest
import torch
from jsonargparse import ArgumentParser
from PIL import Image
from words import REPOSITORY

from smir.data import Cityscapes, Folder, Nassar, PascalVOC, PublishedDataset, SmirDataModule, SugarBeets
from smir.data.audit.expected import EXPECTED, expected_counts
from smir.data.cityscapes import TRAIN_IDS
from smir.data.reading.lists import cut, read_list
from smir.errors import ConfigError, DataError

CONFIGS = REPOSITORY / "experiments" / "data"
WRITERS = {
    PascalVOC: fakes.write_pascal_voc,
    Cityscapes: fakes.write_cityscapes,
    Nassar: fakes.write_nassar,
    SugarBeets: fakes.write_sugar_beets,
}
FILES = {PascalVOC: "pascal_voc", Cityscapes: "cityscapes", Nassar: "nassar", SugarBeets: "sugar_beets"}
COUNTS = {  # pool, train, val, test of the fakes, by protocol
    (PascalVOC, "paper"): (14, 6, 5, 4),
    (PascalVOC, "clean"): (10, 4, 3, 4),
    (Cityscapes, "paper"): (21, 8, 2, 4),
    (Cityscapes, "clean"): (14, 8, 2, 4),
    (Nassar, "paper"): (6, 3, 2, 4),
    (Nassar, "clean"): (6, 3, 2, 4),
    (SugarBeets, "paper"): (14, 7, 1, 2),
    (SugarBeets, "clean"): (12, 7, 1, 2),
}
ILLEGAL = {PascalVOC: 21, Cityscapes: 26_001, Nassar: 3, SugarBeets: 255}  # a label value that is no class
SPLITS = ("train", "val", "test")
TRAIN_LIST = {PascalVOC: "train", Cityscapes: "labelled", Nassar: "train", SugarBeets: "labelled"}
every = pytest.mark.parametrize("dataset", list(WRITERS), ids=lambda dataset: dataset.__name__)
own_split = pytest.mark.parametrize("dataset", [Cityscapes, Nassar, SugarBeets], ids=lambda dataset: dataset.__name__)


def make(dataset, root, task="segment", **options):
    options = {"crop_size": 64 if task == "segment" else 192, "batch_size": 2, "min_side": 32, **options}
    return dataset(root, task=task, num_workers=0, **options)


@pytest.fixture
def root(dataset, tmp_path):
    WRITERS[dataset](tmp_path)
    return tmp_path


def identities(data, name):
    images = data.pool() if name == "pool" else [pair.image for pair in data.pairs(name)]
    assert len(set(images)) == len(images)
    return {data.identity(image) for image in images}


def everything(data):
    return [data.pool(), *(data.pairs(split) for split in SPLITS)]


def train_list(dataset, root):
    return root / dataset.list_files[TRAIN_LIST[dataset]]


# Lists


@pytest.mark.parametrize(("dataset", "protocol"), list(COUNTS), ids=lambda value: getattr(value, "__name__", value))
def test_counts_follow_the_protocol(dataset, root, protocol):
    data = make(dataset, root, protocol=protocol)
    assert tuple(map(len, everything(data))) == COUNTS[dataset, protocol]
    assert all((root / path).is_file() for path in data.pool())


@every
def test_clean_lists_share_nothing_with_the_test_images(dataset, root):
    data = make(dataset, root, protocol="clean")
    train, val, test = (identities(data, split) for split in SPLITS)
    for left, right in ((train, val), (train, test), (val, test), (identities(data, "pool"), test)):
        assert not left & right


@every
def test_the_paper_protocol_keeps_its_overlaps(dataset, root):
    data = make(dataset, root)
    shared = {(name, "test") for name in ("pool", "train", "val") if identities(data, name) & identities(data, "test")}
    assert shared == set(expected_counts(dataset.__name__, "paper").overlaps)


def test_clean_voc_matches_by_name(tmp_path):
    fakes.write_pascal_voc(tmp_path)
    dropped = identities(make(PascalVOC, tmp_path), "pool") - identities(
        make(PascalVOC, tmp_path, protocol="clean"), "pool"
    )
    assert dropped == {"2007_000032", "2007_000033", "2007_000034", "2007_000035"}


def test_clean_cityscapes_leaves_out_test_frames_that_were_moved_to_train_extra(tmp_path):
    fakes.write_cityscapes(tmp_path)
    for split in ("test", "val"):
        shutil.copytree(tmp_path / fakes.CITY / split, tmp_path / fakes.CITY_EXTRA, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / fakes.CITY / "test")
    with pytest.warns(UserWarning, match="no such folder"):
        pool = make(Cityscapes, tmp_path, protocol="clean").pool()
    assert {Path(image).parent.name for image in pool} == {"augsburg", "troisdorf", "aachen", "zurich"}
    with pytest.warns(UserWarning, match="no such folder"):
        assert len(make(Cityscapes, tmp_path).pool()) == 21


@own_split
def test_splits_are_made_without_list_files_and_can_be_written(dataset, tmp_path):
    WRITERS[dataset](tmp_path, lists=False)
    before = sorted(tmp_path.rglob("*"))
    made = everything(make(dataset, tmp_path))
    assert tuple(map(len, made)) == COUNTS[dataset, "paper"]
    assert made == everything(make(dataset, tmp_path))
    assert sorted(tmp_path.rglob("*")) == before
    if dataset is not Nassar:
        assert made != everything(make(dataset, tmp_path, split_seed=1))
    written = make(dataset, tmp_path).write_lists()
    assert sorted(written) == sorted(tmp_path / path for path in dataset.list_files.values())
    assert everything(make(dataset, tmp_path, split_seed=1)) == made
    assert make(dataset, tmp_path).write_lists() == []


@every
def test_a_root_below_the_data_root_is_refused_with_the_right_one(dataset, root):
    below = root / Path(dataset.list_files[TRAIN_LIST[dataset]]).parts[0]
    for read in (make(dataset, below).pool, lambda: make(dataset, below).pairs("train")):
        with pytest.raises(DataError, match=rf"does not hold the folder {below.name}, but .* --data\.root {root}$"):
            read()


def test_a_complete_dataset_is_read_whatever_the_folders_above_it_are_called(tmp_path):
    """A list that is missing is made by the class, also if its whole folder is missing."""

    class Own(Nassar):
        list_files: ClassVar = {"pool": "lists/pool.txt"}

    fakes.write_nassar(tmp_path / "north", lists=False)
    (tmp_path / "lists").mkdir()
    assert len(make(Own, tmp_path / "north").pool()) > 0


def test_the_black_frame_of_cityscapes_is_in_no_list_that_smir_makes(tmp_path):
    fakes.write_cityscapes(tmp_path, lists=False)
    black = tmp_path / fakes.CITY_EXTRA / "troisdorf/troisdorf_000000_000073_leftImg8bit.png"
    Image.new("L", fakes.SIZE[::-1]).save(black)  # as it is in the archive
    assert len(make(Cityscapes, tmp_path).pool()) == 21
    make(Cityscapes, tmp_path).write_lists()
    assert not any(black.name in image for image in make(Cityscapes, tmp_path).pool())
    pool = tmp_path / Cityscapes.list_files["pool"]
    pool.write_text(f"{pool.read_text()}troisdorf/troisdorf_000000_000073\n")
    assert len(make(Cityscapes, tmp_path).pool()) == 22  # the authors' list is taken as it is


def test_nassar_is_split_by_field(tmp_path):
    fakes.write_nassar(tmp_path, lists=False)
    shutil.copy(tmp_path / fakes.LABELLED / "data/sub1_000.png", tmp_path / fakes.LABELLED / "data/sub10_000.png")
    data = make(Nassar, tmp_path)
    assert {name[:5] for name in data.own_list("train")} == {"sub5_", "sub4_", "sub3_", "sub10"}
    assert {name[:5] for name in data.own_list("val")} == {"sub1_"}
    assert {name[:5] for name in data.own_list("test")} == {"sub2_"}
    assert data.own_list("train")[1].startswith("sub5")


def test_weeds_are_found_by_the_mapping_of_the_authors_for_any_choice_of_labels(tmp_path):
    fakes.write_sugar_beets(tmp_path, lists=False)
    paper, corrected = (make(SugarBeets, tmp_path, labels=labels) for labels in ("paper", "corrected"))
    assert everything(paper) == everything(corrected)
    assert not any("CKA_160506" in pair.image for split in SPLITS for pair in paper.pairs(split))
    whole = make(SugarBeets, tmp_path, weeds_only=False)
    assert sum(len(whole.pairs(split)) for split in SPLITS) == 14


@every
def test_lists_in_another_place_are_read(dataset, root):
    path = train_list(dataset, root)
    entries = read_list(path)
    (root / "mine.txt").write_text("\n".join(entries[::-1]))
    name = TRAIN_LIST[dataset]
    there = make(dataset, root, lists={name: Path("mine.txt")})
    assert there.entries(name) == entries[::-1]
    assert make(dataset, root, lists={name: root / "mine.txt"}).pairs("train") == there.pairs("train")
    with pytest.raises(ConfigError, match=f"nonsense; {dataset.__name__} has"):
        make(dataset, root, lists={"nonsense": Path("mine.txt")})
    with pytest.raises(DataError, match=r"no list file .*absent\.txt"):
        make(dataset, root, lists={name: Path("absent.txt")}).pairs("train")


@every
def test_blank_lines_windows_line_ends_and_suffixes_change_nothing(dataset, root):
    expected = everything(make(dataset, root))
    for place in dataset.list_files.values():
        entries = read_list(root / place)
        if dataset is not SugarBeets:
            entries = [entry if entry.endswith(".png") else f"{entry}.png" for entry in entries]
        (root / place).write_bytes(b"\xef\xbb\xbf\r\n" + "\r\n\r\n".join(entries).encode() + b"\r\n  \r\n")
    assert everything(make(dataset, root)) == expected


@every
def test_an_image_that_is_listed_twice_is_used_once(dataset, root):
    expected = make(dataset, root).pairs("train")
    path = train_list(dataset, root)
    path.write_text(path.read_text() + path.read_text())
    with pytest.warns(UserWarning, match="more than once"):
        assert make(dataset, root).pairs("train") == expected


@every
def test_a_listed_name_that_does_not_exist_is_named(dataset, root):
    path = train_list(dataset, root)
    path.write_text("CKA_0/nobody_knows\n" + path.read_text())
    with pytest.raises(DataError, match=r"1 of \d+ .* are not in /.*: CKA_0/nobody_knows; names there look like"):
        make(dataset, root).images("train")


@every
def test_suffixes_in_upper_case_are_accepted(dataset, root):
    counts = tuple(map(len, everything(make(dataset, root))))
    for path in [path for path in root.rglob("*") if path.suffix in (".jpg", ".png")]:
        path.rename(path.with_suffix(path.suffix.upper()))
    data = make(dataset, root)
    assert tuple(map(len, everything(data))) == counts
    assert data.labelled("train").read_pair(0)[1].shape == fakes.SIZE


@every
def test_one_image_with_two_suffixes_is_refused(dataset, root):
    image = root / make(dataset, root).pairs("train")[0].image
    shutil.copy(image, image.with_suffix(".bmp"))
    with pytest.raises(DataError, match=r"holds both .* and .*, one picture under two suffixes"):
        make(dataset, root).images("train")


def test_shares_of_a_list_have_the_expected_lengths():
    names = [str(n) for n in range(757)]
    assert [len(cut(names, (0.7, 0.1, 0.2), part)) for part in range(3)] == [529, 76, 152]
    assert [len(cut(names[:10], (0.7, 0.1, 0.2), part)) for part in range(3)] == [7, 1, 2]
    assert [len(cut([0] * 2975, (0.8, 1 - 0.8), part)) for part in range(2)] == [2380, 595]


@every
def test_label_budgets_are_nested(dataset, root):
    chosen = [set(make(dataset, root, label_budget=count).images("train")) for count in (1, 2, 4)]
    assert [len(names) for names in chosen] == [1, 2, 4]
    assert chosen[0] < chosen[1] < chosen[2]
    assert len(make(dataset, root, label_budget=1.0).images("train")) >= COUNTS[dataset, "paper"][1]


def test_a_label_budget_replaces_the_fifth_of_nassar(tmp_path):
    fakes.write_nassar(tmp_path)
    data = make(Nassar, tmp_path, label_budget=1.0)
    assert [len(data.images(split)) for split in SPLITS] == [15, 10, 4]


def test_expected_counts_exist_for_every_dataset_and_protocol():
    assert len(EXPECTED) == 8
    for (name, protocol), counts in EXPECTED.items():
        assert counts == expected_counts(name, protocol)
        assert counts.pool > counts.train
        assert protocol == "paper" or not counts.overlaps
    assert expected_counts("Cityscapes", "clean").pool == 22_972
    assert expected_counts("Nassar", "paper").train == 356
    assert expected_counts("Nassar", "paper", label_budget=True).train == 1_784
    assert expected_counts("Folder", "paper") is None


# Samples


@every
def test_segmentation_batches_have_the_expected_shapes_and_values(dataset, root):
    data = make(dataset, root)
    values = {*range(len(data.classes)), 255}
    assert len(data.classes.names) == len(data.classes.colors) == len(set(data.classes.names))
    for loader in (data.train_dataloader(), data.val_dataloader()):
        batch = next(iter(loader))
        assert batch["image"].shape[1:] == (3, 64, 64)
        assert batch["image"].dtype == batch["label"].dtype == torch.uint8
        assert batch["label"].shape[1:] == (64, 64)
        assert batch["image"].float().std() > 10
        assert set(batch["label"].unique().tolist()) <= values
    tested = list(data.test_dataloader())
    assert len(tested) == COUNTS[dataset, "paper"][3]
    assert tested[0]["image"].shape == (1, 3, 64, 85)
    assert tested[0]["view_label"].shape == (1, 64, 85)
    assert tested[0]["label"].shape == (1, *fakes.SIZE)
    assert len(set(tested[0]["label"].unique().tolist())) >= 3


@every
def test_pretraining_batches_have_the_expected_shapes_and_masks(dataset, root):
    data = make(dataset, root, task="pretrain")
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
        batch = next(iter(loader))
        assert batch["image"].shape[1:] == (3, 192, 192)
        assert batch["image"].dtype == torch.uint8
        assert batch["mask"].shape[1:] == (1, 192, 192)
        assert batch["mask"].dtype == torch.bool
        assert 0.4 < batch["mask"].float().mean() < 0.6


@every
@pytest.mark.parametrize("task", ["pretrain", "segment"])
def test_two_datamodules_give_the_same_batches(dataset, root, task):
    first, second = make(dataset, root, task=task), make(dataset, root, task=task)
    assert first.fingerprint() == second.fingerprint()
    for left, right in zip(first.train_dataloader(), second.train_dataloader(), strict=True):
        assert all(torch.equal(left[key], right[key]) for key in left)


@every
def test_nothing_is_written_into_the_dataset(dataset, root):
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    data = make(dataset, root, protocol="clean")
    next(iter(data.train_dataloader()))
    data.images("pool")
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


# Labels


def test_voc_palette_indices_are_the_classes(tmp_path):
    fakes.write_pascal_voc(tmp_path)
    data = make(PascalVOC, tmp_path)
    label = data.labelled("test").read_pair(0)[1]
    assert set(np.unique(label)) == {*range(21), 255}
    assert [value for color in data.classes.colors for value in color] == fakes.voc_palette()[: 3 * 21]


def test_cityscapes_ids_become_train_ids(tmp_path):
    stored = np.arange(256, dtype=np.int32).reshape(16, 16)
    ids = make(Cityscapes, tmp_path).decode_label(stored, Path("label.png")).ravel()
    assert ids[[7, 8, 11, 12, 13, 17, *range(19, 29), 31, 32, 33]].tolist() == list(range(19))
    assert set(np.delete(ids, TRAIN_IDS)) == {255}


@pytest.mark.parametrize("labels", ["paper", "corrected"])
def test_sugar_beets_ids_become_classes_by_both_mappings(tmp_path, labels):
    paper = labels == "paper"
    table = {0: 0, 1: 0, 97: 0, 10000: 1, 10001: 2 if paper else 1, 10002: 2 if paper else 1, 2: 0 if paper else 2}
    table |= dict.fromkeys([*range(20000, 20012), *range(20100, 20106)], 2)
    stored = np.array([list(table)], dtype=np.int32)
    data = make(SugarBeets, tmp_path, labels=labels)
    assert data.decode_label(stored, Path("label.png")).tolist() == [list(table.values())]
    for wrong in (3, 255, 9999, 10003, 20012, 20099, 20106, 65535):
        with pytest.raises(DataError, match=rf"a/label\.png holds values .*: {wrong} \(1 px\)"):
            data.decode_label(np.array([[0, wrong]], dtype=np.int32), Path("a/label.png"))


@pytest.mark.parametrize("mode", ["P", "L", "I;16", "I"])
def test_labels_of_any_pillow_mode_are_read(tmp_path, mode):
    fakes.write_nassar(tmp_path)
    data = make(Nassar, tmp_path)
    expected = data.labelled("train").read_pair(0)[1]
    image = Image.fromarray(expected.astype({"I;16": np.uint16, "I": np.int32}.get(mode, np.uint8)))
    if mode == "P":
        image.putpalette(fakes.voc_palette())
    assert image.mode == mode
    image.save(tmp_path / data.pairs("train")[0].label, format="TIFF" if mode == "I" else "PNG")
    np.testing.assert_array_equal(data.labelled("train").read_pair(0)[1], expected)


# Defects


@every
@pytest.mark.parametrize("name", ["pool", "train", "val", "test"])
def test_a_missing_root_is_named(dataset, tmp_path, name):
    with pytest.raises(DataError, match=str(tmp_path / "nowhere")):
        make(dataset, tmp_path / "nowhere").images(name)


@every
@pytest.mark.parametrize("kind", ["image", "label"])
def test_a_missing_file_is_named(dataset, root, kind):
    path = root / getattr(make(dataset, root).pairs("train")[0], kind)
    path.unlink()
    with pytest.raises(DataError, match=path.stem.split("_leftImg8bit")[0].split("_gtFine")[0]):
        make(dataset, root).images("train")


def test_frames_without_a_partner_are_counted_and_left_out_of_the_pool(tmp_path):
    fakes.write_sugar_beets(tmp_path)
    pairs = make(SugarBeets, tmp_path).pairs("train")
    (tmp_path / pairs[0].image).unlink()
    (tmp_path / pairs[1].label).unlink()
    with pytest.warns(UserWarning, match="2 frames in .* have an image but no label"):
        assert len(make(SugarBeets, tmp_path).pool()) == 12


def write_drives(root, per_drive=100):
    """Writes two drives of consecutive frames, all with weeds."""
    entries = []
    for drive in ("drive_1", "drive_2"):
        for number in range(per_drive):
            name = f"{drive}_frame{number}.png"
            for kind in ("images/rgb", "annotations/dlp/iMapCleaned"):
                path = root / fakes.BEETS / "CKA_1" / kind / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()  # only names matter here
            entries.append(f"/CKA_1/annotations/dlp/iMapCleaned/{name}")
    for file in ("sugarbeets.txt", "sugarbeets_weeds.txt"):
        fakes.save_list(root / fakes.BEETS / file, random.Random(0).sample(entries, len(entries)))


def test_blocks_of_a_drive_keep_neighbouring_frames_apart(tmp_path):
    write_drives(tmp_path)

    def frames(**options):
        data = make(SugarBeets, tmp_path, protocol="clean", **options)
        lists = {split: [pair.image for pair in data.pairs(split)] for split in ("train", "val", "test")}
        lists["pool"] = data.pool()
        found = {
            split: {re.search(r"(drive_.)_frame(\d+)", image).groups() for image in images}
            for split, images in lists.items()
        }
        return {split: {(drive, int(number)) for drive, number in names} for split, names in found.items()}

    def beside(split, other, reach=2):
        return {(d, n) for d, n in split if any((d, n + step) in other for step in range(-reach, reach + 1))}

    single, blocks = frames(), frames(split_by="block")
    assert len(beside(single["test"], single["train"], 1)) > 30  # of 40
    for held, others in (("test", ("train", "val", "pool")), ("val", ("train",))):
        assert not any(beside(blocks[held], blocks[other]) for other in others)
    assert (len(blocks["test"]), len(single["test"])) == (40, 40)
    assert len(blocks["train"]) >= 0.85 * len(single["train"])
    assert blocks == frames(split_by="block")
    assert blocks != frames(split_by="block", split_seed=1)


def damage(path):
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"garbage" * 9)


def cut_short(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def halve(path):
    with Image.open(path) as image:
        half = image.crop((0, 0, image.width // 2, image.height))
    half.save(path)


def read_train(data):
    labels = data.labelled("train")
    return [labels.read_pair(index) for index in range(len(data.images("train")))]


@every
@pytest.mark.parametrize("harm", [damage, cut_short])
@pytest.mark.parametrize("kind", ["image", "label"])
def test_a_corrupt_file_is_named(dataset, root, kind, harm):
    data = make(dataset, root)
    path = root / getattr(data.pairs("train")[0], kind)
    harm(path)
    with pytest.raises(DataError, match=f"The {kind} {path}"):
        read_train(data)


@every
def test_a_label_of_another_size_is_named(dataset, root):
    data = make(dataset, root)
    path = root / data.pairs("train")[0].label
    halve(path)
    with pytest.raises(DataError, match=f"{path} is 32 x 48 pixels, its image .* is 64 x 48"):
        read_train(data)


@every
def test_an_illegal_label_value_is_named(dataset, root):
    data = make(dataset, root)
    path = root / data.pairs("train")[0].label
    wrong = ILLEGAL[dataset]
    Image.fromarray(np.full(fakes.SIZE, wrong, np.uint16)).save(path)
    with pytest.raises(DataError, match=rf"{path} holds values .* {wrong} \(3072 px\)"):
        read_train(data)


@every
def test_a_label_in_colours_is_named(dataset, root):
    data = make(dataset, root)
    path = root / data.pairs("train")[0].label
    Image.fromarray(fakes.photo("colours")).save(path)
    with pytest.raises(DataError, match=f"{path} has mode RGB"):
        read_train(data)


def test_small_images_of_voc_are_accepted_by_default(tmp_path):
    fakes.write_pascal_voc(tmp_path)
    data = PascalVOC(tmp_path, num_workers=0)
    assert next(iter(data.test_dataloader()))["image"].shape[2] == 256


@pytest.mark.parametrize(
    ("dataset", "option", "message"),
    [
        (Cityscapes, {"train_share": 1.0}, "train_share must lie between 0 and 1"),
        (SugarBeets, {"fractions": (0.5, 0.1, 0.1)}, "add up to 1"),
        (SugarBeets, {"fractions": (float("nan"), 0.5, 0.5)}, "add up to 1"),
        (SugarBeets, {"split_by": "block"}, "set data.protocol to clean"),
    ],
)
def test_impossible_options_are_refused(dataset, option, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        make(dataset, tmp_path, **option)


# Configs


def parsed(*words):
    parser = ArgumentParser()
    parser.add_subclass_arguments(SmirDataModule, "data")
    # Before version 4.49, jsonargparse had it only under the second name.
    instantiate = getattr(parser, "instantiate", None) or parser.instantiate_classes
    return instantiate(parser.parse_args([str(word) for word in words])).data


@every
def test_the_shipped_config_gives_the_dataset(dataset, root):
    data = parsed(f"--data={CONFIGS / FILES[dataset]}.yaml", f"--data.root={root}", "--data.protocol=clean")
    assert type(data) is dataset
    assert isinstance(data, PublishedDataset)
    assert data.protocol == "clean"
    assert tuple(map(len, everything(data))) == COUNTS[dataset, "clean"]
    assert dataset is not SugarBeets or data.labels == "paper"


@pytest.mark.parametrize("name", ["pascal_voc", "cityscapes", "nassar", "sugar_beets"])
def test_the_configs_of_the_paper_keep_the_figures_of_its_authors(name, tmp_path):
    preprocessing = parsed(f"--data={CONFIGS / name}.yaml", f"--data.root={tmp_path}").preprocessing
    assert preprocessing.mean == (0.4529, 0.4317, 0.3999)
    assert preprocessing.std == (0.444, 0.466, 0.489)


def test_the_fake_folder_is_a_valid_dataset(tmp_path):
    fakes.write_folder(tmp_path)
    data = make(Folder, tmp_path, labels="labels", classes=["soil", "crop", "weed"])
    assert [len(data.pairs(split)) for split in SPLITS] == [7, 1, 2]
    assert len(read_train(data)) == 7
