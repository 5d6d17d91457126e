"""Makes the runs of the study, in processes of one thread each, and keeps the figures of every finished run."""

import csv
import dataclasses
import functools
import hashlib
import json
import os
import random
import statistics
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import yaml
from tqdm import tqdm

from benchmarks.evidence.matrix import PRETRAIN, SEGMENT, SETTINGS, VAL_SHARE, Pretraining, Row, in_order
from smir.files.atomic import write_atomically
from smir.files.json_record import dict_or_empty, write_json

EXPERIMENTS = Path(__file__).parents[2] / "experiments/folder"
KEPT = ("best", "last")
FOLDS = round(1 / VAL_SHARE)


@dataclasses.dataclass(frozen=True)
class Job:
    """A training with its tests.

    Attributes:
        name: Name of the job, and of its log.
        commands: Words after `python -m smir`, one after the other; a function is called when its turn comes.
        after: Name of the job that must have finished before.
        keep: Called when all commands have succeeded.
    """

    name: str
    commands: list[list[str] | Callable[[], list[str]]]
    after: str | None = None
    keep: Callable[[], None] = lambda: None


class Study:
    """The study on one field.

    Args:
        field: Folder that `python -m smir prepare folder` made: the pool, with its labels.
        held: The same with the images that are only tested on.
        out: Folder of runs, lists and logs.
        results: JSON file of the figures; runs whose figures it has are not made again.
        imagenet_file: File of the encoder's ImageNet weights; default: they are downloaded.
        words: Further options of every training.
    """

    def __init__(
        self, field: Path, held: Path, out: Path, results: Path, imagenet_file: Path | None, words: list[str]
    ) -> None:
        self.field, self.held, self.out, self.results = field, held, out, results
        self.imagenet = ["--model.imagenet_file", str(imagenet_file.absolute())] if imagenet_file else []
        self.words = words
        self.pool = _images(field)
        self._writing = threading.Lock()

    def check_held(self) -> None:
        """Refuses test images of which some are in another split: a test would leave them out without a word.

        Raises:
            SystemExit: If the folder has more than a list of test images.
        """
        lists = _settings_of(self.held)["split_files"]
        if others := sorted(lists.keys() - {"test"}):
            raise SystemExit(
                f"{self.held / 'data.yaml'} has images for {' and '.join(others)}, which would not be tested on. "
                "Prepare the folder again with --shares '[0, 0, 1]', so that all its images are test images."
            )

    def jobs(self, rows: Sequence[Row]) -> list[Job]:
        """Returns the jobs whose figures are missing, pretrainings before what starts from them."""
        known, jobs = dict_or_empty(self.results).get("runs", {}), {}
        for row, seed in in_order(rows):
            key = self.key(row, seed)
            if known.get(key, {}).get("settings") == self._settings(row):
                continue
            before = None
            if isinstance(row.start, Pretraining):
                before = f"{row.start.name}-seed{seed}"
                jobs.setdefault(before, Job(before, [self._pretraining(row.start, seed)]))
            commands = [*self._trainings(row, seed), *(self._test(row, seed, kept) for kept in KEPT)]
            jobs[key] = Job(key, commands, before, lambda row=row, seed=seed: self._keep(row, seed))
        return list(jobs.values())

    @staticmethod
    def key(row: Row, seed: int) -> str:
        """Name of a run in the results."""
        return f"{row.name}/labels-{row.labels}/seed{seed}"

    def _run(self, name: str, seed: int) -> Path:
        return self.out / "runs" / name / f"seed{seed}"

    def _experiment(self, row: Row) -> str:
        return f"segment-{row.name.replace(', ', '-')}-labels-{row.labels}"

    def _fit(self, config: str, experiment: str, seed: int, *words: str) -> list[str]:
        files = [f"--config={EXPERIMENTS / config}", f"--config={self.field / 'data.yaml'}"]
        place = [f"--run.root={self.out / 'runs'}", f"--run.experiment={experiment}", f"--seed_everything={seed}"]
        settings = [f"--data.root={self.field}", "--run.if_taken=refuse", *SETTINGS, *words, *self.words]
        return ["fit", *files, *place, *settings]

    def _pretraining(self, made: Pretraining, seed: int) -> list[str]:
        words = [*PRETRAIN, f"--trainer.max_epochs={made.epochs(len(self.pool))}", *made.words]
        return self._fit(made.config, made.name, seed, *words, *(self.imagenet if made.from_imagenet else []))

    def _trainings(self, row: Row, seed: int) -> list[list[str] | Callable[[], list[str]]]:
        """Returns the `fit` of a row; if it is cross-validated, after one for every fold."""
        experiment = self._experiment(row)
        if not row.cross_validated:
            lists = self.lists(row.labels, seed, row.hold_out)
            return [self._segmentation(row, seed, experiment, lists)]
        folds = [f"{experiment}-fold{fold}" for fold in range(FOLDS)]
        lists = [self.lists(row.labels, seed, fold=fold) for fold in range(FOLDS)]
        last = functools.partial(self._cross_validated, row, seed, folds)
        return [*map(functools.partial(self._segmentation, row, seed), folds, lists), last]

    def _cross_validated(self, row: Row, seed: int, folds: Sequence[str]) -> list[str]:
        """Returns the `fit` on all labels, with the number of epochs that was best over the folds."""
        epochs = best_epochs([self._run(fold, seed) / "metrics.csv" for fold in folds])
        lists = self.lists(row.labels, seed, hold_out=False)
        return [*self._segmentation(row, seed, self._experiment(row), lists), f"--trainer.max_epochs={epochs}"]

    def _segmentation(self, row: Row, seed: int, experiment: str, lists: dict[str, str]) -> list[str]:
        words = [*SEGMENT, *row.words, f"--data.split_files={json.dumps(lists)}"]
        # The lists say what is trained on; data.yaml of a field with few labels may say otherwise.
        words.append("--data.train_on_val=false")
        if row.module:
            words += ["--allow=benchmarks", f"--model={row.module}"]
        if isinstance(row.start, Pretraining):
            words.append(f"--model.weights={self._run(row.start.name, seed)}/checkpoints/best.ckpt")
        elif row.from_imagenet:
            words += ["--model.weights=imagenet", *self.imagenet]
        return self._fit("segment.yaml", experiment, seed, *words)

    def _test(self, row: Row, seed: int, kept: str) -> list[str]:
        run = self._run(self._experiment(row), seed)
        files = [f"--config={run}/config.yaml", f"--config={self.held / 'data.yaml'}"]
        allow = ["--allow=benchmarks"] if row.module else []
        return ["test", *files, *allow, f"--data.root={self.held}", f"--ckpt_path={run}/checkpoints/{kept}.ckpt"]

    def lists(self, labels: int, seed: int, hold_out: bool = True, fold: int = FOLDS - 1) -> dict[str, str]:
        """Writes the lists of a seed's draw; smaller draws are parts of larger ones, in training and validation.

        Args:
            labels: Number of labelled images.
            seed: Seed of the draw.
            hold_out: True if the training leaves out the validation images.
            fold: Number of the part of the labelled images that validates; the parts share no image.

        Returns:
            The file of each split.

        Raises:
            SystemExit: If the field has too few labelled images.
        """
        labelled = self.draw(labels, seed)
        val = labelled[:labels][fold::FOLDS]
        drawn = {
            "train": [name for name in labelled[:labels] if name not in val or not hold_out],
            "val": val,
            "test": labelled[labels:][:1] or labelled[:1],  # not used: the test images are elsewhere
        }
        name = f"labels-{labels}-seed{seed}" + ("" if hold_out else "-all-train")
        name += f"-fold{fold}" if fold != FOLDS - 1 else ""
        folder = self.out.absolute() / "lists" / name
        for split, names in drawn.items():
            write_atomically(folder / f"{split}.txt", "\n".join(sorted(names)) + "\n")
        return {split: str(folder / f"{split}.txt") for split in drawn}

    def draw(self, labels: int, seed: int) -> list[str]:
        """Returns the labelled images in a random order, of which the first are used."""
        labelled = _labelled(self.field)
        if labels > len(labelled):
            raise SystemExit(f"{self.field} has {len(labelled)} labelled images; a row needs {labels}.")
        random.Random(f"labels {seed}").shuffle(labelled)
        return labelled

    def _settings(self, row: Row) -> str:
        """Returns a hash of all settings that the figures of a row depend on, except the seed."""
        made = row.start if isinstance(row.start, Pretraining) else None
        parts = [SETTINGS, SEGMENT, VAL_SHARE, row.labels, row.module, self.words, made and made.name]
        parts += [PRETRAIN, dataclasses.astuple(made), len(self.pool)] if made else [row.start]
        parts += [row.words] if row.words else []
        parts += [] if row.hold_out else ["trained on all labels"]
        parts += [f"epochs by {FOLDS} folds"] if row.cross_validated else []
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]

    def _keep(self, row: Row, seed: int) -> None:
        """Adds a run's figures to the results."""
        run = self._run(self._experiment(row), seed)
        entry = {"row": row.name, "labels": row.labels, "seed": seed, "settings": self._settings(row)}
        for kept in KEPT:
            entry[kept] = _tested(run, kept, self.held)
        entry["val"] = _validated(run)
        with self._writing:
            content = dict_or_empty(self.results)
            content.setdefault("runs", {})[self.key(row, seed)] = entry
            write_json(self.results, content)


