"""Hashes of files."""

import hashlib
from pathlib import Path

DIGITS = 16


def file_digest(path: Path, digits: int = DIGITS) -> str:
    """Returns the SHA-256 of a file's content; all of it has 64 hexadecimal digits."""
    sha256 = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            sha256.update(block)
    return sha256.hexdigest()[:digits]
