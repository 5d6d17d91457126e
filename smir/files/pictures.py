"""Writes pictures that are never half there."""

from pathlib import Path

from PIL import Image

from smir.files.atomic import replacing


def write_image(path: Path, image: Image.Image) -> None:
    """Writes a PNG so that a kill leaves no part of it."""
    with replacing(path) as file:
        image.save(file, format="PNG")
