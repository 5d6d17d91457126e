"""Which image a label belongs to: both come with paths, of which the ends agree."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath

from smir.data.reading.lists import stem
from smir.errors import DataError, first_few
from smir.files.names import same

_ROBOFLOW = re.compile(r"(.+?)(?:_(?:jpe?g|png|tiff?|bmp|webp))+\.rf\.\w+", re.IGNORECASE)
"""`IMG_1.JPG` becomes `IMG_1_JPG.rf.<hash>.jpg`."""
_LABEL_STUDIO = re.compile(r"[0-9a-f]{8}-(.+)")
"""`IMG_1.JPG` becomes `<8 hex digits>-IMG_1.JPG`, and `a (1).JPG` `<8 hex digits>-a_1.JPG`."""


class ImageNames:
    """The images that labels may belong to.

    Args:
        names: Paths relative to their folder, with forward slashes.
        folder: The folder, for messages.
    """

    def __init__(self, names: Iterable[str], folder: Path) -> None:
        self.folder = folder
        self.names = list(names)
        self._by_stem: dict[str, list[str]] = {}
        for name in self.names:
            self._by_stem.setdefault(_parts(name)[-1], []).append(name)

    def find(self, label: str, parts: Sequence[str] = ()) -> str | None:
        """The image of that name, without regard to the suffix, or None.

        Of several in different folders it is the one that shares the most folders with the label's own path.

        Args:
            label: Name or path of the label.
            parts: Folders and name to look for, if they are not those of the label.

        Raises:
            DataError: If several share equally many.
        """
        parts = parts or _parts(label)
        shared = {name: _common_end(parts, _parts(name)) for name in self._by_stem.get(parts[-1], ())}
        best = [name for name, count in shared.items() if count == max(shared.values())]
        if len(best) > 1:
            raise DataError(
                f"The label {label} may belong to {first_few(best)} in {self.folder.absolute()}. Keep the folders in "
                "the labels' names, or give each image a name of its own."
            )
        return best[0] if best else None

    def match(self, labels: Iterable[str], where: Path) -> dict[str, str]:
        """Finds the image of every label.

        If none has the name of an image, names are taken without what annotation tools add.

        Args:
            labels: Names or paths of the labels.
            where: Where they come from, for messages.

        Returns:
            The label of every image that has one, in the order of the labels.

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
        parts = {label: _parts(label) for label in labels}
        ending = _common_ending([names[-1] for names in parts.values()], self._by_stem)
        change = (lambda stem: stem.removesuffix(ending)) if ending else self._original
        return {label: self.find(label, [*names[:-1], change(names[-1])]) for label, names in parts.items()}

    def _original(self, stem: str) -> str:
        """What a tool took in under that name; of two images that it would call alike neither."""
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
                f"{first_few(missing)}. {there} Names must be the same but for folders and suffix: rename one side, "
                "or check that the two folders belong together."
            )
        return (
            f"{len(missing)} of {count} labels in {where.absolute()} have no image: {first_few(missing)}. {there} Add "
            "the images, or remove these labels."
        )


def told_apart(found: Mapping[str, str]) -> list[str]:
    """What to say where labels have other names than their images.

    Args:
        found: The label of every image, of `ImageNames.match`.
    """
    other = [(label, image) for image, label in found.items() if _parts(label)[-1] != _parts(image)[-1]]
    return [f"Labels have other names than their images: {other[0][0]} is taken for {other[0][1]}."] if other else []


def _parts(name: str) -> list[str]:
    path = PurePosixPath(same(name).replace("\\", "/"))
    return [*path.parts[:-1], stem(path.name)]


def _common_end(one: Sequence[str], other: Sequence[str]) -> int:
    count = 0
    for mine, theirs in zip(reversed(one), reversed(other), strict=False):
        if mine != theirs:
            break
        count += 1
    return count


def _before_upload(stem: str) -> str:
    """The name without suffix that an image had before Roboflow or Label Studio took it in."""
    match = _ROBOFLOW.fullmatch(stem) or _LABEL_STUDIO.fullmatch(stem)
    return match[1] if match else stem


def _uploaded(stem: str) -> str:
    """The name as Label Studio keeps it: blanks become `_`, and other signs go (Django's `get_valid_filename`)."""
    return re.sub(r"[^-\w.]", "", same(stem).strip().replace(" ", "_"))


def _common_ending(stems: Collection[str], images: Iterable[str]) -> str:
    """What all labels have behind the name of an image, such as `_mask`; empty if there is no such thing.

    Args:
        stems: Names of labels without suffix, at least one.
        images: Names of images without suffix.
    """
    images = set(images)
    first = next(iter(stems))
    for length in range(len(first) - 1, 0, -1):
        ending = first[length:]
        if ending[0].isdigit():  # else 10, 20 would be taken for 1, 2
            continue
        if all(stem.endswith(ending) and stem.removesuffix(ending) in images for stem in stems):
            return ending
    return ""
