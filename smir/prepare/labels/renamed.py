"""What annotation tools make of the names of images."""

import re
from collections.abc import Collection, Iterable

from smir.files.names import same

_ROBOFLOW = re.compile(r"(.+?)(?:_(?:jpe?g|png|tiff?|bmp|webp))+\.rf\.\w+", re.IGNORECASE)
"""`IMG_1.JPG` becomes `IMG_1_JPG.rf.<hash>.jpg`."""
_LABEL_STUDIO = re.compile(r"[0-9a-f]{8}-(.+)")
"""`IMG_1.JPG` becomes `<8 hex digits>-IMG_1.JPG`, and `a (1).JPG` `<8 hex digits>-a_1.JPG`."""


def before_upload(stem: str) -> str:
    """The name without suffix that an image had before Roboflow or Label Studio took it in."""
    match = _ROBOFLOW.fullmatch(stem) or _LABEL_STUDIO.fullmatch(stem)
    return match[1] if match else stem


def uploaded(stem: str) -> str:
    """The name as Label Studio keeps it: blanks become `_`, and other signs go (Django's `get_valid_filename`)."""
    return re.sub(r"[^-\w.]", "", same(stem).strip().replace(" ", "_"))


def common_ending(stems: Collection[str], images: Iterable[str]) -> str:
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
