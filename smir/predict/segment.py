"""Segments an image of any size: plans the windows, runs them, and yields every finished tile."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from smir.classes import VOID, UInt8
from smir.data.predict_options import BLOCK, PredictOptions, block_unit
from smir.data.reading.raster import ArrayRaster, Raster
from smir.method.preprocessing import Preprocessing
from smir.predict.context import TOLERANCE, Context, measure_context
from smir.predict.sweep import Forward, Sweep, Tile
from smir.predict.window_layout import WINDOW, Side, usual_window
from smir.training.segmentation import SegmentationModule


def plan(
    source: Raster, forward: Forward, preprocessing: Preprocessing, scale: float, options: PredictOptions
) -> tuple[Sweep, Context | None]:
    """Chooses the windows of an image; the network sees `scale` pixels per pixel of it.

    The mean of the preprocessing is the colour of nodata pixels.

    Returns:
        The windows, and the network's context; None if one window holds the whole image.
    """
    unit, context = block_unit(scale), None
    fill = np.asarray([round(255 * channel) for channel in preprocessing.mean], dtype=np.uint8)
    sides, halo, given = (source.height, source.width), 0, (options.window or 0) // BLOCK
    window = given or WINDOW
    if max(sides) > window * unit:
        context = measure_context(source, forward, unit, fill)
        if context.is_bounded:
            halo, window = context.halo, given or usual_window(context.halo)
        else:  # no border is wide enough, so a moderate one does
            halo = min(context.halo, window // 4)
    rows, columns = (Side.of(side, unit, window, halo) for side in sides)
    batch_size = options.batch_size or (4 if torch.cuda.is_available() else 1)
    return Sweep(source, forward, rows, columns, fill, batch_size), context


@torch.no_grad()
def segment_in_windows(
    module: SegmentationModule, image: UInt8, scale: float | None = None, window: int | None = None
) -> Tensor:
    """Segments one large image, such as an orthomosaic, at the scale of the training images.

    Args:
        module: The segmentation.
        image: RGB (H, W, 3) uint8, or RGBA (H, W, 4): fully transparent pixels are nodata. A `numpy.memmap` is
            read a window at a time.
        scale: Pixels that the network sees per pixel of the image. Default: as in training, if recorded.
        window: Side of a window as the network sees it, a multiple of 64. Default: see `PredictOptions`.

    Returns:
        Class ids (H, W) uint8 on the CPU, void at nodata.

    Raises:
        ConfigError: If the scale is not known.
    """
    options = PredictOptions(view="windows", scale=scale, window=window)
    view_scale = options.scale_for(module.preprocessing.view_size, module.usual_side)
    sweep, _ = plan(ArrayRaster(image), module.logits, module.preprocessing, view_scale, options)
    labels = torch.empty(image.shape[:2], dtype=torch.uint8)
    for tile in sweep:
        height, width = tile.valid.shape
        part = labels[tile.top : tile.top + height, tile.left : tile.left + width]
        part.copy_(torch.from_numpy(labels_of(tile)))
    return labels


def labels_of(tile: Tile) -> UInt8:
    """Returns the class ids of a tile (h, w), void at nodata."""
    if tile.logits is None:
        return np.full(tile.valid.shape, VOID, dtype=np.uint8)
    best, labels = tile.logits[0], torch.zeros(tile.valid.shape, dtype=torch.uint8, device=tile.logits.device)
    for class_id, logits in enumerate(tile.logits[1:], 1):  # several times as fast as argmax
        labels.masked_fill_(logits > best, class_id)
        best = torch.maximum(best, logits)
    labels[torch.from_numpy(~tile.valid)] = VOID
    return np.asarray(labels.cpu().numpy())


def certainty_of(tile: Tile) -> npt.NDArray[np.float32] | None:
    """Returns the probability of the predicted class of each pixel (h, w), 0 at nodata; None if all of it is."""
    if tile.logits is None:
        return None
    certainty: npt.NDArray[np.float32] = (tile.logits.amax(dim=0) - tile.logits.logsumexp(dim=0)).exp().cpu().numpy()
    return np.where(tile.valid, certainty, np.float32(0))


def probabilities_of(tile: Tile, num_classes: int) -> UInt8:
    """Returns probabilities of a tile (C, h, w) times 255, which add up to 255, or to 0 at nodata."""
    if tile.logits is None:
        return np.zeros((num_classes, *tile.valid.shape), dtype=np.uint8)
    exact = tile.logits.softmax(dim=0) * 255
    steps = exact.floor()
    # Steps lost by rounding down go to the classes that lost most.
    missing = (255 - steps.sum(dim=0)).round()
    rank = (exact - steps).argsort(dim=0, descending=True).argsort(dim=0)
    result: UInt8 = (steps + (rank < missing)).to(torch.uint8).cpu().numpy()
    result[:, ~tile.valid] = 0
    return result


def describe(sweep: Sweep, context: Context | None) -> str:
    """Describes in a sentence or two how an image is read."""
    source, scale = sweep.source, BLOCK / sweep.rows.unit
    text = f"{source.width} x {source.height} pixels, read at a scale of {scale:.3g}"
    if context is None or sweep.windows == 1:
        return f"{text} in one window."
    halo = sweep.rows.halo
    difference = context.differences[halo - 1]
    size = f"{sweep.columns.window * BLOCK} x {sweep.rows.window * BLOCK}"
    text += f" in {sweep.windows:,} windows of {size} pixels, of which {halo * BLOCK} at each border do not count."
    if context.is_bounded:
        return f"{text} Logits differ from those of one pass by about {difference:.1g}, measured on a part."
    return (
        f"{text} Logits differ from those of one pass by {difference:.1g}, measured on a part: more than "
        f"{TOLERANCE:g}. The network uses its whole input (squeeze-excitation, global pooling, attention), sees "
        "farther than 700 pixels, or computes in half precision. Neighbouring windows are blended all the same."
    )
