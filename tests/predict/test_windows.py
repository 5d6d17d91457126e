"""Windows give the logits of one pass over the whole image, for any layout of windows and any size."""

import functools
import io
import itertools
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
import torch
from fakes import photo
from networks import trained_like
from PIL import Image
from rasterio.errors import NotGeoreferencedWarning
from torch.nn import functional

from smir.classes import VOID, Classes
from smir.data.predict_options import PredictOptions
from smir.data.reading.opening import open_raster
from smir.data.reading.raster import ArrayRaster
from smir.errors import CheckpointError, ConfigError
from smir.method.preprocessing import Preprocessing
from smir.models.networks import UNetStride4
from smir.predict import sweep as sweep_module
from smir.predict.areas import Areas
from smir.predict.context import TOLERANCE, measure_context
from smir.predict.polygons.options import PolygonOptions
from smir.predict.polygons.product import RegionProducts
from smir.predict.predictor import WindowPredictor
from smir.predict.preview import Preview
from smir.predict.products import PalettePng
from smir.predict.segment import describe, plan, probabilities_of, segment_in_windows
from smir.predict.sweep import Sweep, Tile
from smir.predict.window_layout import OVERLAP, Side
from smir.terminal import quiet
from smir.training.segmentation import SegmentationModule


def network_with_statistics(encoder):
    torch.manual_seed(3)
    classes = Classes.named(["soil", "crop", "weed"])
    module = SegmentationModule(classes, network=lambda channels: UNetStride4(channels, encoder, [16, 16, 16])).eval()
    return trained_like(module)


@pytest.fixture(scope="module")
def module():
    return network_with_statistics("tu-test_resnet")


def assembled(sweep):
    """Puts all tiles together: logits (C, H, W) and pixels (H, W, 3)."""
    source = sweep.source
    logits = torch.full((3, source.height, source.width), float("nan"))
    pixels = np.zeros((source.height, source.width, 3), np.uint8)
    for tile in sweep:
        height, width = tile.valid.shape
        place = np.s_[tile.top : tile.top + height, tile.left : tile.left + width]
        assert logits[0][place].isnan().all(), "two tiles overlap"
        logits[(slice(None), *place)], pixels[place] = tile.logits, tile.pixels
    return logits, pixels


@torch.no_grad()
def one_pass(module, image, scale):
    """Returns the logits of the whole image in one pass, resized as a whole to the size of the image."""
    size = tuple(round(side * scale) for side in image.shape[:2])
    view = image if scale == 1 else cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR)
    logits = module(module.preprocessing.normalize(torch.from_numpy(view).permute(2, 0, 1)[None]))
    return functional.interpolate(logits, size=image.shape[:2], mode="bilinear")[0]


# At scales other than 1 the sizes are whole blocks, so that resizing the whole image has exactly the same scale.
@pytest.mark.parametrize(("scale", "size"), [(1, (701, 835)), (64 / 90, (1170, 1350)), (64 / 40, (520, 600))])
def test_windows_give_the_logits_of_one_pass(module, scale, size):
    image = photo("field", size)
    options = PredictOptions(window=640)
    with torch.no_grad():
        sweep, context = plan(ArrayRaster(image), module.logits, module.preprocessing, scale, options)
        logits, pixels = assembled(sweep)
    assert len(sweep) > 3
    assert context.is_bounded
    assert (pixels == image).all()
    expected = one_pass(module, image, scale)
    assert expected.std() > 0.05
    assert (logits - expected).abs().max() < TOLERANCE


def added_up(sweep, image, forward):
    """Reads, scales and enlarges each of the same windows at once, and adds up their logits over the image."""
    (rows, columns), unit = (sweep.rows, sweep.columns), sweep.rows.unit
    height, width = ((0, side.blocks * unit - side.length) for side in (rows, columns))
    image = np.pad(image, [height, width, (0, 0)], mode="reflect")
    total = torch.zeros(3, *image.shape[:2])
    for down, across in itertools.product(range(len(rows.starts)), range(len(columns.starts))):
        top, left = rows.starts[down] * unit, columns.starts[across] * unit
        place = np.s_[top : top + rows.window * unit, left : left + columns.window * unit]
        size = columns.window * 64, rows.window * 64
        view = image[place] if unit == 64 else cv2.resize(image[place], size, interpolation=cv2.INTER_LINEAR)
        logits = functional.interpolate(forward(view[None]), size=image[place].shape[:2], mode="bilinear")[0]
        total[(slice(None), *place)] += logits * ramp(rows, down)[:, None] * ramp(columns, across)
    return total[:, : rows.length, : columns.length]


