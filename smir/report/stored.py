"""A run on disk and its records."""

import dataclasses
import functools
from pathlib import Path
from typing import Any, NamedTuple

from smir.errors import RunError
from smir.report.starts import init_of, last_word, lineage, masking_of, protocol_of, variant_of
from smir.runs.run_folder import METRICS, read_metrics


class Point(NamedTuple):
    """A metric of one epoch; None where the epoch does not have it."""

    epoch: int
    stage: int
    value: float | None


class Draw(NamedTuple):
    """The seeds that chose a run's images; a budget seed of None follows `split_seed`, `run` the seed of the run."""

    split_seed: int = 0
    budget_seed: int | str | None = None

    @property
    def by_run(self) -> bool:
        """True if every seed draws its own labelled images."""
        return self.budget_seed == "run"

    @property
    def words(self) -> str:
        """Names the draw where it is not the usual one."""
        split = f"split seed {self.split_seed}" if self.split_seed else ""
        labels = "" if self.budget_seed is None else f"label draw {self.budget_seed}"
        return ", ".join(filter(None, (split, "a label draw for each seed" if self.by_run else labels)))


@dataclasses.dataclass(frozen=True)
class StoredRun:
    """A run on disk, of either task.

    Attributes:
        folder: The run folder.
        record: Its `run.json`.
        own_variant: `run.variant` of its config.
        place: Name and root of your own images (`Folder`, or any with `run.field`), if the run's config has them.
        starts: `environment.json`: versions, commit and command of every start.
        summary: Content of DONE; None for an unfinished run.
        test: Metrics of the test of its best checkpoint, if it has one.
        tested_in: Folder of that test.
        labels_of_test: Hash of the label files of that test; None in results of earlier versions.
        apart: Suffix of its row's name, if it is not averaged with the runs of that name.
    """

    folder: Path
    record: dict[str, Any]
    own_variant: str | None
    starts: list[dict[str, Any]]
    summary: dict[str, Any] | None
    test: dict[str, Any] | None = None
    tested_in: Path | None = None
    labels_of_test: str | None = None
    place: tuple[str, str] | None = None
    apart: str = ""

    def check(self) -> None:
        """Reads what a report needs; raises KeyError, TypeError or the like if the record lacks some of it."""
        needed = [self.record["hash"], self.record["experiment"], self.seed, self.dataset, self.init, self.variant]
        needed += [self.recipe["trainer"]["max_epochs"], self.recipe["trainer"]["precision"], self.weights["kind"]]
        needed += [self.labels, self.test_images, lineage(self.weights)] if self.task == "segment" else []
        for text, of in ((self.record["experiment"], str), (self.own_variant, str | None)):
            if not isinstance(text, of):
                raise TypeError(f"{text!r} is not text")

    @property
    def seed(self) -> int:
        """Seed of the run."""
        return int(self.record["seed"])

    @property
    def recipe(self) -> dict[str, Any]:
        """All settings that change the result."""
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
        """Class of the dataset, or the name of your own images; their root, too, if another root has the name."""
        return self.place[0] if self.place else last_word(self.recipe["data"]["class_path"])

    @property
    def protocol(self) -> str | None:
        """Protocol of the dataset, where it has one and bears its own name."""
        return None if self.place else protocol_of(self.recipe)

    @property
    def budget(self) -> int | float | None:
        """The label budget in its config, if one was set."""
        budget: int | float | None = self.recipe["data"]["init_args"].get("label_budget")
        return budget

    @property
    def draw(self) -> Draw:
        """The seeds that chose its images."""
        arguments = self.recipe["data"]["init_args"]
        seed = None if self.budget is None else arguments.get("budget_seed")
        return Draw(arguments.get("split_seed") or 0, seed)

    @property
    def labels(self) -> int:
        """Number of labelled training images."""
        return int(self.record["inputs"]["data"]["train"]["images"])

    @property
    def test_images(self) -> int:
        """Number of test images."""
        return int(self.record["inputs"]["data"]["test"]["images"])

    @functools.cached_property
    def init(self) -> str:
        """The row: what a segmentation started from, or how a pretraining masks."""
        name = masking_of(self.recipe) if self.task == "pretrain" else init_of(self.recipe, self.weights)
        return name if self.variant else name + self.apart

    @functools.cached_property
    def variant(self) -> str | None:
        """The variant of the run, or of the pretraining behind it."""
        variant = variant_of(self.own_variant, self.weights)
        return variant and variant + self.apart

    @property
    def name(self) -> str:
        """Its init, and its variant if it has one."""
        return f"{self.init}, {self.variant}" if self.variant else self.init

    def metric(self, name: str) -> float | None:
        """Returns a test metric in percent by its name without `test/`; None where the class occurs nowhere."""
        return self._percents.get(name)

    def metrics(self, start: str) -> dict[str, float | None]:
        """Returns the test metrics whose name without `test/` begins so, in percent.

        Raises:
            ValueError: If one is not a share.
        """
        return {name: value for name, value in self._percents.items() if name.startswith(start)}

    @functools.cached_property
    def _percents(self) -> dict[str, float | None]:
        found = {name.removeprefix("test/"): value for name, value in (self.test or {}).items()}
        for name, value in found.items():
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"{name} = {str(value)[:20]} is not between 0 and 1")
        return {name: None if value is None else 100 * value for name, value in found.items()}

    def curve(self, metric: str) -> list[Point]:
        """Returns a metric of `metrics.csv` by epoch and stage.

        Raises:
            RunError: If the file is damaged.
        """
        try:
            return [
                Point(int(row["epoch"]), int(float(row["stage"] or 0)), float(row[metric]) if row.get(metric) else None)
                for row in self._epochs
            ]
        except (KeyError, ValueError) as error:
            raise RunError(f"{self.folder / METRICS} is damaged: {error!r}. Correct it, or move it away.") from error

    @functools.cached_property
    def _epochs(self) -> list[dict[str, str]]:
        return read_metrics(self.folder)

    @property
    def progress(self) -> str:
        """The progress of an unfinished run, in words."""
        total = self.recipe["trainer"]["max_epochs"]
        curve = self.curve("val/loss")
        if not curve:
            return f"before the end of its first epoch of {total:,}"
        stage = f", in stage {curve[-1].stage + 1}" if self.task == "pretrain" and curve[-1].stage else ""
        return f"{curve[-1].epoch + 1:,} of {total:,} epochs{stage}"
