"""Detects if a private name of Lightning that smir uses has moved; `smir.runs.lightning_doors` lists these names."""

import signal
import sys

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.demos.boring_classes import BoringDataModule, BoringModel
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from lightning.pytorch.trainer.states import TrainerFn

from smir.runs.lightning_doors import (
    ParsingCLI,
    SettingsCLI,
    copies_this_process,
    keep_own_signal_handlers,
    load_only_what_is_given,
    share_gradient_memory,
)

QUIET = {
    "accelerator": "cpu",
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


class Handlers(Callback):
    """Records the handlers of signals during a training step."""

    def __init__(self, keep):
        self.keep, self.seen = keep, None

    def setup(self, trainer, pl_module, stage):
        if self.keep:
            keep_own_signal_handlers(trainer)

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.seen = signal.getsignal(signal.SIGTERM)


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.filterwarnings("ignore")
def test_a_fit_leaves_signal_handlers_alone(tmp_path, keep):
    def own(number, frame):
        raise AssertionError

    before = signal.signal(signal.SIGTERM, own)
    try:
        handlers = Handlers(keep)
        trainer = Trainer(**QUIET, max_steps=1, limit_val_batches=0, callbacks=[handlers], default_root_dir=tmp_path)
        trainer.fit(BoringModel())
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (handlers.seen is own) == keep  # Lightning replaces the handler if smir does not prevent it


def test_ddp_shares_gradient_memory(monkeypatch):
    given = {}
    monkeypatch.setattr(
        "lightning.pytorch.strategies.ddp.DistributedDataParallel", lambda **options: given.update(options)
    )
    strategy = DDPStrategy(parallel_devices=[torch.device("cpu")])
    share_gradient_memory(strategy)
    share_gradient_memory(SingleDeviceStrategy())  # nothing is shared here
    strategy._setup_model(torch.nn.Linear(1, 1))
    assert given["gradient_as_bucket_view"] is True


@pytest.mark.parametrize(
    ("strategy", "copies"), [("auto", False), ("ddp", False), ("ddp_spawn", True), ("ddp_fork", True)]
)
def test_strategies_that_copy_the_process_are_known(strategy, copies):
    assert copies_this_process(Trainer(**QUIET, strategy=strategy, devices=1).strategy) == copies


def test_a_fit_loads_only_the_checkpoint_that_it_is_given(tmp_path, monkeypatch):
    for name in ("SLURM_NTASKS", "SLURM_JOB_ID", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID"):
        monkeypatch.setenv(name, "1" if name == "SLURM_NTASKS" else "0")
    torch.save({"epoch": 3}, tmp_path / "hpc_ckpt_1.ckpt")
    trainer = Trainer(**QUIET, default_root_dir=tmp_path)
    connector, found = trainer._checkpoint_connector, str(tmp_path / "hpc_ckpt_1.ckpt")
    select = {"model_provided": True, "model_connected": True}
    assert connector._select_ckpt_path(TrainerFn.FITTING, None, **select) == found  # what would happen otherwise
    load_only_what_is_given(trainer)
    assert connector._select_ckpt_path(TrainerFn.FITTING, None, **select) is None
    assert connector._select_ckpt_path(TrainerFn.FITTING, "hpc", **select) == "hpc"


class Model(BoringModel):
    def __init__(self, width: int = 1):
        super().__init__()
        self.save_hyperparameters()
        self.width = width


class Stub:
    """A CLI with one option more in its parser, which trains nothing."""

    def add_arguments_to_parser(self, parser):
        parser.add_argument("--include", type=str)

    def fit(self, **arguments):
        self.fitted = True


class Settings(Stub, SettingsCLI):
    pass


class Plain(Stub, LightningCLI):
    pass


class Parsing(ParsingCLI, Settings):
    pass


def run(kind, *words):
    options = {f"trainer.{name}": value for name, value in QUIET.items()}
    args = ["fit", *(f"--{name}={value}" for name, value in options.items()), *words]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["test"])
        return kind(Model, BoringDataModule, save_config_callback=None, seed_everything_default=0, args=args)


def test_a_checkpoint_changes_no_settings(tmp_path):
    torch.save({"hyper_parameters": {"width": 7}}, path := tmp_path / "last.ckpt")
    assert run(Settings, f"--ckpt_path={path}", "--model.width=3").model.width == 3
    assert run(Plain, f"--ckpt_path={path}", "--model.width=3").model.width == 7  # what would happen otherwise


def test_settings_are_plain_values():
    cli = run(Settings, "--include=other.yaml", "--model.width=3", "--trainer.max_epochs=2")
    assert cli.settings["model"] == {"width": 3}
    assert cli.settings["trainer"]["max_epochs"] == 2
    assert cli.settings["seed_everything"] == 0
    assert "include" not in cli.settings


def test_a_parser_is_built_once():
    first, second = run(Parsing, "--model.width=3"), run(Parsing, "--trainer.max_epochs=2")
    assert second.parser is first.parser
    assert (second.settings["model"], second.settings["trainer"]["max_epochs"]) == ({"width": 1}, 2)
    assert first.settings["trainer"]["max_epochs"] is None
    assert run(Settings).fitted  # the arguments of `fit` are also known


def test_parsing_builds_and_runs_nothing():
    cli = run(Parsing, "--model.width=3")
    assert cli.settings["model"] == {"width": 3}
    assert not hasattr(cli, "model")
    assert not hasattr(cli, "fitted")
    assert run(Settings).fitted
