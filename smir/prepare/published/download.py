"""Fetches an archive with torchvision; the checksum decides whether it is right."""

import hashlib
import socket
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from smir.errors import DataError

_BLOCK = 1 << 20
_TIMEOUT = 60  # seconds without an answer; torchvision would wait for ever


@dataclass(frozen=True)
class Download:
    """A file on a site.

    Attributes:
        url: Address; its last part is the file's name.
        md5: Published MD5 of the content. It guards against damage, not against malice.
    """

    url: str
    md5: str

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.url.rsplit("/", 1)[-1]


def fetch(download: Download, folder: Path) -> Path:
    """Fetches a file; one that is there with the right checksum is left.

    While it is fetched it is called `<name>.part`.

    Args:
        download: What to fetch.
        folder: Where to; made if it is not there.

    Returns:
        The file.

    Raises:
        DataError: If the site does not answer or hangs up, if the content has another checksum, or if a file of this
            name is there with another content.
    """
    from torchvision.datasets.utils import download_url  # it brings torch, which takes seconds

    path, part = folder / download.name, folder / f"{download.name}.part"
    if path.exists():
        if (found := _md5(path)) != download.md5:
            raise DataError(
                f"{path.absolute()} has the MD5 {found}, not {download.md5}. Delete or rename it to fetch it anew."
            )
        return path
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_TIMEOUT)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        download_url(download.url, str(folder), part.name)
        size, found = part.stat().st_size, _md5(part)
    except (OSError, RuntimeError, HTTPException) as error:  # urllib.error.URLError is an OSError
        raise DataError(
            f"{download.url} could not be fetched: {error}. Run the same command again, or fetch the file by hand, "
            f"which a connection that breaks does not set back (curl -C - -O {download.url}), into {folder.absolute()}."
        ) from error
    else:
        if found == download.md5:
            return part.replace(path)
        raise DataError(
            f"{download.url} ({size:,} bytes) came with the MD5 {found}, not {download.md5}, and was deleted: it is "
            "another file, or the connection broke. Run the same command again; should it happen twice, fetch the file "
            f"by hand into {folder.absolute()} (curl -C - -O {download.url})."
        )
    finally:
        socket.setdefaulttimeout(before)
        part.unlink(missing_ok=True)


def _md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
