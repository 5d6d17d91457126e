"""Images that two lists of a dataset share, by name or by content, and files without their partner."""

from collections.abc import Mapping, Sequence
from itertools import combinations, takewhile
from pathlib import PurePosixPath
from typing import NamedTuple

from smir.data.audit.expected import expected_counts
from smir.data.base import SmirDataModule
from smir.data.folder import Folder
from smir.data.published import PublishedDataset
from smir.data.reading.image_files import list_images
from smir.data.reading.listing import Pair
from smir.data.reading.lists import stem

Shared = list[tuple[str, str]]


class Overlap(NamedTuple):
    """The images that two lists share.

    Attributes:
        left: Name of one list.
        right: Name of the other.
        by_name: Images with the same `identity`.
        by_content: Images with the same pixels under different names.
        published: Number of images shared by name in the paper's protocol; None if it is unknown.
        reason: Why images may be shared; empty if they must not.
        wrong: The pairs that must not be shared.
    """

    left: str
    right: str
    by_name: Shared
    by_content: Shared
    published: int | None
    reason: str
    wrong: Shared


def find_overlaps(
    data: SmirDataModule, lists: Mapping[str, Sequence[Pair]], digests: Mapping[str, bytes | None]
) -> list[Overlap]:
    """Compares every two lists, by name and by the hashes (`digests`) of the decoded pixels.

    The hashes find a file that was stored again without loss, or that carries other metadata, but not a JPEG that was
    encoded again. Images of a single colour are not compared.
    """
    overlaps = []
    for left, right in combinations(lists, 2):
        ours, theirs = ([pair.image for pair in lists[name]] for name in (left, right))
        identities = {data.identity(image): image for image in theirs}
        by_name = [(image, identities[name]) for image in ours if (name := data.identity(image)) in identities]
        by_content = _same_content(data, ours, theirs, digests)
        published, reason, also_content = _rule(data, left, right)
        wrong = [*([] if reason else by_name), *([] if reason and also_content else by_content)]
        overlaps.append(Overlap(left, right, by_name, by_content, published, reason, wrong))
    return overlaps


def _same_content(
    data: SmirDataModule, left: Sequence[str], right: Sequence[str], digests: Mapping[str, bytes | None]
) -> Shared:
    by_digest: dict[bytes, list[str]] = {}
    for image in right:
        if (digest := digests[image]) is not None:
            by_digest.setdefault(digest, []).append(image)
    shared = []
    for image in left:
        twins = by_digest.get(digests[image] or b"", [])
        shared += [(image, twin) for twin in twins if data.identity(twin) != data.identity(image)][:1]
    return shared


def _rule(data: SmirDataModule, left: str, right: str) -> tuple[int | None, str, bool]:
    """Returns the paper's count, why the lists may share images (or ""), and whether they may under other names."""
    if (left, right) == ("pool", "train"):
        return None, "intended: pretraining on the labelled images", True
    if isinstance(data, PublishedDataset):
        if (left, right) == ("pool", "val"):
            return None, "intended: pretraining on the labelled images", True
        expected = expected_counts(type(data).__name__, data.protocol)
        published = expected.overlaps.get((left, right)) if expected else None
        if data.protocol == "paper" and (published or left == "pool"):
            return published, "expected: protocol `paper`", left == "pool"
        return published, "", False
    if isinstance(data, Folder) and left == "pool" and not data.hold_out:
        return None, "chosen: data.hold_out is false", True
    return None, "", False


def find_unpaired(data: SmirDataModule, pairs: Sequence[Pair]) -> tuple[list[str], list[str], list[Pair]]:
    """Finds the labels without an image, the images without a label, and the pairs that are on no list.

    The listed pairs show how labels match images: folders and name endings that differ in these pairs are expected to
    differ in the same way for all files of these folders.

    Returns:
        Labels, images, and pairs, as paths relative to the root.
    """
    labels_alone: list[str] = []
    images_alone: list[str] = []
    others: list[Pair] = []
    listed = set(pairs)
    for image_place, label_place in dict.fromkeys(_places(pair) for pair in pairs):
        images, labels = _files(data, *image_place), _files(data, *label_place)
        labels_alone += [labels[key] for key in labels if key not in images]
        images_alone += [images[key] for key in images if key not in labels]
        both = [Pair(images[key], labels[key]) for key in images if key in labels]
        others += [pair for pair in both if pair not in listed]
    return labels_alone, images_alone, others


def _places(pair: Pair) -> tuple[tuple[str, str], tuple[str, str]]:
    """Returns folder and name ending of images and of labels: what is left without the parts that both share."""
    image, label = PurePosixPath(pair.image), PurePosixPath(pair.label)
    image_folders, label_folders = list(image.parent.parts), list(label.parent.parts)
    while image_folders and label_folders and image_folders[-1] == label_folders[-1]:
        image_folders.pop()
        label_folders.pop()
    names = stem(image.name), stem(label.name)
    same = takewhile(lambda letters: letters[0] == letters[1], zip(*names, strict=False))
    common = len(list(same))
    return ("/".join(image_folders), names[0][common:]), ("/".join(label_folders), names[1][common:])


def _files(data: SmirDataModule, folder: str, ending: str) -> dict[str, str]:
    """Returns the images below a folder whose names have an ending, by their path below it without that ending."""
    keys = {name: stem(name) for name in list_images(data.root / folder)}
    return {key.removesuffix(ending): f"{folder}/{name}" for name, key in keys.items() if key.endswith(ending)}
