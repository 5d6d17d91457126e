"""`data.on_bad_image: skip`: images that cannot be used are found and left out before anything is trained.

Every file of a list is decoded once, before partitions are made or batches are counted. So a skipped image changes
nothing while training runs: all ranks and workers have the same, shorter list, and a resumed run finds it again in its
folder. A file that turns bad afterwards is an error.
"""

import contextlib
import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from smir.data.reading.file_list import FileList
from smir.data.reading.parallel import in_parallel
from smir.errors import ConfigError, DataError, first_few, first_messages
from smir.files.json_record import dict_or_empty, write_json
from smir.terminal import warn

RECORD = "skipped.json"
FORMAT = 1
_NAMED_BY_CHECK = "`python -m smir check` names them all."
_NAMED_BY_PREDICT = (  # `check` looks at the lists of the dataset alone
    "With a larger share (--data.max_bad_share) the others are predicted, and skipped.json beside them names all these."
)


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The result of checking every file of a list.

    Attributes:
        files: Number of images of the list.
        state: Hash of names, sizes and times of all its files; while that stays, so does the verdict.
        skipped: Why an image cannot be used, by its name.
    """

    files: int
    state: str
    skipped: dict[str, str]


class Screening:
    """Sorts out the images that cannot be used.

    Args:
        max_share: Share of a list that may be skipped; more is an error.

    Raises:
        ConfigError: If `max_share` is not such a share.
    """

    def __init__(self, max_share: float) -> None:
        if not 0 <= max_share < 1:
            raise ConfigError(f"data.max_bad_share is a share of a list, at least 0 and below 1, got {max_share}.")
        self.max_share = max_share
        self.verdicts: dict[str, Verdict] = {}
        self._known: list[Verdict] = []

    def usable(self, name: str, lists: Sequence[FileList], read: Callable[[int], object]) -> list[int]:
        """Returns the places of the usable images of the first list; a second list holds their labels.

        Raises:
            DataError: If more than the share that may be skipped is bad, with the first of them.
        """
        images = lists[0]
        state = _state(lists)
        known = (verdict for verdict in self._known if verdict.state == state)
        verdict = next(known, None) or Verdict(
            len(images), state, unusable(f"Looking at the {name} list", images, read)
        )
        self.verdicts[name] = verdict
        bad = verdict.skipped
        if len(bad) > self.max_share * len(images):
            raise DataError(
                f"{len(bad)} of {len(images)} images of the {name} list cannot be used, more than the share of "
                f"data.max_bad_share = {self.max_share} that may be skipped. {first_messages(bad.values())} "
                f"{_NAMED_BY_PREDICT if name == 'predict' else _NAMED_BY_CHECK}"
            )
        if bad:
            reason = next(iter(bad.values()))
            warn(
                f"Skipped {len(bad)} of {len(images)} images of the {name} list: {first_few(bad)}. The first: {reason}"
            )
        return [place for place in range(len(images)) if images[place] not in bad]

    def save(self, path: Path, settings: str) -> None:
        """Writes the verdicts; `settings` is a hash of all settings that decide whether an image can be used."""
        lists = {name: dataclasses.asdict(verdict) for name, verdict in self.verdicts.items()}
        write_json(path, {"format": FORMAT, "settings": settings, "lists": lists})

    def load(self, path: Path, settings: str) -> None:
        """Takes over the verdicts of a file of the same settings, so that nothing need be decoded again.

        If the file is missing, damaged or of another format, the images are checked again.
        """
        record = dict_or_empty(path)
        with contextlib.suppress(LookupError, TypeError, AttributeError):
            if (record["format"], record["settings"]) == (FORMAT, settings):
                self._known += [Verdict(**verdict) for verdict in record["lists"].values()]


def unusable(title: str, images: FileList, look: Callable[[int], object]) -> dict[str, str]:
    """Checks every image of a list; returns, by name, why images cannot be used (the `DataError` of `look`)."""

    def attempt(place: int) -> str:
        try:
            look(place)
        except DataError as error:
            return str(error)
        return ""

    reasons = in_parallel(attempt, range(len(images)), title)
    return {images[place]: reason for place, reason in enumerate(reasons) if reason}


def _state(lists: Sequence[FileList]) -> str:
    def stat(path: Path) -> str:
        try:
            status = path.stat()
        except OSError as error:
            return str(error.errno)
        return f"{status.st_size} {status.st_mtime_ns}"

    state = hashlib.sha256()
    for files in lists:
        state.update(files.fingerprint().encode())
        with ThreadPoolExecutor() as threads:  # waiting for the disk most of the time
            for text in threads.map(stat, map(files.path, range(len(files)))):
                state.update(f"{text}\n".encode())
    return state.hexdigest()[:16]
