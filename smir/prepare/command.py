"""Commands that prepare datasets: from published archives, from your own images, or from an artificial field.

Nothing else writes into a dataset's folder. Every command raises a `SmirError` if it cannot finish, such
as when files are missing, damaged, or conflict with existing ones.
"""

from pathlib import Path
from typing import Literal


def synthetic(
    root: Path = Path("data"),
    seed: int = 0,
    width: int = 4096,
    height: int = 4096,
    tile: int = 256,
    train_tiles: int = 120,
    val_tiles: int = 12,
    test_tiles: int = 24,
) -> Path:
    """Writes an artificial crop field in the layout of Nassar 2020, to try everything without a download.

    A second run with the same settings changes nothing; an interrupted one is completed.

    Args:
        root: Data root; the dataset becomes its folder `nassar`.
        seed: The same seed gives the same pixels.
        width: Width of the orthomosaic in pixels.
        height: Height of the orthomosaic in pixels.
        tile: Side of the labelled tiles in pixels.
        train_tiles: Number of labelled tiles to train on.
        val_tiles: Number of labelled tiles for validation.
        test_tiles: Number of labelled tiles to test on.

    Returns:
        The folder of the dataset.
    """
    from smir.prepare.synthetic.dataset import write_dataset

    orthomosaic = write_dataset(root, seed, width, height, tile, train_tiles, val_tiles, test_tiles)
    print(f"{orthomosaic}: {width} x {height} pixels to pretrain on")
    print(f"{root / 'nassar' / 'tiled_dataset'}: {train_tiles} train, {val_tiles} val, {test_tiles} test tiles")
    return root / "nassar"


def pascal_voc(root: Path = Path("data"), archives: Path | None = None, download: bool = False) -> None:
    """Prepares Pascal VOC: VOC 2012 train and val to train on, VOC 2007 test to test on.

    A second run changes nothing and an interrupted one is completed. Without archives it says where to get them.

    Args:
        root: Data root; the dataset becomes its folder `pascal`.
        archives: Folder of the downloaded archives, whatever their names, or one of them. Archives are kept.
        download: Fetch missing archives into that folder, or into `archives` below the root. `--download` alone means
            true.
    """
    from smir.prepare.published.sources import PASCAL_VOC
    from smir.prepare.published.unpack import fetch_missing, prepare

    if download:
        archives = fetch_missing(PASCAL_VOC, root, archives)
    prepare(PASCAL_VOC, "PascalVOC", root, archives)


def cityscapes(root: Path = Path("data"), archives: Path | None = None) -> None:
    """Prepares Cityscapes: unpacks its three archives and writes its list files.

    A second run changes nothing and an interrupted one is completed. Without archives it says where to get them.

    Args:
        root: Data root; the dataset becomes its folder `cityscapes`.
        archives: Folder of the downloaded archives, whatever their names, or one of them. Archives are kept.
    """
    from smir.prepare.published.sources import CITYSCAPES
    from smir.prepare.published.unpack import prepare

    prepare(CITYSCAPES, "Cityscapes", root, archives)


def sugar_beets(root: Path = Path("data"), archives: Path | None = None) -> None:
    """Prepares Sugar Beets 2016: unpacks its archives, finds the frames that show weeds, writes its list files.

    A second run changes nothing and an interrupted one is completed. Without archives it says where to get them. New
    archives update the lists that it wrote.

    Args:
        root: Data root; the dataset becomes its folder `sugarbeets`.
        archives: Folder of the downloaded archives, whatever their names, or one of them. Archives are kept.
    """
    from smir.prepare.published.sources import SUGAR_BEETS
    from smir.prepare.published.unpack import prepare

    prepare(SUGAR_BEETS, "SugarBeets", root, archives)


