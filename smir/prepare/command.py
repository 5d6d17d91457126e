"""Commands that make a dataset ready: the published ones from their archives, artificial data, an orthomosaic's tiles.

Nothing else writes into a dataset's folder.
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

    Returns:
        The folder of the data set.

    Raises:
        SmirError: If a setting is out of range, or the folder holds other data.
    """
    from smir.prepare.synthetic.dataset import write_dataset

    report = write_dataset(root, seed, width, height, tile, train_tiles, val_tiles, test_tiles)
    print(f"{report.orthomosaic}: {width} x {height} pixels to pretrain on")
    print(f"{root / 'nassar' / 'tiled_dataset'}: {report.train} train, {report.val} val, {report.test} test tiles")
    return root / "nassar"


def pascal_voc(root: Path = Path("data"), archives: Path | None = None, download: bool = False) -> None:
    """Makes Pascal VOC ready: trains on VOC 2012 train and val, tests on VOC 2007 test.

    A second run changes nothing; an interrupted one is continued by the next. Without archives it says what is missing
    and where to get it.

    Args:
        root: Data root; the dataset becomes its folder `pascal`.
        archives: Folder of the downloaded archives, recognised by their content, or one of them. Archives stay.
        download: Fetch what is missing into that folder, or into `archives` below the root; a download that was
            interrupted is continued. `--download` alone means true.

    Raises:
        SmirError: If files are missing, an archive is damaged, unsafe, or differs from files that are there.
    """
    from smir.prepare.published.ready import fetch_missing, finish, unpack
    from smir.prepare.published.sources import PASCAL_VOC

    if download:
        archives = fetch_missing(PASCAL_VOC, root, archives)
    unpack(PASCAL_VOC, root, archives)
    PASCAL_VOC.require_all(root)
    from smir.data import PascalVOC

    finish(PASCAL_VOC, root, PascalVOC(root).write_lists())


def cityscapes(root: Path = Path("data"), archives: Path | None = None) -> None:
    """Makes Cityscapes ready: unpacks its three archives and writes its list files.

    A second run changes nothing; an interrupted one is continued by the next. Without archives it says what is missing
    and where to get it.

    Args:
        root: Data root; the dataset becomes its folder `cityscapes`.
        archives: Folder of the downloaded archives, recognised by their content, or one of them. Archives stay.

    Raises:
        SmirError: If files are missing, an archive is damaged, unsafe, or differs from files that are there.
    """
    from smir.prepare.published.ready import finish, unpack
    from smir.prepare.published.sources import CITYSCAPES

    unpack(CITYSCAPES, root, archives)
    CITYSCAPES.require_all(root)
    from smir.data import Cityscapes

    finish(CITYSCAPES, root, Cityscapes(root).write_lists())


def sugar_beets(root: Path = Path("data"), archives: Path | None = None) -> None:
    """Makes Sugar Beets 2016 ready: unpacks its archives, finds the frames that hold weeds, writes its list files.

    A second run changes nothing; an interrupted one is continued by the next. Without archives it says what is missing
    and where to get it. When more archives arrive, the lists that it wrote are made anew.

    Args:
        root: Data root; the dataset becomes its folder `sugarbeets`.
        archives: Folder of the downloaded archives, recognised by their content, or one of them. Archives stay.

    Raises:
        SmirError: If files are missing, an archive is damaged, unsafe, or differs from files that are there.
    """
    from smir.prepare.published.ready import finish, unpack
    from smir.prepare.published.sources import SUGAR_BEETS

    unpack(SUGAR_BEETS, root, archives)
    SUGAR_BEETS.require_all(root)
    from smir.data import SugarBeets

    finish(SUGAR_BEETS, root, SugarBeets(root).write_lists())


