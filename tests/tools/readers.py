"""The files that are costliest to read: python tests/tools/readers.py prints the table of docs/files.md.

Every file is read in a fork of this process, which may take no more memory and time than the case states. With
`--share`, the files and their limits are smaller.
"""

import argparse
import os
import resource
import signal
import struct
import sys
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from smir.cli.trust import PACKAGES, scan_file
from smir.data.reading.decode import read_image, read_label
from smir.data.reading.label_values import class_ids
from smir.data.reading.lists import read_list
from smir.errors import SmirError
from smir.files.json_record import read_json
from smir.method.preprocessing import Preprocessing
from smir.models.weight_files import read_checkpoint
from smir.prepare.labels.formats import read_labels
from smir.runs.checkpoint_record import CheckpointRecord
from smir.runs.mask_files import load_masks, save_masks
from smir.runs.run_folder import read_metrics
from smir.training.reconstruction import ReconstructionModule

SIDE = 13_300
"""Of the largest image that is read."""
_MIB = 1 << 20
_SECONDS, _ROOM = 4, 64
"""Seconds and MiB that any file may take besides."""


class Case(NamedTuple):
    """A costly file: its writer takes a share of the full size; seconds and MiB are the limits at full size.

    `refusal` are words of the message, if it is refused.
    """

    suffix: str
    write: Callable[[Path, float], object]
    read: Callable[[Path], object]
    seconds: float
    mib: float
    refusal: str = ""


def picture(kind: str, dtype: str = "uint8", **options: Any) -> Callable[[Path, float], None]:
    """Writes a black picture of the largest size."""

    def write(path: Path, share: float) -> None:
        side = int(SIDE * share**0.5)
        Image.fromarray(np.zeros((side, side), dtype)).save(path, kind, **options)

    return write


def bits(path: Path, share: float) -> None:
    """Writes a PNG with one bit per pixel."""
    side = int(SIDE * share**0.5)
    Image.new("1", (side, side)).save(path, compress_level=9)


def webp(path: Path, share: float) -> None:
    """Writes a lossless WebP with an empty chunk that makes its size plausible."""
    side = int(9_990 * share**0.5)
    Image.new("RGB", (side, side)).save(path, lossless=True, method=0)
    content = path.read_bytes()
    more = max(0, side * side // 10_000 + 100 - len(content)) // 2 * 2
    content += b"JUNK" + struct.pack("<I", more) + bytes(more)
    path.write_bytes(content[:4] + struct.pack("<I", len(content) - 8) + content[8:])


def scans(path: Path, share: float) -> None:
    """Writes a progressive JPEG of sixteen scans."""
    side = int(SIDE * share**0.5)
    Image.new("RGB", (side, side)).save(path, "JPEG", progressive=True)
    content = path.read_bytes()
    last = content.rindex(b"\xff\xda")
    path.write_bytes(content[:last] + content[last:-2] * (17 - content.count(b"\xff\xda")) + content[-2:])


def bmp(path: Path, share: float) -> None:
    """Writes a run-length BMP whose rows end after one pixel."""
    side = int(3_160 * share**0.5)
    data = b"\1\0\0\0" * side + b"\0\1"
    start = 14 + 40 + 1024
    head = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, len(data), 0, 0, 256, 0)
    path.write_bytes(b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + head + bytes(1024) + data)


def text(*parts: str, times: int) -> Callable[[Path, float], None]:
    """Writes a text with a repeated middle part."""
    first, middle, last = parts
    return lambda path, share: path.write_text(first + middle * int(times * share) + last)


def names(path: Path, share: float) -> None:
    """Writes a list of different names."""
    path.write_text("".join(f"{number:x}\n" for number in range(int(9_990_000 * share))))


