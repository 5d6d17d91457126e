"""Every run below some folders: tested, pretrained, unfinished, or left out with the reason."""

import dataclasses
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from smir.errors import RunError, counted, first_few, first_messages
from smir.files.json_record import read_json
from smir.report.kinds import RUN, START, SUMMARY, wrong_entries
from smir.report.stored import StoredRun
from smir.runs.finished import DONE, REMEDY, lost_files
from smir.runs.recipe import differences
from smir.runs.run_folder import RECORD, read_record
from smir.runs.stored_config import read_sections

BEST = "best.ckpt"
_READ = ("run.json", "metrics.csv", "test")
_COMPARED = 1 << 24
"""Bytes of the largest file whose content is compared, so that copies of many runs take seconds."""
_SWEEP = re.compile(r"(^|/)sweep-[^/]+/")


@dataclasses.dataclass(frozen=True)
class Tree:
    """The runs below some folders.

    Runs in `left_out` are finished but in no table, each with the reason. `lost` names missing files that no table
    needs.
    """

    tested: list[StoredRun] = dataclasses.field(default_factory=list)
    pretrained: list[StoredRun] = dataclasses.field(default_factory=list)
    unfinished: list[StoredRun] = dataclasses.field(default_factory=list)
    left_out: list[tuple[StoredRun, str]] = dataclasses.field(default_factory=list)
    lost: list[str] = dataclasses.field(default_factory=list)


def read_tree(roots: Sequence[Path]) -> Tree:
    """Reads every run below the folders.

    Raises:
        RunError: If a folder is missing, none of them holds a tested segmentation, or a record is damaged.
    """
    folders = {folder.resolve(): folder for root in roots for folder in _run_folders(root)}
    runs = _told_apart(_read_all(sorted(folders.values())))
    pretrainings = {run.record["hash"]: run for run in runs if run.task == "pretrain"}
    finished = {(run.record["hash"], run.seed): run for run in runs if run.summary is not None}
    tree = Tree()
    for run in (_with_visits(_with_origin(run, pretrainings), finished) for run in runs):
        if run.summary is None:
            tree.unfinished.append(run)
            continue
        lost = {name: f"{name} {how}" for name, how in lost_files(run.folder, largest=_COMPARED).items()}
        read = [text for name, text in lost.items() if name.startswith(_READ)]
        tree.lost.extend(f"{run.folder}/{text}" for text in lost.values() if text not in read)
        if read:
            tree.left_out.append((run, "; ".join(read)))
        elif _SWEEP.search(run.record["experiment"]):
            tree.left_out.append((run, "is of a sweep, whose runs differ in their settings"))
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
    seen = set[Path]()
    for folder, below, files in os.walk(root, onerror=_raise_unreadable, followlinks=True):
        if (place := Path(folder).resolve()) in seen:  # links may lead around in a circle
            below.clear()
            continue
        seen.add(place)
        if RECORD in files:
            below.clear()  # a run folder holds no other run
            yield Path(folder)


def _raise_unreadable(error: OSError) -> None:
    raise RunError(
        f"The folder {error.filename} cannot be listed: {error.strerror}. Correct its permissions."
    ) from error


def _read_all(folders: Sequence[Path]) -> list[StoredRun]:
    """Reads the runs; an error names all that are damaged, so that they are mended in one go."""
    runs, damaged = [], list[RunError]()
    for folder in folders:
        try:
            runs.append(_read(folder))
        except RunError as error:
            damaged.append(error)
    if damaged:
        raise RunError(first_messages(map(str, damaged), limit=5)) from damaged[0]
    return runs


def _read(folder: Path) -> StoredRun:
    done, config, environment = folder / DONE, folder / "config.yaml", folder / "environment.json"
    starts = read_json(environment) if environment.is_file() else []
    if not isinstance(starts, list) or any(wrong for start in starts for wrong in wrong_entries(start, START)):
        raise RunError(f"{environment} is damaged: it is not a list of starts. Move it away.")
    summary = read_json(done) if done.is_file() else None
    if summary is not None and (wrong := [*wrong_entries(summary, SUMMARY)]):
        raise RunError(f"{done} is damaged: {first_few(wrong)} is wrong. {REMEDY}")
    try:
        record, settings = read_record(folder) or {}, read_sections(config)
        if wrong := [*wrong_entries(record, RUN)]:
            raise ValueError(f"wrong are {first_few(wrong)}")
        run = StoredRun(folder, record, (settings.get("run") or {}).get("variant"), starts, summary)
        run.check()
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        raise RunError(
            f"{folder / RECORD} is damaged: a required entry is missing or wrong ({error!r}). Move the folder away, or "
            "start the run again."
        ) from error
    named = run.dataset == "Folder" or (settings.get("run") or {}).get("field")
    try:
        return dataclasses.replace(run, place=_place(settings)) if named else run
    except (TypeError, ValueError) as error:
        raise RunError(f"{config} is damaged: data.init_args.root is not a folder ({error}). Restore it.") from error


