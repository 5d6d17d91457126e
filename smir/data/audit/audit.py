"""Checks every file of a dataset: what `check` reports."""

import contextlib
import dataclasses
import hashlib
import warnings
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from smir.classes import UInt8
from smir.data.audit.expected import Expected, expected_counts
from smir.data.audit.overlaps import Overlap, find_overlaps, find_unpaired
from smir.data.audit.own import Seen, own_notes, own_problems
from smir.data.base import SmirDataModule
from smir.data.folder import Folder
from smir.data.published import PublishedDataset
from smir.data.reading.decode import read_image, read_label
from smir.data.reading.image_files import list_images
from smir.data.reading.jpeg_damage import damaged_jpegs
from smir.data.reading.listing import Pair
from smir.data.reading.lists import SPLITS
from smir.data.reading.misplaced import look
from smir.data.reading.parallel import in_parallel
from smir.data.reading.safe_open import MAX_ASPECT
from smir.errors import DataError, SmirError

LISTS = ("pool", *SPLITS)
_INCOMPLETE = ("SugarBeets",)
"""Published without some partners of a frame (METHOD.md section 8); elsewhere a label without an image is an error."""
_STRIP = f"one side is more than {MAX_ASPECT} times the other, which makes a whole view too large; cut it into tiles"


class Problem(NamedTuple):
    """A heading, such as `unreadable files`, and the problem with the name of the file."""

    kind: str
    text: str


@dataclasses.dataclass
class Facts:
    """Facts about an image and its label.

    Attributes:
        size: Height and width of the image; None if it cannot be read.
        digest: Hash of the decoded pixels; None if it cannot be read or has a single colour, as no-data tiles do.
        stored: Pixels by stored value of the label.
        classes: Pixels by class of the label, void at 255; empty if it holds an illegal value.
        seen: Possible oddities of the two.
        problems: Errors in the two.
    """

    size: tuple[int, int] | None = None
    digest: bytes | None = None
    stored: dict[int, int] = dataclasses.field(default_factory=dict)
    classes: dict[int, int] = dataclasses.field(default_factory=dict)
    seen: Seen = dataclasses.field(default_factory=Seen)
    problems: list[Problem] = dataclasses.field(default_factory=list)


def examine(data: SmirDataModule, pair: Pair) -> Facts:
    """Decodes an image and, where there is one, its label."""
    facts = Facts()
    path = data.root / pair.image
    image = _attempt(lambda: read_image(path), path, facts)
    if image is not None:
        facts.size, facts.digest = image.shape[:2], _digest(image)
        if isinstance(data, Folder):
            facts.seen.look = look(path, image)
            _attempt(lambda: data.check_predicted(path), path, facts)
            _attempt(lambda: facts.seen.see_tiff(path), path, facts)
        if min(facts.size) < data.min_side:
            text = f"{path} is {_shape(facts.size)}; data.min_side is {data.min_side}"
            facts.problems.append(Problem("images that are too small", text))
        if max(facts.size) > MAX_ASPECT * min(facts.size):
            facts.problems.append(Problem("images that are strips", f"{path} is {_shape(facts.size)}; {_STRIP}"))
    if pair.label:
        _examine_label(data, pair, facts)
    return facts


def _examine_label(data: SmirDataModule, pair: Pair, facts: Facts) -> None:
    path = data.root / pair.label
    stored = _attempt(lambda: read_label(path), path, facts)
    if stored is None:
        return
    if facts.size is not None and facts.size != stored.shape:
        text = f"{path} is {_shape(stored.shape)}, its image {data.root / pair.image} is {_shape(facts.size)}"
        facts.problems.append(Problem("labels of another size than their image", text))
    facts.stored = _count(stored)
    if len(data.classes):
        try:
            ids = data.decode_label(stored, path)
        except DataError as error:
            facts.problems.append(Problem("illegal label values", str(error)))
            return
        facts.classes = _count(ids)
        if isinstance(data, Folder) and facts.size is not None:
            _attempt(lambda: facts.seen.see_label(data.root / pair.image, path, stored, ids), path, facts)
            _attempt(lambda: facts.seen.see_tiff(path, is_label=True), path, facts)


def legal(data: SmirDataModule, value: int) -> int | None:
    """Class (or 255 for void) of a stored label value; None if it is illegal."""
    try:
        return int(data.decode_label(np.array([[value]], dtype=np.int32), Path())[0, 0])
    except DataError:
        return None


def _count(values: npt.NDArray[Any]) -> dict[int, int]:
    """Counts the pixels of each value."""
    if values.min() >= 0 and values.max() < 1 << 16:
        counts = np.bincount(values.ravel())  # many times faster than sorting
        return {int(value): int(counts[value]) for value in counts.nonzero()[0]}
    return dict(zip(*(part.tolist() for part in np.unique(values, return_counts=True)), strict=True))


def _attempt(read: Callable[[], Any], path: Path, facts: Facts) -> Any:
    """Calls a decoder. Any exception means that the file is damaged; the walk continues."""
    try:
        return read()
    except SmirError as error:
        facts.problems.append(Problem("unreadable files", str(error)))
    except Exception as error:  # libraries raise all kinds of errors on damaged files
        facts.problems.append(Problem("unreadable files", f"{path}: {type(error).__name__}: {error}"))
    return None


def _digest(image: UInt8) -> bytes | None:
    color = image[0, 0]
    if (image[0] == color).all() and (image == color).all():
        return None
    return hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16, key=repr(image.shape).encode()).digest()