def pickled(content: bytes, repeated: bytes, end: bytes, times: int) -> Callable[[Path, float], None]:
    """Writes a checkpoint with another pickle."""

    def write(path: Path, share: float) -> None:
        torch.save({"state_dict": {"encoder.conv1.weight": torch.ones(8, 8)}}, path)
        with zipfile.ZipFile(path) as archive:
            members = {entry.filename: archive.read(entry) for entry in archive.infolist()}
        with zipfile.ZipFile(path, "w") as archive:
            for name, old in members.items():
                new = content + repeated * int(times * share) + end
                archive.writestr(name, new if name.endswith("data.pkl") else old)

    return write


def described(**arguments: Any) -> Callable[[Path, float], None]:
    """Writes a checkpoint whose record describes a large network, without its weights."""

    def write(path: Path, share: float) -> None:
        content: dict[str, Any] = {"state_dict": {}}
        network = {"class": "UNetStride4", "arguments": {"encoder": "tu-test_efficientnet", **arguments}}
        CheckpointRecord("pretrain", network, 3, Preprocessing(), None, {}).write(content)
        torch.save(content, path)

    return write


def metrics(path: Path) -> object:
    """Reads the metrics of a run."""
    path.rename(path.with_name("metrics.csv"))
    return read_metrics(path.parent)


def masks(path: Path, share: float) -> None:
    """Writes a mask file of empty masks."""
    from smir.method.mask_table import MaskTable

    count = int(1_000_000 * share)
    shapes = np.full((count, 2), 256, np.uint16)
    table = MaskTable(np.arange(count), shapes, 441, np.zeros(count * 50, np.uint8))
    save_masks(path, table)


LABEL = lambda path: class_ids(read_label(path), path, 2)  # noqa: E731
CONFIG = lambda path: scan_file(path, PACKAGES)  # noqa: E731
REBUILT = ReconstructionModule.from_checkpoint
HASHES = b"".join(b"\x8a\n" + (n * ((1 << 61) - 1)).to_bytes(10, "little") + b"K\1" for n in range(1 << 13, 9000))
TUPLES = b"".join(b"h" + bytes([i]) + b"\x86q" + bytes([i + 1]) for i in range(1, 60))
CASES = {
    "PNG of 1 bit, as an image": Case(".png", bits, read_image, 6, 1900),
    "PNG of 16 bits, as an image": Case(".png", picture("PNG", "uint16"), read_image, 6, 1050),
    "PNG of 16 bits, as a label": Case(".png", picture("PNG", "uint16"), LABEL, 8, 1400),
    "TIFF with Deflate, as an image": Case(
        ".tif", picture("TIFF", compression="tiff_adobe_deflate"), read_image, 6, 900
    ),
    "JPEG of 16 scans, as an image": Case(".jpg", scans, read_image, 60, 2500),
    "WebP without losses, as an image": Case(".webp", webp, read_image, 20, 2500),
    "BMP with run lengths, as an image": Case(".bmp", bmp, read_image, 60, 1500),
    "config, a list": Case(".yaml", text("a: [", "1,", "]", times=32_000), CONFIG, 10, 100),
    "config, aliases of texts with settings": Case(
        ".yaml", text(f"a: &a '[{'1,' * 1000}]'\nb: [", "*a,", "]", times=190), CONFIG, 30, 100
    ),
    "config that names itself": Case(".yaml", lambda path, _: path.write_text(f"a: {path.name}\n"), CONFIG, 1, 20),
    "list of names": Case(".txt", names, read_list, 20, 2000),
    "list, one name repeated": Case(".txt", text("", "aa\n", "", times=89_000_000), read_list, 90, 300),
    "checkpoint, dicts": Case(
        ".ckpt", pickled(b"\x80\2](", b"}", b"e.", 4_190_000), read_checkpoint, 60, 1200, "holds a list"
    ),
    "checkpoint, tuples within tuples as a key": Case(
        ".ckpt",
        pickled(b"\x80\2}q\0K\1\x85q\1" + TUPLES, b"", b"K\1s.", 0),
        read_checkpoint,
        1,
        20,
        "hours to hash",
    ),
    "checkpoint, keys of one hash": Case(
        ".ckpt", pickled(b"\x80\2}(", HASHES, b"u.", 300), read_checkpoint, 5, 100, "more than 72 bits"
    ),
    "checkpoint, a call that makes memory": Case(
        ".ckpt",
        pickled(b"\x80\2}K\1cbuiltins\nbytearray\n\x8a\5\0\0\0\0\1\x85Rs.", b"", b"", 0),
        read_checkpoint,
        1,
        20,
        "it calls bytearray",
    ),
    "checkpoint, a tensor of numbers that it does not hold": Case(
        ".ckpt",
        pickled(b"\x80\2}K\1ctorch\nFloatTensor\n\x8a\4\0\0\0\1\x85Rs.", b"", b"", 0),
        read_checkpoint,
        1,
        80,
        "bytes of tensors",
    ),
    "checkpoint, a wide network in its record": Case(
        ".ckpt", described(decoder_channels=[20_000, 20_000, 16]), REBUILT, 5, 700, "many more numbers"
    ),
    "masks of a stage": Case(".npz", masks, load_masks, 10, 400),
    "metrics.csv": Case(".csv", text("epoch,stage\n", "1,1\n", "", times=999_000), metrics, 20, 600),
    "record, lists": Case(".json", text("[", "[],", "1]", times=16_000_000), read_json, 20, 2200),
    "annotations, lists": Case(
        ".json", text("[", "[],", "1]", times=64_000_000), read_labels, 60, 8500, "no known format"
    ),
    "annotations, XML": Case(
        ".xml", text("<annotations>", "<a b=''/>", "</annotations>", times=23_500_000), read_labels, 90, 8500
    ),
}


