"""The base of all datamodules: lists of files in, loaders out. A dataset only names its files and classes."""

import functools
import math
from collections.abc import Sequence, Sized
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

import lightning.pytorch as pl
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from smir.data.budget import LabelBudget
from smir.data.predict_options import PredictOptions
from smir.data.reading.cache import open_cache
from smir.data.reading.class_counts import class_counts, class_frequencies
from smir.data.reading.file_list import FileList, batches_of_one_shape, usual_side, view_shapes
from smir.data.reading.listing import Listing
from smir.data.reading.pairs import Images, LabelledCrops, MaskedCrops, Sample, WholeViews
from smir.data.reading.parallel import check_shared_memory, default_workers, same_on_all_ranks
from smir.data.reading.predicted import PredictedImages
from smir.data.reading.samplers import EvalSampler, ListSampler, TrainSampler, Visit
from smir.data.reading.screening import Screening
from smir.data.reading.transforms import CropTransform, TrainTransform
from smir.errors import ConfigError, counted
from smir.method.losses import MIN_SIDE_FIVE_SCALES
from smir.method.masking import MaskPolicy, RandomMask, refuse_scores
from smir.method.preprocessing import Preprocessing
from smir.method.stages import SingleStage, Stages
from smir.runs.lazy_defaults import lazy_instance

STRIDE = 32


