"""Tiny datasets with the real layouts, names and label encodings, one writer per dataset.

Pictures are blocks of colour that depend only on their name. Every folder also holds the extra files of real downloads:
a Thumbs.db and a readme.
"""

import json
import random
import sys
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (48, 64)  # height, width
VOC = "pascal/VOCtrainvaltest/VOCdevkit"
CITY = "cityscapes/leftImg8bit_trainvaltest/leftImg8bit"
CITY_EXTRA = "cityscapes/leftImg8bit_trainextra/leftImg8bit/train_extra"
CITY_LABELS = "cityscapes/gtFine_trainvaltest/gtFine"
BEETS = "sugarbeets/ijrr_sugarbeets_2016_annotations"
TILES = "nassar/ortho_tiles"
LABELLED = "nassar/tiled_dataset/train"


def blocks(name, values, size=SIZE, dtype=np.uint8):
    """Returns a picture (H, W) of 8 x 8 pixel blocks with these values; the first blocks show each value once."""
    height, width = size
    rows, cols = -(-height // 8), -(-width // 8)
    chance = np.random.default_rng(zlib.crc32(name.encode()))
    drawn = chance.choice(values, rows * cols)
    drawn[: min(len(values), rows * cols)] = values[: rows * cols]
    return np.kron(drawn.reshape(rows, cols), np.ones((8, 8), dtype=int)).astype(dtype)[:height, :width]


def photo(name, size=SIZE):
    """Returns an RGB picture (H, W, 3)."""
    return np.stack([blocks(f"{name} {channel}", range(20, 236, 5), size) for channel in "RGB"], axis=-1)


def save(path, array, **options):
    """Writes an array or an image, and the files that Windows leaves beside pictures."""
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True)
        (path.parent / "Thumbs.db").write_bytes(b"not an image")
        (path.parent / "readme.txt").write_text("Terms of use\n")
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    image.save(path, **options)


def save_list(path, entries):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{entry}\n" for entry in entries))


def voc_palette():
    """Returns the palette of the VOC devkit: the bits of the index go to the high bits of red, green and blue."""

    def color(index):
        return [sum((index >> (3 * bit + channel) & 1) << (7 - bit) for bit in range(3)) for channel in range(3)]

    return [value for index in range(256) for value in color(index)]


def write_pascal_voc(root, train=4, val=3, test=4, unlabelled=3, size=SIZE):
    """Every test image of 2007 is also `2007_<id>` of 2012, alternately in its train and val list."""
    tests = [f"{number:06d}" for number in range(32, 32 + test)]
    lists = {
        "train": [f"2008_{number:06d}" for number in range(train)] + [f"2007_{name}" for name in tests[0::2]],
        "val": [f"2009_{number:06d}" for number in range(val)] + [f"2007_{name}" for name in tests[1::2]],
    }
    for split, names in lists.items():
        save_list(root / VOC / f"VOC2012/ImageSets/Segmentation/{split}.txt", names)
    save_list(root / VOC / "VOC2007/ImageSets/Segmentation/test.txt", tests)
    pictures = [("VOC2012", name, name) for names in lists.values() for name in names]
    pictures += [("VOC2007", name, f"2007_{name}") for name in tests]
    for year, name, shows in pictures:
        # The JPEGs of one picture differ in their bytes between the two years.
        save(root / VOC / year / f"JPEGImages/{name}.jpg", photo(shows, size), quality=90 if year == "VOC2012" else 80)
        label = Image.fromarray(blocks(shows, [*range(21), 255], size))
        label.putpalette(voc_palette())
        save(root / VOC / year / f"SegmentationClass/{name}.png", label)
    for number in range(unlabelled):
        name = f"2012_{number:06d}"
        save(root / VOC / f"VOC2012/JPEGImages/{name}.jpg", photo(name, size))


def write_cityscapes(root, extra=4, train=10, val=4, test=3, lists=True, size=SIZE):
    """Writes frames in the four folders; the list of the pool names all of them, as that of the authors does."""
    cities = {
        "train_extra": (["augsburg", "troisdorf"], extra),
        "train": (["aachen", "zurich"], train),
        "val": (["frankfurt"], val),
        "test": (["berlin", "munich"], test),
    }
    frames = {
        split: [f"{city[n % len(city)]}/{city[n % len(city)]}_{n:06d}_000019" for n in range(count)]
        for split, (city, count) in cities.items()
    }
    for split, names in frames.items():
        folder = root / (CITY_EXTRA if split == "train_extra" else f"{CITY}/{split}")
        for name in names:
            save(folder / f"{name}_leftImg8bit.png", photo(name, size))
            if split in ("train", "val"):
                ids = blocks(name, [*range(34), 255], size)
                save(root / CITY_LABELS / split / f"{name}_gtFine_labelIds.png", ids)
                save(root / CITY_LABELS / split / f"{name}_gtFine_color.png", photo(name, size))
                save(root / CITY_LABELS / split / f"{name}_gtFine_instanceIds.png", ids.astype(np.uint16) * 1000)
                (root / CITY_LABELS / split / f"{name}_gtFine_polygons.json").write_text(json.dumps({"objects": []}))
    if lists:
        save_list(root / CITY_EXTRA / "data_list.txt", [name for names in frames.values() for name in names])
        save_list(root / CITY / "train/train.txt", random.Random(0).sample(frames["train"], train))
        save_list(root / CITY / "val/val.txt", frames["val"])


