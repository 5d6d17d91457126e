"""Hashes of files."""

import hashlib
from pathlib import Path

DIGITS = 16


def file_digest(path: Path, digits: int = DIGITS, algorithm: str = "sha256") -> str:
    """Returns the first digits of the hash of a file's content; a whole SHA-256 has 64 hexadecimal digits."""
    found = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            found.update(block)
    return found.hexdigest()[:digits]
