"""Memory and time of `predict` on large maps: `python -m benchmarks maps` (half an hour; 2 GB on disk).

The network is one convolution, so the figures are those of reading, scaling, blending and writing. Every map is
predicted in its own process, as wide windows as `predict` chooses by itself.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.transform import from_origin
from rasterio.windows import Window

from benchmarks.measure import Row
from benchmarks.process_memory import kilobytes

SIDE, SCALES = 20_000, (1.0, 1 / 4, 1 / 16)
PLACE = {"crs": "EPSG:32632", "transform": from_origin(500_000, 5_400_000, 0.05, 0.05)}
TILES = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate"}
LAYOUTS: dict[str, dict[str, Any]] = {
    "tiles, Deflate": {**PLACE, **TILES},
    "strips of 512 rows, Deflate": {**PLACE, "blockysize": 512, "compress": "deflate"},
    "strips of one row, no compression, no georeference": {"blockysize": 1},
    "one strip, LZW": {**PLACE, "blockysize": SIDE, "compress": "lzw"},
    "planar tiles, ZSTD": {**PLACE, **TILES, "compress": "zstd", "interleave": "band"},
    "tiles of 16 bits and four bands, Deflate": {**PLACE, **TILES, "count": 4, "dtype": "uint16"},
    "JPEG tiles, YCbCr": {**PLACE, **TILES, "compress": "jpeg", "photometric": "ycbcr"},
}
"""Ways to store a map. The first two are predicted at all scales, the others at the smallest."""
_MOST_GIB, _ROWS = 2.0, 512


def rows() -> Iterator[Row]:
    """Peak memory of every process, and its time over that of reading the same file with GDAL."""
    for place, (layout, profile) in enumerate(LAYOUTS.items()):
        with tempfile.TemporaryDirectory(prefix="smir-bench-") as folder:
            write_map(path := Path(folder, "map.tif"), SIDE, profile)
            for scale in SCALES if place < 2 else SCALES[-1:]:
                yield from _figures(path, f"{SIDE:,} x {SIDE:,} pixels at 1/{1 / scale:g}, {layout}", scale)


def write_map(path: Path, side: int, profile: dict[str, Any]) -> None:
    """Writes squares of random colours, which any codec packs, some rows at a time."""
    chance, size = np.random.default_rng(0), {"height": side, "width": side}
    profile = {"photometric": "rgb", "count": 3, "dtype": "uint8", **size, **profile}
    with rasterio.open(path, "w", driver="GTiff", **profile) as file:
        for top in range(0, side, _ROWS):
            height = min(_ROWS, side - top)
            shape = (profile["count"], -(-height // 32), -(-side // 32))
            squares = chance.integers(0, 256, shape, dtype=profile["dtype"])
            rows = squares.repeat(32, axis=1).repeat(32, axis=2)[:, :height, :side]
            file.write(rows, window=Window(0, top, side, height))


def _figures(path: Path, name: str, scale: float) -> Iterator[Row]:
    words = [sys.executable, "-m", "benchmarks.maps", str(path), str(scale)]
    output = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    gib, seconds, limit, pixels = json.loads(output.splitlines()[-1])
    note = f"{1e6 * seconds / pixels:.3f} s a megapixel; GDAL reads one in {1e6 * limit / pixels:.3f} s"
    yield Row(f"peak memory of predict, {name}", "cpu", gib, _MOST_GIB, "at most", "GiB")
    yield Row(f"time of predict over that of reading, {name}", "cpu", seconds / limit, None, "at most", note=note)


def _main(path: Path, scale: float) -> None:
    import torch

    import smir.__main__ as program  # imports what the command imports
    from smir.classes import Classes, UInt8
    from smir.data.predict_options import PredictOptions
    from smir.files.memory import keep_freed_memory
    from smir.method.preprocessing import Preprocessing
    from smir.predict import writer
    from smir.predict.polygons.options import PolygonOptions
    from smir.predict.polygons.product import RegionProducts
    from smir.predict.predictor import WindowPredictor

    assert program
    assert writer
    keep_freed_memory()
    convolution = torch.nn.Conv2d(3, 3, 3, padding=1)

    @torch.no_grad()
    def forward(images: UInt8) -> torch.Tensor:
        return convolution(torch.from_numpy(images).permute(0, 3, 1, 2) / 255)

    with rasterio.open(path) as file:
        bands = {"bands": (3, 2, 1), "value_range": (0, 255)} if file.count > 3 else {}
    options = PredictOptions(view="windows", window=2048, **bands)
    classes = Classes.named(["soil", "crop", "weed"])
    regions = RegionProducts(PolygonOptions(), path.parent)
    predictor = WindowPredictor(forward, Preprocessing(), classes, scale, options, regions, progress=False)
    start = time.perf_counter()
    predictor.predict(path, path.name, path.with_name("labels"))
    seconds, peak = time.perf_counter() - start, kilobytes("VmHWM") / (1 << 20)
    with rasterio.open(path) as file:
        start = time.perf_counter()
        for _, window in file.block_windows(1):
            file.read(window=window)
        print(json.dumps([peak, seconds, time.perf_counter() - start, file.height * file.width]))


if __name__ == "__main__":
    _main(Path(sys.argv[1]), float(sys.argv[2]))
