"""Names of files as people read them, and as other files refer to them."""

import os
import unicodedata
from pathlib import Path


def composed(name: str) -> str:
    """Returns a name with composed letters: macOS stores `ä` as two characters that look the same."""
    return unicodedata.normalize("NFC", name)


def relative(path: Path, folder: Path) -> str:
    """Returns a path relative to a folder. It resolves links first, because `..` behind a link leads elsewhere."""
    return os.path.relpath(path.parent.resolve() / path.name, folder.resolve())


def folder_above(root: Path, name: str) -> Path | None:
    """Returns the nearest folder above `root` that holds a folder of that name, unless `root` itself holds one."""
    above = [folder for folder in (root.absolute(), *root.absolute().parents) if (folder / name).is_dir()]
    return above[0] if above and above[0] != root.absolute() else None