def write_nassar(root, train=15, val=10, test=4, tiles=6, lists=True, size=SIZE):
    """Writes labelled tiles of five fields; the training list goes from sub5 down."""
    names = {
        "train": sorted((f"sub{5 - n % 3}_{n:03d}" for n in range(train)), reverse=True),
        "val": [f"sub1_{n:03d}" for n in range(val)],
        "test": [f"sub2_{n:03d}" for n in range(test)],
    }
    for split, members in names.items():
        for name in members:
            save(root / LABELLED / f"data/{name}.png", photo(name, size))
            save(root / LABELLED / f"mask/{name}.png", blocks(name, [0, 1, 2], size))
        if lists:
            save_list(root / LABELLED / f"data_list/{split}.txt", members)
    for number in range(tiles):
        save(root / TILES / f"nassar_{number:05d}.png", photo(f"tile {number}", size))
    if lists:
        save_list(root / TILES / "datalist.txt", [f"nassar_{number}.png" for number in range(tiles)])


def write_sugar_beets(root, weeds=10, plain=4, lists=True, size=SIZE):
    """Writes frames with weeds in two folders, and frames without weeds in a third."""
    weedy = [0, 1, 97, 2, 10000, 10001, 20000, 20105]
    frames = [("CKA_weeds" if n % 3 == 0 else "CKA_160523", n, weedy) for n in range(weeds)]
    frames += [("CKA_160506", n, [0, 1, 97, 2, 10000]) for n in range(plain)]
    entries = []
    for folder, number, ids in frames:
        name = f"bonirob_2016-05-23-10-37-10_1_frame{number}.png"
        save(root / BEETS / folder / "images/rgb" / name, photo(f"{folder} {number}", size))
        label = f"{folder}/annotations/dlp/iMapCleaned/{name}"
        save(root / BEETS / label, blocks(f"{folder} {number}", ids, size, np.uint16))
        entries.append(f"/{label}")
    if lists:
        save_list(root / BEETS / "sugarbeets.txt", entries)
        save_list(root / BEETS / "sugarbeets_weeds.txt", random.Random(0).sample(entries[:weeds], weeds))


def write_folder(root, count=10, values=(0, 1, 2), size=SIZE):
    """Writes a folder of images and a folder of labels, for `Folder`."""
    for number in range(count):
        save(root / f"images/{number:03d}.jpg", photo(f"image {number}", size))
        save(root / f"labels/{number:03d}.png", blocks(f"image {number}", list(values), size))


def write_noise(root, splits, suffix=".png", size=(200, 220)):
    """Writes random images and masks of three classes for `Folder`, and a list for every split."""
    chance = np.random.default_rng(0)
    for split, names in splits.items():
        for name in names:
            (root / "images").mkdir(parents=True, exist_ok=True)
            (root / "masks").mkdir(exist_ok=True)
            Image.fromarray(chance.integers(0, 255, (*size, 3), dtype=np.uint8)).save(root / f"images/{name}{suffix}")
            Image.fromarray(chance.integers(0, 3, size, dtype=np.uint8)).save(root / f"masks/{name}.png")
        (root / f"{split}.txt").write_text("\r\n".join(names))


def write_imagenet(path, encoder):
    """Writes random weights in place of an encoder's ImageNet weights, with the names in timm's files."""
    import timm
    import torch

    torch.manual_seed(71)  # not the seed of a run, which would draw the same weights
    torch.save(timm.create_model(encoder, features_only=True).state_dict(), path)


def write_all(root, size=(192, 256)):
    """Writes the four datasets for ten stages, Nassar for twenty and for 5 % of its labels, and ImageNet weights."""
    write_pascal_voc(root, unlabelled=12, size=size)
    write_cityscapes(root, size=size)
    write_nassar(root, train=20, tiles=40, size=size)
    write_sugar_beets(root, plain=12, size=size)
    write_imagenet(root / "imagenet.pth", "mobilenetv3_small_100")
    (root / "READY").touch()


if __name__ == "__main__":
    write_all(Path(sys.argv[1]))
