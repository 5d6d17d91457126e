"""`prepare`: from the archives of the datasets' sites, intact or malicious, to lists that a datamodule reads."""

import contextlib
import dataclasses
import errno
import gzip
import hashlib
import io
import os
import random
import shutil
import stat
import subprocess
import sys
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fakes
import pytest
import pyvips
from PIL import Image

from smir.data import Cityscapes, Nassar, PascalVOC, SugarBeets
from smir.errors import DataError
from smir.prepare.alone import alone
from smir.prepare.published import sources, unpack
from smir.prepare.published.download import Download, fetch
from smir.prepare.published.sources import CITYSCAPES, NASSAR, PASCAL_VOC, SUGAR_BEETS
from smir.prepare.published.unpack import unpack_all

SIZE = (16, 24)
VOC_TRAIN = f"{fakes.VOC}/VOC2012/ImageSets/Segmentation/train.txt"


def files(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def pack(path, folder, *members, prefix=""):
    """Packs files and folders below `folder` as zip or tar, depending on the suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("license.txt", "Terms")
            for member in members:
                for file in sorted((folder / member).rglob("*")):
                    archive.write(file, prefix + str(file.relative_to(folder)))
    else:
        with tarfile.open(path, f"w:{path.suffix[1:]}" if path.suffix != ".tar" else "w") as archive:
            for member in members:
                archive.add(folder / member, prefix + member)
    return path


def voc_archives(tmp_path):
    fakes.write_pascal_voc(tmp_path / "made", size=SIZE)
    devkit = tmp_path / "made/pascal/VOCtrainvaltest"
    pack(tmp_path / "archives/one.tar", devkit, "VOCdevkit/VOC2012")
    pack(tmp_path / "archives/two.tar", devkit, "VOCdevkit/VOC2007")
    return tmp_path / "archives"


@pytest.fixture
def archives(tmp_path):
    """The two archives of Pascal VOC, under other names."""
    return voc_archives(tmp_path)


@pytest.fixture
def root(tmp_path):
    return tmp_path / "data"


def same_files(root, made, but=()):
    """Checks that only the files of the layout were unpacked, completely; returns the other files."""
    found, expected = files(root), files(made)
    for name in [name for name in expected if Path(name).name in ("Thumbs.db", "readme.txt", *but)]:
        del expected[name]
    ours = [name for name in found if name.endswith("archives.json") or name not in expected]
    assert {name: found[name] for name in expected} == expected
    return ours


# From archives to lists


def test_pascal_voc_is_prepared_from_its_archives(tmp_path, smir, archives, root, capsys):
    (archives / "holiday.zip").write_bytes((pack(tmp_path / "x.zip", tmp_path / "made", "nothing")).read_bytes())
    (archives / "letter.txt").write_text("not an archive")
    smir("prepare", "pascal_voc", "--root", root, "--archives", archives)
    said = capsys.readouterr().out
    assert "one.tar: VOC 2012 train and val; 27 files, 4 others are not needed" in said
    assert "two.tar: VOC 2007 test; 9 files, 4 others" in said
    assert "holiday.zip: left alone, not recognised as a part of Pascal VOC" in said
    assert same_files(root, tmp_path / "made") == ["pascal/archives.json"]
    data = PascalVOC(root)
    assert (len(data.pool()), *(len(data.pairs(split)) for split in ("train", "val", "test"))) == (14, 6, 5, 4)


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".gz", ".bz2", ".xz"])
def test_cityscapes_is_prepared_from_archives_of_any_kind(tmp_path, smir, root, suffix):
    made = tmp_path / "made"
    fakes.write_cityscapes(made, lists=False, size=SIZE)
    for number, part in enumerate(("leftImg8bit_trainextra", "leftImg8bit_trainvaltest", "gtFine_trainvaltest")):
        folder = made / "cityscapes" / part
        pack(tmp_path / f"archives/{number}{suffix}", folder, *(path.name for path in folder.iterdir()))
    smir("prepare", "cityscapes", "--root", root, "--archives", tmp_path / "archives")
    labels = [path.name for path in made.rglob("*_gtFine_*") if "labelIds" not in path.name]
    lists = [f"{Path(path)}" for path in Cityscapes.list_files.values()]
    assert sorted(same_files(root, made, labels)) == sorted(
        ["cityscapes/archives.json", "cityscapes/lists.json", *lists]
    )
    data = Cityscapes(root)
    assert (len(data.pool()), *(len(data.pairs(split)) for split in ("train", "val", "test"))) == (21, 8, 2, 4)


@pytest.mark.parametrize("prefix", ["", "ijrr_sugarbeets_2016_annotations/", "some/where/"])
def test_sugar_beets_is_prepared_from_one_archive_per_day(tmp_path, smir, root, prefix):
    made = tmp_path / "made"
    fakes.write_sugar_beets(made, lists=False, size=SIZE)
    for day in (made / fakes.BEETS).iterdir():
        pack(tmp_path / f"archives/{day.name}.gz", day.parent, day.name, prefix=prefix)
    smir("prepare", "sugar_beets", "--root", root, "--archives", tmp_path / "archives")
    assert sorted(same_files(root, made)) == sorted(
        ["sugarbeets/archives.json", "sugarbeets/lists.json", *SugarBeets.list_files.values()]
    )
    before = files(root)
    data = SugarBeets(root)
    assert (len(data.pool()), *(len(data.pairs(split)) for split in ("train", "val", "test"))) == (14, 7, 1, 2)
    assert files(root) == before


def test_lists_are_made_again_for_new_archives_unless_the_user_changed_them(tmp_path, smir, root):
    made = tmp_path / "made"
    fakes.write_sugar_beets(made, lists=False, size=SIZE)
    for day in sorted((made / fakes.BEETS).iterdir()):
        archive = pack(tmp_path / f"{day.name}.gz", day.parent, day.name)
        if day.name == "CKA_160506":  # has no weeds
            shutil.move(archive, tmp_path / "last.gz")
            continue
        smir("prepare", "sugar_beets", "--root", root, "--archives", archive)
    pool, weeds = (root / SugarBeets.list_files[name] for name in ("pool", "labelled"))
    assert len(pool.read_text().splitlines()) == 10
    weeds.write_text("".join(weeds.read_text().splitlines(keepends=True)[:7]))
    smir("prepare", "sugar_beets", "--root", root, "--archives", tmp_path / "last.gz")
    assert len(pool.read_text().splitlines()) == 14
    assert len(weeds.read_text().splitlines()) == 7


def test_lists_are_made_again_for_frames_that_were_unpacked_by_hand_unless_the_user_changed_them(tmp_path, smir, root):
    made, days = tmp_path / "made", ("CKA_160523", "CKA_160506", "CKA_weeds")
    fakes.write_sugar_beets(made, lists=False, size=SIZE)
    pool, weeds = (root / SugarBeets.list_files[name] for name in ("pool", "labelled"))
    found = []
    for day in days:
        shutil.copytree(made / fakes.BEETS / day, root / fakes.BEETS / day)
        smir("prepare", "sugar_beets", "--root", root)
        found.append(tuple(len(path.read_text().splitlines()) for path in (pool, weeds)))
        if day == "CKA_160506":
            pool.write_text("".join(pool.read_text().splitlines(keepends=True)[:7]))
    assert found == [(6, 6), (10, 6), (7, 6)]


def test_nassar_is_prepared_from_its_orthomosaic(tmp_path, smir, root, capsys):
    made = tmp_path / "made"
    fakes.write_nassar(made, lists=False, size=SIZE)
    (made / "ortho/data").mkdir(parents=True)
    pyvips.Image.black(100, 70, bands=3).copy(interpretation="srgb").write_to_file(
        str(made / "ortho/data/RGB_reference_png.png")
    )
    pack(tmp_path / "archives/a.zip", made, "ortho")
    pack(tmp_path / "archives/b.zip", made / "nassar", "tiled_dataset")
    smir("prepare", "nassar", "--root", root, "--archives", tmp_path / "archives", "--tile", 32)
    assert "12 tiles" in capsys.readouterr().out
    data = Nassar(root)
    assert (len(data.pool()), *(len(data.pairs(split)) for split in ("train", "val", "test"))) == (12, 3, 2, 4)
    before = files(root)
    smir("prepare", "nassar", "--root", root, "--tile", 32)
    assert files(root) == before


@pytest.mark.parametrize("words", [["nassar", "--root={field}"], ["folder", "--images={field}/nassar/ortho_tiles"]])
def test_preparing_needs_neither_torch_nor_rasterio(field, tmp_path, words):
    """torch takes seconds and memory, rasterio is an extra, and `folder` is the first command that most users try."""
    words = ["prepare", *(word.format(field=field) for word in words)]
    code = "import sys; from smir.__main__ import main; sys.modules['rasterio'] = sys.modules['affine'] = None\n"
    code += f"main({words})\n"
    code += "assert not {'torch', 'lightning', 'scipy', 'timm', 'smir.data.base'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


def test_nassar_is_prepared_from_ready_made_tiles_and_the_lists_of_the_authors(tmp_path, smir, root):
    made = tmp_path / "made"
    fakes.write_nassar(made, size=SIZE)
    archive = pack(tmp_path / "all.xz", made, "nassar")
    smir("prepare", "nassar", "--root", root, "--archives", archive)
    assert same_files(root, made) == ["nassar/archives.json"]


def test_ready_made_tiles_of_nassar_beside_the_orthomosaic_are_kept(tmp_path, smir, capsys):
    fakes.write_nassar(tmp_path, size=SIZE)
    fakes.save(tmp_path / "nassar/orthomosaic/data/RGB_reference_png.png", fakes.photo("field", (300, 300)))
    before = files(tmp_path)
    smir("prepare", "nassar", "--root", tmp_path)
    assert "keeping tiles that were made elsewhere" in capsys.readouterr().out
    assert files(tmp_path) == before


def test_an_archive_of_a_whole_dataset_in_another_folder_is_unpacked(tmp_path, root):
    fakes.write_pascal_voc(tmp_path / "made", size=SIZE)
    archive = pack(tmp_path / "all.zip", tmp_path / "made/pascal/VOCtrainvaltest", "VOCdevkit", prefix="backup\\2020\\")
    unpack_all(PASCAL_VOC, root, archive)
    same_files(root, tmp_path / "made")


def test_archives_that_only_look_similar_are_not_used(tmp_path, archives, root):
    """VOC 2007 train and val, whose JPEGs are not test images, VOC 2012 test, coarse labels, and other frames."""
    made = tmp_path / "other"
    for name in (
        "VOCdevkit/VOC2007/ImageSets/Segmentation/train.txt",
        "VOCdevkit/VOC2007/JPEGImages/000001.jpg",
        "VOCdevkit/VOC2012/ImageSets/Segmentation/test.txt",
        "VOCdevkit/VOC2012/JPEGImages/2010_000001.jpg",
        "__MACOSX/VOCdevkit/VOC2012/ImageSets/Segmentation/train.txt",
        "gtCoarse/train/aachen/aachen_000000_000019_gtCoarse_labelIds.png",
        "rightImg8bit/train/aachen/aachen_000000_000019_rightImg8bit.png",
    ):
        fakes.save_list(made / name, ["x"])
    path = pack(tmp_path / "other.tar", made, *(path.name for path in made.iterdir()))
    for source in (PASCAL_VOC, CITYSCAPES, NASSAR, SUGAR_BEETS):
        with pytest.raises(DataError, match=r"(?s)No archive of .*Found 1 archives.*other\.tar: not recognised"):
            unpack_all(source, root, path)
    assert not root.exists()
    shutil.copy(path, archives)
    unpack_all(PASCAL_VOC, root, archives)
    assert same_files(root, tmp_path / "made") == ["pascal/archives.json"]


# Repeated and interrupted runs


def test_a_second_run_reads_no_archive(smir, archives, root, monkeypatch, capsys):
    smir("prepare", "pascal_voc", "--root", root, "--archives", archives)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    capsys.readouterr()
    monkeypatch.setattr(unpack, "examine", lambda *_: pytest.fail("read again"))
    smir("prepare", "pascal_voc", "--root", root, "--archives", archives)
    assert "one.tar: VOC 2012 train and val; unpacked before" in capsys.readouterr().out
    smir("prepare", "pascal_voc", "--root", root)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*") if path != root / "pascal"} == {
        path: time for path, time in before.items() if path != root / "pascal"
    }


@pytest.mark.parametrize("record", ["", "[]", "{}", '{"one.tar": 1}', '{"one.tar": {"unfinished": true}}'])
def test_a_damaged_record_does_not_stop_unpacking(tmp_path, archives, root, record):
    unpack_all(PASCAL_VOC, root, archives)
    (root / "pascal/archives.json").write_text(record)
    PASCAL_VOC.missing(root)
    unpack_all(PASCAL_VOC, root, archives)
    assert same_files(root, tmp_path / "made") == ["pascal/archives.json"]
    PASCAL_VOC.require_all(root)


def test_deleted_files_are_unpacked_again(tmp_path, archives, root):
    unpack_all(PASCAL_VOC, root, archives)
    shutil.rmtree(root / fakes.VOC / "VOC2012")
    unpack_all(PASCAL_VOC, root, archives)
    same_files(root, tmp_path / "made")


@pytest.mark.parametrize("step", ["_move", "_stage"])
def test_an_interrupted_run_is_continued(tmp_path, fails, archives, root, monkeypatch, step):
    do, calls = getattr(unpack, step), []

    def failing(*arguments):
        calls.append(arguments)
        if len(calls) == (20 if step == "_move" else 2):
            raise KeyboardInterrupt
        do(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(unpack, step, failing)
        with pytest.raises(KeyboardInterrupt):
            unpack_all(PASCAL_VOC, root, archives)
    assert not (root / "pascal" / unpack.STAGING).exists()
    if step == "_move":  # the list file is in place, but most images are not
        assert "unpacking one.tar was interrupted: give it again" in fails("prepare", "pascal_voc", "--root", root)
    else:
        assert "VOC 2007 test" in fails("prepare", "pascal_voc", "--root", root)
    unpack_all(PASCAL_VOC, root, archives)
    assert same_files(root, tmp_path / "made") == ["pascal/archives.json"]
    PASCAL_VOC.require_all(root)


def test_a_killed_run_is_continued(tmp_path, archives, root):
    kill = (
        "import os, sys; from pathlib import Path; from smir.prepare.published import unpack, sources\n"
        "unpack._move = lambda *_: os.kill(os.getpid(), 9)\n"
        "unpack.unpack_all(sources.PASCAL_VOC, Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    assert subprocess.run([sys.executable, "-c", kill, root, archives], check=False).returncode == -9
    assert (root / "pascal" / unpack.STAGING).is_dir()
    unpack_all(PASCAL_VOC, root, archives)
    assert same_files(root, tmp_path / "made") == ["pascal/archives.json"]


def test_only_one_process_unpacks(archives, root):
    with alone(root / "pascal"), pytest.raises(DataError, match=r"Another `prepare` is working in .*pascal"):
        unpack_all(PASCAL_VOC, root, archives)


def test_an_existing_file_that_differs_from_the_archive_is_an_error(tmp_path, archives, root):
    shutil.copytree(tmp_path / "made", root)
    unpack_all(PASCAL_VOC, root, archives)
    (root / "pascal/archives.json").unlink()
    image = next((root / fakes.VOC / "VOC2012/JPEGImages").glob("*.jpg"))
    image.write_bytes(image.read_bytes()[:-1] + b"x")
    (root / VOC_TRAIN).unlink()
    before = files(root)
    with pytest.raises(DataError, match=rf"{image.name} is there already and differs from the file in .*one\.tar"):
        unpack_all(PASCAL_VOC, root, archives)
    assert files(root) == before


def test_archives_are_unpacked_into_folders_on_other_disks(tmp_path, archives, root, monkeypatch):
    """Folders of the layout may be links to other disks, and a rename across disks fails."""
    other = tmp_path / "other disk"
    other.mkdir()
    (root / fakes.VOC).mkdir(parents=True)
    (root / fakes.VOC / "VOC2012").symlink_to(other)
    replace = Path.replace

    def failing(self, target):
        if unpack.STAGING in self.parts:
            raise OSError(18, "Invalid cross-device link")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", failing)
    unpack_all(PASCAL_VOC, root, archives)
    same_files(other, tmp_path / "made" / fakes.VOC / "VOC2012")
    same_files(root / fakes.VOC / "VOC2007", tmp_path / "made" / fakes.VOC / "VOC2007")
    assert not list(tmp_path.rglob("*.tmp"))


# Malicious and damaged archives


def entry(name, kind=tarfile.REGTYPE, content=b"", **fields):
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, io.BytesIO(content)


INSIDE = "VOCdevkit/VOC2012/JPEGImages"
EVIL = {
    "dots": [entry(f"{INSIDE}/../../../../../escaped.jpg", content=b"x")],
    "dots first": [entry("../../VOC2012/JPEGImages/escaped.jpg", content=b"x")],
    "backslashes": [entry("..\\..\\VOC2012\\JPEGImages\\escaped.jpg", content=b"x")],
    "absolute": [entry("{outside}/VOC2012/JPEGImages/escaped.jpg", content=b"x")],
    "drive": [entry("C:\\VOC2012\\JPEGImages\\escaped.jpg", content=b"x")],
    "symlink": [entry(f"{INSIDE}/link.jpg", tarfile.SYMTYPE, linkname="{outside}/secret")],
    "symlinked folder": [
        entry(f"{INSIDE}/sub", tarfile.SYMTYPE, linkname="{outside}"),
        entry(f"{INSIDE}/sub/escaped.jpg", content=b"x"),
    ],
    "folder becomes a link": [
        entry("VOCdevkit/VOC2012/SegmentationClass", tarfile.SYMTYPE, linkname="{outside}"),
        entry("VOCdevkit/VOC2012/SegmentationClass/escaped.png", content=b"x"),
    ],
    "hardlink": [entry(f"{INSIDE}/link.jpg", tarfile.LNKTYPE, linkname="../../../../outside/secret")],
    "device": [entry(f"{INSIDE}/null.jpg", tarfile.CHRTYPE, devmajor=1, devminor=3)],
    "pipe": [entry(f"{INSIDE}/pipe.jpg", tarfile.FIFOTYPE)],
    "not even needed": [entry("readme", tarfile.SYMTYPE, linkname="/etc/passwd")],
}


@pytest.mark.parametrize("name", EVIL)
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_malicious_tars_are_refused_completely(tmp_path, root, name, first, form):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    good = [entry("VOCdevkit/VOC2012/ImageSets/Segmentation/train.txt", content=b"2007_000032\n")]
    path = tmp_path / "evil.tar.gz"
    with tarfile.open(path, "w:gz", format=form) as archive:
        for info, content in EVIL[name] + good if first else good + EVIL[name]:
            copy = tarfile.TarInfo(info.name.replace("{outside}", str(outside)))
            copy.type, copy.size, copy.devmajor, copy.devminor = info.type, info.size, info.devmajor, info.devminor
            copy.linkname = info.linkname.replace("{outside}", str(outside))
            content.seek(0)
            archive.addfile(copy, content)
    before = files(tmp_path)
    with pytest.raises(DataError, match=r"evil\.tar\.gz is refused: its member '"):
        unpack_all(PASCAL_VOC, root, path)
    assert not root.exists()
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        (f"{INSIDE}/../../../../../escaped.jpg", stat.S_IFREG),
        ("/tmp/VOC2012/JPEGImages/escaped.jpg", stat.S_IFREG),
        ("..\\VOC2012\\JPEGImages\\escaped.jpg", stat.S_IFREG),
        (f"{INSIDE}/link.jpg", stat.S_IFLNK),
        (f"{INSIDE}/pipe.jpg", stat.S_IFIFO),
    ],
)
def test_malicious_zips_are_refused_completely(tmp_path, root, name, mode):
    path = tmp_path / "evil.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("VOCdevkit/VOC2012/ImageSets/Segmentation/train.txt", "2007_000032\n")
        info = zipfile.ZipInfo(name)
        info.external_attr = (mode | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(DataError, match=r"evil\.zip is refused: its member '.*fetch it again"):
        unpack_all(PASCAL_VOC, root, path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evil.zip"]


def test_permissions_and_owners_of_an_archive_do_not_matter(tmp_path, root):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        name = "VOCdevkit/VOC2012/ImageSets/Segmentation/train.txt"
        archive.addfile(*entry("VOCdevkit", tarfile.DIRTYPE, mode=0))
        archive.addfile(*entry(name, content=b"x\n", mode=0o6777, uid=12345))
    unpack_all(PASCAL_VOC, root, path)
    assert (root / VOC_TRAIN).stat().st_mode & 0o7111 == 0
    assert (root / VOC_TRAIN).stat().st_uid == os.getuid()


def list_entry():
    return entry("VOCdevkit/VOC2012/ImageSets/Segmentation/train.txt", content=b"x\n")


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_SPARSE, tarfile.GNUTYPE_LONGNAME])
@pytest.mark.parametrize("size", [-512, -1024, -1536, -(1 << 40)])
def test_negative_sizes_in_a_tar_do_not_cause_an_endless_loop(tmp_path, root, kind, size):
    header = bytearray(entry("VOC2012/JPEGImages/a.jpg", kind)[0].tobuf(tarfile.GNU_FORMAT))
    header[124:136] = (size % (1 << 96)).to_bytes(12, "big")
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    path = tmp_path / "circle.tar"
    path.write_bytes(b"".join((list_entry()[0].tobuf(), b"x\n".ljust(512, b"\0"), bytes(header), bytes(10240))))
    with pytest.raises(DataError, match=r"circle\.tar .*is damaged or cut short"):
        unpack_all(PASCAL_VOC, root, path)
    assert not root.exists()


def test_a_header_of_any_length_is_not_read_into_memory(tmp_path, root):
    path = tmp_path / "long.tar.gz"
    long_name, _ = entry("././@LongLink", tarfile.GNUTYPE_LONGNAME, size=1 << 40)
    with gzip.open(path, "wb") as stream:
        stream.write(list_entry()[0].tobuf() + b"x\n".ljust(512, b"\0"))
        stream.write(long_name.tobuf(tarfile.GNU_FORMAT) + bytes(4096))
    with pytest.raises(DataError, match=r"a header claims to be 1,099,511,\d+,\d+ bytes long"):
        unpack_all(PASCAL_VOC, root, path)
    assert not root.exists()


def test_an_archive_too_large_for_the_disk_is_refused(archives, root, monkeypatch):
    monkeypatch.setattr(unpack.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 50_000))
    with pytest.raises(DataError, match=r"one\.tar needs 110,592 bytes unpacked; .*pascal has 50,000 left"):
        unpack_all(PASCAL_VOC, root, archives)
    assert not root.exists()


@pytest.mark.parametrize("kind", [".tar", ".gz", ".bz2", ".xz", ".zip"])
@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_a_truncated_archive_leaves_nothing_behind(tmp_path, root, kind, share):
    fakes.write_pascal_voc(tmp_path / "made", size=SIZE)
    path = pack(tmp_path / f"cut{kind}", tmp_path / "made/pascal/VOCtrainvaltest", "VOCdevkit")
    whole = path.read_bytes()
    size = int(len(whole.rstrip(b"\0")) * share)  # a tar may lose its padding
    path.write_bytes(whole[:size])
    with pytest.raises(DataError, match=r"cut\.\w+( \([\d,]+ bytes\) is damaged or cut short|: cannot be read: )"):
        unpack_all(PASCAL_VOC, root, path)
    assert not root.exists()


def test_an_archive_without_read_permission_is_an_error(archives, root, monkeypatch):
    read = unpack.read_archive

    def refused(path):
        if path.name == "one.tar":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(unpack, "read_archive", refused)
    with pytest.raises(DataError, match=r"could not be unpacked into .*Permission denied: '.*one\.tar'"):
        unpack_all(PASCAL_VOC, root, archives)


def test_a_tar_cut_between_two_members_is_refused(tmp_path, archives, root):
    path = archives / "one.tar"
    with tarfile.open(path) as archive:
        end = archive.getmembers()[-3].offset
    path.write_bytes(path.read_bytes()[:end])
    with pytest.raises(DataError, match="the mark at the end of the archive is missing"):
        unpack_all(PASCAL_VOC, root, path)


@pytest.mark.parametrize("kind", [".gz", ".bz2", ".xz", ".zip"])
def test_damaged_content_leaves_nothing_behind(tmp_path, root, kind):
    fakes.write_pascal_voc(tmp_path / "made", size=SIZE)
    path = pack(tmp_path / f"bad{kind}", tmp_path / "made/pascal/VOCtrainvaltest", "VOCdevkit")
    content = bytearray(path.read_bytes())
    for place in range(len(content) // 2, len(content) // 2 + 64):
        content[place] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"bad\.\w+( \([\d,]+ bytes\) is damaged or cut short|: cannot be read: )"):
        unpack_all(PASCAL_VOC, root, path)
    assert not root.exists()


def test_corrupted_archives_are_refused_or_unpacked_only_into_the_layout(tmp_path, root):
    """Changed bytes cause a DataError or, in a picture of a plain tar, reach the layout; they write nowhere else."""
    fakes.write_pascal_voc(tmp_path / "made", train=1, val=1, test=1, unlabelled=0, size=SIZE)
    chance = random.Random(0)
    for kind in (".tar", ".gz", ".zip"):
        path = pack(tmp_path / f"noise{kind}", tmp_path / "made/pascal/VOCtrainvaltest", "VOCdevkit")
        whole = path.read_bytes()
        for _ in range(20):
            content = bytearray(whole)
            for _ in range(chance.choice((1, 3, 30))):
                content[chance.randrange(len(content))] = chance.randrange(256)
            path.write_bytes(content)
            try:
                unpack_all(PASCAL_VOC, root, path)
            except DataError:
                assert not root.exists()
            else:
                assert all(name.startswith(("pascal/VOC", "pascal/archives.json")) for name in files(root))
                shutil.rmtree(root)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made", "noise.gz", "noise.tar", "noise.zip"]


def test_two_members_for_one_path_are_refused(tmp_path, root):
    path = tmp_path / "twice.tar"
    with tarfile.open(path, "w") as archive:
        for folder in ("a", "b"):
            archive.addfile(*entry(f"{folder}/VOC2012/ImageSets/Segmentation/train.txt", content=b"x\n"))
    with pytest.raises(DataError, match=r"two files for .*train\.txt: 'a/VOC2012.*' and 'b/VOC2012"):
        unpack_all(PASCAL_VOC, root, path)


def test_an_encrypted_zip_is_refused(tmp_path, root):
    path = tmp_path / "secret.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("VOC2012/ImageSets/Segmentation/train.txt", "x\n")
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"train\.txt' is encrypted"):
        unpack_all(PASCAL_VOC, root, path)


# Missing files


@pytest.mark.parametrize("source", [PASCAL_VOC, CITYSCAPES, NASSAR, SUGAR_BEETS], ids=lambda source: source.name)
def test_a_dataset_without_files_is_reported_with_where_to_get_them(fails, root, source):
    said = fails("prepare", source.name, "--root", root)
    assert f"{source.title} is not complete:" in said
    assert f"Get it from {source.site}" in said
    assert f"python -m smir prepare {source.name} --root {root} --archives FOLDER" in said
    assert ("--download" in said) == (source is PASCAL_VOC)
    for part in source.parts:
        assert not part.there or str(root / part.there[0]) in said
    assert not root.exists()


def test_missing_archives_are_named(fails, archives, root):
    said = fails("prepare", "pascal_voc", "--root", root, "--archives", archives / "one.tar")
    assert "VOC 2007 test: " in said
    assert "VOC 2012" not in said
    assert (root / VOC_TRAIN).is_file()


def test_cityscapes_without_the_pool_can_be_segmented(tmp_path, fails, root):
    made = tmp_path / "made"
    fakes.write_cityscapes(made, lists=False, size=SIZE)
    for part in ("leftImg8bit_trainvaltest", "gtFine_trainvaltest"):
        folder = made / "cityscapes" / part
        pack(tmp_path / f"archives/{part}.zip", folder, *(path.name for path in folder.iterdir()))
    said = fails("prepare", "cityscapes", "--root", root, "--archives", tmp_path / "archives")
    assert "frames without fine labels, to pretrain on: " in said
    assert "fine labels: " not in said.replace("without fine labels", "")
    assert [len(Cityscapes(root).pairs(split)) for split in ("train", "val", "test")] == [8, 2, 4]


def test_a_layout_made_by_hand_needs_no_archives(tmp_path, smir):
    fakes.write_cityscapes(tmp_path, size=SIZE)
    before = files(tmp_path)
    smir("prepare", "cityscapes", "--root", tmp_path)
    assert files(tmp_path) == before


def test_a_missing_or_empty_folder_of_archives_is_reported(tmp_path, fails, root):
    assert "There is no folder" in fails("prepare", "cityscapes", "--root", root, "--archives", tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    said = fails("prepare", "cityscapes", "--root", root, "--archives", tmp_path / "empty")
    assert "fine labels: holds .../gtFine/train/<city>/<frame>_gtFine_labelIds.png" in said
    assert "Found 0 archives" in said
    assert not root.exists()


def test_an_unfinished_download_is_not_unpacked(archives, root):
    (archives / "one.tar").rename(archives / "one.tar.part")
    unpack_all(PASCAL_VOC, root, archives)
    assert not (root / VOC_TRAIN).exists()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("ijrr_sugarbeets_2016_annotations.part01.rar", b"Rar!\x1a\x07\x00", "RAR, which smir does not read"),
        ("all.7z", b"7z\xbc\xaf\x27\x1c", "7z, which smir does not read"),
        ("gtFine_trainvaltest.zip", b"\n<!DOCTYPE html>", "a web page, such as a login, in place of an archive"),
        ("two.TAR", b"", "an empty file in place of an archive; fetch it again"),
        ("two.tgz", b"1234", "another kind of file in place of an archive"),
        ("Unconfirmed 1234.crdownload", b"PK\x03\x04", "an unfinished download"),
    ],
)
def test_files_that_are_no_archives_but_are_called_so_are_named(
    tmp_path, smir, fails, archives, root, capsys, name, content, reason
):
    (tmp_path / "alone").mkdir()
    for folder in (archives, tmp_path / "alone"):
        (folder / name).write_bytes(content)
        (folder / "licence.txt").write_text("Terms")
    said = fails("prepare", "pascal_voc", "--root", root, "--archives", tmp_path / "alone")
    assert f"\n  {name}: {reason}" in said
    assert "licence" not in said
    smir("prepare", "pascal_voc", "--root", root, "--archives", archives)
    assert f"{name}: left alone, {reason}" in capsys.readouterr().out


def test_an_archive_of_archives_must_be_unpacked_first(tmp_path, fails, archives, root):
    archive = pack(tmp_path / "all.zip", tmp_path, "archives")
    said = fails("prepare", "pascal_voc", "--root", root, "--archives", archive)
    assert "all.zip: not recognised as a part of Pascal VOC; it holds archives, unpack it first: archives/" in said


def test_sugar_beets_says_that_its_archives_must_be_unpacked_by_hand(fails, root):
    said = fails("prepare", "sugar_beets", "--root", root)
    assert "RAR files, which smir does not read: unpack part01" in said


@pytest.mark.parametrize("below", ["pascal", "pascal/VOCtrainvaltest/VOCdevkit"])
def test_a_root_below_the_data_root_is_named(tmp_path, fails, below):
    fakes.write_pascal_voc(tmp_path, size=SIZE)
    assert f"is it the root? --root {tmp_path}" in fails("prepare", "pascal_voc", "--root", tmp_path / below)


def test_a_root_that_is_a_file_is_an_error(archives, root):
    root.write_text("a file in the way")
    with pytest.raises(DataError, match="could not be unpacked into"):
        unpack_all(PASCAL_VOC, root, archives)


def test_unpacking_needs_neither_torch_nor_the_datasets():
    code = (
        "import sys, smir.prepare.published.unpack, smir.prepare.published.download, smir.prepare.published.sources\n"
    )
    code += "assert not {'torch', 'lightning', 'smir.data'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


# Download


class Site(BaseHTTPRequestHandler):
    content = b""
    breaks_after = None
    asked = 0

    def do_GET(self):
        type(self).asked += 1
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(self.content[: self.breaks_after])

    def log_message(self, *_):
        pass


@pytest.fixture
def site():
    """A site with half a megabyte of noise."""
    handler = type("Handler", (Site,), {"content": random.Random(0).randbytes(500_000)})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        handler.url = f"http://127.0.0.1:{server.server_port}/voc/a.tar"
        yield handler
        server.shutdown()
        thread.join()


def download(site):
    return Download(site.url, hashlib.md5(site.content).hexdigest())


def test_a_file_is_downloaded_only_once(tmp_path, site):
    path = fetch(download(site), tmp_path / "new/folder")
    assert path == tmp_path / "new/folder/a.tar"
    assert path.read_bytes() == site.content
    asked = site.asked
    fetch(download(site), tmp_path / "new/folder")
    assert site.asked == asked
    assert list(path.parent.iterdir()) == [path]


def test_an_interrupted_download_leaves_nothing_behind(tmp_path, site):
    site.breaks_after = 200_000
    with pytest.raises(DataError, match=r"\(200,000 bytes\) came with the MD5 .* the connection broke.*curl -C - -O"):
        fetch(download(site), tmp_path)
    assert list(tmp_path.iterdir()) == []
    site.breaks_after = None
    assert fetch(download(site), tmp_path).read_bytes() == site.content


def test_a_download_with_a_wrong_checksum_is_deleted(tmp_path, site):
    wanted = download(site)
    (tmp_path / "a.tar.part").write_bytes(b"left behind by a kill")
    site.content = site.content[:-1] + b"?"
    with pytest.raises(DataError, match=rf"came with the MD5 \w+, not {wanted.md5}, and was deleted"):
        fetch(wanted, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_with_another_checksum_is_kept(tmp_path, site):
    (tmp_path / "a.tar").write_bytes(b"mine")
    with pytest.raises(DataError, match=rf"{tmp_path}/a\.tar has the MD5 \w+, not \w+. Delete or rename it"):
        fetch(download(site), tmp_path)
    assert files(tmp_path) == {"a.tar": b"mine"}


def test_a_site_that_sends_without_end_is_cut_off(tmp_path, site, monkeypatch):
    monkeypatch.setattr("smir.prepare.published.download.LARGEST", 300_000)
    with pytest.raises(DataError, match="could not be fetched: the site sends more than 300,000 bytes"):
        fetch(download(site), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_site_that_cannot_be_reached_is_reported(tmp_path, site):
    with pytest.raises(DataError, match=r"could not be fetched: .*refused.*curl -C - -O"):
        fetch(Download("http://127.0.0.1:9/a.tar", "0"), tmp_path)


def test_the_command_downloads_what_is_missing(tmp_path, smir, archives, root, site, monkeypatch):
    smir_parts = []
    site.content = (archives / "two.tar").read_bytes()
    for part in PASCAL_VOC.parts:
        smir_parts.append(dataclasses.replace(part, download=download(site)) if part.name == "VOC 2007 test" else part)
    monkeypatch.setattr(sources, "PASCAL_VOC", dataclasses.replace(PASCAL_VOC, parts=tuple(smir_parts)))
    unpack_all(PASCAL_VOC, root, archives / "one.tar")
    smir("prepare", "pascal_voc", "--root", root, "--download")
    assert (root / "archives/a.tar").read_bytes() == site.content
    assert len(PascalVOC(root).pairs("test")) == 4
    asked = site.asked
    smir("prepare", "pascal_voc", "--root", root, "--download")
    assert site.asked == asked


def test_the_published_checksums_equal_those_of_torchvision():
    from torchvision.datasets.voc import DATASET_YEAR_DICT

    published = {entry["url"]: entry["md5"] for entry in DATASET_YEAR_DICT.values()}
    for part in PASCAL_VOC.parts:
        assert published[part.download.url] == part.download.md5


def test_an_orthomosaic_without_labelled_tiles_is_ready_for_pretraining(smir, tmp_path, capsys):
    place = tmp_path / "nassar/orthomosaic/data/RGB_reference_png.png"
    place.parent.mkdir(parents=True)
    Image.new("RGB", (600, 300), (90, 80, 60)).save(place)
    smir("prepare", "nassar", "--root", tmp_path)
    said = capsys.readouterr().out
    assert "6 tiles" in said
    assert "Ready to pretrain on. To segment, labelled tiles are missing" in said
    assert len(list((tmp_path / "nassar/ortho_tiles").glob("*.png"))) == 6