def _tested(run: Path, kept: str, held: Path) -> dict[str, Any]:
    """Returns the metrics of a checkpoint on the held-out images."""
    for file in sorted(run.glob("test*/metrics.json")):
        record = json.loads(file.read_text(encoding="utf-8"))
        if Path(record["checkpoint"]).name == f"{kept}.ckpt" and Path(record["images"]["root"]).samefile(held):
            return dict(record["metrics"])
    raise FileNotFoundError(f"{run} has no test of {kept}.ckpt on {held}")


def _validated(run: Path) -> dict[str, float]:
    """Returns validation mIoU of the best and the last epoch: what a user without test images chooses by."""
    values = _validation_curve(run / "metrics.csv")
    return {"best": max(values), "last": values[-1]}


def _validation_curve(file: Path) -> list[float]:
    """Returns validation mIoU after every epoch."""
    with file.open(encoding="utf-8", newline="") as lines:
        return [float(line["val/miou"]) for line in csv.DictReader(lines) if line.get("val/miou")]


def best_epochs(files: Sequence[Path]) -> int:
    """Returns the number of epochs after which validation mIoU is highest, as a mean over trainings.

    Args:
        files: `metrics.csv` of trainings that validated after every epoch.
    """
    means = [statistics.fmean(epoch) for epoch in zip(*map(_validation_curve, files), strict=True)]
    return means.index(max(means)) + 1


