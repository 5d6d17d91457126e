"""Finds the image of each label by its name; folders and suffixes are ignored unless names clash."""

import itertools
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, unquote_plus

from smir.data.reading.image_files import OTHER_PICTURES
from smir.data.reading.lists import stem
from smir.errors import DataError, first_few
from smir.files.names import same

_ROBOFLOW = re.compile(r"(.+?)(?:_(?:jpe?g|png|tiff?|bmp|webp))+\.rf\.\w+", re.IGNORECASE)
"""`IMG_1.JPG` becomes `IMG_1_JPG.rf.<hash>.jpg`."""
_LABEL_STUDIO = re.compile(r"[0-9a-f]{8}-(.+)")
"""`IMG_1.JPG` becomes `<8 hex digits>-IMG_1.JPG`, and `a (1).JPG` `<8 hex digits>-a_1.JPG`."""


class ImageNames:
    """Images to match with labels: their paths, with forward slashes, and their folder, for messages."""

    def __init__(self, names: Iterable[str], folder: Path) -> None:
        self.folder = folder
        self.names = list(names)
        self._by_stem: dict[str, list[str]] = {}
        for name in self.names:
            self._by_stem.setdefault(_parts(name)[-1], []).append(name)

    def find(self, label: str, change: Callable[[str], str] = str) -> str | None:
        """Returns the image with the name of a label, to which `change` is applied; None if there is none.

        If there are several, the one that shares the most folders with the label's path is chosen.

        Raises:
            DataError: If several images fit equally well.
        """
        for table, (*folders, own) in itertools.product((self._by_stem, self._by_plain), _readings(label)):
            parts = [*folders, change(own)]
            shared = {name: _common_end(parts, _parts(name)) for name in table.get(parts[-1], ())}
            best = [name for name, count in shared.items() if count == max(shared.values())]
            if len(best) > 1:
                raise DataError(
                    f"The label {label} may belong to {first_few(best)} in {self.folder.absolute()}. Keep the folders "
                    "in the labels' names, or give each image a different name."
                )
            if best:
                return best[0]
        return None

    @cached_property
    def _by_plain(self) -> dict[str, list[str]]:
        """Images whose own names are escaped, as after a download."""
        names: dict[str, list[str]] = {}
        for image in self.names:
            for parts in _readings(image)[1:]:
                names.setdefault(parts[-1], []).append(image)
        return names

    def match(self, labels: Iterable[str], where: Path) -> dict[str, str]:
        """Finds the image of every label; if no name fits, ignores what annotation tools add to names.

        Args:
            labels: Names or paths of the labels.
            where: The source of the labels, for messages.

        Returns:
            The label of every labelled image, in the order of the labels.

        Raises:
            DataError: If a label has no image, or an image has two labels.
        """
        labels = list(labels)
        images = {label: self.find(label) for label in labels}
        if labels and not any(images.values()):
            images = self._renamed(labels)
        found: dict[str, str] = {}
        missing: list[str] = []
        for label, image in images.items():
            if image is None:
                missing.append(label)
            elif (other := found.setdefault(image, label)) != label:
                raise DataError(
                    f"The image {image} has two labels in {where.absolute()}: {other} and {label}. Keep one of them."
                )
        if missing:
            raise DataError(self._no_image(missing, len(labels), where))
        return found

    def _renamed(self, labels: list[str]) -> dict[str, str | None]:
        ending = _common_ending([[parts[-1] for parts in _readings(label)] for label in labels], self._by_stem)
        change = (lambda stem: stem.removesuffix(ending)) if ending else self._original
        return {label: self.find(label, change) for label in labels}

    def _original(self, stem: str) -> str:
        """Returns the original name of an image that a tool renamed, if it is unique."""
        name = _before_upload(stem)
        alike = self._by_upload.get(name, ())
        return alike[0] if name not in self._by_stem and len(alike) == 1 else name

    @cached_property
    def _by_upload(self) -> dict[str, list[str]]:
        names: dict[str, list[str]] = {}
        for image in self._by_stem:
            names.setdefault(_uploaded(image), []).append(image)
        return names

    def _no_image(self, missing: list[str], count: int, where: Path) -> str:
        there = f"Images in {self.folder.absolute()} look like: {first_few(self.names)}."
        if len(missing) == count:
            return (
                f"None of the {count} labels in {where.absolute()} has the name of an image. Labels look like: "
                f"{first_few(missing)}. {there} Names must be equal, apart from folders and suffix: rename one side, "
                "or check that the two folders belong together."
            )
        stems = {parts[-1] for label in missing for parts in _readings(label)}
        others = (path for path in self.folder.rglob("*") if path.suffix.lower() in OTHER_PICTURES)
        unread = sorted(path.name for path in others if same(path.stem) in stems)
        hint = f" Convert {first_few(unread)} to JPEG or PNG, because smir cannot read them." if unread else ""
        return (
            f"{len(missing)} of {count} labels in {where.absolute()} have no image: {first_few(missing)}. {there}{hint}"
            " Add the images, or remove these labels."
        )


def renaming_notes(found: Mapping[str, str]) -> list[str]:
    """Returns a note if labels have other names than their images; `found` comes from `ImageNames.match`."""
    other = [(label, image) for image, label in found.items() if _parts(label)[-1] != _parts(image)[-1]]
    return [f"Labels have other names than their images: {other[0][0]} is taken for {other[0][1]}."] if other else []


def _parts(name: str) -> list[str]:
    path = PurePosixPath(same(name).replace("\\", "/"))
    return [*path.parts[:-1], stem(path.name)]


def _readings(label: str) -> list[list[str]]:
    """Returns the parts of a label's path as stored, then without what links and raw pictures add to a name."""
    path, _, query = label.partition("?")
    local = re.search(r"(?:^|&)d=([^&]+)", query)  # Label Studio: /data/local-files/?d=photos/IMG_1.JPG
    plain = local[1] if local else path if stem(path) != path else label
    names = [label, plain, unquote(plain), unquote(unquote(plain))]  # links in links are escaped twice
    names += [unquote_plus(plain), unquote(plain, "latin-1")]
    names += [PurePosixPath(name).stem for name in names if name.lower().endswith(OTHER_PICTURES)]
    return [_parts(name) for name in dict.fromkeys(names)]


def _common_end(one: Sequence[str], other: Sequence[str]) -> int:
    pairs = zip(reversed(one), reversed(other), strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def _before_upload(stem: str) -> str:
    """Returns the name without suffix that an image had before Roboflow or Label Studio renamed it."""
    match = _ROBOFLOW.fullmatch(stem) or _LABEL_STUDIO.fullmatch(stem)
    return match[1] if match else stem


def _uploaded(stem: str) -> str:
    """Returns the name in Label Studio: spaces become `_`, special characters go (Django's `get_valid_filename`)."""
    return re.sub(r"[^-\w.]", "", same(stem).strip().replace(" ", "_"))


def _common_ending(labels: Sequence[Sequence[str]], images: Collection[str]) -> str:
    """Returns the ending, such as `_mask`, that all labels add to names of images; empty if there is none.

    A label has several names: see `_readings`.
    """
    for first in labels[0]:
        for length in range(len(first) - 1, 0, -1):
            ending = first[length:]
            if ending[0].isdigit():  # otherwise 10 and 20 would match 1 and 2
                continue
            if all(any(n.endswith(ending) and n.removesuffix(ending) in images for n in names) for names in labels):
                return ending
    return ""
