"""What a pixel of a mask means, where its number alone does not tell."""

import numpy as np
import pytest
from fakes import photo
from PIL import Image

IDS = np.repeat(np.repeat(np.arange(12).reshape(3, 4) % 3, 16, axis=0), 16, axis=1).astype(np.uint8)


@pytest.fixture
def field(tmp_path):
    """Writes one photograph for each mask, and returns a reader of the mask that was made."""
    (tmp_path / "labels").mkdir()
    (tmp_path / "photos").mkdir()
    for name in "abc":
        Image.fromarray(photo(name, IDS.shape)).save(tmp_path / f"photos/{name}.png")
    return lambda name: np.asarray(Image.open(tmp_path / f"field/masks/{name}.png"))


WORDS = ("prepare", "folder", "--images=photos", "--labels=labels")


def test_palettes_that_differ_are_read_by_colour(smir, fails, tmp_path, field):
    colors = np.array([(0, 0, 0), (0, 200, 0), (220, 0, 0)], np.uint8)
    for name, order in zip("abc", ([0, 1, 2], [2, 0, 1], [0, 1, 2]), strict=True):
        picture = Image.fromarray(np.argsort(order).astype(np.uint8)[IDS])
        picture.putpalette(colors[order].tobytes())
        picture.save(tmp_path / f"labels/{name}.png")
    said = fails(*WORDS, "--classes=[background, crop, weed]")
    assert "[background=#000000, crop=#00c800, weed=#dc0000]" in said
    smir(*WORDS, "--classes=[background=#000000, crop=#00c800, weed=#dc0000]")
    assert all((field(name) == IDS).all() for name in "abc")


def test_bits_that_a_program_reduced_are_spread(smir, tmp_path, field):
    for name in "ab":
        Image.fromarray(255 * (IDS > 0).astype(np.uint8)).save(tmp_path / f"labels/{name}.png")
    Image.fromarray(IDS > 0).save(tmp_path / "labels/c.png")
    smir(*WORDS, "--classes=[background=0, plant=255]")
    assert all((field(name) == (IDS > 0)).all() for name in "abc")


def test_invisible_colours_are_no_classes(smir, fails, tmp_path, field):
    for name in "abc":
        alpha = np.where(IDS > 0, 255, 0).astype(np.uint8)
        Image.fromarray(np.dstack([IDS * 100 + 7, IDS * 0, IDS * 0, alpha])).save(tmp_path / f"labels/{name}.png")
    given = "crop=#6b0000, weed=#cf0000]"
    assert "background=transparent" in fails(*WORDS, f"--classes=[soil=#000000, {given}")
    smir(*WORDS, f"--classes=[soil=transparent, {given}")
    assert (field("a") == IDS).all()


def beside(tmp_path, kind):
    """Writes a label image among the photographs, as a dataset with labels of several splits has."""
    (tmp_path / "photos/val").mkdir()
    if kind == "grey":
        Image.fromarray(IDS).save(tmp_path / "photos/val/x.png")
    elif kind == "palette":
        picture = Image.fromarray(IDS)
        picture.putpalette([0, 0, 0, 0, 200, 0, 220, 0, 0])
        picture.save(tmp_path / "photos/val/x.png")
    elif kind == "empty":
        Image.fromarray(IDS * 0).save(tmp_path / "photos/val/x.png")
    else:
        Image.fromarray(np.dstack([IDS * 90] * 3)).save(tmp_path / "photos/val/a.png")


@pytest.mark.parametrize("kind", ["grey", "palette", "empty", "colours"])
def test_label_images_among_the_photographs_are_named(fails, tmp_path, field, kind):
    noise = np.random.default_rng(0).integers(0, 255, (*IDS.shape, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "photos/a.png")
    beside(tmp_path, kind)
    said = fails("prepare", "folder", "--images=photos")
    assert "1 of 4 images in" in said
    assert f"one channel or the name of a photograph: val/{'a' if kind == 'colours' else 'x'}.png" in said
