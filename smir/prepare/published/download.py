"""Fetches a file over HTTP: what was fetched before an interruption is kept, and the checksum decides."""

import hashlib
import urllib.error
import urllib.request
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import cast

from smir.errors import DataError
from smir.terminal import progress

_BLOCK = 1 << 20
_TIMEOUT = 60  # seconds without an answer


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
    """Fetches a file; one that is there with the right checksum is left, one begun before is continued.

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
    path, part = folder / download.name, folder / f"{download.name}.part"
    if path.exists():
        if (found := _md5(path)) != download.md5:
            raise DataError(
                f"{path.absolute()} has the MD5 {found}, not {download.md5}. Delete or rename it to fetch it anew."
            )
        return path
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _fetch_rest(download, part)
    except (OSError, HTTPException) as error:  # urllib.error.URLError is an OSError
        kept = part.stat().st_size if part.exists() else 0
        raise DataError(
            f"{download.url} could not be fetched: {error}. The first {kept:,} bytes are kept in {part.absolute()}; "
            "the same command continues there."
        ) from error
    if (found := _md5(part)) != download.md5:
        size = part.stat().st_size
        part.unlink()
        raise DataError(
            f"{download.url} ({size:,} bytes) came with the MD5 {found}, not {download.md5}, and was deleted. Run the "
            "same command again; should it happen twice, fetch the file by hand."
        )
    return part.replace(path)


def _fetch_rest(download: Download, part: Path) -> None:
    """Appends to `part` what it lacks, or writes it anew where the site cannot continue."""
    start = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(download.url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        answer = cast(HTTPResponse, urllib.request.urlopen(request, timeout=_TIMEOUT))
    except urllib.error.HTTPError as error:
        if start and error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # nothing is lacking; the checksum tells whether it is right
        raise
    with answer:
        continues = answer.status == HTTPStatus.PARTIAL_CONTENT
        if continues and not answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            raise OSError(f"the site sent {answer.headers.get('Content-Range')} when asked for bytes {start}-")
        start = start if continues else 0
        length = answer.headers.get("Content-Length", "")
        total = start + int(length) if length.isdecimal() else None
        with (
            part.open("ab" if continues else "wb") as file,
            progress(None, download.name, total, initial=start, unit="B", unit_scale=True) as bar,
        ):
            while block := answer.read(_BLOCK):
                file.write(block)
                bar.update(len(block))
    if total is not None and part.stat().st_size < total:
        raise OSError(f"the connection ended after {part.stat().st_size:,} of {total:,} bytes")


def _md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
