"""The cost of trainings: image visits from their configs, and time from a measurement on this machine."""

import dataclasses
import shlex
import time
from collections.abc import Callable, Iterable, Iterator
from pkgutil import resolve_name
from typing import Any

import torch
from jsonargparse import Namespace
from torch import Tensor
from torch.optim import Adam

from smir.cli.command_line import ParsedCLI, run_cli
from smir.cli.precision import native_precision
from smir.cli.settings import RunOptions
from smir.cli.words import expand_includes
from smir.data.audit.expected import expected_counts
from smir.data.base import SmirDataModule
from smir.data.reading.samplers import TrainSampler
from smir.errors import ConfigError, DataError
from smir.method.losses import ReconstructionLoss
from smir.method.stages import SingleStage, Stages
from smir.models.networks import Network

MEASURED_SECONDS = 10.0
MEASURED_BATCH = 8
_LISTS = {"pretrain": ("pool",), "segment": ("train", "val", "test")}


@dataclasses.dataclass(frozen=True)
class Work:
    """The work of a training.

    Attributes:
        experiment: Its name.
        task: `pretrain` or `segment`.
        train_visits: Images that it trains on, over all epochs.
        forward_visits: Images that it validates, tests and scores; every random mask of a score counts.
        on_disk: True if the images were counted on disk, False if the counts are the published ones.
    """

    experiment: str
    task: str
    train_visits: int
    forward_visits: int
    on_disk: bool


@dataclasses.dataclass(frozen=True)
class Speed:
    """Images per second of the network on this machine: in whole training steps, and in forward passes only."""

    train: float
    forward: float

    def hours(self, work: Work) -> float:
        """Hours of a training, if loading keeps up."""
        return (work.train_visits / self.train + work.forward_visits / self.forward) / 3600


def parsed(commands: Iterable[list[str]]) -> Iterator[Namespace]:
    """Parses trainings as `fit` itself would.

    Raises:
        ConfigError: If a command is not a training, or an included file is missing.
        SystemExit: If a config or an option is wrong.
    """
    parser: Any = None
    for words in commands:
        if words[:1] != ["fit"]:
            raise ConfigError(f"Only trainings can be planned, not: {shlex.join(words)}")
        expanded = expand_includes(words)
        parser = parser or run_cli(expanded, ParsedCLI).parser
        yield parser.parse_args(expanded).fit


def works(configs: Iterable[Namespace]) -> Iterator[Work]:
    """Counts what trainings do; lists that several share are read once.

    Raises:
        DataError: If images are neither on disk nor those of a published dataset, or too few for the stages.
    """
    known: dict[str, tuple[dict[str, int], bool]] = {}
    for config in configs:
        options = {name: value for name, value in vars(config.data.init_args).items() if name not in ("mask", "seed")}
        key = f"{config.data.class_path} {options}"
        if key not in known:
            known[key] = _counts(config.data.class_path, options)
        experiment = RunOptions(**vars(config.run)).name(config.data.class_path.rsplit(".", 1)[-1])
        try:
            yield _work(config, experiment, *known[key])
        except DataError as error:
            raise DataError(f"{experiment}, in {config.data.init_args.root}: {error}") from error


def _work(config: Namespace, experiment: str, counts: dict[str, int], on_disk: bool) -> Work:
    data, trainer = config.data.init_args, config.trainer
    stages: Stages = SingleStage(counts["train"]) if data.task == "segment" else Stages(counts["pool"])
    scored = 0
    for callback in trainer.callbacks or []:
        if data.task == "pretrain" and callback.class_path.endswith("SelectiveMasking"):
            stages = Stages(counts["pool"], callback.init_args.num_stages)
            policy, score = callback.init_args.policy, callback.init_args.score
            if policy is not None and score is None and resolve_name(policy.class_path).needs_scores:
                scored = callback.init_args.num_samples * (counts["pool"] - len(stages.partition(0)))
    epochs, every = trainer.max_epochs // stages.num_stages, range(stages.num_stages)
    fill = data.fill_batches and data.task == "segment"
    visits = TrainSampler(stages, 0, 0, 1, data.batch_size, fill=fill).limited(trainer.limit_train_batches).visits
    validated = sum(len(stages.val(stage)) for stage in every) if data.task == "pretrain" else counts["val"]
    validations = epochs // (trainer.check_val_every_n_epoch or 1)
    tested = counts["test"] if data.task == "segment" and config.run.test else 0
    return Work(
        experiment=experiment,
        task=data.task,
        train_visits=epochs * sum(visits(stage) for stage in every),
        forward_visits=validations * validated + scored + tested,
        on_disk=on_disk,
    )


def _counts(class_path: str, options: dict[str, Any]) -> tuple[dict[str, int], bool]:
    """Returns the number of images in the lists of a task, and whether they were found on disk."""
    data: SmirDataModule = resolve_name(class_path)(**options)
    try:
        return {name: len(data.images(name)) for name in _LISTS[data.task]}, True  # type: ignore[arg-type]  # of this task
    except DataError:
        published = expected_counts(type(data).__name__, options.get("protocol", "paper"), bool(data.label_budget))
        if published is None:
            raise
    counts = {name: getattr(published, name) for name in _LISTS[data.task]}
    if data.task == "segment" and data.label_budget is not None:
        counts["train"] = len(data.label_budget.take(range(counts["train"]), 0))
    return counts, False


def measure(config: Namespace) -> Speed:
    """Times the network of a training with synthetic images, for some seconds, on the device that it would use."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    given, size = config.model.init_args.network, config.data.init_args.crop_size
    build: Callable[..., Network] = resolve_name(given.class_path)
    network = build(3, **given.init_args.as_dict()).to(device).to(memory_format=torch.channels_last)
    images = torch.rand(MEASURED_BATCH, 3, size, size, device=device).contiguous(memory_format=torch.channels_last)
    loss, optimizer = ReconstructionLoss(), Adam(network.parameters())
    precision = str(config.trainer.precision)
    precision = native_precision(config.trainer.accelerator) if precision == "auto" else precision
    low = torch.bfloat16 if precision.startswith("bf16") else torch.float16 if precision.startswith("16") else None

    def output() -> Tensor:
        with torch.autocast(device.type, low, enabled=low is not None):
            return network(images)  # type: ignore[no-any-return]  # of an untyped forward

    def step() -> None:
        optimizer.zero_grad()
        loss(output(), images).backward()
        optimizer.step()

    train = _rate(step)
    with torch.no_grad():
        return Speed(train, _rate(output))


def _rate(step: Callable[[], Any]) -> float:
    """Returns images per second of a step on `MEASURED_BATCH` images, after one step to warm up."""
    step()
    steps, began = 0, time.perf_counter()
    while steps < 2 or time.perf_counter() - began < MEASURED_SECONDS / 2:
        step()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        steps += 1
    return steps * MEASURED_BATCH / (time.perf_counter() - began)
