"""The settings of the training commands: smir's options beside Lightning's, and checks before anything is built."""

import argparse
import dataclasses
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from jsonargparse import Namespace
from lightning.pytorch.cli import LightningArgumentParser

from smir.cli.guarded import GuardedParser
from smir.cli.words import as_meant
from smir.errors import ConfigError
from smir.runs.run_folder import IfTaken
from smir.runs.wandb_logging import WandbOptions, sweep_run

_NO_CLASS = re.compile(
    r"arguments are required: (\w+\.(data|model)(, )?)+$"
    r"|class_path 'smir\.training\.task\.SmirModule'|smir\.data\.SmirDataModule is abstract"
)
"""The parser's messages for a missing class of model or data, or for the abstract base class in its place."""

_CKPT = (
    "Checkpoint of a run. For predict, test and validate: its file, or best or last for that of the run in --config. "
    "For fit: the file of another run to continue from; a run continues from its own by itself."
)
_PLAIN = {
    "Runs the full optimization routine": "Trains a model; the same command again continues it.",
    "Perform one evaluation epoch over the validation set": "Computes the figures of a trained model on val.",
    "Perform one evaluation epoch over the test set": "Tests a trained model.",
    "Run inference on your data": "Predicts the labels of images of any size with a trained model: "
    "--ckpt RUN/checkpoints/best.ckpt --data.predict_images PHOTOS, and --formats gpkg for polygons.",
}
"""Descriptions of commands, by those of Lightning."""
_Rule = tuple[Callable[[Any], bool], str]
_RULES: dict[str, _Rule] = {
    # Images are float32 where they meet the network; autocast does the rest.
    "precision": (
        lambda value: value is None or str(value) in ("32", "32-true", "16", "16-mixed", "bf16", "bf16-mixed"),
        "32-true, 16-mixed, bf16-mixed or auto",
    ),
    "use_distributed_sampler": (lambda value: not value, "false: the samplers of smir deal the images to the devices"),
}
_REFUSED_CALLBACKS = {
    "BatchSizeFinder": "it changes the batch size of the recipe. Set data.batch_size.",
    "LearningRateFinder": "smir sets the learning rate of every epoch itself. Set model.lr.",
    "StochasticWeightAveraging": "it changes the schedule of the recipe. EMAWeightAveraging does not.",
}
"""Callbacks of Lightning that work against the schedule, or change the recipe after it has been recorded."""
_OF_TRAINING: dict[str, _Rule] = {
    "max_epochs": (
        lambda value: value is not None and value >= 1,
        "the number of epochs, 1 or more: the learning-rate schedule spans it",
    ),
    # A run that ends before its last epoch is not done, and the same command would never finish it.
    "max_steps": (lambda value: value == -1, "-1: trainer.max_epochs sets the length of a run"),
    "max_time": (
        lambda value: value is None,
        "null: a run ends with its last epoch. To stop earlier, and resume exactly: timeout 2h python -m smir fit ...",
    ),
    "accumulate_grad_batches": (lambda value: value >= 1, "1 or more"),
    "gradient_clip_val": (lambda value: value is None or 0 <= value < math.inf, "0 (no clipping) or more"),
    "limit_train_batches": (lambda value: value is None or value > 0, "more than 0"),
    "limit_val_batches": (lambda value: value is None or value > 0, "more than 0: it finds the best checkpoint"),
    "limit_test_batches": (
        lambda value: value is None or (isinstance(value, float) and value == 1),
        "null: the test at the end of a run is on all test images. To leave it out: --run.test false",
    ),
    "overfit_batches": (lambda value: not value, "0; trainer.limit_train_batches trains on a few images"),
    # Metrics, the best checkpoint and the stages count in epochs.
    "val_check_interval": (lambda value: value in (None, 1.0), "1.0: a run validates at the end of its epochs"),
    "check_val_every_n_epoch": (lambda value: value is not None and value >= 1, "1 or more"),
}
"""Settings that Lightning accepts, but with which a command would crash later or do nothing."""


@dataclasses.dataclass
class RunOptions(WandbOptions):
    """Options of the run folder and of Weights & Biases.

    Attributes:
        experiment: Name of the experiment, such as `demo/selective`; default: the dataset and the task.
        field: Name of your own images for the report, as `data.yaml` of `prepare folder` gives it; it takes the place
            of `folder` in `folder/selective`.
        variant: Word for the difference between this run and its experiment, such as `labels-5`; it is appended to the
            name.
        root: Folder of all runs; this one goes to `<root>/<experiment>/seed<k>`.
        if_taken: If a run with other settings has that folder, `rename` appends a hash to its name, and `refuse` is
            an error.
        test: Whether to test the best checkpoint at the end of a segmentation.
        keep_seconds: Minimum seconds between two writes of `last.ckpt`; a kill may lose the epochs in between. `0`
            keeps every epoch. The end of a stage is always kept.
    """

    experiment: str | None = None
    field: str | None = None
    variant: str | None = None
    root: Path = Path("runs")
    if_taken: IfTaken = "rename"
    test: bool = True
    keep_seconds: float = 30.0

    def name(self, default: str = "") -> str:
        """Returns the name of the experiment, or `default`, with the variant."""
        experiment = self.experiment or default
        return f"{experiment}-{self.variant}" if self.variant else experiment

    def folder(self, seed: int) -> Path:
        """Returns the folder of the run of a seed, if no run of other settings has taken it."""
        return self.root / self.name() / f"seed{seed}"


