"""The runs of the study: what each starts from, how long it trains, and on how many labels.

Every seed has its own draw of labelled images, its own pretraining and its own segmentation, so that the interval of
a difference holds the luck of all three.
"""

import dataclasses
import json
from collections.abc import Iterator, Sequence

SETTINGS = (
    *("--model.network.encoder", "tu-tf_efficientnet_lite0"),
    *("--data.crop_size", "192"),
    *("--data.num_workers", "0"),
    *("--trainer.accelerator", "cpu"),
)
"""Of every run: a small encoder and crops that one core can train on in half an hour."""
PRETRAIN = ("--data.hold_out", "false")
"""The pool is all images of the field; the test images are elsewhere."""
SEGMENT = ("--data.batch_size", "4", "--trainer.max_epochs", "120", "--run.test", "false")
STAGES = 2
VISITS = 14_000
VAL_SHARE = 0.2
"""Of the labelled images, those that choose the checkpoint."""


@dataclasses.dataclass(frozen=True)
class Pretraining:
    """A pretraining, of which every seed has its own.

    Attributes:
        name: Name of the experiment.
        config: File in `experiments/folder`.
        staged: True if it trains in stages, each on a part of the pool.
        visits: Image visits, over all stages.
        words: Further options.
    """

    name: str
    config: str
    staged: bool = True
    visits: int = VISITS
    words: tuple[str, ...] = ()

    @property
    def from_imagenet(self) -> bool:
        """True if the encoder starts from ImageNet weights."""
        return "imagenet" in self.config

    def epochs(self, pool: int) -> int:
        """Epochs for the visits; an epoch of a stage sees its part of the pool."""
        return max(round(self.visits * (STAGES if self.staged else 1) / pool), STAGES)


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of a table: segmentations that differ only in their seed.

    Attributes:
        name: Name in tables and of the experiment.
        start: Random weights (`scratch`), ImageNet weights (`imagenet`), or a pretraining.
        labels: Labelled images, of which `VAL_SHARE` validate.
        seeds: Number of seeds, from 0.
        module: Class to train, for a module of the study; default: that of the config.
        words: Further options of the segmentation.
        hold_out: True if the validation images are left out of the training, as without `data.train_on_val`.
        cross_validated: True if trainings that each leave out another fifth choose the number of epochs.
    """

    name: str
    start: str | Pretraining
    labels: int = 20
    seeds: int = 6
    module: str | None = None
    words: tuple[str, ...] = ()
    hold_out: bool = True
    cross_validated: bool = False

    @property
    def from_imagenet(self) -> bool:
        """True if the run itself loads ImageNet weights."""
        return self.start == "imagenet"


AS_WEIGHTS = ("--data.mean=[0.5,0.5,0.5]", "--data.std=[0.5,0.5,0.5]")
"""The normalisation that the encoder's ImageNet weights were trained with."""
FROZEN_ENCODER = ("--model.freeze_encoder_epochs=-1",)
RANDOM = Pretraining("imagenet-random", "pretrain-imagenet-random.yaml", staged=False)
STAGED = Pretraining("imagenet-random-staged", "pretrain-imagenet-random-staged.yaml")
SELECTIVE = Pretraining("imagenet-selective", "pretrain-imagenet.yaml")
NETWORK_FREE = Pretraining(
    "imagenet-interpolation",
    "pretrain-imagenet.yaml",
    words=("--trainer.callbacks.score=smir.method.InterpolationScore",),
)
SCRATCH_RANDOM = Pretraining("random", "pretrain.yaml", staged=False, words=("--trainer.callbacks=[]",))
SCRATCH_SELECTIVE = Pretraining("selective", "pretrain.yaml")
LONGER = dataclasses.replace(SCRATCH_SELECTIVE, name="selective-longer", visits=4 * VISITS)
"""Four times the visits of the others."""

FROZEN = dataclasses.replace(SELECTIVE, name="imagenet-selective-frozen", words=FROZEN_ENCODER)
SLOW = dataclasses.replace(SELECTIVE, name="imagenet-selective-slow", words=("--model.encoder_lr_factor=0.1",))
NORMALISED = dataclasses.replace(SELECTIVE, name="imagenet-selective-normalised", words=AS_WEIGHTS)

