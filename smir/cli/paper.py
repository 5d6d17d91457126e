"""The paper's runs in one table. `make paper` makes them, `python -m smir plan` adds up what they cost.

A row is a line of `MAIN` or of `ABLATIONS`, and a config in `experiments/`. `experiments/paper.mk` takes its rules from
`python3 -m smir.cli.paper`. As that must work before smir is installed, this file imports no package but smir.
"""

import argparse
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from smir.errors import ConfigError

SISTERS = {
    "pascal_voc": "cityscapes",
    "cityscapes": "pascal_voc",
    "nassar": "sugar_beets",
    "sugar_beets": "nassar",
}
"""Every dataset, and the one that its `cross` row is pretrained on."""

SEEDS = "0 1 2"
PRETRAIN_SEED = 3741
"""Seed of the one pretraining that all downstream seeds share."""
ABLATED = "sugar_beets"
IMAGENET = "imagenet"


class Row(NamedTuple):
    """A row of the paper, on any dataset.

    Attributes:
        config: Name of its file in `experiments/<dataset>/`.
        start: The pretraining that it starts from, or `IMAGENET`. Empty: random weights.
        of_sister: True if that pretraining is on the sister dataset.
        variant: Name of the ablation that it belongs to.
        options: Words that the ablation adds to its command.
    """

    config: str
    start: str = ""
    of_sister: bool = False
    variant: str = ""
    options: str = ""

    @property
    def name(self) -> str:
        """Name of its experiment, below that of the dataset."""
        return f"{self.config}-{self.variant}" if self.variant else self.config

    @property
    def segments(self) -> bool:
        """True for a segmentation, False for a pretraining."""
        return self.config.startswith("segment-")


MAIN = (
    Row("random"),
    Row("selective"),
    Row("random-staged"),  # control: the stages without selection
    Row("random-fixed"),  # control: stages and fixed masks without selection
    Row("segment-scratch"),
    Row("segment-imagenet", start=IMAGENET),
    Row("segment-random", start="random"),
    Row("segment-selective", start="selective"),
    Row("segment-random-staged", start="random-staged"),
    Row("segment-random-fixed", start="random-fixed"),
    Row("segment-selective-cross", start="selective", of_sister=True),
)

_SEGMENTATIONS = ["segment-scratch", "segment-imagenet", "segment-random", "segment-selective"]
_SHARED = ["selective", "random"]  # what both maskings have is changed in both, so that they can be compared
ABLATIONS = {
    "dropout-0": _SHARED,
    "local-loss": _SHARED,
    "loss-masked": _SHARED,
    "ssim-unit-range": _SHARED,
    "mask-ratio-25": _SHARED,
    "mask-ratio-75": _SHARED,
    "patches-128": _SHARED,
    "patches-1024": _SHARED,
    "masked-patches-only": ["selective"],
    "policy-blocks": ["selective"],
    "policy-mixed": ["selective"],
    "policy-proportional": ["selective"],
    "policy-ramp": ["selective"],
    "samples-1": ["selective"],
    "samples-10": ["selective"],
    "score-excess": ["selective"],
    "score-interpolation": ["selective"],
    "score-variance": ["selective"],
    "stages-2": ["selective", "random-staged"],
    "stages-5": ["selective", "random-staged"],
    "stages-20": ["selective", "random-staged"],
    "encoder-only": ["segment-random", "segment-selective"],
    "frozen-encoder": _SEGMENTATIONS[1:],
    "encoder-lr-0.1": _SEGMENTATIONS[1:],
    "batch-norm": _SEGMENTATIONS[1:],
    "labels-5": _SEGMENTATIONS,
    "labels-10": _SEGMENTATIONS,
    "labels-20": _SEGMENTATIONS,
    "labels-50": _SEGMENTATIONS,
    "labels-100": _SEGMENTATIONS,
    "label-draws": _SEGMENTATIONS,
}
"""Files of `experiments/ablations/`, and the rows that each is put on top of. A pretraining brings its segmentation."""


class Run(NamedTuple):
    """A row on one dataset with one seed. `pretrain_seed` is that of the pretraining it starts from, if it has one.

    `dataset` is a key of `SISTERS`.
    """

    dataset: str
    row: Row
    seed: int
    pretrain_seed: int

    @property
    def folder(self) -> str:
        """Its folder, below that of all runs."""
        return f"{self.dataset}/{self.row.name}/seed{self.seed}"

    @property
    def start(self) -> str:
        """Folder of the run that this one starts from, relative to all runs; empty for none."""
        if self.row.start in ("", IMAGENET):
            return ""
        home = SISTERS[self.dataset] if self.row.of_sister else self.dataset
        return f"{home}/{self.row.start}/seed{self.pretrain_seed}"

    def command(self, runs: str, data: str, protocol: str, flags: str, imagenet: str = "") -> str:
        """Returns the words after `python -m smir`, as a shell reads them.

        `runs` is the folder of all runs, `data` the data root. The flags come last; `imagenet` has options for a run
        that starts from ImageNet.
        """
        words = [
            f"fit --config experiments/{self.dataset}/{self.row.config}.yaml {self.row.options}",
            imagenet if self.row.start == IMAGENET else "",
            f"--seed_everything {self.seed}",
            f"--model.weights {runs}/{self.start}/checkpoints/best.ckpt" if self.start else "",
            f"--run.root {runs} --run.if_taken refuse --data.root {data} --data.protocol {protocol} {flags}",
        ]
        return " ".join(filter(None, words))


