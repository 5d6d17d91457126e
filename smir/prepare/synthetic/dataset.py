"""Writes an artificial dataset in the layout of Nassar 2020, so that everything can be run without a download.

The orthomosaic is one field; the labelled tiles come from five other fields, so pretraining never sees them.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyvips

from smir.errors import ConfigError, DataError, first_few
from smir.files.atomic import placing, write_atomically
from smir.files.pictures import write_png
from smir.prepare.alone import alone
from smir.prepare.records import close_record, has_record, open_record
from smir.prepare.synthetic.field import Field
from smir.terminal import progress

# Increase it when the same seed gives other pixels, so that no folder mixes two versions of the renderer.
RENDERER_VERSION = 1
RECORD_NAME = "synthetic.json"
_ORTHOMOSAIC_FIELD = 0
# Rows rendered at a time (memory grows with the width) and columns per window (fits the processor's cache).
_STRIP_ROWS = 512
_WINDOW_COLUMNS = 1024


def write_dataset(
    root: Path,
    seed: int = 0,
    width: int = 4096,
    height: int = 4096,
    tile: int = 256,
    train_tiles: int = 120,
    val_tiles: int = 12,
    test_tiles: int = 24,
) -> Path:
    """Writes or completes `root/nassar`: orthomosaic, labelled tiles and lists; see `smir.prepare.command.synthetic`.

    Masks are mode L: 0 background, 1 crop, 2 weed (five species). A pixel is about 1.5 mm wide. While it is made, the
    orthomosaic takes 3 bytes a pixel on disk besides the final file; memory holds a strip of 512 rows.

    Returns:
        The orthomosaic.

    Raises:
        ConfigError: If a size or number is below 1, or the seed is negative.
        DataError: If the folder holds data of other settings, or data that this function did not write.
    """
    sizes = {"width": width, "height": height, "tile": tile}
    sizes |= {"train_tiles": train_tiles, "val_tiles": val_tiles, "test_tiles": test_tiles}
    wrong = [f"{name} {value}" for name, value in sizes.items() if value < 1]
    if wrong or seed < 0:
        raise ConfigError(
            f"Sizes and numbers must be at least 1 and the seed at least 0; got {', '.join(wrong) or seed}."
        )
    folder = root / "nassar"
    record_path = folder / RECORD_NAME
    orthomosaic, labelled = _places(folder)
    foreign = [str(path.resolve()) for path in (orthomosaic, labelled) if path.exists()]
    if foreign and not has_record(record_path):
        raise DataError(
            f"{first_few(foreign)} exists without {record_path.resolve()}, so it is not artificial data. "
            "Choose another root; this command overwrites nothing."
        )
    settings = {"renderer": RENDERER_VERSION, "seed": seed, **sizes}
    with alone(folder):
        if open_record(record_path, settings) is None:
            _write(folder, seed, sizes)
            close_record(record_path, settings)
    return orthomosaic


def _write(folder: Path, seed: int, sizes: Mapping[str, int]) -> None:
    """Writes what is missing."""
    orthomosaic, labelled = _places(folder)
    tile, train_tiles = sizes["tile"], sizes["train_tiles"]
    for path in (orthomosaic.parent, labelled / "data", labelled / "mask", labelled / "data_list"):
        path.mkdir(parents=True, exist_ok=True)

    # The paper's training list runs from sub5 down, so that its first fifth is a single field.
    subs = {
        5: (train_tiles + 2) // 3,
        4: (train_tiles + 1) // 3,
        3: train_tiles // 3,
        1: sizes["val_tiles"],
        2: sizes["test_tiles"],
    }
    names = {number: _grid_names(number, count) for number, count in subs.items()}
    with progress(None, "Labelled tiles", sum(subs.values()), unit="tile") as bar:
        for number, places in names.items():
            field = Field(seed, number)
            for name, (row, column) in places.items():
                files = labelled / "data" / f"{name}.png", labelled / "mask" / f"{name}.png"
                if not all(file.is_file() for file in files):
                    for file, pixels in zip(files, field.render(row * tile, column * tile, tile, tile), strict=True):
                        write_png(file, pixels, sync=False)
                bar.update()
    for split, numbers in {"train": (5, 4, 3), "val": (1,), "test": (2,)}.items():
        lines = [f"{name}\n" for number in numbers for name in names[number]]
        write_atomically(labelled / "data_list" / f"{split}.txt", "".join(lines))
    if not orthomosaic.is_file():
        _write_orthomosaic(Field(seed, _ORTHOMOSAIC_FIELD), orthomosaic, sizes["width"], sizes["height"])


def _places(folder: Path) -> tuple[Path, Path]:
    """Returns the orthomosaic, and the folder of the labelled tiles."""
    return folder / "orthomosaic" / "data" / "RGB_reference_png.png", folder / "tiled_dataset" / "train"


def _grid_names(number: int, count: int) -> dict[str, tuple[int, int]]:
    """Returns the names and places (row, column) of `count` tiles in a nearly square grid on one field."""
    columns = int(np.ceil(np.sqrt(count)))
    return {f"sub{number}_{k // columns}_{k % columns}": (k // columns, k % columns) for k in range(count)}


def _write_orthomosaic(field: Field, path: Path, width: int, height: int) -> None:
    """Renders strip by strip into a raw file, which an interrupted run continues, then converts it to PNG."""
    raw = path.with_suffix(".raw.tmp")
    row_bytes = 3 * width
    with raw.open("ab") as stream, progress(None, "Orthomosaic", height, unit="row") as bar:
        done = min(stream.tell() // row_bytes, height)
        # The last row may have been cut short.
        stream.truncate(done * row_bytes)
        bar.update(done)
        while done < height:
            rows = min(_STRIP_ROWS, height - done)
            strip = np.empty((rows, width, 3), np.uint8)
            for left in range(0, width, _WINDOW_COLUMNS):
                columns = min(_WINDOW_COLUMNS, width - left)
                strip[:, left : left + columns] = field.render(done, left, rows, columns)[0]
            stream.write(strip.data)
            done += rows
            bar.update(rows)
    print("Compressing the orthomosaic ...", flush=True)
    image = pyvips.Image.rawload(str(raw), width, height, 3, access="sequential", interpretation="srgb")
    with placing(path) as temporary:
        try:
            image.pngsave(str(temporary), compression=3)
        except pyvips.Error as error:
            raise OSError(str(error).partition("system error: ")[2].partition("\n")[0] or str(error)) from error
    raw.unlink()
