"""`python -m smir inspect`: shows what a network finds hard, or gets wrong, on one page."""

from pathlib import Path
from typing import Any, Literal, NamedTuple

from jsonargparse.typing import ClosedUnitInterval, PositiveInt

from smir.data import SmirDataModule
from smir.errors import ConfigError
from smir.files.atomic import refuse_unwritable
from smir.method.masking import HardestMask, MaskPolicy


class Inspected(NamedTuple):
    """The checkpoint, its task, and the split that was asked for."""

    checkpoint: Path
    task: Literal["pretrain", "segment"]
    split: str | None


def inspect(
    ckpt: Path,
    images: list[Path] | Path | None = None,
    data: SmirDataModule | None = None,
    split: Literal["pool", "train", "val", "test"] | None = None,
    out: Path = Path("inspect"),
    limit: PositiveInt = 24,
    num_samples: PositiveInt | None = None,
    policy: MaskPolicy | None = None,
    confidence: ClosedUnitInterval | None = None,
    worst: Literal["iou", "errors"] | None = None,
    on_bad_image: Literal["error", "skip"] = "error",
    batch_size: PositiveInt = 16,
    device: str = "auto",
) -> Inspected:
    """Shows what a network finds hard or gets wrong: python -m smir inspect --ckpt FILE [IMAGES ...].

    For a pretraining run: the loss of every patch, the hardest patches and images, their reconstructions, and the masks
    they would get. For a segmentation with labels: figures per class, confusion, the worst images, and the regions
    where the label is likely wrong. Without labels: predictions and their confidence. Writes one page, and CSV files of
    all figures; docs/inspect.md explains them.

    Args:
        ckpt: Checkpoint of either task.
        images: Images and folders of images, without labels; words without an option are images too.
        data: The dataset, if no images are given; `--config` takes it from an experiment. Default: that of the
            checkpoint's own run.
        split: The split to inspect. Default: the pool for a pretraining run; for a segmentation `val`, or `test` if val
            was trained on.
        out: Folder for the page: new, empty, or of an earlier inspection, which is replaced.
        limit: Images and regions to show, and twice as many patches. Figures count all images.
        num_samples: For a pretraining run: random masks that the loss of a patch is averaged over. Default: 5.
        policy: For a pretraining run: chooses the masks that images would get. Default: the hardest half.
        confidence: For a segmentation: lowest probability at which it counts as sure of a pixel. Default: 0.8.
        worst: For a segmentation: ranks images by the lowest mean IoU (`iou`, the default), or by the highest share of
            wrong pixels (`errors`).
        on_bad_image: `error` stops at an image that cannot be used; `skip` leaves it out and lists it.
        batch_size: Images at a time.
        device: `cpu`, `cuda`, `cuda:1`, ...; `auto` takes a GPU where there is one.

    Raises:
        SmirError: If the checkpoint, an image or a label cannot be read, the folder holds other things, or an option is
            for checkpoints of the other task.
    """
    if images is not None and (data is not None or split is not None):
        raise ConfigError("Give images or a dataset, not both: images exclude --config, --data and --split.")
    from smir.inspect.batches import Walk
    from smir.inspect.images import from_paths, labelled_split, pool_or_split
    from smir.inspect.labels import Predictions
    from smir.inspect.losses import PatchLosses
    from smir.inspect.run import claim, inspect_labels, inspect_losses, inspect_predictions, load
    from smir.training.reconstruction import ReconstructionModule

    refuse_unwritable(out)
    claim(out)
    module, seed = load(ckpt, device)
    _refuse_options_of_the_other_task(
        ckpt, module.task, {"num_samples": num_samples, "policy": policy}, {"confidence": confidence, "worst": worst}
    )
    if images is not None:
        source = from_paths(images if isinstance(images, list) else [images])
    elif data is None:
        raise ConfigError(
            f"There is nothing to inspect: {ckpt} is not in a run folder with a config.yaml. Name images or "
            "folders, or give the config of its run: --config FILE"
        )
    elif isinstance(module, ReconstructionModule):
        source = pool_or_split(data, split)
    else:
        split = split or ("test" if data.trained_val_images() and len(data.images("test")) else "val")
        source = labelled_split(data, split, module.classes)
    walk = Walk(source, module.preprocessing, batch_size, on_bad_image)
    if isinstance(module, ReconstructionModule):
        losses = PatchLosses(module, policy or HardestMask(ratio=0.5), num_samples or 5, seed, limit)
        page = inspect_losses(losses, walk, ckpt, out)
    else:
        predictions = Predictions(module, 0.8 if confidence is None else confidence, worst or "iou", limit)
        show = inspect_predictions if source.labels is None else inspect_labels
        page = show(predictions, walk, ckpt, out)
    if walk.skipped:
        print(f"{len(walk.skipped):,} of {len(source):,} images were left out, because of errors; the page says why.")
    if data is not None and module.task == "segment" and split == "val" and (trained := data.trained_val_images()):
        print(f"Also trained on (data.train_on_val): {len(trained)} of {len(source)} images.")
    print(f"Look at {page.absolute()}")
    return Inspected(ckpt, module.task, split)


def _refuse_options_of_the_other_task(
    ckpt: Path, task: Literal["pretrain", "segment"], of_pretraining: dict[str, Any], of_segmentation: dict[str, Any]
) -> None:
    other, kind, own = (
        (of_segmentation, "a segmentation", "a pretraining run")
        if task == "pretrain"
        else (of_pretraining, "a pretraining run", "a segmentation")
    )
    for name, value in other.items():
        if value is not None:
            raise ConfigError(f"--{name} is an option for {kind}, but {ckpt} is {own}. Leave this option out.")


COMMANDS = inspect
WORDS = "images"
DATA_OF = "ckpt"
