"""`python -m smir choose`: chooses the images to label."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from jsonargparse.typing import PositiveInt

from smir.data import Folder, SmirDataModule
from smir.errors import ConfigError, DataError, counted, first_messages

if TYPE_CHECKING:
    from smir.choose.pool import Pool


class Chosen(NamedTuple):
    """The folder that was written, and what it was made from.

    Attributes:
        folder: The folder.
        images: Folder in it with links or copies of the chosen images, if any.
        source: Folder of all images.
        root: Root of the dataset that was chosen from, if any.
        checkpoint: The checkpoint of a segmentation, which can predict labels to correct.
    """

    folder: Path
    images: Path | None
    source: Path
    root: Path | None
    checkpoint: Path | None


def choose(
    images: list[Path] | Path | None = None,
    ckpt: Path | None = None,
    count: PositiveInt = 20,
    data: SmirDataModule | None = None,
    labelled: Path | None = None,
    imagenet_file: Path | None = None,
    link: bool = True,
    copy: bool = False,
    out: Path = Path("chosen"),
    on_bad_image: Literal["error", "skip"] = "error",
    batch_size: PositiveInt = 16,
    device: str = "auto",
) -> Chosen:
    """Chooses the images to label: python -m smir choose photos --count 20.

    Without labels, it takes typical images that differ from one another, by the features of an encoder: that of a
    pretraining, or one with ImageNet weights. With a segmentation, it takes different images among those that the
    network is least sure of. It chooses neither images that have labels nor images like them. docs/choose.md has the
    rule.

    Args:
        images: Images and folders of images; words without an option are images too.
        ckpt: Checkpoint of a pretraining or segmentation run. Default: an encoder with ImageNet weights.
        count: Images to choose.
        data: The dataset that says which images have labels, and gives the images if none are named. `--config` takes
            it from an experiment. Default: that of the checkpoint's own run.
        labelled: Images that have labels besides those in the dataset: a list of image names, or a folder of label
            files named like the images.
        imagenet_file: File of the ImageNet weights of tu-tf_efficientnet_lite0. Default: installed or downloaded.
        link: Link the chosen images into the folder.
        copy: Copy them instead.
        out: Folder to write to: new, empty, or of an earlier choice, which is replaced.
        on_bad_image: `error` stops at an image that cannot be used; `skip` leaves it out and names it.
        batch_size: Images at a time.
        device: `cpu`, `cuda`, `cuda:1`, ...; `auto` takes a GPU where there is one.

    Raises:
        SmirError: If weights or an image cannot be read, nothing is left to choose, or the folder holds other things.
    """
    if ckpt is not None and imagenet_file is not None:
        raise ConfigError("--imagenet_file is for a choice without --ckpt; leave one of them out.")
    from smir.choose.choice import choice, rows
    from smir.choose.folder import LIST, SHEET, ChosenFolder
    from smir.choose.measures import imagenet_module, measure
    from smir.inspect.batches import Walk
    from smir.inspect.run import device_of, load

    named = [images] if isinstance(images, Path) else images
    pool = _pool(named, data, labelled)
    folder = ChosenFolder(out, [pool.folder] if named is None else named)
    module, seed = load(ckpt, device) if ckpt else (imagenet_module(imagenet_file).to(device_of(device)), 0)
    walk = Walk(pool.images, module.preprocessing, batch_size, on_bad_image)
    made = choice(measure(walk, module, seed, encoder_alone=ckpt is None), pool.labelled, count)
    names = [pool.names[place] for place in made.chosen]
    record = {"checkpoint": ckpt and str(ckpt), "images": str(pool.folder), "labelled": len(pool.labelled)}
    files: Literal["link", "copy"] | None = "copy" if copy else "link" if link else None
    folder.write(pool.folder, names, rows(made, pool.names, pool.labelled), {**record, "chosen": len(names)}, files)
    if walk.skipped:
        left_out = counted(len(walk.skipped), "image was", "images were")
        print(f"{left_out} left out: {first_messages(walk.skipped.values())}")
    left = len({*made.measured.places} - pool.labelled)
    few = f" (all that are left; --count asks for {count:,})" if len(names) < count else ""
    known = bool(pool.labelled) or (data is not None and images is None)
    of = f"{counted(left, 'image', 'images')}{' without labels' if known else ''}"
    verb = "is" if len(names) == 1 else "are"
    print(f"{len(names):,} of {of} {verb} chosen{few}, the best first: {out / LIST}")
    if not known:
        print(
            "If some of these images have labels already, leave them out: --labelled FOLDER or --config FIELD/data.yaml"
        )
    print(f"Look at {out / SHEET}.")
    root = data.root if isinstance(data, Folder) and images is None else None
    predicts = ckpt if module.task == "segment" else None
    return Chosen(out, folder.images if files else None, pool.folder, root, predicts)


def _pool(images: list[Path] | None, data: SmirDataModule | None, labelled: Path | None) -> "Pool":
    """Returns the images to choose from: the named ones, else those of the dataset."""
    from smir.choose.pool import of_data, of_paths

    if images is not None:
        pool = of_paths(images)
        if len(pool.names) == 1:
            raise DataError(_one_alone(pool.folder / pool.names[0]))
        if data is not None:
            pool = _with_labels_of(data, pool)
    elif data is not None:
        pool = of_data(data)
    else:
        raise ConfigError("There are no images to choose from. Name some, or give --config field/data.yaml")
    if labelled is not None:
        pool = pool.with_labels(labelled)
    if len(pool.labelled) == len(pool.names):
        raise DataError(
            f"All {len(pool.names):,} images of {pool.images.title} have labels; none is left to choose. "
            "Name images without labels."
        )
    return pool


def _one_alone(image: Path) -> str:
    """Returns why one image leaves no choice, and how its parts become images to choose from."""
    cut = shlex.join(["python", "-m", "smir", "prepare", "folder", "--images", str(image), "--root", "field"])
    return (
        f"There is only one image to choose from, {image}. Name several, or a folder. If it is an orthomosaic, cut it "
        f"into tiles first: {cut}. Then choose among the tiles: python -m smir choose field/images"
    )


def _with_labels_of(data: SmirDataModule, pool: "Pool") -> "Pool":
    """Counts named images as labelled if they have labels in the dataset, which may be elsewhere; says how many."""
    try:
        found = pool.with_labels_of(data)
    except DataError as error:
        print(f"Which images have labels in {data.root} is not known: {error}")
        return pool
    if 0 < len(found.labelled) < len(pool.names):
        labelled = f"{len(found.labelled):,} of the {len(pool.names):,} images have labels in {data.root}"
        print(f"{labelled} (compared by content, not by name). They are not chosen, nor are images like them.")
    return found


COMMANDS = choose
WORDS = "images"
DATA_OF = "ckpt"
DATA_BESIDE_IMAGES = True
