"""Compares labels that `smir choose` chose with labels drawn at random: `python -m benchmarks.choose`.

Every seed has a random half of the field's images to choose from, and a training; that with the random labels has the
same seed. Trainings and tests are those of `benchmarks.evidence`, whose figures of random draws are used where
`--results` has them. It continues where it stopped.
"""

import argparse
import dataclasses
import math
import random
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.evidence.matrix import Row
from benchmarks.evidence.page import figures
from benchmarks.evidence.study import KEPT, Study, make
from smir.files.json_record import dict_or_empty
from smir.report.estimates import Difference, on_common_seeds, paired, t_quantile

RANDOM, CHOSEN = Row("imagenet", "imagenet"), Row("imagenet, chosen", "imagenet")
BEGIN = "<!-- table: python -m benchmarks.choose writes it -->\n"


class ChosenStudy(Study):
    """The study with labels of images that `choose` takes, by ImageNet features, from a random half of the images."""

    def draw(self, labels: int, seed: int) -> list[str]:
        """Returns the chosen images, the best first, and behind them the others."""
        out = self.out / "choices" / f"labels-{labels}-seed{seed}"
        others = super().draw(labels, seed)
        if not (out / "chosen.txt").is_file():
            half = random.Random(f"half {seed}").sample(sorted(others), len(others) // 2)
            images = [str(self.field / "images" / name) for name in half]
            file = [f"--imagenet_file={self.imagenet[1]}"] if self.imagenet else []
            words = ["choose", *images, f"--count={labels}", "--link=false", f"--out={out}", *file]
            subprocess.run([sys.executable, "-m", "smir", *words], check=True)
        chosen = (out / "chosen.txt").read_text(encoding="utf-8").splitlines()
        return [*chosen, *(name for name in others if name not in chosen)]


def table(runs: dict[str, Any]) -> str:
    """Returns every run, the means, and the difference over the seeds that have both, with its 95 % interval."""
    seeds = sorted({run["seed"] for run in runs.values() if run["row"] == CHOSEN.name})
    lines = [["labels", "checkpoint", *(f"seed {seed}" for seed in seeds), "mean"]]
    lines += [["---", "---", *["--:"] * (len(seeds) + 1)]]
    said = []
    for kept in KEPT:
        both = [figures(runs, row, kept) for row in (CHOSEN, RANDOM)]
        for name, own, shared in zip(("chosen", "random"), both, on_common_seeds(*both), strict=True):
            of_seed = [f"{own.by_seed[seed]:.1f}" if own and seed in own.by_seed else "not run" for seed in seeds]
            lines.append([name, kept, *of_seed, f"{shared.mean:.1f}" if shared else ""])
        if (gain := paired(*both)) and gain.by_seed:
            said.append(f"{kept} checkpoint {gain.mean:+.1f}{_interval(gain)}, {len(gain.by_seed)} draws")
    rows = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"{rows}\n\nChosen minus random in points of mIoU, with 95 % interval (paired t): {'; '.join(said)}.\n"


def _interval(gain: Difference) -> str:
    """Returns the t interval, also of two draws, which is as wide as two draws deserve."""
    number = len(gain.by_seed)
    if number < 2:
        return ""
    reach = t_quantile(number - 1) * statistics.stdev(gain.by_seed.values()) / math.sqrt(number)
    return f" [{gain.mean - reach:+.1f}, {gain.mean + reach:+.1f}]"


def main() -> None:
    """Reads the options, makes the runs, writes the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.choose", description=__doc__)
    parser.add_argument("--field", type=Path, required=True, help="folder of `smir prepare folder`, all labelled")
    parser.add_argument("--held", type=Path, required=True, help="the same, of the images that are only tested on")
    parser.add_argument("--out", type=Path, default=Path("runs/choose"), help="folder of runs, lists and logs")
    parser.add_argument("--results", type=Path, default=Path("runs/choose/choose.json"), help="JSON file of figures")
    parser.add_argument("--document", type=Path, help="Markdown page whose table is written")
    parser.add_argument("--imagenet_file", type=Path, help="the encoder's ImageNet weights; default: downloaded")
    parser.add_argument("--seeds", type=int, default=6, help="number of draws, each for both ways")
    parser.add_argument("--most", type=int, help="trainings to make now; default: all")
    options = parser.parse_args()
    jobs = []
    for kind, row in ((ChosenStudy, CHOSEN), (Study, RANDOM)):
        out = options.out / ("chosen" if kind is ChosenStudy else "random")
        study = kind(options.field, options.held, out, options.results, options.imagenet_file, [])
        study.check_held()
        jobs += study.jobs([dataclasses.replace(row, seeds=options.seeds)])
    jobs.sort(key=lambda job: int(job.name.rpartition("seed")[2]))
    if failed := make(jobs[: options.most], options.out / "logs", 1):
        raise SystemExit(f"{len(failed)} jobs failed: {', '.join(failed)}")
    if options.document:
        report.insert(options.document, table(dict_or_empty(options.results)["runs"]), BEGIN)


if __name__ == "__main__":
    main()
