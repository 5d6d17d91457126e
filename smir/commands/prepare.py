"""Commands that make a data set ready: artificial data, and the tiles of an orthomosaic."""

from pathlib import Path

from smir.errors import DataError


def synthetic(
    root: Path = Path("data"),
    seed: int = 0,
    width: int = 4096,
    height: int = 4096,
    tile: int = 256,
    train_tiles: int = 120,
    val_tiles: int = 12,
    test_tiles: int = 24,
) -> None:
    """Writes an artificial crop field in the layout of Nassar 2020, to try everything without fetching data.

    A second run with the same settings changes nothing; an interrupted one is completed.

    Args:
        root: Data root; the data set becomes its folder `nassar`.
        seed: Seed of everything; the same seed gives the same pixels.
        width: Width of the orthomosaic in pixels.
        height: Height of the orthomosaic in pixels.
        tile: Side of the labelled tiles in pixels.
        train_tiles: Number of labelled tiles to train on.
        val_tiles: Number of labelled tiles for validation.
        test_tiles: Number of labelled tiles to test on.

    Raises:
        SmirError: If a setting is out of range, or the folder holds other data.
    """
    from smir.prepare.synthetic import write_dataset

    report = write_dataset(root, seed, width, height, tile, train_tiles, val_tiles, test_tiles)
    print(f"{report.orthomosaic}: {width} x {height} pixels to pretrain on")
    print(f"{root / 'nassar' / 'tiled_dataset'}: {report.train} train, {report.val} val, {report.test} test tiles")
    print(f"Next: python -m smir prepare nassar --root {root}")


def nassar(root: Path = Path("data"), tile: int = 256, overlap: int = 0, min_valid: float = 0.0) -> None:
    """Cuts the orthomosaic of Nassar 2020 into the tiles to pretrain on; an interrupted run is completed by the next.

    Args:
        root: Data root, which holds `nassar/orthomosaic/data/RGB_reference_png.png`.
        tile: Side of a tile in pixels.
        overlap: Pixels that neighbouring tiles share.
        min_valid: Smallest share of valid pixels of a tile, 0 to 1; 0 keeps all, as the paper does. Pixels are valid
            unless transparent or, in a file without transparency, pure black or pure white.

    Raises:
        SmirError: If the orthomosaic is missing or damaged, or the tiles there were made with other settings.
    """
    source = root / "nassar" / "orthomosaic" / "data" / "RGB_reference_png.png"
    if not source.is_file():
        raise DataError(
            f"The orthomosaic {source.resolve()} is not there. Put the RGB orthomosaic of the Nassar 2020 data set at "
            f"that path, or make an artificial one: python -m smir prepare synthetic --root {root}"
        )
    from smir.prepare.tiling import tile_image

    target = root / "nassar" / "ortho_tiles"
    report = tile_image(source, target, tile, overlap, min_valid)
    print(f"{target}: {report.written} tiles, {report.skipped} left out for too few valid pixels")


COMMANDS = {"synthetic": synthetic, "nassar": nassar}
