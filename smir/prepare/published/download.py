"""Fetches an archive and checks its MD5."""

from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple
from urllib.request import Request, urlopen

from smir.errors import DataError
from smir.files.digest import file_digest
from smir.terminal import progress

_TIMEOUT = 60  # seconds without an answer
LARGEST = 4 << 30
"""Most bytes of a download: twice the largest archive."""


class Download(NamedTuple):
    """A file on a site, with its published MD5, which guards against damage, not against malice."""

    url: str
    md5: str

    @property
    def name(self) -> str:
        """Name of the file: the last part of the address."""
        return self.url.rsplit("/", 1)[-1]


def fetch(download: Download, folder: Path) -> Path:
    """Fetches a file into a folder, which is made if needed, unless it is there with the right checksum.

    During the download the file is called `<name>.part`.

    Raises:
        DataError: If the site does not answer or hangs up, or the new or existing file has another checksum.
    """
    path, part = folder / download.name, folder / f"{download.name}.part"
    if path.exists():
        if (found := _md5(path)) != download.md5:
            raise DataError(
                f"{path.absolute()} has the MD5 {found}, not {download.md5}. Delete or rename it to fetch it again."
            )
        return path
    try:
        folder.mkdir(parents=True, exist_ok=True)
        size, found = _copy(download.url, part), _md5(part)
    except (OSError, RuntimeError, HTTPException) as error:  # urllib.error.URLError is an OSError
        raise DataError(
            f"{download.url} could not be fetched: {error}. Run the same command again. If the connection breaks "
            f"often, fetch the file into {folder.absolute()} piece by piece: curl -C - -O {download.url}"
        ) from error
    else:
        if found == download.md5:
            return part.replace(path)
        raise DataError(
            f"{download.url} ({size:,} bytes) came with the MD5 {found}, not {download.md5}, and was deleted: it is "
            "another file, or the connection broke. Run the same command again; if it happens twice, fetch the file "
            f"by hand into {folder.absolute()} (curl -C - -O {download.url})."
        )
    finally:
        part.unlink(missing_ok=True)


def _md5(path: Path) -> str:
    return file_digest(path, 32, "md5")


def _copy(url: str, path: Path) -> int:
    """Copies what a site sends, and returns the number of bytes."""
    size = 0
    with (
        urlopen(Request(url, headers={"User-Agent": "smir"}), timeout=_TIMEOUT) as answer,
        path.open("wb") as file,
        progress(None, path.stem, answer.length, unit="B", unit_scale=True) as bar,
    ):
        while block := answer.read(1 << 20):
            size += len(block)
            if size > LARGEST:
                raise OSError(f"the site sends more than {LARGEST:,} bytes")
            file.write(block)
            bar.update(len(block))
    return size