def ramp(side, place):
    """Returns the weights of a window along a side."""
    blocks, span = torch.arange(side.window * side.unit) / side.unit + side.starts[place], side.span(place)
    rise = torch.sin((torch.arange(side.unit) + 0.5) / side.unit * torch.pi / 2) ** 2
    weights = ((blocks >= span.begin) & (blocks < span.end)).float()
    if place:
        weights[(blocks >= span.begin) & (blocks < span.begin + 1)] = rise
    if span.finish < span.end:
        weights[(blocks >= span.finish) & (blocks < span.end)] = 1 - rise
    return weights


def far_sighted():
    """Returns a cheap network whose output differs from pixel to pixel."""
    torch.manual_seed(1)
    layer = torch.nn.Conv2d(3, 3, 9, padding=4)
    return torch.no_grad()(lambda images: layer(torch.from_numpy(images).permute(0, 3, 1, 2) / 255))


@pytest.mark.parametrize("tile", [None, 100])
@pytest.mark.parametrize(
    ("unit", "size", "window"),
    [(64, (500, 330), 4), (128, (700, 900), 4), (40, (330, 210), 4), (1024, (1500, 1030), 2)],
)
def test_tiles_equal_windows_that_are_read_and_enlarged_at_once(unit, size, window, tile, monkeypatch):
    if tile:
        monkeypatch.setattr(sweep_module, "_SIDE", tile)
        monkeypatch.setattr(sweep_module, "_TALLEST", tile)
    image, forward = photo("field", size), far_sighted()
    rows, columns = (Side.of(side, unit, window, 1) for side in size)
    sweep = Sweep(ArrayRaster(image), forward, rows, columns, np.zeros(3, np.uint8), 2)
    logits, pixels = assembled(sweep)
    expected = added_up(sweep, image, forward)
    assert (pixels == image).all()
    assert (logits - expected).abs().max() < 1e-5
    if unit != 40:  # pixels of the network do not align with pixels of the image here, so numbers are rounded
        assert (logits.argmax(dim=0) == expected.argmax(dim=0)).all()


