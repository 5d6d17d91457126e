"""Run folders as records: tested, pretrained, unfinished, or left out with the reason."""

import csv
import dataclasses
import functools
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from smir.errors import RunError
from smir.recipes import differences
from smir.report.starts import init_of, last_word, masking_of, protocol_of, variant_of
from smir.runs import DONE, RECORD, read_record

BEST = "best.ckpt"


@dataclasses.dataclass(frozen=True)
class StoredRun:
    """A run on disk, of either task.

    Attributes:
        folder: The run folder.
        record: Its `run.json`.
        own_variant: `run.variant` of its config.
        starts: `environment.json`: versions, commit and command of every start.
        summary: Content of DONE; nothing for an unfinished run.
        test: Metrics of the test of its best checkpoint, if it has one.
    """

    folder: Path
    record: dict[str, Any]
    own_variant: str | None
    starts: list[dict[str, Any]]
    summary: dict[str, Any] | None
    test: dict[str, Any] | None = None

    @property
    def seed(self) -> int:
        """Seed of the run."""
        return int(self.record["seed"])

    @property
    def recipe(self) -> dict[str, Any]:
        """Everything in its config that changes the result."""
        recipe: dict[str, Any] = self.record["recipe"]
        return recipe

    @property
    def weights(self) -> dict[str, Any]:
        """Fingerprint of what it started from."""
        weights: dict[str, Any] = self.record["inputs"]["weights"]
        return weights

    @property
    def task(self) -> str:
        """`pretrain` or `segment`."""
        return str(self.recipe["data"]["init_args"]["task"])

    @property
    def dataset(self) -> str:
        """Class of the dataset."""
        return last_word(self.recipe["data"]["class_path"])

    @property
    def protocol(self) -> str | None:
        """Protocol of the dataset, where it has one."""
        return protocol_of(self.recipe)

    @property
    def budget(self) -> int | float | None:
        """The label budget as it was asked for; nothing for the dataset's own."""
        budget: int | float | None = self.recipe["data"]["init_args"].get("label_budget")
        return budget

    @property
    def labels(self) -> int:
        """Number of labelled training images."""
        return int(self.record["inputs"]["data"]["train"]["images"])

    @functools.cached_property
    def init(self) -> str:
        """What the network started from; for a pretraining how it masks."""
        return masking_of(self.recipe) if self.task == "pretrain" else init_of(self.recipe, self.weights)

    @functools.cached_property
    def variant(self) -> str | None:
        """What the run, or the pretraining behind it, changes of its experiment."""
        return variant_of(self.own_variant, self.weights)

    def metric(self, name: str) -> float | None:
        """A test metric in percent, without the prefix `test/`; nothing where the class occurs nowhere."""
        value = (self.test or {}).get(f"test/{name}")
        return None if value is None else 100 * float(value)

    @functools.cached_property
    def curves(self) -> list[dict[str, str]]:
        """The rows of `metrics.csv`, one per epoch."""
        path = self.folder / "metrics.csv"
        if not path.is_file():
            return []
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    @property
    def progress(self) -> str:
        """How far an unfinished run is."""
        total = self.recipe["trainer"]["max_epochs"]
        if not self.curves:
            return f"before the end of its first epoch of {total:,}"
        last = self.curves[-1]
        stage = f", in stage {float(last['stage']):.0f}" if self.task == "pretrain" and last.get("stage") else ""
        return f"{int(last['epoch']) + 1:,} of {total:,} epochs{stage}"


@dataclasses.dataclass(frozen=True)
class Tree:
    """What lies below the folders given.

    Attributes:
        tested: Finished segmentations with the test of their best checkpoint.
        pretrained: Finished pretrainings.
        unfinished: Runs without DONE.
        left_out: Finished segmentations that no table has, each with the reason.
    """

    tested: list[StoredRun]
    pretrained: list[StoredRun]
    unfinished: list[StoredRun]
    left_out: list[tuple[StoredRun, str]]


def read_tree(roots: Sequence[Path]) -> Tree:
    """Reads every run below the folders.

    Raises:
        RunError: If a folder is missing, none of them holds a tested segmentation, or a record is damaged.
    """
    tree = Tree([], [], [], [])
    for folder in sorted({folder.resolve(): folder for root in roots for folder in _run_folders(root)}.values()):
        run = _read(folder)
        if run.summary is None:
            tree.unfinished.append(run)
        elif run.task == "pretrain":
            tree.pretrained.append(run)
        else:
            tested, objection = _with_test(run)
            if objection is None:
                tree.tested.append(tested)
            else:
                tree.left_out.append((run, objection))
    if not tree.tested:
        raise RunError(_nothing(roots, tree))
    return tree


def _run_folders(root: Path) -> Iterator[Path]:
    if not root.is_dir():
        raise RunError(f"There is no folder {root.absolute()}; `report` needs the folder that holds the runs.")
    for folder, below, files in os.walk(root):
        if RECORD in files:
            below.clear()  # a run holds pictures and checkpoints, and no other run
            yield Path(folder)


def _read(folder: Path) -> StoredRun:
    record = read_record(folder)
    assert record is not None
    done, config = folder / DONE, folder / "config.yaml"
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        settings = yaml.load(config.read_text(encoding="utf-8"), loader) if config.is_file() else {}
    except yaml.YAMLError as error:
        raise RunError(f"{config} cannot be read: {error}") from error
    environment = folder / "environment.json"
    return StoredRun(
        folder,
        record,
        (settings.get("run") or {}).get("variant"),
        _json(environment) if environment.is_file() else [],
        _json(done) if done.is_file() else None,
    )


def _with_test(run: StoredRun) -> tuple[StoredRun, str | None]:
    """Finds the test that rests on the run's best checkpoint and its own settings, or says why there is none."""
    found = sorted(run.folder.glob("test*/metrics.json"))
    objections = []
    for path in found:
        content = _json(path)
        objection = _objection(run, content)
        if objection is None:
            return dataclasses.replace(run, test=content["metrics"]), None
        objections.append(f"{path.parent.name}/ {objection}")
    return run, "; ".join(objections) or "has no test; run `python -m smir test` with its config and --ckpt_path best"


def _objection(run: StoredRun, test: dict[str, Any]) -> str | None:
    """Why a test does not speak for the run."""
    if Path(test["checkpoint"]).name != BEST:
        return f"tests {Path(test['checkpoint']).name}, not {BEST}"
    if test["images"]["names"] != run.record["inputs"]["data"]["test"]["names"]:
        return "tests other images than the run's test split"
    settings = test["settings"]
    other = differences(settings["data"], run.recipe["data"], "data")
    other += differences(settings["precision"], run.recipe["trainer"]["precision"], "trainer.precision")
    other += differences(settings["limit_test_batches"], None, "trainer.limit_test_batches")
    return f"tests with other settings than the run's: {'; '.join(other)}" if other else None


def _nothing(roots: Sequence[Path], tree: Tree) -> str:
    where = ", ".join(str(root.absolute()) for root in roots)
    runs = len(tree.pretrained) + len(tree.unfinished) + len(tree.left_out)
    reasons = [f"{run.folder}: {reason}" for run, reason in tree.left_out[:3]]
    return (
        f"{where} holds {runs} runs, but none that is finished and tested as a segmentation. Run `python -m smir fit` "
        f"with a SegmentationModule to its end. {' '.join(reasons)}"
    ).rstrip()


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise RunError(f"{path} cannot be read: {error}") from error