MAIN = (
    Row("scratch", "scratch"),
    Row("imagenet", "imagenet"),
    Row("imagenet, normalisation of the weights", "imagenet", words=AS_WEIGHTS),
    Row("imagenet, frozen encoder", "imagenet", words=FROZEN_ENCODER),
    Row("imagenet, random", RANDOM),
    Row("imagenet, random-staged", STAGED),
    Row("imagenet, selective", SELECTIVE),
    Row("imagenet, interpolation", NETWORK_FREE),
    Row("random", SCRATCH_RANDOM, seeds=3),
    Row("selective", SCRATCH_SELECTIVE, seeds=3),
    Row("selective, longer", LONGER, seeds=3),
    Row("imagenet, self-training", "imagenet", module="benchmarks.evidence.self_training.SelfTraining"),
)
BUDGETS = tuple(
    dataclasses.replace(row, labels=labels)
    for labels in (10, 60)
    for row in MAIN
    if row.name in ("scratch", "random", "selective", "imagenet", "imagenet, random-staged", "imagenet, selective")
)
EXPLORED = (
    Row("imagenet, selective, frozen encoder", FROZEN, seeds=3),
    Row("imagenet, selective, encoder at a tenth", SLOW, seeds=3),
    Row("imagenet, selective, normalisation of the weights", NORMALISED, seeds=3, words=AS_WEIGHTS),
)
"""Settings that may keep a pretraining from harming ImageNet weights."""
TRAININGS = {
    "a third of the learning rate": ("--model.lr=1e-3",),
    "encoder at a tenth": ("--model.encoder_lr_factor=0.1",),
    "twice the epochs": ("--trainer.max_epochs=240",),
    "batches of 8": ("--data.batch_size=8",),
    "averaged weights": ("--trainer.callbacks+=EMAWeightAveraging", "--trainer.callbacks.decay=0.98"),
    "batch norm of the labels first": ("--model.reestimate_batch_norm=true",),
    "frozen encoder, batch norm of the labels": (*FROZEN_ENCODER, "--model.reestimate_batch_norm=true"),
}
"""Ways to train a segmentation on few labels."""
TRAINED = (
    *(
        Row(f"{start}, {name}", start, seeds=3, words=words)
        for name, words in TRAININGS.items()
        for start in ("scratch", "imagenet")
        if start != "scratch" or "batch norm" not in name
    ),
    *(
        Row(f"{made.name}, twice the epochs", made, seeds=3, words=TRAININGS["twice the epochs"])
        for made in (SCRATCH_RANDOM, SCRATCH_SELECTIVE)
    ),
    Row("scratch, trained on all labels", "scratch", seeds=3, hold_out=False),
    Row("imagenet, trained on all labels", "imagenet", seeds=3, hold_out=False),
    Row("selective, trained on all labels", SCRATCH_SELECTIVE, seeds=3, hold_out=False),
    Row("imagenet, epochs by cross-validation", "imagenet", seeds=3, hold_out=False, cross_validated=True),
    Row("imagenet, validated on four views", "imagenet", seeds=3, module="benchmarks.evidence.four_views.FourViews"),
)
_DICE_AND_ENTROPY = [{"class_path": f"smir.method.{name}"} for name in ("DiceLoss", "CrossEntropyLoss")]
FOR_RARE_CLASSES = {
    "dice and cross-entropy": (
        "--model.loss=smir.method.SumOfLosses",
        f"--model.loss.losses={json.dumps(_DICE_AND_ENTROPY)}",
    ),
    "focal loss": ("--model.loss=smir.method.FocalLoss",),
    "class weights by frequency": ("--model.class_weights=auto",),
    "crops at rare classes": ("--data.rare_class_crops=0.5",),
}
"""Settings that may help a class of few pixels."""
RARE = tuple(Row(f"imagenet, {name}", "imagenet", seeds=3, words=words) for name, words in FOR_RARE_CLASSES.items())
ROWS = (*MAIN, *EXPLORED, *TRAINED, *RARE, *BUDGETS)


def in_order(rows: Sequence[Row]) -> Iterator[tuple[Row, int]]:
    """Yields every run seed by seed, so that a study that is cut short has whole seeds."""
    for seed in range(max((row.seeds for row in rows), default=0)):
        yield from ((row, seed) for row in rows if seed < row.seeds)