def _place(settings: dict[str, Any]) -> tuple[str, str] | None:
    """Returns name and root of a user's own images, or of others that a config names, such as the demo's."""
    root = ((settings.get("data") or {}).get("init_args") or {}).get("root")
    if root is None:
        return None
    name = (settings.get("run") or {}).get("field") or Path(root).resolve().name
    return str(name), os.path.normpath(root)


def _told_apart(runs: list[StoredRun]) -> list[StoredRun]:
    """Adds the root to the names of your own images if another root has the same name."""
    roots: dict[str, set[str]] = {}
    for name, root in (run.place for run in runs if run.place):
        roots.setdefault(name, set()).add(root)
    return [
        dataclasses.replace(run, place=(f"{run.place[0]} ({run.place[1]})", run.place[1]))
        if run.place and len(roots[run.place[0]]) > 1
        else run
        for run in runs
    ]


def _with_origin(run: StoredRun, pretrainings: dict[str, StoredRun]) -> StoredRun:
    """Adds the record of the pretraining, if found, to an older run, which recorded only its hash."""
    weights = run.weights
    origin = pretrainings.get(weights.get("run_hash", ""))
    if "recipe" in weights or origin is None:
        return run
    known = {"recipe": origin.recipe, "inputs": origin.record["inputs"], "variant": origin.own_variant}
    return _with_weights(run, {**weights, **known})


def _with_visits(run: StoredRun, finished: dict[tuple[str, int], StoredRun]) -> StoredRun:
    """Takes the image visits of the pretraining from its DONE, if found.

    A checkpoint records the visits of all epochs that were planned. The training may have stopped before.
    """
    weights = run.weights
    origin = finished.get((weights.get("run_hash") or "", weights.get("seed") or 0))
    if weights.get("image_visits") is None:
        return run
    if origin is not None and origin.summary is not None and not weights.get("unfinished"):
        visits = origin.summary.get("image_visits", weights["image_visits"])
        return _with_weights(run, {**weights, "image_visits": visits})
    stops = [entry["class_path"].endswith("EarlyStopping") for entry in weights.get("recipe", {}).get("callbacks", [])]
    return _with_weights(run, {**weights, "visits_at_most": True}) if any(stops) or weights.get("unfinished") else run


def _with_weights(run: StoredRun, weights: dict[str, Any]) -> StoredRun:
    return dataclasses.replace(run, record={**run.record, "inputs": {**run.record["inputs"], "weights": weights}})


def _with_test(run: StoredRun) -> tuple[StoredRun, str | None]:
    """Finds the test of the run's best checkpoint with the run's settings, or the reasons why no test counts."""
    objections = []
    for path in sorted(run.folder.glob("test*/metrics.json")):
        content = read_json(path)
        try:
            objection = _objection(run, content)
            tested = dataclasses.replace(
                run, test=content["metrics"], tested_in=path.parent, labels_of_test=_labels(content)
            )
            tested.metrics("")  # every value is a number, or missing
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RunError(f"{path} is damaged: a required entry is missing or wrong ({error!r}).") from error
        if objection is None:
            return tested, None
        objections.append(f"{path.parent.name}/ {objection}")
    return run, "; ".join(objections) or "has no test; run `python -m smir test` with its config and --ckpt best"


def _objection(run: StoredRun, test: dict[str, Any]) -> str | None:
    """Returns the reason why a test does not count for the run; None if it counts."""
    checkpoint, settings = Path(test["checkpoint"]).name, test["settings"]
    if checkpoint != BEST:
        return f"tests {checkpoint}, not {BEST}"
    ended_with = (run.summary or {}).get("files", {}).get(f"checkpoints/{BEST}")
    if ended_with and not ended_with[-1].startswith(test["weights"]):
        return f"tests other weights than those of the {BEST} that the run ended with"
    if test["images"]["names"] != run.record["inputs"]["data"]["test"]["names"]:
        return "tests other images than the run's test split"
    other = differences(settings["data"], run.recipe["data"], "data")
    other += differences(settings["precision"], run.recipe["trainer"]["precision"], "trainer.precision")
    other += differences(settings["limit_test_batches"], None, "trainer.limit_test_batches")
    return f"tests with other settings than the run's: {'; '.join(other)}" if other else None


def _nothing(roots: Sequence[Path], tree: Tree) -> str:
    where = ", ".join(str(root.absolute()) for root in roots)
    runs = len(tree.pretrained) + len(tree.unfinished) + len(tree.left_out)
    reasons = [f"{run.folder}: {reason}" for run, reason in tree.left_out[:3]]
    found = f"{counted(runs, 'run', 'runs')}, but no finished and tested segmentation" if runs else "no runs"
    return (
        f"{where} holds {found}. Run `python -m smir fit` with a SegmentationModule to its end. {' '.join(reasons)}"
    ).rstrip()


def _labels(test: dict[str, Any]) -> str | None:
    images = test.get("images")
    found = images.get("labels") if isinstance(images, dict) else None
    return found if isinstance(found, str) else None