def _shape(size: tuple[int, ...]) -> str:
    return " x ".join(map(str, reversed(size))) + " pixels"


@dataclasses.dataclass
class Audit:
    """All that was found.

    Attributes:
        expected: The published counts; None for a dataset that is not the paper's.
        folders: Images below each folder of `expected`.
        lists: Images and labels of the pool (without labels) and of the splits that could be listed.
        facts: Facts about every image of these lists and its label.
        overlaps: Images that two lists share.
        problems: All that is wrong.
        notes: Observations that are not errors; those without a kind are whole sentences.
    """

    expected: Expected | None
    folders: dict[str, int]
    lists: dict[str, list[Pair]]
    facts: dict[str, Facts]
    overlaps: list[Overlap]
    problems: list[Problem]
    notes: list[Problem]

    def sizes(self, name: str) -> Counter[tuple[int, int]]:
        """Counts the images of a list by height and width."""
        found = (self.facts[pair.image].size for pair in self.lists[name])
        return Counter(size for size in found if size is not None)

    def pixels(self, name: str, kind: str) -> Counter[int]:
        """Label pixels of a list by `stored` value or by class (`classes`)."""
        total: Counter[int] = Counter()
        for pair in self.lists[name]:
            total.update(getattr(self.facts[pair.image], kind))
        return total


def audit(data: SmirDataModule, threads: int | None = None) -> Audit:
    """Decodes every file of the pool and of all labelled splits, for any task, and compares their lists."""
    problems: list[Problem] = []
    notes: list[Problem] = []
    lists = _read_lists(data, problems, notes)
    walked = {pair.image: pair for name in lists for pair in lists[name]}
    unlisted = _check_partners(data, lists, problems, notes)
    if any(split not in lists for split in data.splits()):
        walked |= {pair.image: pair for pair in unlisted}  # a list that failed must not hide their defects
    pairs = list(walked.values())
    facts = dict(zip(walked, in_parallel(lambda pair: examine(data, pair), pairs, "Files", threads), strict=True))
    problems += [problem for found in facts.values() for problem in found.problems]
    readable = [data.root / image for image, found in facts.items() if found.size]
    for path, reason in damaged_jpegs(readable, threads).items():
        notes.append(Problem("JPEGs that are damaged, but can be decoded", f"{path} ({reason})"))
    if isinstance(data, Folder):
        seen = {pair: facts[pair.image].seen for pair in pairs}
        colors = () if data.label_map else data.classes.colors
        problems += [Problem(*found) for found in own_problems(data.root, colors, seen)]
        notes += [Problem(*found) for found in own_notes(data.root, data.classes.names, seen)]
    overlaps = find_overlaps(data, lists, {image: found.digest for image, found in facts.items()})
    for overlap in overlaps:
        between = f"images shared between {overlap.left} and {overlap.right}"
        problems += [Problem(between, f"{data.root / a}  =  {data.root / b}") for a, b in overlap.wrong]
    expected = None
    if isinstance(data, PublishedDataset) and getattr(data, "split_by", "frame") == "frame":  # blocks: counts not known
        expected = expected_counts(type(data).__name__, data.protocol, data.label_budget is not None)
    folders = {folder: _count_images(data.root, folder) for folder in (expected.files if expected else ())}
    return Audit(expected, folders, lists, facts, overlaps, problems, notes)


def _check_partners(
    data: SmirDataModule, lists: dict[str, list[Pair]], problems: list[Problem], notes: list[Problem]
) -> list[Pair]:
    """Reports labels without images and images without labels; returns the pairs that are on no list."""
    listed = [pair for name in lists for pair in lists[name] if pair.label]
    labels, images, unlisted = find_unpaired(data, listed)
    told = notes if type(data).__name__ in _INCOMPLETE else problems
    told += [Problem("labels without an image", str(data.root / label)) for label in labels]
    if not (isinstance(data, Folder) and data.partial_labels):  # it says that there are such images
        kind = "images beside the labelled ones without a label"
        notes += [Problem(kind, str(data.root / image)) for image in images]
    return unlisted


def _count_images(root: Path, folder: str) -> int:
    count = 0
    for path in root.glob(folder):
        with contextlib.suppress(DataError):  # it is empty
            count += len(list_images(path))
    return count


def _read_lists(data: SmirDataModule, problems: list[Problem], notes: list[Problem]) -> dict[str, list[Pair]]:
    """Makes all lists that can be made; one problem covers all lists that fail for the same reason."""
    lists: dict[str, list[Pair]] = {}
    failed: dict[str, list[str]] = {}
    readers: dict[str, Callable[[], list[Pair]]] = {"pool": lambda: [Pair(image, "") for image in data.pool()]}
    if data.has_labels:
        readers |= {split: partial(data.pairs, split) for split in data.splits()}
    else:
        notes.append(Problem("", "data.labels is not set: there are no labelled splits to check"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for name, read in readers.items():
            try:
                lists[name] = read()
            except DataError as error:
                failed.setdefault(str(error), []).append(name)
    warned = dict.fromkeys(str(warning.message) for warning in caught if issubclass(warning.category, UserWarning))
    notes += [Problem("", text) for text in warned]
    problems += [Problem("lists that cannot be made", f"{', '.join(names)}: {why}") for why, names in failed.items()]
    if "train" not in data.splits() and not lists.get("pool"):  # nothing is to train on these images
        lists.pop("pool", None)
    without = [name for name, pairs in lists.items() if not pairs]
    problems += [Problem("lists without an image", f"{name}, in {data.root.absolute()}") for name in without]
    return lists
