"""Reads tar and zip archives that come from elsewhere: one member after the other, refusing what is not plain."""

import bz2
import gzip
import lzma
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, cast

from smir.errors import DataError

_BLOCK = 1 << 20
_LONGEST_HEADER = 1 << 24  # bytes
_MOST_MEMBERS = 2_000_000
_SLACK, _MOST_INFLATION = 1 << 30, 1000  # images hardly shrink in an archive; what inflates a thousandfold is a bomb
_COMPRESSED: tuple[tuple[bytes, Callable[[Path], object]], ...] = (
    (b"\x1f\x8b", gzip.open),
    (b"BZh", bz2.open),
    (b"\xfd7zXZ\x00", lzma.open),
)
_MAGIC = (b"PK\x03\x04", *(magic for magic, _ in _COMPRESSED))
_UNFINISHED = (".part", ".crdownload", ".download")

BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError, NotImplementedError)
"""What the standard library raises on a damaged archive, besides OSError."""


@dataclass(frozen=True)
class Member:
    """A file in an archive.

    Attributes:
        name: Its path, with forward slashes, relative, without `.` and `..`.
        size: Declared size in bytes; `open` gives no more.
        open: Opens it; before the next member is asked for.
    """

    name: str
    size: int
    open: Callable[[], IO[bytes]]


class UnsafeArchive(DataError):
    """An archive with a member that a dataset has no use for and an attacker has."""


def is_archive(path: Path) -> bool:
    """Returns whether a file begins like an archive (of which a part may be missing), whatever its name."""
    if not path.is_file() or path.name.endswith(_UNFINISHED):
        return False
    with path.open("rb") as file:
        start = file.read(512)
    return start.startswith(_MAGIC) or start[257:262] == b"ustar"


def read_archive(path: Path) -> Generator[Member, None, None]:
    """Yields the files of an archive: tar, tar.gz, tar.bz2, tar.xz or zip.

    Raises:
        UnsafeArchive: At a member that is a link or a device, that leads out of the folder it is unpacked into, or
            that is encrypted, and at a decompression bomb.
        tarfile.TarError, zipfile.BadZipFile ...: See `BROKEN`; if the archive is damaged or cut short.
        OSError: If it cannot be read.
    """
    with path.open("rb") as file:
        is_zip = file.read(4) == b"PK\x03\x04"
    limit = _SLACK + _MOST_INFLATION * path.stat().st_size
    total = 0
    for count, member in enumerate(_read_zip(path) if is_zip else _read_tar(path)):
        total += member.size
        if total > limit or count >= _MOST_MEMBERS:
            raise UnsafeArchive(
                f"{path.absolute()} is refused: its {count + 1:,} first members claim {total:,} bytes, and the archive "
                f"has {path.stat().st_size:,}. That looks like a decompression bomb."
            )
        yield member


def _read_zip(path: Path) -> Generator[Member, None, None]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            name = _safe_name(path, info.filename)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _refusal(path, info.filename, "is a link or a device")
            if info.flag_bits & 1:
                raise _refusal(path, info.filename, "is encrypted")
            if not info.is_dir() and kind != stat.S_IFDIR:
                yield Member(name, info.file_size, partial(archive.open, info))


def _read_tar(path: Path) -> Generator[Member, None, None]:
    with path.open("rb") as file:
        start = file.read(8)
    opener = next((opener for magic, opener in _COMPRESSED if start.startswith(magic)), _open)
    raw = cast(IO[bytes], opener(path))
    with raw, tarfile.open(fileobj=cast(IO[bytes], stream := _Blocks(raw)), mode="r:") as archive:
        before = -1
        while (info := archive.next()) is not None:
            if info.size < 0 or info.offset <= before:
                raise tarfile.ReadError("a member has a negative size")
            before = info.offset
            archive.members = []  # type: ignore[attr-defined]  # else it holds on to every member's header
            name = _safe_name(path, info.name)
            if not info.isreg() and not info.isdir():
                raise _refusal(path, info.name, "is a link or a device")
            if info.isreg():
                yield Member(name, info.size, partial(_extract, archive, info))
        if stream.last != bytes(tarfile.BLOCKSIZE):
            # tarfile takes a damaged header, and an end between two members, for the end of the archive.
            raise tarfile.ReadError("the mark at the end of the archive is missing")
        for _ in range(64):  # to where a compressed archive has its checksum; padding is a few kB long
            if not raw.read(_BLOCK):
                break


def _open(path: Path) -> IO[bytes]:
    return path.open("rb")


def _extract(archive: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    return cast(IO[bytes], archive.extractfile(info))  # None is for folders and links


class _Blocks:
    """What tarfile reads from; refuses to read headers of any length into memory, and remembers the last block."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self.last = b""
        self.seek, self.tell = raw.seek, raw.tell

    def read(self, size: int) -> bytes:
        if not 0 <= size <= _LONGEST_HEADER:
            raise tarfile.ReadError(f"a header claims to be {size:,} bytes long")
        self.last = self._raw.read(size)
        return self.last


def _safe_name(path: Path, name: str) -> str:
    """Checks that a member stays below the folder it is unpacked into, and returns its path in one spelling."""
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", name):
        raise _refusal(path, name, "has an absolute path")
    if ".." in parts or "\0" in name:
        raise _refusal(path, name, "leads out of the folder")
    return "/".join(part for part in parts if part not in ("", "."))


def _refusal(path: Path, name: str, reason: str) -> UnsafeArchive:
    return UnsafeArchive(
        f"{path.absolute()} is refused: its member {name!r} {reason}. No archive of these datasets has that; fetch it "
        "again from the dataset's own site. Nothing was unpacked from it."
    )