class SmirDataModule(Listing, pl.LightningDataModule):
    """Loaders for pretraining and for segmentation of one dataset.

    A subclass gives `classes`, `pool()` and `pairs(split)`, and `decode_label` if its labels need it: see `Listing`.

    Args:
        root: Folder of the dataset.
        task: `pretrain` (the unlabelled pool) or `segment` (the labelled splits).
        batch_size: Global batch size for training, over all devices.
        crop_size: Side of the training crop and shortest side of a whole view, in pixels; a multiple of 32, and for
            pretraining over 160 (MS-SSIM).
        num_patches: Approximate number of patches of a mask's grid.
        mask: Policy that draws the random mask of every visit.
        mean: Mean of the red, green and blue channel, of values in [0, 1]; also the colour of a masked patch.
        std: Standard deviation of the channels.
        label_budget: Labelled training images to use: a whole number is a count, a fraction a share (1.0 is all, 1 is
            one image). Smaller budgets are subsets of larger ones.
        split_seed: Seed of the splits and, unless `budget_seed` says otherwise, of the label budget; separate from the
            seed of the run.
        budget_seed: Seed that draws the label budget. `split`: all runs see the same images. `run`: every seed draws
            other images, so that the spread over seeds includes the luck of the draw.
        fill_batches: Fill an incomplete training batch of a segmentation with further crops of its images. By default
            such a batch is dropped, as in the paper; with 12 images in batches of 8, that loses a third of them.
        rare_class_crops: Probability that a training crop of a segmentation is placed over a pixel of a drawn class.
            The class is drawn from those of the image, with a weight of one over its frequency.
        min_side: Shortest side in pixels below which an image is refused; default: the crop size.
        predict_images: Folder of images for `predict`, or one image of any size; default: the test split.
        predict: Options for the way `predict` reads images, and for its output.
        on_bad_image: Action if an image cannot be read, is too small, or has a label that does not fit. `error`
            stops. `skip` checks every file of the pool, train, val or `predict_images` first and leaves out the bad
            ones; test images are never skipped.
        max_bad_share: Share of a list above which skipping is an error.
        cache: Read images for training, validation and scoring through a cache on disk, which keeps decoded images at
            twice the crop size or less. This resamples large images once more; testing always reads the files.
        cache_folder: Folder of all caches; default: `smir` in the user's cache folder.
        cache_gb: Gigabytes that all caches in that folder may take. Images that do not fit are decoded at every visit.
        num_workers: Loader processes; default: depends on the cores of this machine.
        seed: Seed of the run, for orders, crops and masks; the CLI sets it to `seed_everything`.
    """

    shortens_warmup: ClassVar[bool] = False
    """True: a warm-up as long as a stage is shortened. False: it is an error."""

    def __init__(
        self,
        root: Path,
        task: Literal["pretrain", "segment"] = "segment",
        batch_size: int = 8,
        crop_size: int = 256,
        num_patches: int = 512,
        mask: MaskPolicy = lazy_instance(RandomMask, ratio=0.5),
        mean: tuple[float, float, float] = (0.485, 0.456, 0.406),
        std: tuple[float, float, float] = (0.229, 0.224, 0.225),
        label_budget: LabelBudget | None = None,
        split_seed: int = 0,
        budget_seed: Literal["split", "run"] = "split",
        fill_batches: bool = False,
        rare_class_crops: float = 0.0,
        min_side: int | None = None,
        predict_images: Path | None = None,
        predict: PredictOptions = PredictOptions(),
        on_bad_image: Literal["error", "skip"] = "error",
        max_bad_share: float = 0.01,
        cache: bool = False,
        cache_folder: Path | None = None,
        cache_gb: float = 50.0,
        num_workers: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        least = MIN_SIDE_FIVE_SCALES if task == "pretrain" else STRIDE
        if crop_size < least or crop_size % STRIDE:
            over = f", and for pretraining over {least - 1} because of MS-SSIM" * (task == "pretrain")
            near = STRIDE * max(-(-least // STRIDE), crop_size // STRIDE)
            raise ConfigError(
                f"data.crop_size must be a multiple of {STRIDE}{over}, got {crop_size}. Try {near} or {near + STRIDE}."
            )
        if batch_size < 1:
            raise ConfigError(f"data.batch_size must be 1 or more, got {batch_size}.")
        if num_workers is not None and num_workers < 0:
            raise ConfigError(
                f"data.num_workers must be 0 (this process loads the images itself) or more, got {num_workers}."
            )
        if not 0 <= rare_class_crops <= 1:
            raise ConfigError(f"data.rare_class_crops is a probability from 0 to 1, got {rare_class_crops}. Try 0.5.")
        refuse_scores(mask, "data.mask")
        self.root, self.task, self.batch_size, self.crop_size = Path(root), task, batch_size, crop_size
        self.mask, self.split_seed, self.budget_seed, self.seed = mask, split_seed, budget_seed, seed
        self.fill_batches = fill_batches and task == "segment"
        self.rare_class_crops = rare_class_crops if task == "segment" else 0.0
        self.label_budget = None if label_budget is None else LabelBudget(label_budget)
        self.min_side = crop_size if min_side is None else min_side
        self.predict_images, self.predict = predict_images, predict
        self.trained_side: int | None = None
        self.on_bad_image, self.screening = on_bad_image, Screening(max_bad_share)
        self.num_workers = num_workers
        self.preprocessing = Preprocessing(mean, std, crop_size, num_patches)
        if task == "pretrain":
            self.preprocessing.grid(crop_size, crop_size)  # refuses patches that are too small, before anything is read
        self.cache = open_cache(self.root, self.preprocessing, cache_folder, cache_gb) if cache else None
        self._lists: dict[str, FileList] = {}
        self._stages: Stages | None = None
        self._first_epoch = 0

    @property
    def stages(self) -> Stages:
        """The stage clock of the training images; segmentation has a single stage of all of them."""
        if self._stages is None:
            pretrain = self.task == "pretrain"
            self._stages = Stages(len(self.images("pool"))) if pretrain else SingleStage(len(self.images("train")))
        return self._stages

    def use_stages(self, num_stages: int) -> Stages:
        """Splits the pool into that many stages, unless it is already split so."""
        if self.stages.num_stages != num_stages:
            self._stages = Stages(len(self.images("pool")), num_stages)
        return self.stages

    def setup(self, stage: str) -> None:
        """Checks that the global batch can be divided over the devices, and that all of them have the same lists."""
        if self.cache is not None:
            self.cache.room.hold()
        _, world_size = self._place()
        if stage == "fit" and self.batch_size % world_size:
            raise ConfigError(
                f"data.batch_size = {self.batch_size} is the global batch size and cannot be divided over {world_size} "
                "devices. Use a multiple of that number, or change trainer.devices."
            )
        if world_size > 1:
            same_on_all_ranks(self.fingerprint() if stage == "fit" else self._fingerprint_of(stage))

    def train_dataloader(self) -> DataLoader[Sample]:
        """Augmented crops: masked ones of the current stage, or labelled ones."""
        _, world_size = self._place()
        frequencies = self.class_frequencies if self.rare_class_crops else None
        crops = self._crops("train", TrainTransform(self.crop_size, self.rare_class_crops, frequencies))
        return self._loader(crops, self._train_sampler(), self.batch_size // world_size)

    def image_visits(self, epochs: int, limit: float | None = None) -> int:
        """Returns the number of training images that all ranks together visit in these epochs, over all stages.

        `limit` is that of `trainer.limit_train_batches`.
        """
        sampler, stages = self._train_sampler().limited(limit), self.stages
        return epochs // stages.num_stages * sum(sampler.visits(stage) for stage in range(stages.num_stages))

    def _train_sampler(self) -> TrainSampler:
        place = self._place()
        return TrainSampler(self.stages, self.seed, *place, self.batch_size, self._first_epoch, self.fill_batches)

    def length(self, epochs: int, limit: float | None = None, accumulated: int = 1) -> str:
        """Returns, in words, how long a training of this many epochs is.

        Args:
            epochs: Number of epochs.
            limit: `trainer.limit_train_batches`.
            accumulated: `trainer.accumulate_grad_batches`.
        """
        sampler, images = self._train_sampler().limited(limit), len(self.stages.train(0))
        each = -(-sampler.num_batches // accumulated)
        steps, total = (counted(n, "step", "steps") for n in (each, epochs * each))
        crops = sampler.visits(0)
        seen = f"{crops:,} crops of {images:,} images" if crops != images else f"each of {images:,} images once"
        number = self.stages.num_stages
        staged = f" in {number} stages," if number > 1 else ""
        return f"{counted(epochs, 'epoch', 'epochs')}{staged} of {steps} ({seen}), {total} in all"

    def state_dict(self) -> dict[str, Any]:
        """Returns the epoch that a resumed run begins with; checkpoints are written at the end of an epoch."""
        return {"next_epoch": self.trainer.current_epoch + 1 if self.trainer else 0}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores what `state_dict` returned."""
        self._first_epoch = state_dict["next_epoch"]

    def val_dataloader(self) -> DataLoader[Sample]:
        """Centre crops of the current stage's validation part, or of the labelled validation split."""
        _, world_size = self._place()
        transform = CropTransform(self.crop_size, self.preprocessing)
        batch_size = max(1, self.batch_size // world_size)
        return self._loader(self._crops("val", transform), self._eval_sampler("val"), batch_size)

    def test_dataloader(self) -> DataLoader[Sample]:
        """Whole labelled images one by one; for pretraining the validation part of the pool."""
        if self.task == "pretrain":
            return self.val_dataloader()
        labels = self.labelled("test")
        dataset = WholeViews(labels.images, self.preprocessing, labels)
        return self._loader(dataset, self._eval_sampler("test"), 1)

    def predict_dataloader(self) -> DataLoader[Sample]:
        """Images one by one, without labels: whole views, or nothing but the index if they are read in windows."""
        dataset = PredictedImages(self.images("predict"), self.min_side, self.preprocessing, self.choice())
        return self._loader(dataset, self._eval_sampler("predict"), 1)

    def scoring_dataloader(self, indices: Sequence[int], batch_size: int) -> DataLoader[Sample]:
        """Whole views of images of the pool, in batches of one size.

        The batches are formed over all ranks together, so that they do not depend on the number of ranks, and then
        dealt out whole; ranks may get different numbers of them.
        """
        batches = batches_of_one_shape(indices, self.view_shapes(indices), batch_size)
        dataset = WholeViews(self._pool(), self.preprocessing)
        return self._loader(dataset, ListSampler(batches, *self._place()))

    def view_shapes(self, indices: Sequence[int]) -> list[tuple[int, int]]:
        """Height and width of the whole view of images of the pool, from their headers."""
        return view_shapes(self.images("pool"), indices, self.preprocessing)

    def view(self, index: int) -> Tensor:
        """Whole view (3, h, w) uint8 of one image of the pool."""
        views = WholeViews(self._pool(), self.preprocessing)
        return cast(Tensor, views[Visit(index, 0)]["image"])

    @functools.cached_property
    def class_frequencies(self) -> npt.NDArray[np.float64]:
        """Share (C,) of every class in the labelled pixels of the training images that it occurs in."""
        labels = self.labelled("train").files
        paths = [labels.path(index) for index in range(len(labels))]
        return class_frequencies(class_counts(paths, self.decode_label), len(self.classes))

    @functools.cached_property  # every checkpoint asks
    def usual_side(self) -> int:
        """Usual shortest side of the training images in pixels."""
        return usual_side(self.images("pool" if self.task == "pretrain" else "train"))

    def _crops(self, split: Literal["train", "val"], transform: TrainTransform | CropTransform) -> Dataset[Sample]:
        if self.task == "segment":
            return LabelledCrops(self.labelled(split, self.cache), transform)
        return MaskedCrops(self._pool(), transform, self.mask, self.preprocessing)

    def _pool(self) -> Images:
        return Images(self.images("pool"), self.min_side, self.cache)

    def _eval_sampler(self, name: Literal["val", "test", "predict"]) -> EvalSampler:
        if self.task == "pretrain" and name == "val":
            return EvalSampler(self.stages, self.seed, *self._place())
        everything = SingleStage(len(self.images(name)))
        return EvalSampler(everything, self.seed, *self._place(), indices=everything.train(0))

    def _loader(
        self, dataset: Dataset[Sample], sampler: Sampler[Visit] | ListSampler, batch_size: int | None = None
    ) -> DataLoader[Sample]:
        """The only place that builds a DataLoader. Without a batch size the sampler gives whole batches."""
        workers = self.num_workers
        if workers is None:
            workers = default_workers(self._place()[1], self.trainer.num_nodes if self.trainer else 1)
        if batch_size is not None:  # four bytes a pixel: an image and its mask or label
            batches = math.ceil(len(cast("Sized", sampler)) / batch_size)
            check_shared_memory(workers, batches, 4 * batch_size * self.crop_size**2)
        order: dict[str, Any] = (
            {"batch_sampler": sampler} if batch_size is None else {"sampler": sampler, "batch_size": batch_size}
        )
        return DataLoader(
            dataset,
            num_workers=workers,
            persistent_workers=workers > 0 and batch_size is not None,
            pin_memory=torch.cuda.is_available(),
            **order,
        )

    def _fingerprint_of(self, stage: str) -> dict[str, Any]:
        pretrain = {"validate": "pool", "test": "pool"} if self.task == "pretrain" else {"validate": "val"}
        name: Any = {"test": "test", "predict": "predict", **pretrain}[stage]
        return {name: self.images(name).fingerprint()}

    def _place(self) -> tuple[int, int]:
        """This process's rank and the number of processes."""
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
