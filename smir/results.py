"""Reads finished runs and groups those that differ in nothing but the seed."""

import dataclasses
import json
import statistics
from pathlib import Path
from typing import Any

from smir.errors import RunError
from smir.runs import DONE, RECORD, read_record


@dataclasses.dataclass(frozen=True)
class Result:
    """A tested run.

    Attributes:
        folder: The run folder.
        record: Its `run.json`.
        test: Its `test/metrics.json`.
        environment: Its last start from `environment.json`: command, commit, versions.
    """

    folder: Path
    record: dict[str, Any]
    test: dict[str, Any]
    environment: dict[str, Any]

    @property
    def init(self) -> str:
        """What the network started from: `scratch`, `imagenet`, or the pretraining experiment's last word."""
        weights = self.record["inputs"]["weights"]
        if weights["kind"] != "file":
            return str(weights["kind"])
        name = str(weights.get("experiment", "file")).rsplit("/", 1)[-1]
        return f"{name} (unfinished)" if weights.get("unfinished") else name

    @property
    def data(self) -> str:
        """The dataset, with the protocol for its overlaps where it has one: `PascalVOC (clean)`."""
        protocol = self.record["recipe"]["data"]["init_args"].get("protocol")
        return f"{self.test['data']} ({protocol})" if protocol else str(self.test["data"])

    @property
    def labels(self) -> int:
        """Number of labelled training images."""
        return int(self.record["inputs"]["data"]["train"]["images"])

    @property
    def pretraining_visits(self) -> int:
        """Image visits of the pretraining that the network started from."""
        return int(self.record["inputs"]["weights"].get("image_visits", 0))

    def metric(self, name: str) -> float | None:
        """A test metric, without the prefix `test/`; nothing where the class occurs nowhere."""
        value: float | None = self.test["metrics"].get(f"test/{name}")
        return value


@dataclasses.dataclass(frozen=True)
class Row:
    """Results that share experiment and recipe: one row of a table.

    Attributes:
        results: At least one, by seed.
    """

    results: list[Result]

    @property
    def seeds(self) -> list[int]:
        """The seeds."""
        return [result.record["seed"] for result in self.results]

    def mean(self, metric: str) -> float | None:
        """Mean over the seeds that have the metric."""
        values = self._values(metric)
        return statistics.fmean(values) if values else None

    def deviation(self, metric: str) -> float | None:
        """Sample deviation over the seeds; nothing with a single one."""
        values = self._values(metric)
        return statistics.stdev(values) if len(values) > 1 else None

    def _values(self, metric: str) -> list[float]:
        return [value for result in self.results if (value := result.metric(metric)) is not None]


def read_results(root: Path) -> list[Result]:
    """Reads every finished and tested segmentation run below a folder.

    Raises:
        RunError: If there is none, or a record is damaged.
    """
    if not root.is_dir():
        raise RunError(f"There is no folder {root.absolute()}; --runs names the folder that holds the runs.")
    folders = sorted(path.parent for path in root.rglob(RECORD))
    results = []
    for folder in folders:
        test = folder / "test" / "metrics.json"
        record = read_record(folder)
        if record is None or not (folder / DONE).is_file() or not test.is_file():
            continue
        content = _json(test)
        if "classes" in content:
            results.append(Result(folder, record, content, _json(folder / "environment.json")[-1]))
    if not results:
        raise RunError(
            f"{root.absolute()} holds {len(folders)} runs, but none that is finished and tested as a segmentation. "
            "Run `python -m smir fit` with a SegmentationModule to its end."
        )
    return results


def rows(results: list[Result]) -> list[Row]:
    """Groups results that differ in nothing but the seed, the lowest mean IoU first.

    Runs of one experiment with different recipes or data make different rows: they are never averaged.
    """
    groups: dict[tuple[str, ...], list[Result]] = {}
    for result in results:
        record, weights = result.record, result.record["inputs"]["weights"]
        start = weights.get("run_hash", weights.get("sha256", weights["kind"]))
        key = (
            record["experiment"],
            record["recipe_hash"],
            f"{start} {weights.get('checkpoint')}",
            json.dumps(record["inputs"]["data"]),
        )
        groups.setdefault(key, []).append(result)
    made = [Row(sorted(group, key=lambda result: int(result.record["seed"]))) for group in groups.values()]
    return sorted(made, key=lambda row: (row.results[0].data, row.mean("view/miou") or 0.0))


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise RunError(f"{path} cannot be read: {error}") from error
