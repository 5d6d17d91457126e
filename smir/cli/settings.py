"""Options beside those of Lightning's CLI, and settings that are refused before anything is built."""

import argparse
import re
from typing import Any, NoReturn

from jsonargparse import Namespace
from lightning.pytorch.cli import LightningArgumentParser

from smir.cli.guarded import GuardedParser
from smir.cli.run_options import RunOptions
from smir.errors import ConfigError

_NO_CLASS = re.compile(
    r"arguments are required: (\w+\.(data|model)(, )?)+$"
    r"|class_path 'smir\.training\.task\.SmirModule'|smir\.data\.SmirDataModule is abstract"
)
"""The parser's messages for a missing class of model or data, or for the abstract base class in its place."""


class Parser(GuardedParser, LightningArgumentParser):
    """Lightning's parser, guarded. The help of a class (`--data.help Folder`) is a parser that comes without a name."""

    def __init__(self, *args: Any, prog: str | None = "python -m smir", **kwargs: Any) -> None:
        super().__init__(*args, prog=prog, **kwargs)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Says how to name the model and the data where the settings name none.

        Raises:
            ConfigError: For such settings.
        """
        if _NO_CLASS.search(message):
            raise ConfigError(
                "The settings do not say which model and which data. Add configs that do, such as --config "
                "experiments/folder/pretrain.yaml --config field/data.yaml; or, before their options, --model "
                "ReconstructionModule (to pretrain) or --model SegmentationModule, and --data Folder, PascalVOC, "
                "Cityscapes, Nassar or SugarBeets."
            ) from ex
        super().error(message, ex)


def add_options(parser: LightningArgumentParser) -> None:
    """Adds what smir has beside trainer, model and data: `--run.*`, and links from the data to the model."""
    parser.add_argument("--run", type=RunOptions, default=RunOptions(), help="Where the run is kept.")
    # `main` has read the included files before; the key itself means nothing to the parser.
    parser.add_argument("--include", type=Any, help=argparse.SUPPRESS)
    parser.link_arguments("data.preprocessing", "model.init_args.preprocessing", apply_on="instantiate")
    parser.link_arguments("data.classes", "model.init_args.classes", apply_on="instantiate")


def check_seed(seed: int) -> None:
    """Refuses a seed that the generators do not take.

    Raises:
        ConfigError: For such a seed.
    """
    if not 0 <= int(seed) < 1 << 32:
        raise ConfigError(f"seed_everything must lie between 0 and {(1 << 32) - 1}, got {seed}.")


def refuse_two_of_a_kind(callbacks: list[Namespace]) -> None:
    """Says how two `SelectiveMasking` come about; Lightning would only say that it cannot save both.

    Raises:
        ConfigError: If there are two.
    """
    staged = [callback for callback in callbacks if callback.class_path.endswith(".SelectiveMasking")]
    if len(staged) > 1:
        raise ConfigError(
            "The settings name SelectiveMasking twice. Where a config has it already, leave out "
            "--trainer.callbacks+=SelectiveMasking and give its options alone: --trainer.callbacks.num_stages 5"
        )


def as_list(value: Any) -> list[Any]:
    """Returns a setting that may be left out, single or a list, as a list."""
    return value if isinstance(value, list) else [value] if value else []