LAYOUTS = {
    "tiles": {"tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate"},
    "strips": {"blockysize": 100, "compress": "lzw"},
    "rows": {"blockysize": 1},
    "one strip": {"blockysize": 1200, "compress": "deflate"},
    "planar": {"tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "zstd", "interleave": "band"},
    "JPEG": {"tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "jpeg", "photometric": "ycbcr"},
}


def predicted(folder, layout, repeats):
    """Writes an image in some layout, predicts it at a scale of 1/16, and returns its pixels and labels."""
    image, path = np.tile(photo("field", (300, 500)), (*repeats, 1)), folder / "map.tif"
    size = {"height": image.shape[0], "width": image.shape[1], "count": 3, "dtype": "uint8", "photometric": "rgb"}
    with quiet(NotGeoreferencedWarning), rasterio.open(path, "w", driver="GTiff", **(size | LAYOUTS[layout])) as file:
        file.write(np.moveaxis(image, -1, 0))
    classes, regions = Classes.named(["soil", "crop", "weed"]), RegionProducts(PolygonOptions(), folder)
    options = PredictOptions(view="windows")
    predictor = WindowPredictor(far_sighted(), Preprocessing(), classes, 1 / 16, options, regions, progress=False)
    predictor.predict(path, path.name, folder / "labels")
    with Image.open(folder / "labels.png") as labels:
        return open_raster(path, folder).read(0, 0, *image.shape[:2])[0], np.asarray(labels)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layout_of_a_file_changes_nothing(layout, tmp_path):
    image, labels = predicted(tmp_path, layout, (4, 3))
    assert (labels == labels_in_one_go(image.tobytes(), *labels.shape)).all()


def test_memory_holds_no_whole_image(tmp_path):
    (tmp_path / "small").mkdir()
    predicted(tmp_path / "small", "tiles", (4, 3))  # imports and allocations that happen only once
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = kilobytes("VmHWM")
    _, labels = predicted(tmp_path, "strips", (10, 8))
    pixels = labels.size  # the test itself holds 12 bytes for each
    assert kilobytes("VmHWM") - before < 24 * pixels >> 10  # at once, the logits alone would take three times 12 bytes


@functools.cache  # all lossless layouts give the same
def labels_in_one_go(content, height, width):
    image, forward = np.frombuffer(content, np.uint8).reshape(height, width, 3), far_sighted()
    rows, columns = (Side.of(side, 1024, 16, 0) for side in (height, width))
    sweep = Sweep(ArrayRaster(image), forward, rows, columns, np.zeros(3, np.uint8), 1)
    return added_up(sweep, image, forward).argmax(dim=0).numpy()


def kilobytes(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


def test_windows_without_a_halo_differ_from_one_pass(module):
    """Otherwise the test above would prove nothing."""
    image = photo("field", (512, 640))
    rows, columns = (Side.of(side, 64, 4, 0) for side in image.shape[:2])
    sweep = Sweep(ArrayRaster(image), module.logits, rows, columns, np.zeros(3, np.uint8), 1)
    with torch.no_grad():
        logits, _ = assembled(sweep)
    assert (logits - one_pass(module, image, 1)).abs().max() > 20 * TOLERANCE


def test_the_batch_size_changes_nothing(module):
    image = photo("field", (450, 700))
    rows, columns = (Side.of(side, 64, 6, 1) for side in image.shape[:2])
    fill = np.zeros(3, np.uint8)
    with torch.no_grad():
        one, three = (
            assembled(Sweep(ArrayRaster(image), module.logits, rows, columns, fill, batch))[0] for batch in (1, 3)
        )
    assert (one - three).abs().max() < 1e-5


@pytest.mark.parametrize("size", [(1, 1), (37, 53), (64, 65), (200, 1)])
def test_an_image_smaller_than_a_window_gives_the_labels_of_one_pass(module, size):
    image = photo("small", size)
    labels = segment_in_windows(module, image, scale=1.0)
    assert labels.shape == size
    if min(size) > 32:  # smaller images do not fill the 64 pixels of a pass by one reflection
        assert (labels == one_pass(module, image, 1).argmax(dim=0)).all()


def test_a_network_that_sees_the_whole_image_is_reported(module):
    squeezing = network_with_statistics("tu-mobilenetv3_small_100")
    source = ArrayRaster(photo("field", (600, 1100)))
    for window, halo in ((512, 2), (None, 4)):  # such a network works best with small windows
        with torch.no_grad():
            options = PredictOptions(window=window)
            sweep, context = plan(source, squeezing.logits, squeezing.preprocessing, 1.0, options)
        assert not context.is_bounded
        assert sweep.rows.halo <= halo
        assert "squeeze-excitation" in describe(sweep, context)


def test_a_network_with_outputs_that_are_not_finite_is_refused(module):
    source = ArrayRaster(photo("field", (300, 1100)))
    with torch.no_grad(), pytest.raises(CheckpointError, match="not finite"):
        plan(source, lambda images: module.logits(images) * float("nan"), module.preprocessing, 1.0, PredictOptions())


def test_the_halo_is_what_the_network_needs():
    """A blur that sees exactly 70 pixels far needs two blocks; one that sees 60 pixels far needs one."""

    def box(radius):
        def forward(images):
            pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float()[:, :1]
            rows = functional.avg_pool2d(pixels, (2 * radius + 1, 1), stride=1, padding=(radius, 0))
            return functional.avg_pool2d(rows, (1, 2 * radius + 1), stride=1, padding=(0, radius))

        return forward

    source, fill = ArrayRaster(photo("noise", (1024, 1024))), np.zeros(3, np.uint8)
    for radius, halo in ((60, 1), (70, 2), (130, 3)):
        assert measure_context(source, box(radius), 64, fill).halo == halo


def test_windows_cover_a_side_with_the_planned_overlap():
    for length, window, halo in itertools.product(range(1, 3000, 77), (8, 16), (0, 1, 2)):
        side = Side.of(length, 48, window, halo)
        spans = [side.span(place) for place in range(len(side.starts))]
        assert (spans[0].begin, spans[-1].end) == (0, side.blocks)
        for span, start, last in zip(spans, side.starts, [False] * (len(spans) - 1) + [True], strict=True):
            assert span.begin < span.end
            assert span.begin >= start + halo * (start > 0)
            assert span.end <= start + side.window - halo * (not last)
        for span, following in itertools.pairwise(spans):
            assert (following.begin, span.end - span.finish) == (span.finish, OVERLAP)
            assert following.begin + OVERLAP <= following.finish


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: PredictOptions(window=300), "data.predict.window must be a multiple of 64, 256 or more, got 300"),
        (lambda: PredictOptions(scale=100.0), "The scale at which windows are read, 100"),
        (lambda: PredictOptions(batch_size=0), "data.predict.batch_size must be 1 or more, got 0"),
        (lambda: PredictOptions().scale_for(256, None), "Set data.predict.scale to 256 divided by"),
        (lambda: Side.of(5000, 64, 8, 4), "data.predict.window = 512 is too small: the network sees 256 pixels"),
    ],
)
def test_impossible_settings_are_refused(make, says):
    with pytest.raises(ConfigError) as raised:
        make()
    assert says in str(raised.value)


