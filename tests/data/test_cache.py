import json
import multiprocessing
import os
import shutil
import time

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from words import pretrain_words, segment_words

from smir.data.reading.cache import open_cache
from smir.data.reading.decode import read_image, read_label
from smir.data.reading.tiff_colors import NO_DATA
from smir.errors import ConfigError
from smir.files.disk_room import Room
from smir.method.preprocessing import Preprocessing

VIEW = 64  # so images are kept at 128 pixels at most


@pytest.fixture
def source(tmp_path):
    """Images of several sizes, one of them small, and a label; all below `data`."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "data"
    folder.mkdir()
    for name, size in {"large.png": (300, 451), "odd.png": (683, 512), "small.png": (128, 200)}.items():
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(folder / name)
    Image.fromarray(rng.integers(0, 7, (300, 451), dtype=np.uint16) * 3000).save(folder / "label.png")
    return folder


def cache_of(source, gigabytes=1.0, view=VIEW):
    cache = open_cache(source, Preprocessing(view_size=view), source.parent / "cache", gigabytes)
    cache.room.hold()
    return cache


def kept(cache):
    return sorted(path for path in cache.room.folder.rglob("*") if path.is_file() and path.name != "held")


def never(path):
    raise AssertionError(f"{path} was decoded again")


def test_small_images_are_kept_unchanged_and_large_ones_at_twice_the_view_size(source):
    cache = cache_of(source)
    small, large = source / "small.png", source / "large.png"
    np.testing.assert_array_equal(cache.image(small, read_image).pixels, read_image(small))
    expected = cv2.resize(read_image(large), (192, 128), interpolation=cv2.INTER_AREA)  # view 64 x 96
    for decode in (read_image, never):
        pixels, size = cache.image(large, decode)
        np.testing.assert_array_equal(pixels, expected)
        assert size == (300, 451)


def test_labels_are_resized_by_nearest_pixel_and_keep_16_bit_values(source):
    path = source / "label.png"
    for decode in (read_label, never):
        pixels, size = cache_of(source).label(path, decode)
        rows, cols = ((np.arange(new) + 0.5) * old / new for new, old in ((128, 300), (192, 451)))
        np.testing.assert_array_equal(pixels, read_label(path)[np.ix_(rows.astype(int), cols.astype(int))])
        assert size == (300, 451)
        assert pixels.max() == 18000


@pytest.mark.parametrize("height", [129, 200, 333, 1001])
def test_a_cached_image_has_the_same_view_size_as_its_source(height, source):
    cache, preprocessing = cache_of(source), Preprocessing(view_size=VIEW)
    for width in range(height, 3 * height, 7):
        pixels, _ = cache._made(np.zeros((height, width, 3), np.uint8), cv2.INTER_AREA)
        assert preprocessing.view_shape(*pixels.shape[:2]) == preprocessing.view_shape(height, width)


@pytest.mark.parametrize("same_size", [False, True])
def test_a_source_that_has_changed_is_read_again(source, same_size):
    cache, path = cache_of(source), source / "large.bmp"
    Image.fromarray(np.zeros((300, 451, 3), np.uint8)).save(path)
    assert cache.image(path, read_image).pixels.max() == 0
    Image.fromarray(np.full((300, 451 if same_size else 452, 3), 9, np.uint8)).save(path)
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 10**7))  # clocks of files move in steps of up to 10 ms
    for decode in (read_image, never):
        assert cache.image(path, decode).pixels.min() == 9
    assert len(kept(cache)) == 1


DAMAGE = {
    "empty": lambda content: b"",
    "cut": lambda content: content[:-100],
    "cut to the header": lambda content: content[:80],
    "cut within the header": lambda content: content[:24],
    "zeroed block": lambda content: content[:4096] + bytes(4096) + content[8192:],
    "all zero": lambda content: bytes(len(content)),
    "one bit": lambda content: content[:9000] + bytes([content[9000] ^ 4]) + content[9001:],
    "swapped words": lambda content: content[:8000] + content[8008:8016] + content[8000:8008] + content[8016:],
    "swapped blocks": lambda content: content[:4096] + content[8192:12288] + content[4096:8192] + content[12288:],
    "longer": lambda content: content + b"12345678",
    "text": lambda content: b"no space left on device\n" * 50,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_cache_file_is_made_again(source, damage):
    cache, path = cache_of(source), source / "large.png"
    expected = cache.image(path, read_image).pixels
    (file,) = kept(cache)
    content = file.read_bytes()
    file.write_bytes(DAMAGE[damage](content))
    np.testing.assert_array_equal(cache.image(path, read_image).pixels, expected)
    assert file.read_bytes() == content


def test_images_that_do_not_fit_into_the_cache_give_the_same_pixels(source, recwarn):
    roomy, tight = cache_of(source), cache_of(source, gigabytes=1e-9, view=VIEW)
    expected = roomy.image(source / "large.png", read_image).pixels
    tight.room.folder = source.parent / "cache" / "0123456789ab-64"
    for _ in range(2):
        np.testing.assert_array_equal(tight.image(source / "large.png", read_image).pixels, expected)
    assert [str(w.message) for w in recwarn if "takes no more images" in str(w.message)] != []
    assert len(kept(tight)) == 0


def test_the_limit_covers_all_caches_and_the_oldest_unused_one_is_deleted(source):
    def write(cache):
        for name in ("large.png", "small.png", "odd.png"):
            cache.image(source / name, read_image)

    held, old, older = (cache_of(source, view=view) for view in (64, 65, 66))
    for cache in (held, old, older):
        write(cache)
    for seconds, cache in enumerate((old, older), start=1):
        cache.room.lock.release()
        os.utime(cache.room.folder / "held", (time.time() - 100 * seconds,) * 2)
    one = sum(path.stat().st_size for path in kept(held))
    new = cache_of(source, gigabytes=3.4 * one / 1e9, view=63)
    write(new)
    assert not older.room.folder.exists()
    assert len(kept(held)) == len(kept(old)) == len(kept(new)) == 3
    newest = cache_of(source, gigabytes=2.4 * one / 1e9, view=62)
    with pytest.warns(UserWarning, match="takes no more images"):
        write(newest)
    assert not old.room.folder.exists()
    assert sum(path.stat().st_size for cache in (held, new, newest) for path in kept(cache)) <= 2.4 * one


def test_only_caches_are_counted_or_deleted(source, tmp_path):
    """Beside the caches are foreign folders that also have a file `held`, and links to such folders."""
    one = sum(path.stat().st_size for path in filled(cache_of(source, view=65)))
    root, theirs = source.parent / "cache", tmp_path / "theirs"
    elsewhere = shutil.copytree(next(root.glob("*-65")), theirs / "0123456789ab-65")
    shutil.copytree(elsewhere, root / "photos")
    (root / "0123456789ab-1").symlink_to(elsewhere)
    (mixed := root / "0123456789ab-2" / "ab").mkdir(parents=True)
    (mixed / "paper.pdf").write_text("mine")
    (mixed / ".paper.pdf.1.tmp").symlink_to(elsewhere / "held")
    (mixed.parent / "cd").symlink_to(next(elsewhere.glob("??")))
    (mixed.parent / "held").touch()
    for path in theirs.rglob("*"):
        os.utime(path, (0, 0))
    before = sorted(theirs.rglob("*"))
    filled(cache_of(source, gigabytes=1.2 * one / 1e9, view=63))
    assert not list(root.glob("*-65"))  # it was deleted to make room
    assert sorted(theirs.rglob("*")) == before
    assert (root / "photos/held").exists()
    assert (mixed / "paper.pdf").exists()
    (root / "0123456789ab-3").symlink_to(elsewhere)
    with pytest.raises(ConfigError, match="it is a link"):
        Room(root, "0123456789ab-3", 1).hold()


def filled(cache):
    for name in ("large.png", "small.png", "odd.png"):
        cache.image(cache.room.root.parent / "data" / name, read_image)
    cache.room.lock.release()
    return kept(cache)


def test_temporary_files_of_a_killed_process_are_removed(source):
    cache = cache_of(source)
    cache.image(source / "large.png", read_image)
    leftover, fresh = (kept(cache)[0].with_name(f".{name}.1.tmp") for name in ("dead", "alive"))
    for path in (leftover, fresh):
        path.write_bytes(b"half")
    os.utime(leftover, (0, 0))
    cache_of(source)
    assert not leftover.exists()
    assert fresh.exists()


def write_again_and_again(folder):
    cache = cache_of(folder)
    while True:
        for path in folder.glob("*.png"):
            cache.image(path, read_image)
            for file in cache.room.folder.glob("??/[!.]*"):
                file.unlink(missing_ok=True)


def test_processes_that_write_at_once_and_are_killed_leave_no_wrong_pixels(source):
    (source / "label.png").unlink()
    cache, reads = cache_of(source), 0
    expected = {path: cache._made(read_image(path), cv2.INTER_AREA).pixels for path in source.glob("*.png")}
    for _ in range(4):
        fork = multiprocessing.get_context("fork")
        writers = [fork.Process(target=write_again_and_again, args=(source,)) for _ in range(2)]
        for writer in writers:
            writer.start()
        end, least = time.monotonic() + 0.3, reads + 3  # of a busy machine, 0.3 s may be none
        while time.monotonic() < end or reads < least:
            for path, pixels in expected.items():
                np.testing.assert_array_equal(cache.image(path, read_image).pixels, pixels)
                reads += 1
        for writer in writers:
            writer.kill()
            writer.join()
    for path, pixels in expected.items():
        np.testing.assert_array_equal(cache.image(path, read_image).pixels, pixels)
    assert reads > 10


# Through the command line


def final_weights(run):
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def differing(one, other):
    return [name for name in one if not torch.equal(one[name], other[name])]


def test_a_run_is_the_same_with_a_cold_a_warm_or_a_full_cache(smir, field, tmp_path):
    small = ["--data.crop_size=64", "--data.label_budget=4", "--trainer.max_epochs=2", "--run.test=false"]
    for name, more in {
        "cold": ["--data.cache=true", "--data.cache_folder=cache"],
        "warm": ["--data.cache=true", "--data.cache_folder=cache"],
        "full": ["--data.cache=true", "--data.cache_folder=full", "--data.cache_gb=1e-6"],
        "none": [],
    }.items():
        smir(*segment_words(field, *small, f"--run.experiment={name}", *more))
    weights = {name: final_weights(tmp_path / "runs" / name / "seed0") for name in ("cold", "warm", "full", "none")}
    assert differing(weights["cold"], weights["warm"]) == []
    assert differing(weights["cold"], weights["full"]) == []
    assert differing(weights["cold"], weights["none"])  # tiles of 256 pixels are kept at 128
    records = [json.loads((tmp_path / "runs" / name / "seed0/run.json").read_text()) for name in weights]
    assert len({record["recipe_hash"] for record in records[:3]}) == 1
    assert records[3]["recipe_hash"] != records[0]["recipe_hash"]


def test_testing_reads_the_files_and_not_the_cache(smir, field, tmp_path):
    small = ["--data.crop_size=64", "--data.label_budget=4", "--trainer.max_epochs=2"]
    smir(*segment_words(field, *small, "--run.experiment=cached", "--data.cache=true", "--data.cache_folder=cache"))
    run = tmp_path / "runs/cached/seed0"
    words = ["test", *segment_words(field, *small)[1:], f"--ckpt_path={run / 'checkpoints/best.ckpt'}"]
    smir(*words)
    through, without = (json.loads(path.read_text()) for path in run.glob("test*/metrics.json"))
    assert through.keys() == without.keys()
    assert {name for name in through if through[name] != without[name]} == {"checkpoint", "settings", "hash"}


def test_a_selective_pretraining_scores_through_the_cache(smir, field, tmp_path):
    words = ["--trainer.max_epochs=4", "--trainer.callbacks=SelectiveMasking", "--trainer.callbacks.num_stages=2"]
    cache = ["--data.cache=true", "--data.cache_folder=cache"]
    smir(*pretrain_words(field, "--run.experiment=pool", *words, *cache))
    assert len(list((tmp_path / "cache").glob("*/??/*"))) >= 11  # of 12; an epoch leaves one of the first stage out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data.cache_folder={root}/nassar/cache"], "lies in the dataset folder"),
        (["--data.cache_gb=0"], "data.cache_gb must be positive"),
        (["--data.cache_folder=/proc/cache"], "Set data.cache_folder to a folder that can be written to"),
    ],
)
def test_invalid_cache_settings_are_refused(fails, field, words, message):
    words = [word.format(root=field) for word in words]
    assert message in fails(*segment_words(field, "--data.cache=true", *words))


def test_a_label_keeps_pixels_without_a_class(source):
    stored = np.full((40, 60), NO_DATA, dtype=np.int32)
    stored[:20] = 2
    for _ in range(2):  # made, then read
        found = cache_of(source).label(source / "label.png", lambda _: stored).pixels
        assert np.array_equal(found, stored)
