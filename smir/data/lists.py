"""Split files: text files with one entry a line."""

from collections import Counter
from pathlib import Path

from lightning.pytorch.utilities import rank_zero_warn

from smir.errors import DataError, first_few


def read_list(path: Path) -> list[str]:
    """Reads a list file: UTF-8, blank lines and Windows line ends allowed.

    An entry that stands there twice is taken once, and the number of those is told in a warning.

    Raises:
        DataError: If the file is missing, is not text, or has no entry.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"There is no list file {path.absolute()}.") from None
    except (UnicodeDecodeError, OSError) as error:
        raise DataError(f"The list file {path.absolute()} is not UTF-8 text: {error}") from error
    counts = Counter(line.strip() for line in text.splitlines() if line.strip())
    if not counts:
        raise DataError(f"The list file {path.absolute()} has no entry; it should hold one name a line.")
    repeated = [entry for entry, count in counts.items() if count > 1]
    if repeated:
        rank_zero_warn(f"{path} lists {len(repeated)} names more than once ({first_few(repeated)}); each is used once.")
    return list(counts)
