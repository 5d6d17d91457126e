"""The base of the four datasets of the paper: list files, and the overlaps between pool, training and test."""

import abc
import contextlib
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

from smir.data.base import SmirDataModule
from smir.data.reading.listing import Pair
from smir.data.reading.lists import Split, read_list, write_list
from smir.errors import ConfigError, DataError
from smir.files.names import folder_above

Protocol = Literal["paper", "clean"]


class PublishedDataset(SmirDataModule):
    """A dataset with list files of its authors and overlaps that the paper keeps (METHOD.md section 6).

    A subclass gives `classes`, `list_files`, `own_list`, `whole_pool` and `whole_split`.

    Args:
        root: Data root, the folder that holds `pascal`, `cityscapes`, `nassar` and `sugarbeets`.
        protocol: `paper` keeps the paper's overlaps; `clean` leaves the test images out of pool, train and val.
        lists: List files to read instead of those in the dataset's folder: by the name of the list, a path below the
            root or an absolute path.
        kwargs: Arguments of every dataset.
    """

    list_files: ClassVar[dict[str, str]]
    """Paths of the authors' list files, relative to the root."""

    def __init__(
        self, root: Path, protocol: Protocol = "paper", lists: dict[str, Path] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(root, **kwargs)
        self.protocol, self.lists = protocol, lists or {}
        if unknown := sorted(set(self.lists) - set(self.list_files)):
            raise ConfigError(
                f"data.lists names {', '.join(unknown)}; {type(self).__name__} has {', '.join(self.list_files)}."
            )

    @abc.abstractmethod
    def own_list(self, name: str) -> list[str]:
        """Returns the entries, in the authors' format, of a list whose file is missing."""

    @abc.abstractmethod
    def whole_pool(self) -> list[str]:
        """Returns the images of the pool with all overlaps, relative to the root."""

    @abc.abstractmethod
    def whole_split(self, split: Split) -> list[Pair]:
        """Returns the labelled images of a split with all overlaps."""

    def pool(self) -> list[str]:
        """Returns the images of the pool by the protocol."""
        with self._naming_root():
            return [image for image in self.whole_pool() if self.identity(image) not in self._held_out]

    def pairs(self, split: Split) -> list[Pair]:
        """Returns the labelled images of a split by the protocol."""
        with self._naming_root():
            pairs = self.whole_split(split)
            if split == "test":
                return pairs
            return [pair for pair in pairs if self.identity(pair.image) not in self._held_out]

    @contextlib.contextmanager
    def _naming_root(self) -> Iterator[None]:
        """Names the right data root if files are missing because the root lies below it."""
        try:
            yield
        except DataError as error:
            name = Path(next(iter(self.list_files.values()))).parts[0]
            if (root := folder_above(self.root, name)) is None:
                raise
            raise DataError(
                f"data.root = {self.root.absolute()} does not hold the folder {name}, but {root} does: "
                f"--data.root {root}"
            ) from error

    @cached_property
    def _held_out(self) -> set[str]:
        """Identities of the test images, if they must be left out."""
        if self.protocol == "paper":
            return set()
        return {self.identity(pair.image) for pair in self.whole_split("test")}

    def entries(self, name: str) -> list[str]:
        """Returns the entries of the file in `lists`, else of the authors' file, else of the list that smir makes."""
        if name in self.lists:
            return read_list(self.root / self.lists[name])
        path = self.root / self.list_files[name]
        return read_list(path) if path.is_file() else self.own_list(name)

    def write_lists(self, announce: Callable[[Path, list[str]], None] = lambda path, entries: None) -> list[Path]:
        """Writes the project's own lists in place of missing ones of the authors, and returns the files written.

        It calls `announce` with path and entries before it writes a list.
        """
        missing = {name: path for name, place in self.list_files.items() if not (path := self.root / place).is_file()}
        for name, path in missing.items():
            announce(path, entries := self.entries(name))
            write_list(path, entries)
        return list(missing.values())