def test_pixels_without_data_are_void_and_do_not_affect_other_pixels(module):
    image = np.dstack([photo("field", (500, 700)), np.full((500, 700), 255, np.uint8)])
    image[100:, :420, 3] = 0
    other = image.copy()
    other[image[..., 3] == 0] = (255, 0, 0, 0)
    labels, same = (segment_in_windows(module, picture, scale=1.0, window=640) for picture in (image, other))
    assert ((labels == VOID).numpy() == (image[..., 3] == 0)).all()
    assert (labels == same).all()


def test_probabilities_add_up():
    torch.manual_seed(0)
    logits = torch.randn(21, 40, 50) * 3
    valid = np.ones((40, 50), bool)
    valid[:5] = False
    steps = probabilities_of(Tile(0, 0, logits, np.zeros((40, 50, 3), np.uint8), valid), 21).astype(int)
    assert (steps.sum(axis=0) == np.where(valid, 255, 0)).all()
    assert np.abs(steps / 255 - logits.softmax(dim=0).numpy())[:, valid].max() < 1 / 255


def test_the_legend_of_a_narrow_image_can_be_read():
    classes = Classes.named(["soil", "crop", "weed"])
    narrow, wide = (Preview(50, width, classes).picture(Areas.none_yet("a", 3)) for width in (3, 200))
    assert (narrow[:50] == 255).all()  # there was no tile
    assert (narrow[50:] == wide[50:, : narrow.shape[1]]).all()
    assert narrow.shape[1] > 9 * len("soil: 0.0%")


def test_the_legend_of_a_wide_image_is_larger_and_as_sharp():
    classes = Classes.named(["soil", "crop", "weed"])
    usual, wide = (Preview(50, width, classes).picture(Areas.none_yet("a", 3))[50:] for width in (600, 1500))
    assert wide.shape[0] == 2 * usual.shape[0]
    soil = wide[:, : 2 * 24].reshape(-1, 3)  # its black square, with a grey border, on white
    assert set(map(tuple, soil.tolist())) == {(0, 0, 0), (128, 128, 128), (255, 255, 255)}


def test_a_png_written_row_by_row_is_read_by_others():
    labels = np.random.default_rng(0).integers(0, 256, (37, 300), dtype=np.uint8)
    palette = Classes.named(["soil", "crop"]).palette()
    file = io.BytesIO()
    png = PalettePng(file, *labels.shape, palette)
    png.write(labels[:20])
    png.write(labels[20:])
    png.close()
    with Image.open(file) as image:
        assert image.mode == "P"
        assert (np.asarray(image) == labels).all()
        assert (np.asarray(image.convert("RGB")) == palette[labels]).all()


READ_TWICE = """
import sys
from pathlib import Path
from smir.data.reading.decoded_raster import DecodedRaster
for _ in range(2):
    print(DecodedRaster(Path(sys.argv[1]), Path(sys.argv[2])).width)
"""


def test_a_picture_can_be_read_twice(tmp_path):
    """In a separate process: libvips once called the progress bar of the first reading, and the process was aborted."""
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated, so that it is not read row by row
    Image.fromarray(photo("twice", (300, 200))).save(tmp_path / "photo.jpg", exif=exif)
    words = [sys.executable, "-c", READ_TWICE, str(tmp_path / "photo.jpg"), str(tmp_path)]
    found = subprocess.run(words, capture_output=True, text=True)
    assert (found.returncode, found.stdout.split()) == (0, ["300", "300"]), found.stderr


def shifted(distance):
    """A network whose logits depend on the pixel `distance` further right and below; if negative, left and above."""

    def forward(images):
        values = torch.from_numpy(images[..., :1]).permute(0, 3, 1, 2).float() / 255
        padding = (0, distance) * 2 if distance > 0 else (-distance, 0) * 2
        height, width = values.shape[-2:]
        corner = max(distance, 0)
        return functional.pad(values, padding)[..., corner : corner + height, corner : corner + width]

    return forward


@pytest.mark.parametrize("distance", [150, -150])
def test_the_halo_is_measured_towards_every_side(distance):
    source = ArrayRaster(photo("field", (1100, 1100)))
    assert measure_context(source, shifted(distance), 64, np.zeros(3, np.uint8)).halo == 3


@pytest.mark.parametrize("corner", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_the_halo_is_measured_where_the_image_holds_data(corner):
    image = np.zeros((2048, 2048, 4), np.uint8)
    place = tuple(slice(1148, None) if part else slice(900) for part in corner)
    image[place] = np.dstack([photo("field", (900, 900)), np.full((900, 900), 255, np.uint8)])
    assert measure_context(ArrayRaster(image), shifted(150), 64, np.zeros(3, np.uint8)).halo == 3
