"""Private names of Lightning that smir has to use, each with its reason.

Lightning may rename them. Each one names the test of `tests/runs/test_lightning_doors.py` that fails then.
"""

from functools import cached_property
from typing import Any, ClassVar

import yaml
from lightning.pytorch import Trainer
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.strategies import DDPStrategy, Strategy
from lightning.pytorch.strategies.launchers import _MultiProcessingLauncher

from smir.runs.stored_config import Loader


def keep_own_signal_handlers(trainer: Trainer) -> None:
    """Keeps Lightning from replacing smir's signal handlers.

    Lightning's talk to other ranks in the middle of a step, and requeue a SLURM job. They have no option, and are
    registered after all `setup` hooks of a fit.

    Test: `test_a_fit_leaves_signal_handlers_alone`.
    """
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]  # no option for it


def load_only_what_is_given(trainer: Trainer) -> None:
    """Makes the trainer load the file of `ckpt_path`, or nothing.

    Without a path Lightning looks for files, as for `hpc_ckpt_1.ckpt` in the working folder under SLURM; and it takes
    the paths `last`, `best` and `hpc` for such searches.

    Test: `test_a_fit_loads_only_the_checkpoint_that_it_is_given`.
    """
    trainer._checkpoint_connector._parse_ckpt_path = (  # type: ignore[method-assign]  # no option for it
        lambda state_fn, ckpt_path, **_: ckpt_path
    )


def share_gradient_memory(strategy: Strategy) -> None:
    """Makes DDP compute gradients in its communication buffers, which saves a copy.

    `DDPStrategy` takes this as an argument, but only the trainer knows which strategy `auto` stands for.

    Test: `test_ddp_shares_gradient_memory`.
    """
    if isinstance(strategy, DDPStrategy):
        strategy._ddp_kwargs.setdefault("gradient_as_bucket_view", True)


def copies_this_process(strategy: Strategy) -> bool:
    """Returns whether the training would run in copies of this process, which then does not learn what they did.

    The strategies have no common public name; `auto` stands for one of them in a notebook with several GPUs.

    Test: `test_strategies_that_copy_the_process_are_known`.
    """
    return isinstance(strategy.launcher, _MultiProcessingLauncher)


class SettingsCLI(LightningCLI):
    """A LightningCLI whose settings come only from configs and flags, and are available as plain values."""

    _built: ClassVar[dict[tuple[Any, ...], dict[str, Any]]] = {}

    def setup_parser(self, *args: Any, **kwargs: Any) -> None:
        """Builds a parser once in a process, as a notebook runs many commands: it takes half the time of parsing.

        Test: `test_a_parser_is_built_once`.
        """
        given = set(vars(self))
        key = (type(self).add_arguments_to_parser, *self.subcommands(), str(vars(self)))
        if key not in self._built:
            super().setup_parser(*args, **kwargs)
            self._built[key] = {name: value for name, value in vars(self).items() if name not in given}
        vars(self).update(self._built[key])

    def _parse_ckpt_path(self) -> None:
        """Takes no settings from a checkpoint; since 2.5.5 Lightning lets its hyperparameters override the others.

        Test: `test_a_checkpoint_changes_no_settings`.
        """

    def _dump_config(self) -> None:
        """Keeps all settings as plain values. Lightning's own checks them again, a tenth of the time of a start.

        Test: `test_settings_are_plain_values`.
        """
        if not hasattr(self, "config_dump"):
            text = self.parser.dump(self.config, skip_link_targets=False, skip_unset=False, skip_validation=True)
            self.config_dump = yaml.load(text, Loader)[self.config.subcommand]

    @cached_property
    def settings(self) -> dict[str, Any]:
        """All settings of the subcommand, as plain values, with those of included files in place of `include`.

        Lightning dumps them only to its own callback, which writes a file.

        Test: `test_settings_are_plain_values`.
        """
        self._dump_config()
        return {name: value for name, value in self.config_dump.items() if name != "include"}


class ParsingCLI(SettingsCLI):
    """Parses a command without building or running anything.

    Test: `test_parsing_builds_and_runs_nothing`.
    """

    def instantiate_classes(self) -> None:
        """Builds nothing."""

    def _run_subcommand(self, subcommand: str) -> None:
        """Runs nothing."""
