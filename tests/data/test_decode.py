import random
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from smir.data.reading.decode import image_size, read_image, read_label
from smir.data.reading.image_files import list_images
from smir.errors import DataError

HEIGHT, WIDTH = 40, 60
RGB = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
GREY = RGB[..., 0]
IDS16 = np.random.default_rng(1).choice([0, 1, 97, 255, 256, 10_000, 20_105, 65_535], (HEIGHT, WIDTH)).astype(np.uint16)

# By orientation tag: the displayed array from the stored one.
SHOWN = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}


def save(path, array, orientation=None, **options):
    if orientation is not None:
        options["exif"] = Image.Exif()
        options["exif"][0x0112] = orientation
    Image.fromarray(array).save(path, **options)
    return path


def palette_image(ids):
    image = Image.fromarray(ids)
    image.putpalette([channel for value in range(256) for channel in ((value * 7) % 256, 255 - value, value // 2)])
    return image


# Images


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
def test_rgb_is_read_exactly(tmp_path, suffix):
    image = read_image(save(tmp_path / f"image.{suffix}", RGB))
    assert image.dtype == np.uint8
    assert image.flags.writeable
    np.testing.assert_array_equal(image, RGB)


def test_grey_becomes_three_equal_channels(tmp_path):
    np.testing.assert_array_equal(read_image(save(tmp_path / "image.png", GREY)), np.stack([GREY] * 3, axis=-1))


def test_a_palette_image_is_read_as_its_colours(tmp_path):
    image = palette_image(GREY)
    image.save(tmp_path / "image.png")
    colours = np.array(image.getpalette(), dtype=np.uint8).reshape(-1, 3)
    np.testing.assert_array_equal(read_image(tmp_path / "image.png"), colours[GREY])


@pytest.mark.parametrize("channels", ["LA", "RGBA"])
def test_transparency_is_dropped(tmp_path, channels):
    alpha = np.random.default_rng(2).integers(0, 256, (HEIGHT, WIDTH, 1), np.uint8)
    colours = RGB if channels == "RGBA" else GREY[..., None]
    path = save(tmp_path / "image.png", np.concatenate([colours, alpha], axis=-1))
    assert Image.open(path).mode == channels
    np.testing.assert_array_equal(read_image(path), np.broadcast_to(colours, RGB.shape))


def test_cmyk_is_converted(tmp_path):
    path = tmp_path / "image.tif"
    Image.fromarray(RGB).convert("CMYK").save(path)
    assert np.abs(read_image(path).astype(int) - RGB).max() <= 2


def test_16_bit_grey_keeps_its_high_byte(tmp_path):
    path = save(tmp_path / "image.png", IDS16)
    np.testing.assert_array_equal(read_image(path), np.stack([(IDS16 // 256).astype(np.uint8)] * 3, axis=-1))


def test_the_first_frame_of_an_animation_is_read(tmp_path):
    path = tmp_path / "image.webp"
    frames = [Image.fromarray(RGB), Image.fromarray(255 - RGB)]
    frames[0].save(path, save_all=True, append_images=frames[1:], lossless=True)
    np.testing.assert_array_equal(read_image(path), RGB)


# Orientation (METHOD.md section 8)


@pytest.mark.parametrize("orientation", SHOWN)
@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
def test_images_are_read_in_their_displayed_orientation(tmp_path, suffix, orientation):
    options = {"lossless": True} if suffix == "webp" else {}
    path = save(tmp_path / f"image.{suffix}", RGB, orientation=orientation, **options)
    image = read_image(path)
    np.testing.assert_array_equal(image, SHOWN[orientation](RGB))
    assert image_size(path) == image.shape[:2]


@pytest.mark.parametrize("orientation", SHOWN)
def test_jpegs_are_read_in_their_displayed_orientation(tmp_path, orientation):
    stored = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    stored[:16, :24] = 255  # marks the top left corner, so that all orientations differ
    path = save(tmp_path / "image.jpg", stored, orientation=orientation, quality=95)
    image = read_image(path)
    np.testing.assert_array_equal(image > 127, SHOWN[orientation](stored) > 127)
    assert image_size(path) == image.shape[:2]


@pytest.mark.parametrize("orientation", SHOWN)
@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("ids", [GREY, IDS16], ids=["8 bit", "16 bit"])
def test_labels_are_read_in_their_displayed_orientation(tmp_path, ids, suffix, orientation):
    path = save(tmp_path / f"label.{suffix}", ids, orientation=orientation)
    np.testing.assert_array_equal(read_label(path), SHOWN[orientation](ids))


def test_a_palette_label_with_an_orientation_keeps_its_indices(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    palette_image(GREY).save(tmp_path / "label.png", exif=exif)
    np.testing.assert_array_equal(read_label(tmp_path / "label.png"), SHOWN[6](GREY))


@pytest.mark.parametrize("orientation", [0, 9])
def test_an_invalid_orientation_is_ignored(tmp_path, orientation):
    path = save(tmp_path / "image.png", RGB, orientation=orientation)
    np.testing.assert_array_equal(read_image(path), RGB)
    assert image_size(path) == (HEIGHT, WIDTH)


@pytest.mark.parametrize("kind", ["grey", "palette", "16 bit", "alpha"])
def test_the_size_in_the_header_equals_that_of_the_decoded_image(tmp_path, kind):
    path = tmp_path / "image.png"
    images = {
        "grey": Image.fromarray(GREY),
        "palette": palette_image(GREY),
        "16 bit": Image.fromarray(IDS16),
        "alpha": Image.fromarray(RGB).convert("RGBA"),
    }
    images[kind].save(path)
    assert image_size(path) == read_image(path).shape[:2] == (HEIGHT, WIDTH)


# Labels


def test_a_palette_label_gives_indices_not_colours(tmp_path):
    palette_image(GREY).save(tmp_path / "label.png")
    label = read_label(tmp_path / "label.png")
    assert label.dtype == np.int32
    np.testing.assert_array_equal(label, GREY)


def test_16_bit_ids_are_read_exactly(tmp_path):
    label = read_label(save(tmp_path / "label.png", IDS16))
    assert label.dtype == np.int32
    np.testing.assert_array_equal(label, IDS16)


def test_8_bit_ids_are_read_exactly(tmp_path):
    np.testing.assert_array_equal(read_label(save(tmp_path / "label.png", GREY)), GREY)


def test_a_one_bit_label_is_read_as_0_and_1(tmp_path):
    path = tmp_path / "label.png"
    Image.fromarray(GREY > 127).save(path)
    np.testing.assert_array_equal(read_label(path), GREY > 127)


@pytest.mark.parametrize("bits", [2, 4])
def test_grey_labels_of_few_bits_keep_their_ids(tmp_path, bits):
    """libpng and Pillow stretch such values over 0 to 255, which would turn the last class into void."""
    ids = np.arange(8 * 16).reshape(8, 16) % 2**bits
    stored = ids.reshape(8, -1, 8 // bits)
    rows = (stored << np.arange(8 - bits, -1, -bits)).sum(axis=-1).astype(np.uint8)

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 16, 8, bits, 0, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    path = tmp_path / "label.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b""))
    np.testing.assert_array_equal(read_label(path), ids)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_a_label_of_colours_is_refused(tmp_path, mode):
    path = tmp_path / "label.png"
    Image.fromarray(RGB).convert(mode).save(path)
    with pytest.raises(DataError, match=rf"label\.png has mode {mode} \({len(mode)} channels\)"):
        read_label(path)


# Damaged and wrong files


@pytest.mark.parametrize("content", [b"", b"\n", b"this is a text\n" * 20], ids=["empty", "newline", "text"])
@pytest.mark.parametrize("read", [read_image, read_label, image_size])
def test_files_that_are_not_images_are_named(tmp_path, read, content):
    path = tmp_path / "picture.jpg"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"picture\.jpg \({len(content)} bytes\)"):
        read(path)


@pytest.mark.parametrize("read", [read_image, read_label, image_size])
def test_a_missing_file_is_named(tmp_path, read):
    with pytest.raises(DataError, match=r"gone\.png does not exist"):
        read(tmp_path / "gone.png")


@pytest.mark.parametrize("read", [read_image, read_label, image_size])
def test_a_folder_named_like_an_image_is_named(tmp_path, read):
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(DataError, match=r"folder\.png"):
        read(tmp_path / "folder.png")


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "bmp", "webp"])
def test_truncated_images_are_refused(tmp_path, suffix):
    array = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    path = save(tmp_path / f"image.{suffix}", array)
    whole = path.read_bytes()
    for length in range(0, len(whole) * 9 // 10, max(1, len(whole) // 40)):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=rf"image\.{suffix}"):
            read_image(path)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_truncated_labels_are_refused(tmp_path, suffix):
    path = save(tmp_path / f"label.{suffix}", IDS16)
    whole = path.read_bytes()
    for length in range(0, len(whole) * 9 // 10, max(1, len(whole) // 40)):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=rf"label\.{suffix}"):
            read_label(path)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "bmp", "webp"])
def test_damaged_files_raise_only_data_errors(tmp_path, suffix):
    options = {} if suffix == "bmp" else {"orientation": 6}
    path = save(tmp_path / f"image.{suffix}", RGB, **options)
    whole = path.read_bytes()
    chance = random.Random(0)
    messages = []
    for _ in range(60):
        damaged = bytearray(whole)
        for _ in range(4):
            damaged[chance.randrange(min(len(whole), 200))] = chance.randrange(256)  # where headers are
        path.write_bytes(damaged)
        for read in (image_size, read_image, read_label):
            try:
                read(path)
            except DataError as error:
                messages.append(str(error))
    assert len(messages) > 10
    assert all(path.name in message for message in messages)


# Folders


def test_images_are_listed_below_a_folder_sorted(tmp_path):
    names = [
        "b.PNG",
        "a.jpg",
        "A.JPEG",
        "deep/er/c.Tif",
        "deep/d.tiff",
        "e.bmp",
        "f.webp",
        "space in name.png",
        "ü名.jpg",
    ]
    others = ["notes.txt", ".hidden.png", "._a.jpg", ".folder/g.png", "deep/.cache/h.jpg", "png", "i.png.part"]
    for name in names + others:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert list_images(tmp_path) == sorted(names)


def test_names_with_spaces_and_unicode_can_be_read(tmp_path):
    path = save(tmp_path / "rübe 名 1.png", RGB)
    assert list_images(tmp_path) == [path.name]
    np.testing.assert_array_equal(read_image(path), RGB)


def test_circular_links_do_not_trap_the_walk(tmp_path):
    (tmp_path / "images" / "below").mkdir(parents=True)
    save(tmp_path / "images" / "below" / "a.png", RGB)
    (tmp_path / "images" / "below" / "up").symlink_to(tmp_path / "images")
    (tmp_path / "images" / "self").symlink_to("self")
    assert list_images(tmp_path / "images") == ["below/a.png"]


def test_links_to_images_are_listed(tmp_path):
    save(tmp_path / "a.png", RGB)
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "b.png").symlink_to(tmp_path / "a.png")
    assert list_images(tmp_path / "images") == ["b.png"]


def test_a_missing_folder_is_named_with_the_nearest_existing_one(tmp_path):
    (tmp_path / "data" / "imgs").mkdir(parents=True)
    with pytest.raises(DataError, match=rf"no folder .*/data/images/deep\. The nearest .* {tmp_path}/data, .*: imgs"):
        list_images(tmp_path / "data" / "images" / "deep")


def test_an_empty_folder_is_refused(tmp_path):
    (tmp_path / "notes.txt").touch()
    (tmp_path / ".a.png").touch()
    with pytest.raises(DataError, match=r"holds no image .*\.jpg"):
        list_images(tmp_path)
