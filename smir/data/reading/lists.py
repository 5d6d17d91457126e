"""List files of splits: text files with one entry a line; and the lists made in place of missing ones."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeVar, get_args

import numpy as np

from smir.data.reading.image_files import IMAGE_SUFFIXES, list_images
from smir.errors import ConfigError, DataError, counted, first_few
from smir.files.atomic import write_atomically
from smir.seeding import seed_for
from smir.terminal import warn

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
T = TypeVar("T")

LONGEST_LIST = 1 << 28
"""Bytes of a list file above which it is refused."""
_MOST_ENTRIES = 10_000_000
"""Different names, of about 200 bytes each in memory."""


def read_list(path: Path) -> list[str]:
    """Reads a list file: UTF-8, blank lines and Windows line ends allowed.

    Repeated entries are used once, with a warning. Entries are names to look up among the files of the dataset, not
    paths to open, so none can lead out of its folder.

    Raises:
        DataError: If the file is missing, is not a text file of sensible size, or has no entry.
    """
    if path.exists() and not path.is_file():  # opening a pipe would wait for ever
        raise DataError(f"The list file {path.absolute()} is not a file but a folder, a pipe or a device.")
    try:
        if (size := path.stat().st_size) > LONGEST_LIST:
            raise DataError(f"The list file {path.absolute()} has {size:,} bytes; lists of names are not that long.")
        counts: Counter[str] = Counter()
        with path.open(encoding="utf-8-sig") as file:  # cuts at LF, CRLF and CR; `splitlines` would cut within names
            for line in file:
                if entry := line.strip():
                    counts[entry] += 1
                if len(counts) > _MOST_ENTRIES:
                    raise DataError(f"The list file {path.absolute()} has more than {_MOST_ENTRIES:,} names. Split it.")
    except FileNotFoundError:
        raise DataError(f"There is no list file {path.absolute()}.") from None
    except (UnicodeDecodeError, OSError) as error:
        raise DataError(f"The list file {path.absolute()} cannot be read as UTF-8 text: {error}") from error
    if not counts:
        raise DataError(f"The list file {path.absolute()} has no entry; it should hold one name a line.")
    repeated = [entry for entry, count in counts.items() if count > 1]
    if repeated:
        names = counted(len(repeated), "name", "names")
        warn(f"{path} lists {names} more than once ({first_few(repeated)}); each is used once.")
    return list(counts)


def can_be_listed(name: str) -> bool:
    """Returns whether a name can be a line of a list: text without line ends, and without a space at its ends."""
    as_bytes = any("\ud800" <= letter <= "\udfff" for letter in name)  # how Python keeps bytes that are not text
    return name == name.strip() and not as_bytes and not set(name) & set("\r\n\ufeff")


def write_list(path: Path, entries: Iterable[str]) -> None:
    """Writes a list file, one entry a line; a reader never sees a part of it.

    Raises:
        DataError: If an entry would change when read back, see `can_be_listed`.
    """
    entries = list(entries)
    if bad := [entry for entry in entries if not can_be_listed(entry)]:
        shown = first_few(map(repr, bad))
        raise DataError(f"{path.absolute()} cannot hold {shown}: a line is one name. Rename the files.")
    write_atomically(path, "".join(f"{entry}\n" for entry in entries))


def stem(name: str) -> str:
    """Takes an image suffix off a name, in upper or lower case; other dots stay."""
    suffix = next((suffix for suffix in IMAGE_SUFFIXES if name.lower().endswith(suffix)), "")
    return name[: len(name) - len(suffix)]


def files_by_stem(root: Path, folder: str, ending: str = "") -> dict[str, str]:
    """Finds the images below a folder whose names, without the suffix, have an ending.

    Returns:
        For each path below the folder, without ending and suffix, the file's path below the root; sorted.

    Raises:
        DataError: If the folder is missing, holds no image, or holds two of one name.
    """
    found: dict[str, str] = {}
    for name in list_images(root / folder):
        key = stem(name)
        if not key.endswith(ending):
            continue
        other = found.setdefault(key.removesuffix(ending), f"{folder}/{name}")
        if other != f"{folder}/{name}":
            raise DataError(
                f"{root.absolute() / folder} holds both {Path(other).name} and {Path(name).name}, one picture under "
                "two suffixes. Remove one of them."
            )
    return dict(sorted(found.items()))


def look_up(keys: Iterable[str], files: Mapping[str, T], what: str, where: Path) -> list[T]:
    """Finds the file (or pair) of every key, repeated ones once; `what` and `where` are for the message.

    Raises:
        DataError: If names have no file: how many, and the first of them.
    """
    keys = list(dict.fromkeys(keys))
    missing = [key for key in keys if key not in files]
    if missing:
        like = f"; names there look like {first_few(files, 2)}" if files else ""
        raise DataError(
            f"{len(missing)} of {len(keys)} {what} are not in {where.absolute()}: {first_few(missing)}{like}. Add the "
            "files, or take the names off the list."
        )
    return [files[key] for key in keys]


def shuffled(entries: Iterable[str], seed: int) -> list[str]:
    """Sorts entries, then shuffles them by a seed: the same order on every machine."""
    entries = sorted(entries)
    order = np.random.default_rng(seed_for(seed, "split")).permutation(len(entries))
    return [entries[place] for place in order.tolist()]


def check_fractions(fractions: Sequence[float]) -> None:
    """Raises a `ConfigError` unless numbers are shares of train, val and test."""
    if not (all(share >= 0 for share in fractions) and abs(sum(fractions) - 1) <= 1e-6):
        raise ConfigError(f"data.fractions are shares of train, val and test that add up to 1, got {fractions}.")


def cut(entries: Sequence[T], shares: Sequence[float], part: int) -> list[T]:
    """Returns one of the consecutive parts of a list, whose sizes are shares that add up to 1."""
    ends = np.floor(np.cumsum([0.0, *shares]) * len(entries) + 1e-9).astype(int)  # 0.7 + 0.1 is just below 0.8
    return list(entries[ends[part] : ends[part + 1]])
