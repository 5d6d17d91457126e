"""Reads tar and zip archives from untrusted sources, one member at a time. Accepts plain files and folders only."""

import bz2
import gzip
import lzma
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterable
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple, cast

from smir.errors import DataError

_LONGEST_HEADER = 1 << 24  # bytes
_ZIP = b"PK\x03\x04"
_COMPRESSED: dict[bytes, Callable[[Path], object]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
_PLAIN = partial(open, mode="rb")
_UNFINISHED = (".part", ".crdownload", ".download")
_NAMES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".rar", ".7z", ".zst")
_UNREAD = {b"Rar!": "RAR", b"7z\xbc\xaf\x27\x1c": "7z", b"\x28\xb5\x2f\xfd": "zstd"}

BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError, NotImplementedError)
"""Errors of the standard library for a damaged archive, besides OSError."""


class Member(NamedTuple):
    """A file in an archive.

    Attributes:
        name: Relative path with forward slashes, without `.` and `..`.
        size: Declared size in bytes; `open` gives no more.
        open: Opens the file; call it before the next member is read.
    """

    name: str
    size: int
    open: Callable[[], IO[bytes]]


class UnsafeArchive(DataError):
    """An archive with a member that no dataset needs, but an attacker may."""


def is_archive(path: Path) -> bool:
    """Returns whether a file starts like an archive, whatever its name; the archive may still be incomplete."""
    if not path.is_file() or path.name.endswith(_UNFINISHED):
        return False
    start = _start(path)
    return start.startswith((_ZIP, *_COMPRESSED)) or start[257:262] == b"ustar"


def has_name(name: str) -> bool:
    """Returns whether a file is called like an archive, which smir may or may not read."""
    return name.lower().endswith(_NAMES)


def left_alone(files: Iterable[Path]) -> dict[Path, str]:
    """Prints and returns why archives, by name or content, cannot be read; ignores other files.

    The files are those that `is_archive` does not take.
    """
    reasons = {path: reason for path in files if path.is_file() and (reason := _why_unread(path))}
    for path, reason in reasons.items():
        print(f"{path.name}: left alone, {reason}")
    return reasons


def _why_unread(path: Path) -> str:
    """Returns why a file is no archive that smir reads; "" if it does not look like an archive."""
    if path.name.endswith(_UNFINISHED):
        return "an unfinished download"
    start = _start(path)
    if kind := next((kind for magic, kind in _UNREAD.items() if start.startswith(magic)), ""):
        return f"{kind}, which smir does not read; unpack it with another program"
    if not has_name(path.name):
        return ""
    kind = "a web page, such as a login," if start.lstrip().startswith(b"<") else "another kind of file"
    return f"{kind if start else 'an empty file'} in place of an archive; fetch it again"


def read_archive(path: Path) -> Generator[Member, None, None]:
    """Yields the files of an archive: tar, tar.gz, tar.bz2, tar.xz or zip.

    Raises:
        UnsafeArchive: If a member is a link, a device or encrypted, or leads out of the target folder.
        tarfile.TarError, zipfile.BadZipFile ...: See `BROKEN`; if the archive is damaged or cut short.
        OSError: If it cannot be read.
    """
    return _read_zip(path) if _start(path).startswith(_ZIP) else _read_tar(path)


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(tarfile.BLOCKSIZE)


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
    start = _start(path)
    opener = next((opener for magic, opener in _COMPRESSED.items() if start.startswith(magic)), _PLAIN)
    raw = cast(IO[bytes], opener(path))
    with raw, tarfile.open(fileobj=cast(IO[bytes], blocks := _Blocks(raw)), mode="r:") as archive:
        before = -1
        while (info := archive.next()) is not None:
            if info.size < 0 or info.offset <= before:
                raise tarfile.ReadError("a member has a negative size")
            before = info.offset
            archive.members = []  # type: ignore[attr-defined]  # otherwise it keeps every member's header
            name = _safe_name(path, info.name)
            if info.isreg():
                # It is None for folders and links.
                yield Member(name, info.size, cast(Callable[[], IO[bytes]], partial(archive.extractfile, info)))
            elif not info.isdir():
                raise _refusal(path, info.name, "is a link or a device")
        if blocks.last != bytes(tarfile.BLOCKSIZE):
            # tarfile takes a damaged header, and an end between two members, for the end of the archive.
            raise tarfile.ReadError("the mark at the end of the archive is missing")
        raw.read(_LONGEST_HEADER)  # to where a compressed archive has its checksum; padding is a few kB long


class _Blocks:
    """A stream for tarfile that refuses to read huge headers into memory, and remembers the last block."""

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
    """Checks that a member stays below the target folder; returns its normalised path.

    tarfile's data filter would strip the root from absolute paths; zipfile silently removes `..` from names.
    """
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