def nassar(
    root: Path = Path("data"), archives: Path | None = None, tile: int = 256, overlap: int = 0, min_valid: float = 0.0
) -> None:
    """Prepares Nassar 2020: unpacks its archives, cuts the orthomosaic into tiles to pretrain on.

    A second run changes nothing and an interrupted one is completed. Without archives it says where to get them. It
    writes no list files: the splits follow from the files' names, and importing the datasets would take more memory
    than the tiling.

    Args:
        root: Data root; the orthomosaic is its file `nassar/orthomosaic/data/RGB_reference_png.png`.
        archives: Folder of the downloaded archives, whatever their names, or one of them. Archives are kept.
        tile: Side of a tile in pixels.
        overlap: Pixels that neighbouring tiles share.
        min_valid: Smallest share of valid pixels of a tile, 0 to 1; 0 keeps all, as the paper does. Pixels are valid
            unless transparent or, in a file without transparency, pure black or pure white.
    """
    from smir.prepare.published.sources import NASSAR
    from smir.prepare.published.unpack import finish, unpack

    unpack(NASSAR, root, archives)
    source = root / "nassar" / "orthomosaic" / "data" / "RGB_reference_png.png"
    if source.is_file():
        from smir.prepare.records import has_record
        from smir.prepare.tiling import RECORD_NAME, tile_image

        target = root / "nassar" / "ortho_tiles"
        if any(target.glob("nassar_*.png")) and not has_record(target / RECORD_NAME):
            print(f"{target}: keeping tiles that were made elsewhere; delete the folder to cut the orthomosaic")
        else:
            report = tile_image(source, target, tile, overlap, min_valid)
            print(f"{target}: {report.written} tiles, {report.skipped} left out for too few valid pixels")
    missing = NASSAR.missing(root)
    if source.is_file() and missing and not any(part.is_there(root) for part in missing):
        names = ", ".join(part.name for part in missing)
        print(f"Ready to pretrain on. To segment, {names} are missing: get them from {NASSAR.site}")
        return
    NASSAR.require_all(root)
    finish(NASSAR, root)


def folder(
    images: Path,
    labels: Path | None = None,
    classes: list[str] | None = None,
    root: Path = Path("field"),
    tile: int | None = None,
    min_valid: float = 0.5,
    shares: tuple[float, float, float] = (0.6, 0.2, 0.2),
    splits: Path | None = None,
    empty: Literal["unlabelled", "background"] = "unlabelled",
    seed: int = 0,
    bands: str | None = None,
    value_range: str | None = None,
    pair: str | None = None,
) -> Path:
    """Prepares your own images: a folder of photographs or an orthomosaic, and labels from an annotation tool.

    The format of the labels is recognised, and your files are never changed. A second run changes nothing, an
    interrupted one is completed, and new labels are added without changing val and test. See docs/your-data.md.

    Args:
        images: Folder of photographs, or an orthomosaic (TIFF, PNG, ...), which is cut into tiles.
        labels: File or folder of all labels, earlier ones included: PNG masks (class ids, palette or colours), COCO
            JSON, Labelme JSON, or CVAT's exports "CVAT for images" and "Segmentation mask"; for an orthomosaic also
            polygons of a GIS (.gpkg, .geojson, .fgb). Without labels the images are for pretraining only.
        classes: Classes in the order of their ids, each `NAME` or `NAME=SOURCE`, where the source is a category, a
            value or a colour: `[soil=0, crop=#00ff00, void=255]`. Equal names are one class; `void` is not labelled.
            Default: all that are found.
        root: Folder to write to.
        tile: Side of tiles in pixels; default for an orthomosaic: 512. Photographs and their labels are cut only if it
            is given. Choose it so that details are still visible when a tile is shrunk to 256 pixels.
        min_valid: Smallest share of valid pixels of a tile, 0 to 1.
        shares: Shares of the labelled images for train, val and test; `[0, 0, 1]` to test a trained network on all.
        splits: Folder with train.txt, val.txt and test.txt, or with folders train, val and test of images, to use
            instead of drawing splits.
        empty: Treatment of images without any shape in the annotations.
        seed: Seed of the splits.
        bands: Bands of TIFFs to use as red, green and blue, such as `3,2,1`; `predict` then uses the same.
        value_range: Values of these bands that become black and white, for more than 8 bits: `0,4000`, or percentiles
            `2%,98%` of all images.
        pair: Difference between names of images and labels, with `{}` for what is equal, such as
            `{}_image.png={}_annotation.png`. Other label images are left out. Default: found from the names.

    Returns:
        The root.
    """
    from smir.prepare.own.folder import prepare
    from smir.prepare.own.options import Options

    options = Options(
        images, labels, classes, root, tile, min_valid, shares, splits, empty, seed, bands, value_range, pair
    )
    print("\n".join(prepare(options)))
    return root


COMMANDS = {
    "folder": folder,
    "pascal_voc": pascal_voc,
    "cityscapes": cityscapes,
    "nassar": nassar,
    "sugar_beets": sugar_beets,
    "synthetic": synthetic,
}
