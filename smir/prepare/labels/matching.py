"""Finds the image of each label by its name; folders and suffixes are ignored unless names clash."""

import itertools
import re
import shlex
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TypeVar
from urllib.parse import unquote, unquote_plus

from smir.data.reading.image_files import IMAGE_SUFFIXES, OTHER_PICTURES
from smir.data.reading.lists import stem as without_suffix
from smir.errors import ConfigError, DataError, first_few
from smir.files.names import composed

_ROBOFLOW = re.compile(r"(.+?)(?:_(?:jpe?g|png|tiff?|bmp|webp))+\.rf\.\w+", re.IGNORECASE)
"""`IMG_1.JPG` becomes `IMG_1_JPG.rf.<hash>.jpg`."""
_LABEL_STUDIO = re.compile(r"[0-9a-f]{8}-(.+)")
"""`IMG_1.JPG` becomes `<8 hex digits>-IMG_1.JPG`, and `a (1).JPG` `<8 hex digits>-a_1.JPG`."""

Named = TypeVar("Named")
_EXAMPLE = "'{}_image.png={}_annotation.png'"
_MERGE = "merge them into one mask with a value for each class."
_SAMPLED = 50
"""Labels, images and differences that are looked at to find how names differ."""


class ImageNames:
    """Images to match with labels: their paths, with forward slashes, and their folder, for messages."""

    def __init__(self, names: Iterable[str], folder: Path) -> None:
        self.folder = folder
        self.names = list(names)
        self._by_stem = _grouped((_parts(name)[-1], name) for name in self.names)

    def find(self, label: str, change: Callable[[str], str] = str) -> str | None:
        """Returns the image with the name of a label after `change`; None if no image has it.

        If there are several, the one with the label's whole path is chosen, or else the one that shares the most
        folders with it. If the images have a folder of the label's name, such as that of a flight, only images in it
        count.

        Raises:
            DataError: If several images fit equally well.
        """
        for table, (*folders, own) in itertools.product((self._by_stem, self._by_plain), _readings(label)):
            parts = [*folders, change(own)]
            shared = {name: _common_end(parts, _parts(name)) for name in table.get(parts[-1], ())}
            if parts[-2:-1] and parts[-2] in self._folders:
                shared = {name: count for name, count in shared.items() if count > 1}
            best = [name for name, count in shared.items() if count == max(shared.values())]
            if exact := [name for name in best if _parts(name) == parts]:
                return exact[0]
            if len(best) > 1:
                raise DataError(
                    f"The label {label} may belong to {first_few(best)} in {self.folder.absolute()}. Keep the folders "
                    "in the labels' names, or give each image a different name."
                )
            if best:
                return best[0]
        return None

    def _find_named(self, stem: str, label: str) -> str | None:
        """Returns the image of that name which `find` would choose for a label."""
        return self.find(label, lambda _: stem)

    @cached_property
    def _folders(self) -> set[str]:
        """Names of the folders in which images lie."""
        return {parts[-2] for parts in map(_parts, self.names) if len(parts) > 1}

    @cached_property
    def _by_plain(self) -> dict[str, list[str]]:
        """Images whose own names are escaped, as after a download."""
        return _grouped((parts[-1], image) for image in self.names for parts in _readings(image)[1:])

    def match(self, labels: Iterable[str], where: Path, pair: "Pair | None" = None) -> dict[str, str]:
        """Finds the image of every label: by `pair`, or in the way that finds most (see docs/your-data.md).

        Args:
            labels: Names or paths of the labels.
            where: The source of the labels, for messages.
            pair: The option `--pair`.

        Returns:
            The label of every labelled image, in the order of the labels.

        Raises:
            DataError: If a label has no image, or an image has two labels.
        """
        labels = list(labels)
        images = self._images_of(labels, pair)
        found: dict[str, str] = {}
        missing: list[str] = []
        for label, image in images.items():
            if image is None:
                missing.append(label)
            elif (other := found.setdefault(image, label)) != label:
                raise DataError(
                    f"The image {image} has two labels in {where.absolute()}: {other} and {label}. "
                    + (_one_folder(where, other, label) or f"Keep one of them, or choose: --pair {_EXAMPLE}.")
                )
        if missing:
            several = None if pair else self._several_labels(labels, where)
            raise DataError(several or self._no_image(missing, len(labels), where, pair))
        return found

    def _images_of(self, labels: Sequence[str], pair: "Pair | None") -> dict[str, str | None]:
        """Returns the image of each label, or None; of several ways to read the names, that which finds most."""
        if pair is not None:
            by_key = {pair.image_key(name): _parts(name)[-1] for name in self.names}
            stems = {label: by_key.get(pair.label_key(label)) if pair.label_key(label) else None for label in labels}
            return {label: self._find_named(stem, label) if stem else None for label, stem in stems.items()}
        ending = _common_ending([[parts[-1] for parts in _readings(label)] for label in labels], self._by_stem)
        best = {label: self.find(label) for label in labels}
        if all(best.values()):
            return best
        short = (lambda name: name.removesuffix(ending), self._by_last_words(ending))
        for change in (*short, self._original, self._by_words(labels), self._by_number):
            other = {label: self.find(label, change) for label in labels}
            found, before = (len([*filter(None, images.values())]) for images in (other, best))
            if found == before == len(labels):
                self._refuse_two_readings(best, other)
            best = other if found > before else best
        return best

    def _refuse_two_readings(self, one: Mapping[str, str | None], other: Mapping[str, str | None]) -> None:
        """Refuses names that can be read in two ways, such as `1_mask_flip` beside images `1` and `1_flip`."""
        for label, image in one.items():
            if image and other[label] not in (None, image):
                raise DataError(
                    f"The label {label} may belong to {image} or to {other[label]} in {self.folder.absolute()}. Say "
                    f"how the names differ: --pair {_EXAMPLE}."
                )

    def _by_last_words(self, ending: str) -> Callable[[str], str]:
        """Shortens an ending to its last words if an image has them, too: `1_mask_flip` to `1_flip`."""
        tails = [ending[at:] for at in range(1, len(ending)) if not ending[at].isalnum()]

        def change(name: str) -> str:
            stem = name.removesuffix(ending)
            return next((stem + tail for tail in tails if stem + tail in self._by_stem), stem)

        return change

    def _by_words(self, labels: Sequence[str]) -> Callable[[str], str]:
        """Translates names that all differ from their images by the same words: `1_annotation` to `1_image`.

        This must hold for more than half of the labels, and for at least two; differing numbers do not count.
        """
        images = {stem: _words(stem) for stem in self._by_stem}
        named = [_words(_parts(unquote(label))[-1]) for label in labels]
        with_word = _grouped((word, words) for words in images.values() for word in set(words))
        differences: Counter[tuple[tuple[str, ...], tuple[str, ...]]] = Counter()
        for words in named[:_SAMPLED]:
            rarest = min((with_word[word] for word in words if word in with_word), key=len, default=[])
            differences.update({(_minus(words, of_image), _minus(of_image, words)) for of_image in rarest[:_SAMPLED]})
        ways: list[tuple[tuple[int, int], dict[tuple[str, ...], str], tuple[str, ...]]] = [
            ((len(labels) // 2, 0), {}, ())
        ]
        for (of_label, of_image), _ in differences.most_common(_SAMPLED):
            if any(word.isdigit() for word in (*of_label, *of_image)):
                continue
            keys = {stem: _without(words, of_image) for stem, words in images.items()}
            counts = Counter(keys.values())
            by_key = {key: stem for stem, key in keys.items() if key and counts[key] == 1}
            found = [key for words in named if (key := _without(words, of_label)) in by_key]
            if len(set(found)) > 1:
                fit = len(found), -len(of_label + of_image)  # of equally good ways, that which changes the fewest words
                ways.append((fit, {key: by_key[key] for key in found}, of_label))
        best, by_key, of_label = max(ways, key=lambda way: way[0])
        if any(fit == best and other != by_key for fit, other, _ in ways):  # such as colour and infrared images
            return lambda stem: stem
        return lambda stem: by_key.get(_without(_words(stem), of_label), stem)

    def _by_number(self, stem: str) -> str:
        """Returns the name of an image that differs only in leading zeros, `1` for `001`, if it is unique."""
        alike = self._by_short_number.get(_without_zeros(stem), ())
        return alike[0] if len(alike) == 1 else stem

    @cached_property
    def _by_short_number(self) -> dict[str, list[str]]:
        return _grouped((_without_zeros(stem), stem) for stem in self._by_stem)

    def _original(self, stem: str) -> str:
        """Returns the original name of an image that a tool renamed, if it is unique."""
        name = _before_upload(without_suffix(stem))
        alike = self._by_upload.get(name, ())
        return alike[0] if name not in self._by_stem and len(alike) == 1 else name

    @cached_property
    def _by_upload(self) -> dict[str, list[str]]:
        return _grouped((_uploaded(stem), stem) for stem in self._by_stem)

    def _several_labels(self, labels: Sequence[str], where: Path) -> str | None:
        """Returns a message if all labels add words to names of images, several to one: `1_crop`, `1_weed` to `1`."""
        of_image: dict[str, dict[str, str]] = {}
        for label in labels:
            stem = _parts(label)[-1]
            ends = ((stem[:at], f"{{}}{stem[at:]}") for at in range(len(stem) - 1, 0, -1) if not stem[at].isalnum())
            starts = ((stem[at:], f"{stem[:at]}{{}}") for at in range(1, len(stem)) if not stem[at - 1].isalnum())
            found = next((pair for pair in (*ends, *starts) if pair[0] in self._by_stem), None)
            if found is None:
                return None
            of_image.setdefault(found[0], {})[found[1]] = label
        stem, ways = max(of_image.items(), key=lambda item: len(item[1]))
        if len(ways) < 2:
            return None
        return (
            f"In {where.absolute()}, several labels belong to one image: {first_few(ways.values())} to "
            f"{self._by_stem[stem][0]}, perhaps one for each class. smir reads one label for each image. To use all, "
            f"{_MERGE} Or use one class: --pair {shlex.quote('{}=' + next(iter(ways)))}."
        )

    def _no_image(self, missing: list[str], count: int, where: Path, pair: "Pair | None") -> str:
        there = f"Images in {self.folder.absolute()} look like: {first_few(self.names)}."
        if len(missing) == count:
            return (
                f"None of the {count} labels in {where.absolute()} has the name of an image. Labels look like: "
                f"{first_few(missing)}. {there} Say how the names differ: "
                f"--pair {repr(pair.text) if pair else _EXAMPLE}. Or check that the two folders belong together."
            )
        stems = {parts[-1] for label in missing for parts in _readings(label)}
        others = (path for path in self.folder.rglob("*") if path.suffix.lower() in OTHER_PICTURES)
        unread = sorted(path.name for path in others if composed(path.stem) in stems)
        hint = f" Convert {first_few(unread)} to JPEG or PNG, because smir cannot read them." if unread else ""
        return (
            f"{len(missing)} of {count} labels in {where.absolute()} have no image: {first_few(missing)}. {there}{hint}"
            " Add the images, or remove these labels."
        )


def _one_folder(where: Path, one: str, other: str) -> str:
    """Returns what to do about labels of one name in two folders, which may be one for each class; else nothing."""
    paths = [PurePosixPath(composed(label)) for label in (one, other)]
    if paths[0].parent == paths[1].parent or paths[0].name != paths[1].name or not where.is_dir():
        return ""
    folder = shlex.quote(str(where / max(path.parent for path in paths)))
    return f"If each folder has one class: {_MERGE} Or use one class: --labels {folder}."


class Pair:
    """The option `--pair IMAGE=LABEL`: how names of images and labels differ, with `{}` for what they share.

    Args:
        text: Such as `{}_image.png={}_annotation.png`; suffixes may be left out.

    Raises:
        ConfigError: If it is not of this form.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        image, _, label = text.partition("=")
        if not image.count("{}") == label.count("{}") > 0 or "=" in label:
            raise ConfigError(f"--pair is IMAGE=LABEL, such as {_EXAMPLE}, with {{}} for what is equal; got {text!r}.")
        if "/" in text or "\\" in text:
            raise ConfigError(
                f"--pair compares names of files without their folders, so it cannot hold a slash: {text!r}. If images "
                "and labels only differ in their folders, leave out --pair, and give each folder."
            )
        self._image, self._label = image, label

    def image_key(self, name: str) -> tuple[str, ...] | None:
        """Returns what stands for `{}` in the name of an image; None if the name does not fit."""
        return _held(self._image, name)

    def label_key(self, name: str) -> tuple[str, ...] | None:
        """Returns what stands for `{}` in the name of a label; None if the name does not fit."""
        return _held(self._label, name)

    def labels_among(self, names: Sequence[str]) -> list[str]:
        """Returns the names that fit labels; only those with an image, if images are among the names."""
        fitting = [name for name in names if self.label_key(name)]
        images = {self.image_key(name) for name in names}
        return [name for name in fitting if self.label_key(name) in images] or fitting


def _held(pattern: str, name: str) -> tuple[str, ...] | None:
    name = PurePosixPath(composed(name)).name
    if without_suffix(pattern) == pattern:
        name = without_suffix(name)
    expression = "(.+)".join(map(re.escape, composed(pattern).split("{}")))
    match = re.fullmatch(expression, name, re.IGNORECASE | re.DOTALL)
    return match.groups() if match else None


def renaming_notes(found: Mapping[str, str]) -> list[str]:
    """Returns a note if labels have other names than their images; `found` comes from `ImageNames.match`."""
    other = [(label, image) for image, label in found.items() if _parts(label)[-1] != _parts(image)[-1]]
    return [f"Labels have other names than their images: {other[0][0]} is taken for {other[0][1]}."] if other else []


def _grouped(pairs: Iterable[tuple[str, Named]]) -> dict[str, list[Named]]:
    """Returns the second values of pairs by the first."""
    groups: dict[str, list[Named]] = {}
    for key, value in pairs:
        groups.setdefault(key, []).append(value)
    return groups


def _parts(name: str) -> list[str]:
    path = PurePosixPath(composed(name).replace("\\", "/"))
    return [*path.parts[:-1], without_suffix(path.name)]


def _readings(label: str) -> list[list[str]]:
    """Returns the parts of a label's path as stored, then without what links and raw pictures add to a name."""
    path, _, query = label.partition("?")
    local = re.search(r"(?:^|&)d=([^&]+)", query)  # Label Studio: /data/local-files/?d=photos/IMG_1.JPG
    plain = local[1] if local else path if without_suffix(path) != path else label
    names = [label, plain, unquote(plain), unquote(unquote(plain))]  # links in links are escaped twice
    names += [unquote_plus(plain), unquote(plain, "latin-1")]
    names += [PurePosixPath(name).stem for name in names if name.lower().endswith(OTHER_PICTURES)]
    return [_parts(name) for name in dict.fromkeys(names)]


def _common_end(one: Sequence[str], other: Sequence[str]) -> int:
    pairs = zip(reversed(one), reversed(other), strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def before_roboflow(name: str) -> str | None:
    """Returns the name, without folders and suffix, that an image had before Roboflow renamed it, else None."""
    match = _ROBOFLOW.fullmatch(_parts(name)[-1])
    return match[1] if match else None


def _before_upload(stem: str) -> str:
    """Returns the name without suffix that an image had before Roboflow or Label Studio renamed it."""
    match = _ROBOFLOW.fullmatch(stem) or _LABEL_STUDIO.fullmatch(stem)
    return match[1] if match else stem


def _uploaded(stem: str) -> str:
    """Returns the name in Label Studio: spaces become `_`, special characters go (Django's `get_valid_filename`)."""
    return re.sub(r"[^-\w.]", "", composed(stem).strip().replace(" ", "_"))


def _without_zeros(stem: str) -> str:
    """Returns a name without zeros before its whole numbers."""
    return re.sub(r"(?<![\d.])0+(?=\d)", "", stem)


def _words(stem: str) -> tuple[str, ...]:
    """Returns the words and numbers of a name, without image suffixes."""
    parts = re.findall(r"[^\W_]+", stem.casefold())
    split = [re.fullmatch(r"(\D*)(\d+)|(\d+)(?!\d*bit)(\D+)", part) for part in parts]
    words = [word for part, match in zip(parts, split, strict=True) for word in (match.groups() if match else [part])]
    return tuple(word for word in words if word and f".{word}" not in IMAGE_SUFFIXES)


def _minus(one: Sequence[str], other: Sequence[str]) -> tuple[str, ...]:
    return tuple((Counter(one) - Counter(other)).elements())


def _without(words: Sequence[str], dropped: Sequence[str]) -> tuple[str, ...]:
    """Returns the other words, in their order; nothing if one to drop is missing."""
    left = list(words)
    for word in dropped:
        if word not in left:
            return ()
        del left[len(left) - 1 - left[::-1].index(word)]  # the last one
    return tuple(left)


def _common_ending(labels: Sequence[Sequence[str]], images: Collection[str]) -> str:
    """Returns the ending, such as `_mask`, that most labels add to names of images; empty if most add nothing.

    A label has several names: see `_readings`.
    """
    endings = Counter(
        ending
        for stems in labels
        for ending in {
            stem[length:]
            for stem in stems
            for length in range(1, len(stem))
            if not stem[length].isdigit() and stem[:length] in images  # otherwise 10 and 20 would match 1 and 2
        }
    )
    ending, count = max(endings.items(), key=lambda item: (item[1], -len(item[0])), default=("", 0))
    return ending if 2 * count > len(labels) else ""
