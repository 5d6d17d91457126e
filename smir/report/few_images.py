"""A word of care where figures rest on few test images."""

FEW = 20
"""Test images below which it is said: of so few, one that goes well or badly moves mIoU by points."""


def rests_on(images: int) -> str:
    """Says how many images: `4 images`, `1 image`."""
    return f"{images:,} image{'' if images == 1 else 's'}"


def care(images: int) -> str:
    """A sentence to put behind figures of so many test images; empty where they are enough."""
    if images >= FEW:
        return ""
    return f" So few test images (fewer than {FEW}) make rough figures: differences of a few points are chance."