class Parser(GuardedParser, LightningArgumentParser):
    """Lightning's parser, guarded. It has a default name, which the help of a class (`--data.help Folder`) needs.

    Of Lightning's descriptions it takes the first sentence: their last one is cut off at a line end.
    """

    def __init__(self, *args: Any, prog: str | None = "python -m smir", description: str = "", **kwargs: Any) -> None:
        first = description.split(". ")[0]
        super().__init__(*args, prog=prog, description=_PLAIN.get(first.rstrip("."), first), **kwargs)

    def add_argument_group(self, title: str | None = None, *args: Any, **kwargs: Any) -> Any:
        """Adds a group of options."""
        return super().add_argument_group(title and title.split(". ")[0], *args, **kwargs)

    def parse_args(self, args: Any = None, *more: Any, **kwargs: Any) -> Namespace:  # type: ignore[override]  # fewer overloads
        """Parses words; `--ckpt` is short for Lightning's name of the option."""
        if isinstance(args, list):
            args = as_meant(args, "ckpt_path")
        return super().parse_args(args, *more, **kwargs)

    def format_help(self, *args: Any) -> str:
        """Returns the help, with the checkpoint's option as all commands call it, and what it takes here."""
        for action in self._actions:
            if action.dest == "ckpt_path":
                action.help = _CKPT
            elif action.dest == "seed_everything":
                action.help = "Seed of the run, 0 or more; it also names the run folder."
        return super().format_help(*args).replace("--ckpt_path", "--ckpt")

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Reports an error; if the settings lack model or data, the message says how to name them.

        Raises:
            ConfigError: For such settings.
        """
        if _NO_CLASS.search(message):
            raise ConfigError(
                "The settings do not say which model and which data. Add configs that do, such as --config "
                "folder/pretrain --config field/data.yaml; or, before their options, --model "
                "ReconstructionModule (to pretrain) or --model SegmentationModule, and --data Folder, PascalVOC, "
                "Cityscapes, Nassar or SugarBeets.\nTo use a trained network, give its file, --ckpt "
                "RUN/checkpoints/best.ckpt, or the config of its run, --config RUN/config.yaml."
            ) from ex
        super().error(message, ex)


def add_options(parser: LightningArgumentParser) -> None:
    """Adds `--run.*`, and links from the data to the model."""
    parser.add_argument("--run", type=RunOptions, default=RunOptions(), help="Folder and logging of the run.")
    parser.add_argument("--include", type=Any, help=argparse.SUPPRESS)  # `main` has read the included files
    for name in ("preprocessing", "classes"):
        parser.link_arguments(f"data.{name}", f"model.init_args.{name}", apply_on="instantiate")


def check_settings(config: Namespace, trains: bool) -> None:
    """Refuses settings that would make a command fail later, before anything is read or written.

    More of them matter for a command that `trains`, unless on a single batch.

    Raises:
        ConfigError: At the first such setting.
    """
    trainer = config.trainer
    for name, (holds, words) in (_RULES | _OF_TRAINING if trains else _RULES).items():
        if not holds(trainer[name]):
            raise ConfigError(f"trainer.{name} must be {words}. Got {trainer[name]}.")
    if trains and trainer.check_val_every_n_epoch > trainer.max_epochs:
        raise ConfigError(
            f"trainer.check_val_every_n_epoch ({trainer.check_val_every_n_epoch}) is more than trainer.max_epochs "
            f"({trainer.max_epochs}): the run would never be validated, and so have no best checkpoint."
        )
    named = [callback.class_path.rpartition(".")[2] for callback in as_list(trainer.callbacks)]
    if trains and (found := sorted(_REFUSED_CALLBACKS.keys() & set(named))):
        raise ConfigError(f"Leave {found[0]} out of trainer.callbacks: {_REFUSED_CALLBACKS[found[0]]}")
    if trains and "Timer" in named:
        raise ConfigError(
            "Lightning's Timer would stop a resumed run again at once, because its checkpoints keep the time. Leave it "
            "out of trainer.callbacks. To stop earlier, and resume exactly: timeout 2h python -m smir fit ..."
        )
    if named.count("SelectiveMasking") > 1:  # Lightning would only say that it cannot save both
        raise ConfigError(
            "The settings name SelectiveMasking twice. If a config has it already, leave out "
            "--trainer.callbacks+=SelectiveMasking and give only its options: --trainer.callbacks.num_stages 5"
        )
    data = config.data.init_args
    if trains and sweep_run() and data.get("train_on_val") and data.task == "segment":
        raise ConfigError(
            "A sweep compares settings by their figures on validation images, but with data.train_on_val these are "
            "trained on. Add --data.train_on_val=false to the command of the sweep."
        )


def refuse_moved_field(config: Namespace) -> None:
    """Refuses a `data.yaml` that was moved with its images, or is used from another folder, with what to do.

    Raises:
        ConfigError: If the root that it names is missing, but the images lie beside it.
    """
    root = Path(config.data.init_args.root)
    for path in (Path(str(each)) for each in as_list(config.get("config"))):
        if path.name == "data.yaml" and not root.exists() and (path.parent / "images").is_dir():
            raise ConfigError(
                f"There is no folder {root.absolute()}, which {path} names as data.root, but images lie beside that "
                f"file. Correct root in it, or add --data.root {path.parent}"
            )


def as_list(value: Any) -> list[Any]:
    """Returns a setting that may be missing, single or a list, as a list."""
    return value if isinstance(value, list) else [value] if value else []
