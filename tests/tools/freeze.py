"""Freezes the files that users of a version have: recipe hashes of all experiments, and a run folder of each task.

`python tests/tools/freeze.py` was run at version 0.1.0 and made `tests/frozen/`. The tests in
`tests/runs/test_frozen.py` and `tests/cli/test_experiments.py` check every later version against it: hashes do not
change, finished runs count as finished, and an interrupted run continues. Run it again only for a new version, into a
new folder.

The weights in the folders are zeros, so that the archive is small.
"""

import argparse
import functools
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import torch

REPOSITORY = Path(__file__).parents[2]
NETWORK = ["--model.network.encoder=tu-test_efficientnet", "--model.network.decoder_channels=[8,8,8]"]
SHORT = [
    "--data.batch_size=4",
    "--data.num_workers=0",
    "--model.warmup_epochs=1",
    "--trainer.max_epochs=4",
    "--trainer.accelerator=cpu",
    "--trainer.enable_progress_bar=false",
    "--run.keep_seconds=0",
]
PRETRAIN = ["fit", "--config=experiments/demo/pretrain.yaml", "--config=experiments/demo/selective.yaml"]
SEGMENT = ["fit", "--config=experiments/demo/segment.yaml", "--run.experiment=demo/segment-selective"]
SEGMENT += ["--data.crop_size=64", "--data.label_budget=8"]
WEIGHTS = "runs/demo/selective/seed0/checkpoints/best.ckpt"


def smir(folder: Path, *words: str) -> None:
    """Runs `python -m smir` in a folder, with the code of this checkout."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    subprocess.run([sys.executable, "-m", "smir", *words], cwd=folder, env=environment, check=True)


_DOWNSTREAM = ("labels-", "label-draws", "batch-norm", "encoder-", "frozen-encoder")
"""Beginnings of the names of ablations of a segmentation."""


@functools.cache
def experiments() -> dict[str, list[str]]:
    """Returns the words that make every file of `experiments/` part of a complete training, by file name."""
    root = REPOSITORY / "experiments"
    found: dict[str, list[str]] = {}
    for path in sorted(root.rglob("*.yaml")):
        folder, name = path.parent.name, path.stem
        if folder == "sweeps":  # sweep files of W&B
            continue
        before = {
            "ablations": ["nassar/segment-random" if name.startswith(_DOWNSTREAM) else "nassar/selective"],
            "fixed_masks": ["nassar/selective"],
            "base": ["nassar/segment-scratch" if name == "segment" else "nassar/random"],
            "data": ["nassar/segment-scratch"],
            "demo": [] if name in ("pretrain", "segment") else ["demo/pretrain"],
            "smoke": ["nassar/segment-scratch" if name == "segment" else "nassar/selective"],
        }.get(folder, [])
        option = "--data" if folder == "data" else "--config"
        words = [f"--config=experiments/{name}.yaml" for name in before]
        words += [f"{option}=experiments/{folder}/{name}.yaml"]
        if name == "pretrain" and folder not in ("base", "demo", "folder", "smoke"):  # the rows state the epochs
            words += ["--config=experiments/base/random.yaml"]
        found[f"{folder}/{name}"] = ["fit", *words]
    return found


@functools.cache
def _parser() -> Any:
    from smir.cli.command_line import ParsedCLI, run_cli
    from smir.cli.words import expand_includes

    return run_cli(expand_includes(["fit", "--config=experiments/demo/pretrain.yaml"]), ParsedCLI).parser


def parse(words: list[str]) -> Any:
    """Returns the settings of `fit` with these words, parsed in the root of the repository."""
    from smir.cli.words import expand_includes

    return _parser().parse_args(expand_includes(["fit", *words]))


@functools.cache
def parsed(name: str) -> Any:
    """Returns an experiment as `fit` parses it in the root of the repository."""
    return parse(experiments()[name][1:])


def recipe_hash(name: str) -> str:
    """Returns the hash of the recipe of an experiment, as in its `run.json`."""
    import yaml

    from smir.runs.recipe import digest, recipe_of
    from smir.runs.stored_config import Loader

    text = _parser().dump(parsed(name), skip_link_targets=False, skip_unset=False, skip_validation=True)
    return digest(recipe_of(yaml.load(text, Loader)["fit"]))


def with_zeros(value):
    """Returns the values of a checkpoint with zeros in place of all real numbers."""
    if isinstance(value, torch.Tensor):
        return torch.zeros_like(value) if value.is_floating_point() else value
    if isinstance(value, dict):
        return type(value)((key, with_zeros(item)) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return type(value)(map(with_zeros, value))
    return value


def make_runs(work: Path) -> None:
    """Trains one run of each task below `work/runs`, and an interrupted pretraining below `work/interrupted`."""
    (work / "experiments").symlink_to(REPOSITORY / "experiments")
    data = ["--width=1024", "--height=768", "--train_tiles=10", "--val_tiles=2", "--test_tiles=3"]
    smir(work, "prepare", "synthetic", "--root=runs/demo/data", *data)
    smir(work, "prepare", "nassar", "--root=runs/demo/data")
    for words in (PRETRAIN, [*SEGMENT, f"--model.weights={WEIGHTS}"]):
        smir(work, *words, *NETWORK, *SHORT)
        for path in (work / "runs").rglob("*.ckpt"):
            content = torch.load(path, weights_only=True)
            torch.save(with_zeros(content), path)
        for path in (work / "runs").rglob("DONE"):
            done = json.loads(path.read_text())
            path.write_text(json.dumps({name: value for name, value in done.items() if name != "files"}, indent=1))
    run = work / "runs/demo/selective/seed0"
    interrupted = work / "interrupted/demo/selective/seed0"
    shutil.copytree(run, interrupted)
    (interrupted / "DONE").unlink()
    (interrupted / "checkpoints/previous.ckpt").replace(interrupted / "checkpoints/last.ckpt")


def main() -> None:
    """Writes `recipes.json` and `runs.tar.xz`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=REPOSITORY / "tests/frozen")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    os.chdir(REPOSITORY)
    sys.argv = ["smir"]
    recipes = {name: recipe_hash(name) for name in experiments()}
    (out / "recipes.json").write_text(json.dumps(recipes, indent=1) + "\n")
    with tempfile.TemporaryDirectory() as folder, tarfile.open(out / "runs.tar.xz", "w:xz") as archive:
        work = Path(folder)
        make_runs(work)
        for path in sorted(work.rglob("*")):
            parts = path.relative_to(work).parts
            if parts[0] == "experiments" or {"data", "images", "lock"} & set(parts) or path.suffix == ".png":
                continue
            archive.add(path, "/".join(parts), recursive=False)


if __name__ == "__main__":
    main()
