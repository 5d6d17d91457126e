"""Measures the disk space of fixed masks."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.datasets import photograph
from benchmarks.measure import Row
from benchmarks.plain import write_masked_image
from smir.method.mask_table import MaskTable
from smir.method.masking import RandomMask
from smir.method.patches import PatchGrid
from smir.runs.mask_files import save_masks
from smir.seeding import generator_for

IMAGES = 2500  # a stage of Cityscapes


def rows() -> Iterator[Row]:
    """Bytes of a mask, against an image file per image and stage."""
    grid = PatchGrid(256, 256)
    masks = [RandomMask()(grid=grid, generator=generator_for(0, "policy", 1, index)) for index in range(IMAGES)]
    with tempfile.TemporaryDirectory(prefix="smir-bench-") as folder:
        file = Path(folder, "stage-01.npz")
        save_masks(file, MaskTable.pack(range(1, 10 * IMAGES, 10), [grid] * IMAGES, masks, 512))
        plain = write_masked_image(photograph((256, 256), 0), grid, masks[0], Path(folder, "masked.png"))
        size = file.stat().st_size / IMAGES
    note = f"{IMAGES} images of {len(grid)} patches; a masked image as a PNG file takes {plain:,} bytes"
    yield Row("masks on disk, an image and stage", "any", size, 64, "at most", "bytes", note=note)