def _settings_of(field: Path) -> dict[str, Any]:
    return dict(yaml.safe_load((field / "data.yaml").read_text(encoding="utf-8"))["data"]["init_args"])


def _images(field: Path) -> list[str]:
    settings = _settings_of(field)
    return sorted(path.name for path in (field / settings["images"]).rglob("*") if path.is_file())


def _labelled(field: Path) -> list[str]:
    files = [field / name for name in _settings_of(field)["split_files"].values()]
    return sorted({name for file in files for name in file.read_text(encoding="utf-8").split("\n") if name})


def make(jobs: list[Job], logs: Path, processes: int) -> list[str]:
    """Makes all jobs, each as soon as what it waits for is done; shows a progress bar.

    After a failure no further job begins, because most jobs would fail for the same reason.

    Returns:
        Names of the jobs that failed.
    """
    logs.mkdir(parents=True, exist_ok=True)
    waiting, running = list(jobs), {}
    pending, failed = {job.name for job in jobs}, []
    with ThreadPoolExecutor(processes) as pool, tqdm(total=len(jobs), desc="runs", unit="run") as progress:
        while running or (waiting and not failed):
            ready = [] if failed else [job for job in waiting if job.after not in pending]
            for job in ready[: processes - len(running)]:
                waiting.remove(job)
                running[pool.submit(_succeeds, job, logs)] = job
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                job = running.pop(future)
                pending.remove(job.name)
                if not future.result():
                    failed.append(job.name)
                    progress.write(f"{job.name} failed: see {_log(job, logs)}")
                progress.update()
    return failed


def _log(job: Job, logs: Path) -> Path:
    return logs / f"{job.name.replace('/', '-').replace(', ', '-')}.log"


def _succeeds(job: Job, logs: Path) -> bool:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with _log(job, logs).open("a", encoding="utf-8") as log:
        for command in job.commands:
            words = command() if callable(command) else command
            done = subprocess.run(
                [sys.executable, "-m", "smir", *words], stdout=log, stderr=log, env=environment, check=False
            )
            if done.returncode:
                return False
    job.keep()
    return True
