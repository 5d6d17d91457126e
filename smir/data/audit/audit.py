"""A close look at every file of a dataset: what `check` reports."""

import dataclasses
import warnings
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from smir.data.audit.expected import Expected, expected_counts
from smir.data.audit.facts import Facts, Problem, examine, has_labels
from smir.data.audit.overlaps import Overlap, find_overlaps, find_unpaired
from smir.data.base import SmirDataModule
from smir.data.folder import Folder
from smir.data.published import PublishedDataset
from smir.data.reading.decode import list_images
from smir.data.reading.listing import Pair, Split
from smir.data.reading.parallel import in_parallel
from smir.errors import DataError

SPLITS: tuple[Split, ...] = ("train", "val", "test")
LISTS = ("pool", *SPLITS)
INCOMPLETE = ("SugarBeets",)
"""Published without some partners of a frame (METHOD.md section 8); elsewhere a label without an image is an error."""


@dataclasses.dataclass
class Audit:
    """All that was found.

    Attributes:
        expected: The published counts; None for a dataset that is not the paper's.
        folders: Images below each folder of `expected`.
        lists: Images and labels of the pool (without labels) and of the splits that could be listed.
        facts: What every image of these lists and its label hold.
        overlaps: Images that two lists share.
        problems: All that is wrong.
        notes: What is worth knowing, but not wrong; those without a kind stand for themselves.
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
    """Decodes every file of the pool and of all labelled splits, for any task, and compares their lists.

    Args:
        data: The dataset.
        threads: Files to decode at a time; default: by the cores.
    """
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
    overlaps = find_overlaps(data, lists, {image: found.digest for image, found in facts.items()})
    for overlap in overlaps:
        if overlap.wrong:
            between = f"images shared between {overlap.left} and {overlap.right}"
            problems += [Problem(between, f"{data.root / a}  =  {data.root / b}") for a, b in overlap.wrong]
    expected = _expected(data)
    folders = {folder: _count_images(data.root, folder) for folder in (expected.files if expected else ())}
    return Audit(expected, folders, lists, facts, overlaps, problems, notes)


def _check_partners(
    data: SmirDataModule, lists: dict[str, list[Pair]], problems: list[Problem], notes: list[Problem]
) -> list[Pair]:
    """Tells of labels without images and images without labels; returns the pairs that are on no list."""
    listed = [pair for name in lists for pair in lists[name] if pair.label]
    labels, images, unlisted = find_unpaired(data, listed)
    told = notes if type(data).__name__ in INCOMPLETE else problems
    told += [Problem("labels without an image", str(data.root / label)) for label in labels]
    if not (isinstance(data, Folder) and data.partial_labels):  # which says that it has such
        kind = "images beside the labelled ones without a label"
        notes += [Problem(kind, str(data.root / image)) for image in images]
    return unlisted


def _expected(data: SmirDataModule) -> Expected | None:
    if not isinstance(data, PublishedDataset):
        return None
    return expected_counts(type(data).__name__, data.protocol, data.label_budget is not None)


def _count_images(root: Path, folder: str) -> int:
    count = 0
    for path in root.glob(folder):
        try:
            count += len(list_images(path))
        except DataError:  # it is empty
            continue
    return count


def _read_lists(data: SmirDataModule, problems: list[Problem], notes: list[Problem]) -> dict[str, list[Pair]]:
    """Makes all lists that can be made; one problem tells of all lists that fail for the same reason."""
    lists: dict[str, list[Pair]] = {}
    failed: dict[str, list[str]] = {}
    readers: dict[str, Callable[[], list[Pair]]] = {"pool": lambda: [Pair(image, "") for image in data.pool()]}
    if has_labels(data):
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
    for name in [name for name, pairs in lists.items() if not pairs]:
        problems.append(Problem("lists without an image", f"{name}, in {data.root.absolute()}"))
    return lists