def measure(case: Case, share: float) -> tuple[int, float, float, str]:
    """Reads a case; returns bytes, seconds, MiB of memory, and the outcome."""
    with tempfile.TemporaryDirectory(prefix="smir-readers-") as folder:
        path = Path(folder, f"file{case.suffix}")
        case.write(path, share)
        size = path.stat().st_size
        ours, theirs = os.pipe()
        if not (child := os.fork()):
            os.write(theirs, _read(case, path, share).encode())
            os._exit(0)
        os.close(theirs)
        with os.fdopen(ours) as stream:
            said = stream.read()
        status = os.waitpid(child, 0)[1]
    if not said:
        return size, 0, 0, f"killed by {signal.Signals(os.WTERMSIG(status)).name}"
    seconds, mib, how = said.split(maxsplit=2)
    return size, float(seconds), float(mib), how


def _read(case: Case, path: Path, share: float) -> str:
    """Reads a file within its limits; returns seconds, MiB, and the outcome."""
    warnings.simplefilter("ignore")
    share = 1 if case.refusal else share
    memory = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (memory + int((case.mib * share + _ROOM) * _MIB),) * 2)
    seconds = int(case.seconds * share) + _SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    Path("/proc/self/clear_refs").write_text("5")
    before, start = _peak(), time.process_time()
    try:
        case.read(path)
        how = "read"
    except SmirError as error:
        how = f"refused: {error}" if "file" in str(error) or "metrics" in str(error) else f"names no file: {error}"
    except BaseException as error:
        how = f"{type(error).__name__}: {error}"
    return f"{time.process_time() - start:.2f} {_peak() - before:.0f} {how}"


def _peak() -> float:
    """Returns the peak memory of this process since the mark, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def main() -> None:
    """Prints the table; ends with code 1 if a file takes more than its case states."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1, help="size of the files; 1 is the largest that is read")
    parser.add_argument("--only", nargs="*", default=list(CASES), choices=CASES)
    options = parser.parse_args()
    wrong = 0
    for name in options.only:
        case = CASES[name]
        size, seconds, mib, how = measure(case, options.share)
        good = how.startswith("refused") and case.refusal in how if case.refusal else how == "read"
        wrong += not good
        print(f"| {name} | {size:,} | {seconds:.1f} | {mib:,.0f} | {1e3 * mib / size:.2g} |", flush=True)
        if not good:
            print(f"    {how[:300]}", flush=True)
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