def paper_runs(seeds: str = SEEDS, pretrain: str = "", protocol: str = "paper", ablate: str = ABLATED) -> Iterator[Run]:
    """Yields every run of the paper. The values are those of make's variables, several words with blanks between.

    Args:
        seeds: Downstream seeds.
        pretrain: `once`: one pretraining for all downstream seeds, as in the paper; `paired`: one for each of them, so
            that intervals include the luck of the pretraining. Default: `once` for `paper`, `paired` for `clean`.
        protocol: `paper` or `clean`.
        ablate: Datasets that the ablations are made on.

    Raises:
        ConfigError: If a value is not one of these.
    """
    pretrain = pretrain or ("paired" if protocol == "clean" else "once")
    _check("PRETRAIN is once or paired", pretrain, pretrain in ("once", "paired"))
    _check("PROTOCOL is paper or clean", protocol, protocol in ("paper", "clean"))
    for word in ablate.split():
        _check(f"ABLATE names datasets ({' '.join(SISTERS)})", word, word in SISTERS)
    for word in seeds.split():
        _check("SEEDS are whole numbers", word, word.isdecimal())
    downstream = list(dict.fromkeys(map(int, seeds.split())))
    for dataset in SISTERS:
        for rows in (MAIN, *map(_ablation_rows, ABLATIONS if dataset in ablate.split() else ())):
            # All rows of a seed before the next seed, so that an early report compares rows.
            for seed in downstream if pretrain == "paired" else [PRETRAIN_SEED]:
                yield from (Run(dataset, row, seed, seed) for row in rows if not row.segments)
            for seed in downstream:
                start = seed if pretrain == "paired" else PRETRAIN_SEED
                yield from (Run(dataset, row, seed, start) for row in rows if row.segments)


def _check(rule: str, word: str, holds: bool) -> None:
    if not holds:
        raise ConfigError(f"{rule}, not {word}")


def _ablation_rows(variant: str) -> list[Row]:
    """The rows of an ablation. If its config changes a pretraining, the segmentation after that takes only its name."""
    rows = {row.config: row for row in MAIN}
    options = f"--config experiments/ablations/{variant}.yaml"
    changed = [rows[name]._replace(variant=variant, options=options) for name in ABLATIONS[variant]]
    downstream = [
        Row(f"segment-{row.config}", start=row.name, variant=variant, options=f"--run.variant {variant}")
        for row in changed
        if not row.segments
    ]
    return changed + downstream


def rules(runs: Iterable[Run]) -> Iterator[str]:
    """Yields make's rules. The variables in them are those of `experiments/paper.mk`."""
    yield f"DATASETS := {' '.join(SISTERS)}"
    for run in runs:
        done = f"$(RUNS)/{run.folder}/DONE"
        start = f"$(RUNS)/{run.start}/DONE " if run.start else ""
        command = run.command(
            runs="$(RUNS)",
            data="$(call path,$(DATA))",
            protocol="$(PROTOCOL)",
            flags=f"$(WANDB:%=--run.wandb %) $({'SEGMENT' if run.row.segments else 'PRETRAIN'}_FLAGS) $(FLAGS)",
            imagenet="$(if $(IMAGENET),--model.imagenet_file $(call path,$(IMAGENET)))",
        )
        yield f"PAPER_RUNS += {done}"
        yield f"RUNS_OF_{run.dataset} += {done}"
        if not run.row.variant:
            yield f"MAIN_RUNS += {done}"
        yield f"{done}: {start}| .venv/installed\n\t@$(JOB) {command}"


def main() -> None:
    """Prints make's rules, or a call of its `error` that says which variable is wrong."""
    parser = argparse.ArgumentParser("python3 -m smir.cli.paper", argument_default=argparse.SUPPRESS)
    for option in ("seeds", "pretrain", "protocol", "ablate"):
        parser.add_argument(f"--{option}")
    try:
        print("\n".join(rules(paper_runs(**vars(parser.parse_args())))))
    except ConfigError as error:
        print(f"$(error {error})")


if __name__ == "__main__":
    main()