def nassar(
    root: Path = Path("data"),
    archives: Path | None = None,
    tile: int = 256,
    overlap: int = 0,
    min_valid: float = 0.0,
) -> None:
    """Makes Nassar 2020 ready: unpacks its archives, cuts the orthomosaic into tiles to pretrain on.

    A second run changes nothing; an interrupted one is continued by the next. Without files or archives it says what
    is missing and where to get it. List files are not written: the splits follow from the files' names, and importing
    the datasets would take more memory than the tiling.

    Args:
        root: Data root, which holds `nassar/orthomosaic/data/RGB_reference_png.png`, or will from the archives.
        archives: Folder of the downloaded archives, recognised by their content, or one of them. Archives stay.
        tile: Side of a tile in pixels.
        overlap: Pixels that neighbouring tiles share.
        min_valid: Smallest share of valid pixels of a tile, 0 to 1; 0 keeps all, as the paper does. Pixels are valid
            unless transparent or, in a file without transparency, pure black or pure white.

    Raises:
        SmirError: If files are missing, an archive or the orthomosaic is damaged, or the tiles there were made with
            other settings.
    """
    from smir.prepare.published.ready import finish, unpack
    from smir.prepare.published.sources import NASSAR

    unpack(NASSAR, root, archives)
    source = root / "nassar" / "orthomosaic" / "data" / "RGB_reference_png.png"
    if source.is_file():
        from smir.prepare.records import has_record
        from smir.prepare.tiling import RECORD_NAME, tile_image

        target = root / "nassar" / "ortho_tiles"
        if any(target.glob("nassar_*.png")) and not has_record(target / RECORD_NAME):
            print(f"{target}: tiles made elsewhere, which stay; delete the folder to cut the orthomosaic")
        else:
            report = tile_image(source, target, tile, overlap, min_valid)
            print(f"{target}: {report.written} tiles, {report.skipped} left out for too few valid pixels")
    missing = NASSAR.missing(root)
    if source.is_file() and missing and not any(part.is_there(root) for part in missing):
        names = ", ".join(part.name for part in missing)
        print(f"Ready to pretrain on. To segment, {names} are missing: get them from {NASSAR.site}")
        return
    NASSAR.require_all(root)
    finish(NASSAR, root, ())


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
) -> Path:
    """Makes your own images ready: a folder of photographs or an orthomosaic, and labels from an annotation tool.

    The format of the labels is recognised. Your files are never written to. A second run changes nothing, an
    interrupted one is completed; with more labels it adds them, and what validates and tests stays the same.
    docs/your-data.md walks through it.

    Args:
        images: Folder of photographs, or an orthomosaic (TIFF, PNG, ...), which is cut into tiles.
        labels: File or folder of all labels, also those of before: PNG masks (class ids, palette or colours), COCO
            JSON, Labelme JSON, or CVAT's exports "CVAT for images" and "Segmentation mask". Without it the images serve
            pretraining alone.
        classes: Classes in the order of their ids, each `NAME` or `NAME=SOURCE`, where the source is a category, a
            value or a colour: `[soil=0, crop=#00ff00, void=255]`. Two of one name are joined; `void` is not labelled.
            Default: what is found.
        root: Folder to write to.
        tile: Side of tiles in pixels, 512 for an orthomosaic unless another is given. Photographs stay whole unless one
            is given; then they are cut, with their labels. Choose it so that what matters is still seen when a tile is
            made 256 pixels wide.
        min_valid: Smallest share of valid pixels of a tile, 0 to 1.
        shares: Shares of the labelled images for train, val and test; `[0, 0, 1]` to test a trained network on all of
            them.
        splits: Folder of a train.txt, val.txt and test.txt to follow in place of drawing splits.
        empty: What an image without any shape in the annotations is.
        seed: Seed of the splits.

    Returns:
        The root.

    Raises:
        SmirError: If the root holds other things, or images and labels cannot be used, with the file and what to do.
    """
    from smir.prepare.own.folder import prepare
    from smir.prepare.own.options import Options

    options = Options(images, labels, classes, root, tile, min_valid, shares, splits, empty, seed)
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
